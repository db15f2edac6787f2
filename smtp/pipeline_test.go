package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Many Sends over one connection: what it costs, and that each gets its own fate.

func yes(string, string) int { return 0 }

// distant delays what a server says, as a long line does: what is under way at once
// waits at once.
type distant struct {
	conn  net.Conn
	delay time.Duration
	queue chan parcel
	ended chan struct{}
}

type parcel struct {
	due  time.Time
	text []byte
}

func farAway(conn net.Conn, delay time.Duration) *distant {
	d := &distant{conn, delay, make(chan parcel, 10000), make(chan struct{})}
	go func() {
		defer close(d.ended)
		for p := range d.queue {
			time.Sleep(time.Until(p.due))
			if _, err := d.conn.Write(p.text); err != nil {
				return
			}
		}
	}()
	return d
}

func (d *distant) Write(p []byte) (int, error) {
	d.queue <- parcel{time.Now().Add(d.delay), append([]byte(nil), p...)}
	return len(p), nil
}

// On an open connection a message costs two round trips by DATA and one by CHUNKING; in
// a stream, one and less than one. The clock counts them: nothing else takes time.
func TestRoundTrips(t *testing.T) {
	const far, messages = time.Second, 60
	for _, c := range []struct {
		extensions string
		window     int
		atMost     float64 // round trips a message
	}{
		{"", 1, 4.01}, // MAIL, RCPT, DATA, the message; and a look whether a pipe is alive
		{"PIPELINING", 1, 2.01},
		{"PIPELINING CHUNKING", 1, 1.01},
		{"PIPELINING", 4, 1.05},
		{"PIPELINING CHUNKING", 4, 0.3},
		{"PIPELINING CHUNKING", 20, 0.1},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			line := farAway(there, far)
			m := &moody{conn: there, out: line, extensions: c.extensions, mood: yes}
			go m.serve()
			d := dialer()
			d.NetDial = func(context.Context, string, string) (net.Conn, error) { return here, nil }
			tr := &smtp.Transport{Dialer: d, MaxConns: 1, Window: c.window}
			send := func() {
				if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n")); err != nil {
					t.Error(err)
				}
			}
			send() // connects
			begin := time.Now()
			var senders sync.WaitGroup
			for range c.window {
				senders.Go(func() {
					for range messages / c.window {
						send()
					}
				})
			}
			senders.Wait()
			trips := float64(time.Since(begin)) / float64(far) / messages
			t.Logf("%q, %d at a time: %.2f round trips a message", c.extensions, c.window, trips)
			if trips > c.atMost {
				t.Errorf("%q, %d at a time: got %.2f round trips a message, want at most %v", c.extensions, c.window, trips, c.atMost)
			}
			tr.Close()
			close(line.queue)
			<-line.ended
		})
	}
}

// Whatever a server answers to whichever command of many Sends: who is accepted has the
// message once, who is refused has it not, and who is unknown may.
func TestMoods(t *testing.T) {
	fates := map[string]int{}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := &moody{extensions: []string{"", "PIPELINING", "PIPELINING CHUNKING", "PIPELINING LIMITS+RCPTMAX=2", "CHUNKING"}[rnd.IntN(5)], lmtp: rnd.IntN(3) == 0}
		refuses, hangsUp := rnd.IntN(3) > 0, rnd.IntN(3) == 0
		moods := rand.New(rand.NewPCG(seed, 2))
		m.mood = func(verb, arg string) int {
			switch n := moods.IntN(100); {
			case hangsUp && n < 5:
				return []int{-1, -1, -1, -1, 421}[n]
			case refuses && n < 30:
				return []int{450, 550, 452, 554}[n%4]
			}
			return 0
		}
		here, there := smtp.Connection(t)
		m.conn = there
		served := make(chan struct{})
		go func() { defer close(served); m.serve() }()
		d := dialer()
		d.LMTP = m.lmtp
		c, err := d.Client(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		all := make([][]smtp.Result, 12)
		var senders sync.WaitGroup
		for i := range all {
			env := smtp.NewEnvelope(fmt.Sprintf("ann%d@example.com", i))
			for n := range 1 + rnd.IntN(4) {
				env.To = append(env.To, smtp.Recipient{Address: fmt.Sprintf("bob%d.%d@example.net", i, n)})
			}
			size := 10
			if rnd.IntN(6) == 0 {
				size = 300 << 10
			}
			senders.Go(func() {
				all[i], _ = c.Send(t.Context(), env, again{fmt.Sprintf("N%d\r\n%s\r\n", i, strings.Repeat(strings.Repeat("x", 72)+"\r\n", size/74))})
			})
		}
		senders.Wait()
		c.Close()
		<-served
		for i, results := range all {
			for n, r := range results {
				key := fmt.Sprintf("FROM:<ann%d@example.com> TO:<bob%d.%d@example.net> N%d", i, i, n, i)
				fate, times := classes(r.Err), m.taken[key]
				fates[fate]++
				if fate == "" && times != 1 || (fate == "temporary" || fate == "permanent") && times != 0 || times > 1 {
					t.Errorf("seed %d, %q, LMTP %v: %s: got fate %q (%v), and it was taken %d times", seed, m.extensions, m.lmtp, key, fate, r.Err, times)
				}
				delete(m.taken, key)
			}
		}
		if m.hasty != "" {
			t.Errorf("seed %d, %q: more was said before the reply to %q", seed, m.extensions, m.hasty)
		}
		for key := range m.taken {
			t.Errorf("seed %d: taken and not sent: %s", seed, key)
		}
	}
	t.Logf("fates: %v", fates)
	for _, fate := range []string{"", "temporary", "permanent", "unknown"} {
		if fates[fate] == 0 {
			t.Errorf("nobody's fate was %q: got %v", fate, fates)
		}
	}
}

// An again is a message in memory that can be written again.
type again struct{ text string }

func (m again) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, m.text)
	return int64(n), err
}
func (m again) Repeatable() bool { return true }

// A cancelled Send returns at once and harms no other: those before it get their fate,
// and those after it are sent over another connection.
func TestCancelOneOfMany(t *testing.T) {
	held := make(chan struct{})
	first := make(chan struct{}, 1)
	var box mailbox
	hooks := box.hooks()
	data := hooks.OnData
	hooks.OnData = func(ctx context.Context, c *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
		if env.From == "first@example.com" {
			first <- struct{}{}
			<-held
		}
		return data(ctx, c, env, r)
	}
	tr := &smtp.Transport{Addr: serve(t, &smtp.Server{Handler: hooks}, smtp.Policy{}), Dialer: dialer(), MaxConns: 1}
	fate := make(chan error, 1)
	go func() {
		_, err := tr.Send(t.Context(), smtp.NewEnvelope("first@example.com", "bob@example.net"), text("x\r\n"))
		fate <- err
	}()
	<-first
	ctx, cancel := context.WithCancel(t.Context())
	go func() { time.AfterFunc(20*time.Millisecond, cancel) }()
	results, err := tr.Send(ctx, smtp.NewEnvelope("second@example.com", "bob@example.net"), text("x\r\n"))
	if !errors.Is(err, context.Canceled) || classes(results[0].Err) != "unknown" {
		t.Errorf("the cancelled one: got %v (%s), want unknown", err, classes(results[0].Err))
	}
	third := make(chan error, 1)
	go func() {
		_, err := tr.Send(t.Context(), smtp.NewEnvelope("third@example.com", "bob@example.net"), text("x\r\n"))
		third <- err
	}()
	if err := <-third; err != nil {
		t.Errorf("the one after it: got %v", err)
	}
	close(held)
	if err := <-fate; err != nil {
		t.Errorf("the one before it: got %v", err)
	}
	tr.Close()
}

// A server that refuses a large message while it is being sent is heard: nobody waits
// for the end.
func TestRefusedBeforeTheEnd(t *testing.T) {
	here, there := smtp.Connection(t)
	go func() {
		rd := bufio.NewReader(there)
		io.WriteString(there, "220 x\r\n")
		for {
			line, err := rd.ReadString('\n')
			switch {
			case err != nil:
				return
			case strings.HasPrefix(line, "EHLO"):
				io.WriteString(there, "250-x\r\n250 PIPELINING\r\n")
			case strings.HasPrefix(line, "DATA"):
				io.WriteString(there, "354 go\r\n552 5.3.4 too big\r\n") // and reads no more
				return
			default:
				io.WriteString(there, "250 ok\r\n")
			}
		}
	}()
	c, err := dialer().Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	results, err := c.Send(t.Context(), toBob, text(strings.Repeat("0123456789abcde\r\n", 1<<20)))
	if classes(err) != "permanent" || results[0].Reply.Code != 552 {
		t.Errorf("got %v, %+v, want the 552", err, results[0].Reply)
	}
	if _, err := c.Noop(t.Context()); err == nil {
		t.Error("the connection is still in use")
	}
}

// So is one that says it when the client already waits for it to read on: over a pipe, which
// holds nothing, the client does from the first octet that is not read. It is alike for a
// message that is sent and for one that is written verb by verb.
func TestRefusedWhileWriting(t *testing.T) {
	large := strings.Repeat("0123456789abcde\r\n", 1<<16)
	for name, say := range map[string]func(context.Context, *smtp.Client) error{
		"Send": func(ctx context.Context, c *smtp.Client) error {
			_, err := c.Send(ctx, toBob, text(large))
			return err
		},
		"Data": func(ctx context.Context, c *smtp.Client) error {
			c.Mail(ctx, "ann@example.com", nil)
			c.Rcpt(ctx, "bob@example.net", nil)
			w, err := c.Data(ctx)
			if err != nil {
				return err
			}
			_, told := io.WriteString(w, large)
			if err := w.Close(); err == nil || err != told {
				t.Errorf("Write returned %v, Close %v, want the same", told, err)
			}
			if r := w.Replies(); len(r) != 1 || r[0].Code != 552 {
				t.Errorf("got the replies %v, want the 552", r)
			}
			return told
		},
		"Bdat": func(ctx context.Context, c *smtp.Client) error {
			c.Mail(ctx, "ann@example.com", nil)
			c.Rcpt(ctx, "bob@example.net", nil)
			r, err := c.Bdat(ctx, []byte(large), true)
			if r.Code != 552 {
				t.Errorf("got the reply %v, want the 552", r)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := refusesWhile(t)
				begun := time.Now()
				if err := say(t.Context(), c); classes(err) != "permanent" {
					t.Errorf("got %v, want the 552", err)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it waited for %v until it heard that", took)
				}
				if _, err := c.Noop(t.Context()); err == nil {
					t.Error("the connection is still in use")
				}
			})
		})
	}
}

// refusesWhile returns the client of a server that refuses every message after its first
// line, and then reads no more.
func refusesWhile(t *testing.T) *smtp.Client {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	go func() {
		rd := bufio.NewReaderSize(there, 16)
		io.WriteString(there, "220 x\r\n")
		for verb := ""; verb != "DATA" && verb != "BDAT"; {
			line, err := rd.ReadString('\n')
			if err != nil {
				t.Error(err)
				return
			}
			switch verb = line[:4]; verb {
			case "EHLO":
				io.WriteString(there, "250-x\r\n250 PIPELINING\r\n")
			case "DATA":
				io.WriteString(there, "354 go\r\n")
			case "BDAT":
			default:
				io.WriteString(there, "250 ok\r\n")
			}
		}
		rd.ReadString('\n')
		io.WriteString(there, "552 5.3.4 too big\r\n")
	}()
	c, err := dialer().Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A server that hangs up while a message is written verb by verb is heard too, with what
// it said first. Nothing of the message can have been delivered: it had no end.
func TestHungUpWhileWriting(t *testing.T) {
	for script, want := range map[string]string{
		"S: 421 4.3.2 shutting down\nS: <close>\n": "temporary",
		"S: 550 5.7.1 no such thing\nS: <close>\n": "permanent",
		"S: 250 2.0.0 taken\nS: <close>\n":         "temporary", // what it has not got
		"S: <close>\n":                             "temporary",
	} {
		addr := scripted(t, hello+"C: MAIL FROM:<ann@example.com>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nC: DATA\nS: 354 go\n"+script)
		c := dial(t, dialer(), addr)
		c.Mail(t.Context(), "ann@example.com", nil)
		c.Rcpt(t.Context(), "bob@example.net", nil)
		w, err := c.Data(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = io.WriteString(w, "one more line of what nobody wants\r\n")
		}
		if got := classes(err); got != want || errors.Is(err, smtp.ErrUnknown) {
			t.Errorf("%q: Write returned %v, want it %s", script, err, want)
		}
		if e := w.Close(); e != err {
			t.Errorf("%q: Close returned %v, want %v", script, e, err)
		}
	}
}

// A server that takes fewer recipients at once gets several transactions, whether it
// said so before (RFC 9422) or says so then (RFC 5321, 4.5.3.1.10); one that takes few
// transactions or domains in a session, several sessions.
func TestLimits(t *testing.T) {
	env := smtp.NewEnvelope("ann@example.com", "a@x.example", "b@y.example", "c@x.example", "d@y.example", "e@z.example")
	for name, c := range map[string]struct {
		extensions         string
		rcpts              int // after which 452
		mails, conversions int // in all, sessions
	}{
		"RCPTMAX":       {"PIPELINING LIMITS+RCPTMAX=2", 0, 3, 1},
		"452":           {"PIPELINING CHUNKING", 3, 2, 1},
		"452, in steps": {"", 1, 5, 1},
		"MAILMAX":       {"PIPELINING LIMITS+MAILMAX=1+RCPTMAX=2", 0, 3, 3},
		"RCPTDOMAINMAX": {"PIPELINING LIMITS+RCPTDOMAINMAX=1", 0, 3, 3},
		"no numbers":    {"PIPELINING LIMITS+RCPTMAX=x+MAILMAX+FOO=7", 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			mails, sessions, rcpts := 0, 0, 0
			var servers []*moody
			var served sync.WaitGroup
			d := dialer()
			d.NetDial = func(context.Context, string, string) (net.Conn, error) {
				here, there := smtp.Connection(t)
				m := &moody{conn: there, extensions: c.extensions, mood: func(verb, _ string) int {
					mu.Lock()
					defer mu.Unlock()
					switch verb {
					case "MAIL":
						mails++
						rcpts = 0
					case "RCPT":
						if rcpts++; c.rcpts > 0 && rcpts > c.rcpts {
							return 452
						}
					}
					return 0
				}}
				sessions++
				servers = append(servers, m)
				served.Go(m.serve)
				return here, nil
			}
			tr := &smtp.Transport{Dialer: d, MaxConns: 1}
			results, err := tr.Send(t.Context(), env, text("N\r\n"))
			if err != nil || len(results) != 5 {
				t.Errorf("got %+v, %v, want five accepted", results, err)
			}
			tr.Close()
			served.Wait()
			if mails != c.mails || sessions != c.conversions {
				t.Errorf("got %d transactions in %d sessions, want %d in %d", mails, sessions, c.mails, c.conversions)
			}
			taken := 0
			for _, m := range servers {
				taken += len(m.taken)
			}
			if taken != 5 {
				t.Errorf("taken for %d recipients, want 5", taken)
			}
		})
	}
}

// What a server says unasked is not taken for the reply to what is said next.
func TestUnasked(t *testing.T) {
	message := "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\nC: .\n"
	addr := scripted(t, hello+message+"S: 250 ok\nS: 250 ok\nC: <close>\n", hello+message+"S: 250 ok\nC: QUIT\nS: 221 bye\n")
	tr := &smtp.Transport{Addr: addr, Dialer: dialer()}
	for range 2 {
		if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n")); err != nil {
			t.Error(err)
		}
	}
	tr.Close()
}

// A result tells whether the server has taken over to report: only if it was asked to, and
// knows how.
func TestResultDSN(t *testing.T) {
	for name, c := range map[string]struct {
		extensions string
		ask        func(*smtp.Envelope)
		want       bool
	}{
		"nothing asked": {"PIPELINING DSN", func(*smtp.Envelope) {}, false},
		"NOTIFY":        {"PIPELINING DSN", func(env *smtp.Envelope) { env.To[0].Options.Notify = smtp.NotifyFailure }, true},
		"ORCPT":         {"PIPELINING DSN", func(env *smtp.Envelope) { env.To[0].Options.Original = "rfc822;ann@example.org" }, true},
		"RET":           {"PIPELINING DSN", func(env *smtp.Envelope) { env.Options.Return = smtp.ReturnHeader }, true},
		"ENVID":         {"PIPELINING DSN", func(env *smtp.Envelope) { env.Options.EnvelopeID = "id" }, true},
		"not offered": {"PIPELINING", func(env *smtp.Envelope) {
			env.To[0].Options.Notify, env.Options.EnvelopeID = smtp.NotifyFailure, "id"
		}, false},
	} {
		here, there := smtp.Connection(t)
		m := &moody{conn: there, extensions: c.extensions, mood: yes}
		go m.serve()
		client, err := dialer().Client(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		env := smtp.NewEnvelope("ann@example.com", "bob@example.net")
		c.ask(env)
		results, err := client.Send(t.Context(), env, text("x\r\n"))
		if err != nil || results[0].DSN != c.want {
			t.Errorf("%s: got DSN %v, %v, want %v", name, results[0].DSN, err, c.want)
		}
		client.Close()
	}
}
