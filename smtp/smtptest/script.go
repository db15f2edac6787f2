package smtptest

import (
	"net"
	"testing"

	"github.com/postrider/postrider/internal/dialogue"
)

// Peers that say what they are told to, for what no real one can be made to do.
// A script is written as RFC 5321 writes dialogues:
//
//	S: 220 mx.example.com ready
//	C: EHLO *
//	S: 250 mx.example.com
//	C: MAIL FROM:<ann@example.com>
//	S: 451 4.3.0 out of memory
//	S: <close>
//
// In lines that are expected "*" stands for any text. Said lines may hold \r, \n,
// \0, \xHH and \{1000 x}; "S| text" is said without a line end.

// Script is a server that plays the S: lines of a script to the first client,
// and expects its C: lines. It returns its address. The test fails if the client
// says anything else. A second client is refused a connection: one that tries again
// finds nobody, as it would behind a server that has gone, and does not hang.
func Script(t testing.TB, script string) (addr string) {
	t.Helper()
	s := parse(t, script)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			done <- nil // nobody came, which is no fault of the script
			return
		}
		l.Close()
		done <- (&dialogue.Player{Role: 'S', Conn: nc}).Play(s)
	}()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Errorf("smtptest: the client: %v", err)
		}
	})
	return l.Addr().String()
}

// Play is a client that plays the C: lines of a script to the server at addr, and
// expects its S: lines. The test fails if the server says anything else.
func Play(t testing.TB, addr, script string) {
	t.Helper()
	s := parse(t, script)
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&dialogue.Player{Role: 'C', Conn: nc}).Play(s); err != nil {
		t.Errorf("smtptest: the server: %v", err)
	}
}

func parse(t testing.TB, script string) *dialogue.Script {
	t.Helper()
	s, err := dialogue.Parse("line", script+"\n# script\n")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
