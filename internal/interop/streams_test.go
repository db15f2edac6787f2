//go:build linux

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// What our client does beyond one message after the other: many at a time over one connection, and every extension that
// a real server has.

// numbered returns n messages that can be told apart; every eighth is large, so that it goes out in several chunks.
func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		size := 20
		if i%8 == 7 {
			size = 10_000
		}
		list[i] = fmt.Sprintf("From: Sender <%s>\r\nTo: %s\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\nSubject: message\r\n\r\n%s", sender, one, i, strings.Repeat(".a line of a message that goes over one connection with others\r\n", size))
	}
	return list
}

// TestStreams has a relay take many messages at a time over one connection, and sees what arrives behind it.
func TestStreams(t *testing.T) {
	peers.NeedRoot(t, "mail servers change their user")
	id := newIdentity(t)
	for _, r := range relays {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, r.peer)
			var got collector
			addr := r.start(t, serve(t, &got, id, smtp.Policy{}), false)
			pool := &smtp.Transport{Addr: addr, Dialer: dialer(nil), MaxConns: 1, Window: 8}
			defer pool.Close()
			sent := numbered(24)
			var sends sync.WaitGroup
			for _, raw := range sent {
				sends.Go(func() {
					if results, err := pool.Send(t.Context(), smtp.NewEnvelope(sender, one), bytes.NewReader([]byte(raw))); err != nil {
						t.Errorf("got %v, %v", results, err)
					}
				})
			}
			sends.Wait()
			peers.Until(t, "all messages, passed on by "+r.name, func() bool { return got.count() >= len(sent) })
			arrived := map[string]int{}
			for _, a := range got.list {
				arrived[string(withoutTrace(t, a.raw))]++
			}
			for i, raw := range sent {
				if arrived[raw] != 1 {
					t.Errorf("message %d arrived %d times, want once", i, arrived[raw])
				}
			}
		})
	}
}

// TestExtensions uses what a relay offers.
func TestExtensions(t *testing.T) {
	peers.NeedRoot(t, "mail servers change their user")
	id := newIdentity(t)
	for _, r := range relays {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, r.peer)
			var got collector
			c, err := dialer(nil).Dial(t.Context(), r.start(t, serve(t, &got, id, smtp.Policy{}), false))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var offers []string
			for name, params := range c.Extensions() {
				offers = append(offers, strings.TrimSpace(name+" "+params))
			}
			t.Logf("%s offers %q", r.name, offers)
			env := smtp.NewEnvelope(sender, one)
			env.Options.EnvelopeID, env.Options.Return = "an id=1", smtp.ReturnHeader
			env.To[0].Options.Notify = smtp.NotifyFailure | smtp.NotifyDelay
			env.To[0].Options.Original = "rfc822;first+one@example.net"
			_, dsn := c.Extension("DSN")
			results, err := c.Send(t.Context(), env, bytes.NewReader([]byte(numbered(1)[0])))
			if err != nil || results[0].DSN != dsn {
				t.Errorf("reports asked for: got %+v, %v; offered: %v", results, err, dsn)
			}
			umlaut := smtp.NewEnvelope(sender, "jürgen@example.net")
			results, err = c.Send(t.Context(), umlaut, bytes.NewReader([]byte(numbered(1)[0])))
			if _, ok := c.Extension("SMTPUTF8"); ok != (err == nil) || !ok && !errors.Is(err, smtp.ErrUnsupported) {
				t.Errorf("an address beyond ASCII: got %+v, %v; SMTPUTF8 offered: %v", results, err, ok)
			} else if ok {
				peers.Until(t, "the second message", func() bool { return got.count() >= 2 })
			}
			for verb, say := range map[string]func() (smtp.Reply, error){
				"NOOP": func() (smtp.Reply, error) { return c.Noop(t.Context()) },
				"RSET": func() (smtp.Reply, error) { return c.Reset(t.Context()) },
				"VRFY": func() (smtp.Reply, error) { return c.Verify(t.Context(), one) },
			} {
				if r, err := say(); r.Code == 0 {
					t.Errorf("%s: got %v", verb, err)
				}
			}
			if r, err := c.Quit(t.Context()); r.Code != 221 {
				t.Errorf("QUIT: got %v, %v", r, err)
			}
		})
	}
}

// TestLMTP delivers to Dovecot, which tells each recipient's fate.
func TestLMTP(t *testing.T) {
	peers.Find(t, peers.Dovecot)
	peers.NeedRoot(t, "Dovecot changes its user")
	dir, addr := openDir(t, "root"), peers.FreeAddr(t)
	uid, gid := ids(t, "nobody")
	mail := filepath.Join(dir, "mail")
	if err := os.Mkdir(mail, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mail, uid, gid); err != nil {
		t.Fatal(err)
	}
	users := ""
	for _, name := range []string{one, two} {
		users += fmt.Sprintf("%s::%d:%d::%s/%s::\n", name, uid, gid, mail, name)
	}
	socket := filepath.Join(dir, "lmtp")
	startDovecot(t, dir, addr, users, fmt.Sprintf(`protocols = lmtp
mail_location = maildir:~/Maildir
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %s
  }
  unix_listener %s {
    mode = 0666
  }
}
`, portOf(addr), socket))
	d := dialer(nil)
	d.LMTP = true
	for _, at := range []string{addr, socket} {
		pool := &smtp.Transport{Addr: at, Dialer: d, MaxConns: 1, Window: 4}
		var sends sync.WaitGroup
		for _, m := range samples() {
			sends.Go(func() {
				results, err := pool.Send(t.Context(), smtp.NewEnvelope(sender, one, nobody, two), bytes.NewReader(m.raw))
				if !errors.Is(err, smtp.ErrPermanent) || results[0].Err != nil || results[1].Reply.Code != 550 || results[2].Err != nil {
					t.Errorf("%s, %s: got %+v, %v, want %s alone refused", at, m.name, results, err, nobody)
				}
			})
		}
		sends.Wait()
		pool.Close()
	}
	for _, name := range []string{one, two} {
		if files := readFiles(t, filepath.Join(mail, name, "Maildir", "new", "*"), 2*len(samples())); len(files) != 2*len(samples()) {
			t.Errorf("%s has got %d messages, want %d", name, len(files), 2*len(samples()))
		}
	}
}
