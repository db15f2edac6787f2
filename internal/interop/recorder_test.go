package interop

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
)

// recorder is a server that takes everything and keeps the octets between 354 and the end of data as they came, dots and
// all. It shares nothing with our server, on purpose: it says what a client really sends, for clients that make up part
// of a message themselves.
type recorder struct {
	addr string

	mu       sync.Mutex
	received [][]byte // unstuffed
	envelope []string // the lines with MAIL and RCPT
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: l.Addr().String()}
	var sessions sync.WaitGroup
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { r.session(conn) })
		}
	})
	return r
}

// messages returns what has been recorded so far.
func (r *recorder) messages() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received
}

func (r *recorder) session(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	reply := func(line string) { conn.Write([]byte(line + "\r\n")) }
	reply("220 recorder ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line[:min(4, len(line))]); verb {
		case "EHLO":
			reply("250-recorder\r\n250 8BITMIME")
		case "DATA":
			reply("354 go on")
			if !r.data(in) {
				return
			}
			reply("250 recorded")
		case "MAIL", "RCPT":
			r.mu.Lock()
			r.envelope = append(r.envelope, strings.TrimSpace(line))
			r.mu.Unlock()
			reply("250 ok")
		case "QUIT":
			reply("221 bye")
			return
		default:
			reply("250 ok")
		}
	}
}

// data records one message up to its lone dot, taking away the dot that a client puts before another.
func (r *recorder) data(in *bufio.Reader) bool {
	var raw []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		raw = append(raw, bytes.TrimPrefix(line, []byte("."))...)
	}
	r.mu.Lock()
	r.received = append(r.received, raw)
	r.mu.Unlock()
	return true
}
