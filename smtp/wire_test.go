package smtp_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// What clients are compared by, a row for each thing, seen from the other end of the connection. What a stream of messages
// costs is TestRoundTrips.

func TestOnTheWire(t *testing.T) {
	const offers = "S: 220 mx.example.com\nC: EHLO c.example.org\nS: 250-mx.example.com\n"
	three := smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net", "di@example.net")
	for name, see := range map[string]func(t *testing.T){
		// The server waits for the client at EHLO and at the envelope, and nowhere else before the message.
		"two flights for a message to three": func(t *testing.T) {
			fates(t, dialer(), three, "", offers+"S: 250 PIPELINING\n"+
				"C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: RCPT TO:<cy@example.net>\nC: RCPT TO:<di@example.net>\nC: DATA\n"+
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n")
		},
		"two flights with the message in them": func(t *testing.T) {
			fates(t, dialer(), three, "", offers+"S: 250-PIPELINING\nS: 250 CHUNKING\n"+
				"C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: RCPT TO:<cy@example.net>\nC: RCPT TO:<di@example.net>\n"+
				"C: BDAT 12 LAST\nC: Subject: x\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\n")
		},
		"the good get it whoever else is refused": func(t *testing.T) {
			fates(t, dialer(), three, "cy@example.net permanent", offers+"S: 250 PIPELINING\n"+
				"C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: RCPT TO:<cy@example.net>\nC: RCPT TO:<di@example.net>\nC: DATA\n"+
				"S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n")
		},
		"nothing in clear unless asked": func(t *testing.T) {
			fates(t, farDialer(), toBob, "bob@example.net permanent", offers+"S: 250 PIPELINING\nC: <close>\n")
		},
		"no UTF-8 to a server that does not take it": func(t *testing.T) {
			fates(t, dialer(), smtp.NewEnvelope("ann@example.com", "bøb@example.net"), "bøb@example.net permanent", offers+"S: 250 PIPELINING\nC: QUIT\nS: 221 bye\n")
		},
		"SMTPUTF8 not said of what is ASCII": func(t *testing.T) {
			fates(t, dialer(), toBob, "", offers+"S: 250 SMTPUTF8\n"+
				"C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nC: DATA\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n")
			if said := mailOf(t, "Grüße"); strings.Contains(said, "SMTPUTF8") {
				t.Errorf("a subject in encoded words: said MAIL %s, want no SMTPUTF8", said)
			}
		},
		// For servers that offer what they cannot do: step by step, by DATA, in the simplest form.
		"extensions not used that are offered": func(t *testing.T) {
			d := dialer()
			d.Without = []string{"PIPELINING", "chunking", "SMTPUTF8"}
			fates(t, d, smtp.NewEnvelope("ann@example.com", "bob@example.net", "bøb@example.net"), "bøb@example.net permanent",
				offers+"S: 250-PIPELINING\nS: 250-SMTPUTF8\nS: 250 CHUNKING\n"+
					"C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nC: DATA\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n")
		},
		"domains in A-labels": func(t *testing.T) {
			fates(t, dialer(), smtp.NewEnvelope("ann@example.com", "bob@exämple.net"), "", offers+"S: 250 SMTPUTF8\n"+
				"C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@xn--exmple-cua.net>\nS: 250 ok\nC: DATA\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n")
		},
		"a stall ends when it was asked to": func(t *testing.T) {
			d := dialer()
			d.Timeouts.Data = 2 * time.Second
			stalled(t, d, time.Hour, 2*time.Second)
		},
		"a stall ends when it is cancelled": func(t *testing.T) { stalled(t, dialer(), 500*time.Millisecond, 500*time.Millisecond) },
		"what comes in clear after STARTTLS is not read": func(t *testing.T) {
			d := farDialer()
			d.TLSConfig = clientTLS(t, serverTLS(t))
			fates(t, d, toBob, "bob@example.net temporary", offers+"S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250-mx.example.com\nS: 250 AUTH PLAIN\nC: <close>\n")
		},
		"an endless reply ends at once": func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			endlessReply(t, "250-and so on\r\n", 1)
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 4<<20 {
				t.Errorf("it took %d octets of memory", made)
			}
		},
		"a large file takes no memory": func(t *testing.T) {
			addr := serve(t, &smtp.Server{Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
				_, err := io.Copy(io.Discard, r)
				return "", err
			}}, MaxSize: 1 << 30}, smtp.Policy{})
			for how, addr := range map[string]string{"by BDAT": addr, "by DATA": scriptless(t, addr)} {
				tr := &smtp.Transport{Addr: addr, Dialer: dialer()}
				growth.Constant(t, how, 32<<20, func(n int) func() {
					msg := attached(t, n)
					return func() {
						if _, err := tr.Send(t.Context(), toBob, msg); err != nil {
							t.Error(err)
						}
					}
				})
				tr.Close()
			}
		},
	} {
		t.Run(name, see)
	}
}

// fates sends to a server that plays script, and compares the fates of those who were not accepted with want.
func fates(t *testing.T, d *smtp.Dialer, env *smtp.Envelope, want, script string) {
	t.Helper()
	tr := &smtp.Transport{Addr: scripted(t, script), Dialer: d}
	results, _ := tr.Send(t.Context(), env, text("Subject: x\r\n"))
	var got []string
	for _, r := range results {
		if r.Err != nil {
			got = append(got, r.Rcpt+" "+classes(r.Err))
		}
	}
	if got := strings.Join(got, ", "); got != want || len(results) != len(env.To) {
		t.Errorf("got %d results, of them failed %q (%+v), want %q", len(results), got, results, want)
	}
	tr.Close()
}

// mailOf tells what is said behind MAIL for a composed message with that subject, to a server that takes UTF-8.
func mailOf(t *testing.T, subject string) (said string) {
	here, there := smtp.Connection(t)
	m := &moody{conn: there, extensions: "PIPELINING 8BITMIME SMTPUTF8", mood: func(verb, arg string) int {
		if verb == "MAIL" {
			said = arg
		}
		return 0
	}}
	var server sync.WaitGroup
	server.Go(m.serve)
	c, err := dialer().Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	msg := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: subject, Text: "text\n"}
	if _, err := c.Send(t.Context(), toBob, msg); err != nil {
		t.Error(err)
	}
	c.Close()
	server.Wait()
	return said
}

// stalled sends, for no longer than limit, to a server that says nothing to DATA.
func stalled(t *testing.T, d *smtp.Dialer, limit, want time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		over := make(chan struct{})
		m := &moody{conn: there, extensions: "PIPELINING"}
		m.mood = func(verb, _ string) int {
			if verb == "DATA" {
				m.w.Flush()
				<-over
			}
			return 0
		}
		var server sync.WaitGroup
		server.Go(m.serve)
		d.NetDial = func(context.Context, string, string) (net.Conn, error) { return here, nil }
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		tr := &smtp.Transport{Dialer: d}
		begin := time.Now()
		results, err := tr.Send(ctx, toBob, text("Subject: x\r\n"))
		if took := time.Since(begin); took != want || classes(err) != "temporary" || len(results) != 1 {
			t.Errorf("got %v after %v, want it after %v", err, took, want)
		}
		close(over)
		tr.Close()
		server.Wait()
	})
}

// attached is a message with a file of n octets, which takes no room on the disk either.
func attached(t *testing.T, n int) *mail.Message {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, int64(n)); err != nil {
		t.Fatal(err)
	}
	return &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "big", Text: "Attached.\n",
		Attachments: []mail.Attachment{mail.FromFile(name)}}
}
