package smtp_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Each session has two lines in the log of who asks for them, with one id: who has come,
// and why it ended, in whichever way that was.
func TestSessionsInTheLog(t *testing.T) {
	const mail = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	secure := serverTLS(t)
	for why, c := range map[string]struct {
		said   string
		policy smtp.Policy
		change func(*smtp.Server)
		fields string // that the last line has too
	}{
		"why=QUIT": {said: mail + "DATA\r\nSubject: x\r\n.\r\n" + mail[8:] + "BDAT 3\r\nx\r\nBDAT 0 LAST\r\nRSET\r\nQUIT\r\n", fields: `hello=x user="" protocol=ESMTP messages=2`},
		`why="the client has closed the connection"`:                      {said: "EHLO x\r\n", fields: "hello=x"},
		`why="the connection ended within a message"`:                     {said: mail + "DATA\r\nhalf", fields: "messages=0"},
		`why="the message is too big"`:                                    {said: mail + "BDAT 999999999999 LAST\r\n"},
		`why="too many errors"`:                                           {said: strings.Repeat("X\r\n", 20)},
		`why="this is a mail server"`:                                     {said: "GET / HTTP/1.1\r\n"},
		`why="a line must end in CRLF, and CR and LF occur nowhere else"`: {said: "NOOP\n"},
		`why="the TLS handshake failed"`:                                  {said: "hello, this is no handshake of TLS\r\n", policy: smtp.Policy{ImplicitTLS: true}},
		`why="not from there"`: {change: func(s *smtp.Server) {
			s.OnConnect = func(context.Context, *smtp.Conn) error { return smtp.Errorf(554, "5.7.1", "not from there") }
		}},
		`why="too many sessions, try again later"`: {change: func(s *smtp.Server) { s.MaxConns = -1 }},
		`why="nothing heard for too long"`:         {said: "EHLO x\r\nthen wait"},
		`why="the server was closed"`:              {said: "EHLO x\r\nthen close"},
		`why="no reply could be written: `:         {said: "then deaf"},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedLog
				srv := &smtp.Server{Handler: new(mailbox).hooks(), TLSConfig: secure, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
				if c.change != nil {
					c.change(srv)
				}
				here, there := net.Pipe()
				ended := make(chan struct{})
				go func() { srv.ServeConn(there, c.policy); close(ended) }()
				said, how, _ := strings.Cut(c.said, "then ")
				if how != "deaf" {
					go io.Copy(io.Discard, here)
				}
				if said != "" {
					io.WriteString(here, said)
				}
				synctest.Wait() // everything that was said has been answered
				switch how {
				case "":
					here.Close()
				case "close":
					srv.Close()
				default:
					time.Sleep(10 * time.Minute) // the test's own clock
				}
				<-ended
				here.Close()
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				first, last := lines[0], lines[len(lines)-1]
				_, rest, _ := strings.Cut(first, "session=")
				id, _, _ := strings.Cut(rest, " ")
				if len(id) < 8 || !strings.Contains(first, "session begins") || !strings.Contains(first, "remote=pipe") {
					t.Errorf("got the first line %q, want who has come", first)
				}
				if !strings.Contains(last, "session ended") || !strings.Contains(last, why) || !strings.Contains(last, "session="+id+" ") || !strings.Contains(last, c.fields) {
					t.Errorf("got the last line %q, want %s %s of session %s", last, why, c.fields, id)
				}
				srv.Close()
			})
		})
	}
}

// At any other level nothing is said of sessions that go well.
func TestSessionsNotInTheLog(t *testing.T) {
	var log lockedLog
	srv := &smtp.Server{Handler: new(mailbox).hooks(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	c := raw(t, serve(t, srv, smtp.Policy{}))
	c.say("QUIT", "221 ")
	c.end()
	if log.String() != "" {
		t.Errorf("got %q, want nothing", log.String())
	}
}
