package smtp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postrider/postrider/internal/dialogue"
	"github.com/postrider/postrider/internal/wire"
)

// oneShot is a connection on which everything has been said already.
type oneShot struct {
	stream
	out bytes.Buffer
}

func (o *oneShot) Write(p []byte) (int, error) { return o.out.Write(p) }
func (o *oneShot) Close() error                { return nil }

// FuzzSession says anything to a server. Whatever it is, the server answers in
// whole replies of known form, delivers only what ended in a proper end, and ends
// when the client does.
func FuzzSession(f *testing.F) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range scripts {
		var said strings.Builder
		for _, step := range s.Steps {
			if step.Who == 'C' && !strings.HasPrefix(step.Text, "<") && len(step.Text) < 1000 {
				said.WriteString(step.Text)
				if !step.Open {
					said.WriteString("\r\n")
				}
			}
		}
		f.Add(said.String())
	}
	f.Fuzz(func(t *testing.T, said string) {
		h := &testHandler{offers: []string{"DSN", "BINARYMIME"}}
		srv := &Server{Hostname: "mx.example.com", Handler: h, MaxSize: 1000, Logger: slog.New(slog.DiscardHandler)}
		conn := &oneShot{stream: stream{r: strings.NewReader(said)}}
		srv.ServeConn(conn, Policy{})
		rd := wire.NewReader(&conn.out, nil)
		for {
			r, err := readReply(rd, func(string) {})
			if err == io.ErrUnexpectedEOF && rd.Buffered() == 0 {
				break
			}
			if err != nil {
				t.Fatalf("%q: a reply that is none: %v", said, err)
			}
			if strings.ContainsAny(r.Text, "\r\x00") {
				t.Fatalf("%q: reply %q", said, r.Text)
			}
		}
		ends := strings.Count(said, ".\r\n") + strings.Count(strings.ToUpper(said), "LAST")
		if len(h.delivered) > ends {
			t.Fatalf("%q: delivered %d messages with %d ends", said, len(h.delivered), ends)
		}
	})
}

// FuzzChunks parts a message into chunks anywhere. It arrives as it was, or, if a
// CR or LF stands alone in it, not at all; where they are repaired, repaired.
func FuzzChunks(f *testing.F) {
	f.Add("Subject: x\r\n\r\n.\r\ntext\r\n", uint8(3))
	f.Add("a\rb\nc", uint8(1))
	f.Add("\r\n\r\r\n.\r\n\n", uint8(2))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		if len(text) > 5000 {
			return // tiny chunks are counted as commands
		}
		var said strings.Builder
		said.WriteString(envelope)
		for rest := text; ; {
			n := min(int(size)+1, len(rest))
			last := ""
			if n == len(rest) {
				last = " LAST"
			}
			fmt.Fprintf(&said, "BDAT %d%s\r\n%s", n, last, rest[:n])
			if rest = rest[n:]; rest == "" {
				break
			}
		}
		var repaired bytes.Buffer
		w := wire.NewRepairer(&repaired)
		io.WriteString(w, text)
		w.Close()
		clean := strings.ReplaceAll(text, "\r\n", "")
		var want []string
		if !strings.ContainsAny(clean, "\r\n") {
			want = []string{text}
		}
		got, out := session(Policy{}, nil, said.String()+"QUIT\r\n")
		if !slices.Equal(got, want) {
			t.Fatalf("%q in chunks of %d: delivered %q, want %q; said %q", text, int(size)+1, got, want, out)
		}
		if got, _ := session(Policy{Profile: Normalize}, nil, said.String()+"QUIT\r\n"); !slices.Equal(got, []string{repaired.String()}) {
			t.Fatalf("%q in chunks of %d, repaired: delivered %q, want %q", text, int(size)+1, got, repaired.String())
		}
	})
}

// FuzzAuth answers the challenges of each mechanism with anything. Whatever it is,
// nobody becomes a user whose password was not right.
func FuzzAuth(f *testing.F) {
	for _, s := range []string{"PLAIN AGFubgBzZWNyZXQ=", "PLAIN\r\nAGFubgBzZWNyZXQ=", "LOGIN\r\nYW5u\r\nc2VjcmV0", "LOGIN YW5u\r\nd3Jvbmc=", "PLAIN =", "PLAIN\r\n*", "WONDER x", "PLAIN AGFubgBzZWNyZXQ=\r\nAUTH PLAIN eA=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		synctest.Test(t, func(t *testing.T) { // a failure takes its time
			right, user := false, ""
			srv := &Server{Hostname: "mx.example.com", AllowInsecureAuth: true, Logger: slog.New(slog.DiscardHandler),
				OnAuth: func(_ context.Context, _ *Conn, user, password string) error {
					if user != "ann" || password != "secret" {
						return Errorf(535, "5.7.8", "no")
					}
					right = true
					return nil
				},
				Handler: &Hooks{OnSender: func(_ context.Context, c *Conn, _ string, _ *MailOptions) error { user = c.User(); return nil }},
			}
			conn := &oneShot{stream: stream{r: strings.NewReader("EHLO x\r\nAUTH " + said + "\r\nMAIL FROM:<>\r\n")}}
			srv.ServeConn(conn, Policy{})
			srv.Close()
			if user != "" && (!right || user != "ann") {
				t.Fatalf("%q: the user is %q, and the password was right: %v", said, user, right)
			}
		})
	})
}

// FuzzReply reads anything as a reply.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250\r\n", "554 5.7.1 no\r\n", "5.7 x\r\n", "250-\r\n", "553-\r\n553\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := readReply(wire.NewReader(strings.NewReader(s), nil), func(string) {})
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || strings.Contains(r.Text, "\r") {
			t.Errorf("%q: got %+v", s, r)
		}
		if r.Enhanced != "" && int(r.Enhanced[0]-'0') != r.Code/100 {
			t.Errorf("%q: enhanced code %s of %d", s, r.Enhanced, r.Code)
		}
	})
}

// FuzzParams reads anything as parameters; what was read can be written and gives
// the same again.
func FuzzParams(f *testing.F) {
	for _, s := range []string{" SIZE=1 BODY=8BITMIME", " RET=FULL ENVID=a+2Bb", " AUTH=<>", " SMTPUTF8 REQUIRETLS", " BY=-12;NT", " BY=12;R", " HOLDFOR=60", " HOLDUNTIL=2030-01-02T03:04:05Z", " MT-PRIORITY=-9", " SIZE=", "  size=5  "} {
		f.Add(s)
	}
	all := func(string) bool { return true }
	f.Fuzz(func(t *testing.T, s string) {
		var o, again MailOptions
		if parseParams(&o, s, mailParams, all) != nil {
			return
		}
		line, err := appendParams(nil, &o, "", mailParams, all)
		if err != nil {
			t.Fatalf("%q: read %+v, cannot be written: %v", s, o, err)
		}
		if e := parseParams(&again, string(line), mailParams, all); e != nil || again != o {
			t.Errorf("%q: read %+v, wrote %q, read %+v (%v)", s, o, line, again, e)
		}
	})
}
