package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/postrider/postrider/smtp"
)

// One connection of load, and the ways in which it can talk.

// A loadSession is one connection.
type loadSession struct {
	*loadRun
	latencies *latencies
	conn      net.Conn
	r         *bufio.Reader
}

// loadModes are the ways in which a session talks. Each has one message taken already when it is called.
var loadModes = map[string]func(*loadSession) error{
	"step": (*loadSession).step, "pipeline": (*loadSession).pipeline, "bdat": (*loadSession).bdat, "stream": (*loadSession).stream,
}

// loadPatience is how long a server may say nothing.
const loadPatience = 2 * time.Minute

// loadName is what a session calls itself.
const loadName = "load.example.com"

// loadDialer asks for no probes of a connection that is idle: none is, and each wait has its end.
var loadDialer = net.Dialer{Timeout: loadPatience, KeepAlive: -1}

// open has the library connect, begin TLS and authenticate, and takes the connection
// from it: between two commands nothing is on its way that would be lost.
func (r *loadRun) open(ctx context.Context, l *latencies) (*loadSession, error) {
	// A copy: what is set here is this connection's.
	var conn net.Conn
	d := r.dialer
	d.NetDial = func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		c, err = loadDialer.DialContext(ctx, network, addr)
		conn = c
		return c, err
	}
	// The library's own handshake would keep its connection; one of ours is seen from here.
	host, _, _ := net.SplitHostPort(r.addr)
	d.WrapTLS = func(ctx context.Context, c net.Conn) (net.Conn, error) {
		config := d.TLSConfig.Clone()
		if config == nil {
			// As the library has it: a server on this machine need not prove who it is
			// unless TLS was asked for.
			peer, _ := c.RemoteAddr().(*net.TCPAddr)
			lax := d.TLS == smtp.TLSOpportunistic || d.TLS == smtp.TLSAuto && peer != nil && peer.IP.IsLoopback()
			config = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: lax}
		}
		config.ServerName = host
		t := tls.Client(c, config)
		conn = t
		return t, t.HandshakeContext(ctx)
	}
	// How long EHLO, STARTTLS and AUTH take is measured where the library says them.
	d.Trace = l.trace(r.dialer.Trace)
	if _, err := d.Dial(ctx, r.addr); err != nil {
		return nil, err
	}
	return &loadSession{r, l, conn, bufio.NewReader(conn)}, nil
}

// renew connects once more to where the session was connected, in clear and without credentials. All that is said is
// known then, and the library, which asks what is offered, would take more time for it than a server does.
func (s *loadSession) renew(ctx context.Context) error {
	// By its address: a name would be looked up once for each message.
	begun, to := time.Now(), s.conn.RemoteAddr()
	conn, err := loadDialer.DialContext(ctx, to.Network(), to.String())
	if err != nil {
		return err
	}
	s.conn = conn
	defer context.AfterFunc(ctx, func() { conn.Close() })() // it may never greet
	s.r.Reset(conn)
	if err := s.reply("connect", begun, '2'); err != nil {
		return err
	}
	return s.say("EHLO", "EHLO "+loadName+"\r\n", '2')
}

// close says goodbye.
func (s *loadSession) close() error { return s.say("QUIT", "QUIT\r\n", '2') }

// say writes and awaits a reply.
// From before the write: what the kernel keeps back until the other side reads is the other side's time.
func (s *loadSession) say(what, text string, want byte) error {
	begun := time.Now()
	if _, err := s.conn.Write([]byte(text)); err != nil {
		return err
	}
	return s.reply(what, begun, want)
}

// reply reads one, of several lines perhaps, and keeps how long it took.
func (s *loadSession) reply(what string, begun time.Time, want byte) error {
	// A deadline costs a call of the system: only where there will be a wait.
	if s.r.Buffered() == 0 {
		s.conn.SetReadDeadline(time.Now().Add(loadPatience))
	}
	// RFC 5321, 4.2.1: all lines but the last have a hyphen behind the code.
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		// A code, a blank or a hyphen, and the line's end are the least (RFC 5321, 4.2).
		if len(line) < 5 || line[0] < '2' || line[0] > '5' {
			return exitf(exitProtocol, "%s: the server says %.80q, which is no reply", what, line)
		}
		if line[3] == '-' {
			continue
		}
		// A refusal took its time too, and is the last that is counted.
		s.latencies.add(what, time.Since(begun))
		if line[0] != want {
			code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
			if code < 400 {
				return exitf(exitProtocol, "%s: the server says %.80q", what, line)
			}
			return &smtp.Error{Code: code, Verb: what, Text: string(line[4 : len(line)-1])}
		}
		return nil
	}
}

// replies reads several to what was written together.
func (s *loadSession) replies(begun time.Time, want string, what ...string) error {
	for i := range what {
		if err := s.reply(what[i], begun, want[i]); err != nil {
			return err
		}
	}
	return nil
}

// sent counts a message that was accepted. The bar hears of every 64th: more would
// not be seen.
func (s *loadSession) sent() {
	n := s.accepted.Add(1)
	if n%64 == 0 || n == s.messages {
		s.progress(n)
	}
}

// again takes the next message for this connection.
func (s *loadSession) again() bool { return !s.reconnect && s.next() }

// step waits for every reply, as clients without PIPELINING must: one round trip for
// each command and one for the message.
func (s *loadSession) step() error {
	for {
		for _, c := range []struct {
			what, text string
			want       byte
		}{{"MAIL", loadMail, '2'}, {"RCPT", loadRcpt, '2'}, {"DATA", "DATA\r\n", '3'}} {
			if err := s.say(c.what, c.text, c.want); err != nil {
				return err
			}
		}
		begun := time.Now()
		if _, err := s.conn.Write(s.template.dotted); err != nil {
			return err
		}
		if err := s.reply("message", begun, '2'); err != nil {
			return err
		}
		if s.sent(); !s.again() {
			return nil
		}
	}
}

// pipeline sends the next envelope behind the message.
func (s *loadSession) pipeline() error {
	begun := time.Now()
	if _, err := s.conn.Write(s.template.envelope); err != nil {
		return err
	}
	for {
		if err := s.replies(begun, "223", "MAIL", "RCPT", "DATA"); err != nil {
			return err
		}
		// Taken before it is written: the envelope of a message that nobody sends would be left open.
		more := s.again()
		out := s.template.dotted
		if more {
			out = s.template.both
		}
		begun = time.Now()
		if _, err := s.conn.Write(out); err != nil {
			return err
		}
		if err := s.reply("message", begun, '2'); err != nil {
			return err
		}
		if s.sent(); !more {
			return nil
		}
	}
}

// bdat sends envelope and message together (RFC 3030, 4.2): one round trip a message.
func (s *loadSession) bdat() error {
	for {
		begun := time.Now()
		if _, err := s.conn.Write(s.template.chunk); err != nil {
			return err
		}
		if err := s.replies(begun, "222", "MAIL", "RCPT", "message"); err != nil {
			return err
		}
		if s.sent(); !s.again() {
			return nil
		}
	}
}

// stream keeps up to a window of messages under way. It writes again when half of
// them are answered: large writes, and never nothing to do for the server.
func (s *loadSession) stream() error {
	// Their order is that of the replies (RFC 2920, 3.2), so that the oldest is always the first.
	var begun []time.Time // of the messages under way
	taken := 1            // and not written
	for more := true; ; {
		for more && len(begun) <= s.window/2 && len(begun)+taken < s.window {
			if more = s.again(); more {
				taken++
			}
		}
		if len(begun)+taken == 0 {
			return nil
		}
		if taken > 0 {
			now := time.Now()
			if _, err := s.conn.Write(s.template.chunks[:taken*len(s.template.chunk)]); err != nil {
				return err
			}
			for ; taken > 0; taken-- {
				begun = append(begun, now)
			}
		}
		if err := s.replies(begun[0], "222", "MAIL", "RCPT", "message"); err != nil {
			return err
		}
		begun = begun[1:]
		s.sent()
	}
}
