package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The load generator: raw sockets, fixed octets, replies that are counted and looked at only for their first digit. It
// is no client of ours, so that it cannot favour our server, and it is cheap, so that the servers' own cost shows.

// mode is how a session talks.
type mode int

const (
	step      mode = iota // every command waits for its reply
	pipelined             // the next envelope behind the body: one wait a message
	streamed              // BDAT, several messages in a write
	each                  // a session for each message, every command waits
)

// load is one run of the generator.
type load struct {
	addr  string
	mode  mode
	conns int
	size  int // octets of a message
	time  time.Duration
}

const (
	mailFrom = "MAIL FROM:<sender@example.com>\r\n"
	rcptTo   = "RCPT TO:<recipient@example.net>\r\n"
	envelope = mailFrom + rcptTo
)

// message returns a message of about size octets, in lines of 78.
func message(size int) []byte {
	var b bytes.Buffer
	b.Grow(max(size, 512)) // growing to 10 MB bit by bit would cost a client as much as sending that several times
	b.WriteString("From: <sender@example.com>\r\nTo: <recipient@example.net>\r\nSubject: a message of a benchmark\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <bench@example.com>\r\n\r\n")
	line := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 3)[:76] + "\r\n"
	for b.Len()+len(line) <= size {
		b.WriteString(line)
	}
	return b.Bytes()
}

// errStop ends a session whose time is over.
var errStop = errors.New("time is over")

// run loads the server and returns how many messages were accepted a second.
func (l load) run() (float64, error) {
	var (
		count    atomic.Int64
		workers  sync.WaitGroup
		ready    sync.WaitGroup
		failures = make(chan error, l.conns)
		start    = make(chan struct{})
		stop     = make(chan struct{})
	)
	ready.Add(l.conns)
	for range l.conns {
		workers.Go(func() {
			s := &session{load: l, count: &count, stop: stop, body: message(l.size)}
			err := s.open()
			ready.Done()
			<-start
			if err == nil {
				err = s.loop()
			}
			s.close()
			if err != nil && !errors.Is(err, errStop) {
				failures <- err
			}
		})
	}
	// Opening the sessions is not measured, except where each message has one.
	ready.Wait()
	begin := time.Now()
	close(start)
	time.Sleep(l.time)
	n, elapsed := count.Load(), time.Since(begin)
	close(stop)
	workers.Wait()
	select {
	case err := <-failures:
		return 0, err
	default:
	}
	if n == 0 {
		return 0, errors.New("no message was accepted")
	}
	return float64(n) / elapsed.Seconds(), nil
}

// session is one connection of the generator.
type session struct {
	load
	count *atomic.Int64
	stop  chan struct{}
	body  []byte
	conn  net.Conn
	in    *bufio.Reader
}

func (s *session) open() error {
	if s.mode == each {
		return nil
	}
	return s.dial()
}

func (s *session) dial() error {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	// A server that hangs must not hang the run.
	conn.SetDeadline(time.Now().Add(s.time + time.Minute))
	s.conn = conn
	if s.in == nil {
		s.in = bufio.NewReaderSize(conn, 16<<10)
	} else {
		s.in.Reset(conn)
	}
	if err := s.replies(1); err != nil {
		return err
	}
	return s.say("EHLO client.example.com\r\n", 1)
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

// say writes text in one write and reads n replies.
func (s *session) say(text string, n int) error {
	if _, err := s.conn.Write([]byte(text)); err != nil {
		return err
	}
	return s.replies(n)
}

// replies reads n replies, which may have several lines each. A 4yz or 5yz is an error.
func (s *session) replies(n int) error {
	for n > 0 {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[0] != '2' && line[0] != '3' {
			return fmt.Errorf("the server said %q", line)
		}
		if line[3] != '-' {
			n--
		}
	}
	return nil
}

// over reports whether the time is over.
func (s *session) over() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *session) loop() error {
	dotted := append(bytes.Clone(s.body), ".\r\n"...)
	switch s.mode {
	case pipelined:
		return s.pipeline(dotted)
	case streamed:
		return s.stream()
	}
	for !s.over() {
		if s.mode == each {
			if err := s.dial(); err != nil {
				return err
			}
		}
		if err := s.stepwise(dotted); err != nil {
			return err
		}
		if s.mode == each {
			if err := s.say("QUIT\r\n", 1); err != nil {
				return err
			}
			s.conn.Close()
		}
	}
	return errStop
}

func (s *session) stepwise(dotted []byte) error {
	for _, text := range []string{mailFrom, rcptTo, "DATA\r\n"} {
		if err := s.say(text, 1); err != nil {
			return err
		}
	}
	if _, err := s.conn.Write(dotted); err != nil {
		return err
	}
	if err := s.replies(1); err != nil {
		return err
	}
	s.count.Add(1)
	return nil
}

// pipeline has the next envelope travel behind each body, so that a message costs one wait: for its 250, the two of the
// envelope and the next 354.
func (s *session) pipeline(dotted []byte) error {
	if err := s.say(envelope+"DATA\r\n", 3); err != nil {
		return err
	}
	flight := append(bytes.Clone(dotted), envelope+"DATA\r\n"...)
	for !s.over() {
		if _, err := s.conn.Write(flight); err != nil {
			return err
		}
		if err := s.replies(4); err != nil {
			return err
		}
		s.count.Add(1)
	}
	return errStop
}

// stream writes up to 64 KiB of messages at once, envelope and BDAT together, and then reads all their replies.
func (s *session) stream() error {
	one := append(fmt.Appendf(nil, "%sBDAT %d LAST\r\n", envelope, len(s.body)), s.body...)
	n := max(1, (64<<10)/len(one))
	flight := bytes.Repeat(one, n)
	for !s.over() {
		if _, err := s.conn.Write(flight); err != nil {
			return err
		}
		if err := s.replies(3 * n); err != nil {
			return err
		}
		s.count.Add(int64(n))
	}
	return errStop
}

// offers reports whether the server at addr announces an extension.
func offers(addr, extension string) (bool, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		return false, err
	}
	if _, err := conn.Write([]byte("EHLO client.example.com\r\n")); err != nil {
		return false, err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false, err
		}
		name, _, _ := strings.Cut(strings.TrimSpace(line[min(4, len(line)):]), " ")
		if strings.EqualFold(name, extension) {
			return true, nil
		}
		if len(line) < 4 || line[3] != '-' {
			return false, nil
		}
	}
}
