package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Many senders share few connections, and every message arrives once.
func TestTransportConcurrent(t *testing.T) {
	var box mailbox
	var sessions atomic.Int32
	srv := &smtp.Server{Handler: box.hooks(), OnConnect: func(context.Context, *smtp.Conn) error { sessions.Add(1); return nil }}
	tr := &smtp.Transport{Addr: serve(t, srv, smtp.Policy{}), Dialer: dialer(), MaxConns: 3}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := tr.Send(t.Context(), toBob, text(fmt.Sprintf("Subject: %d\r\n", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, m := range box.all() {
		seen[m.data]++
	}
	if len(seen) != 100 || len(box.all()) != 100 {
		t.Errorf("got %d messages, %d different, want 100", len(box.all()), len(seen))
	}
	if n := sessions.Load(); n > 3 {
		t.Errorf("got %d sessions, want at most 3", n)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tr.Send(t.Context(), toBob, text("x")); classes(err) != "permanent" {
		t.Errorf("after Close: got %v", err)
	}
}

// A connection that died while it was idle costs nothing but a new one; the
// message, which can be read once only, is sent whole.
func TestTransportReconnects(t *testing.T) {
	message := "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\nC: .\nS: 250 ok\n"
	for name, death := range map[string]string{"closed": "S: <close>\n", "closing announced": "S: 421 4.3.2 bye\nS: <close>\n"} {
		// The dead one does not count, where there may be one alone.
		tr := &smtp.Transport{Addr: scripted(t, hello+message+death, hello+message+"C: QUIT\nS: 221 bye\n"), Dialer: dialer(), MaxConns: 1}
		for range 2 {
			if _, err := tr.Send(t.Context(), toBob, strings.NewReader("Subject: x\r\n")); err != nil {
				t.Errorf("%s: got %v", name, err)
			}
		}
		tr.Close()
	}
}

// A hole is a connection that stops carrying anything, as when the server or a NAT on the way has vanished: no end is seen, and
// what is written is gone.
type hole struct {
	net.Conn
	gone atomic.Bool
}

func (h *hole) Write(p []byte) (int, error) {
	if h.gone.Load() {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// A connection that died without a sign while it was idle is given up when the reply to MAIL is overdue. What was not sent
// whole is then sent over another one; what was, with its envelope, is unknown, and nobody gets it twice.
func TestTransportDeadPeer(t *testing.T) {
	for extensions, c := range map[string]struct {
		fate     string
		messages int
	}{"PIPELINING": {"", 2}, "PIPELINING CHUNKING": {"unknown", 1}} {
		synctest.Test(t, func(t *testing.T) {
			var holes []*hole
			var servers sync.WaitGroup
			var moodies []*moody
			d := dialer()
			d.Timeouts.Mail = time.Minute
			d.NetDial = func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				m := &moody{conn: there, extensions: extensions, mood: yes}
				servers.Go(m.serve)
				holes, moodies = append(holes, &hole{Conn: here}), append(moodies, m)
				return holes[len(holes)-1], nil
			}
			tr := &smtp.Transport{Dialer: d}
			if _, err := tr.Send(t.Context(), toBob, text("first\r\n")); err != nil {
				t.Fatal(err)
			}
			holes[0].gone.Store(true)
			begin := time.Now()
			results, _ := tr.Send(t.Context(), toBob, text("second\r\n"))
			if took := time.Since(begin); len(results) != 1 || classes(results[0].Err) != c.fate || took < time.Minute || took > 2*time.Minute {
				t.Errorf("%s: got %+v after %v, want the fate %q within two minutes", extensions, results, took, c.fate)
			}
			tr.Close()
			servers.Wait()
			got := 0
			for _, m := range moodies {
				for what, times := range m.taken {
					if got += times; times != 1 {
						t.Errorf("%s: %q was taken %d times", extensions, what, times)
					}
				}
			}
			if got != c.messages {
				t.Errorf("%s: %d messages were taken, want %d", extensions, got, c.messages)
			}
		})
	}
}

// An unknown is never tried again.
func TestTransportLeavesUnknown(t *testing.T) {
	lost := "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: Subject: x\nC: .\n"
	tr := &smtp.Transport{Addr: scripted(t, hello+lost+"S: 250 ok\n"+lost+"S: <close>\n"), Dialer: dialer()}
	if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n")); !errors.Is(err, smtp.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}

// Relay answers for everybody at the end: the id of whom it was sent to, the
// refusal that all got, 451 for a mixed outcome.
func TestRelay(t *testing.T) {
	temp, perm := smtp.Errorf(450, "4.2.1", "later"), smtp.Errorf(550, "5.1.1", "never")
	// What a client says of a server that cannot do what is asked for.
	behind := dial(t, dialer(), scripted(t, "S: 220 old\nC: EHLO c.example.org\nS: 250 old\n"))
	lacking := func(o smtp.MailOptions) error { _, err := behind.Mail(t.Context(), "ann@example.com", &o); return err }
	noTLS, noUTF8, noBinary := lacking(smtp.MailOptions{RequireTLS: true}), lacking(smtp.MailOptions{UTF8: true}), lacking(smtp.MailOptions{Body: smtp.BodyBinaryMIME})
	noHold := lacking(smtp.MailOptions{HoldFor: time.Minute})
	for name, c := range map[string]struct {
		fates []error
		want  string
	}{
		"accepted": {[]error{nil, nil}, "250 2.0.0 ok: queued as N1"},
		"alike":    {[]error{perm, perm}, "550 5.1.1 never"},
		"mixed":    {[]error{nil, perm}, "451 4.3.0 local error in processing"},
		"differ":   {[]error{temp, perm}, "451 4.3.0 local error in processing"},
		"unknown":  {[]error{smtp.ErrUnknown, smtp.ErrUnknown}, "451 4.3.0 local error in processing"},
		"no TLS":   {[]error{noTLS, noTLS}, "550 5.7.30 the next host lacks what this message needs: REQUIRETLS"},
		"ASCII":    {[]error{noUTF8, noUTF8}, "550 5.6.7 the next host lacks what this message needs: SMTPUTF8"},
		"text":     {[]error{noBinary, noBinary}, "554 5.6.3 the next host lacks what this message needs: BINARYMIME"},
		"at once":  {[]error{noHold, noHold}, "554 5.3.3 the next host lacks what this message needs: FUTURERELEASE"},
		"one only": {[]error{temp, noUTF8}, "451 4.3.0 local error in processing"},
	} {
		s := &recorder{fates: c.fates}
		addr := serve(t, &smtp.Server{Hostname: "mx.example.com", Handler: smtp.Relay(s)}, smtp.Policy{})
		results, _ := dial(t, dialer(), addr).Send(t.Context(), smtp.NewEnvelope("ann@example.com", "b@example.net", "c@example.net"), text("Subject: x\r\n\r\ny\r\n"))
		if got := results[0].Reply.String(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if !strings.HasPrefix(s.message, "Received: from c.example.org ([127.0.0.1])\r\n\tby mx.example.com with ESMTP id ") || !strings.HasSuffix(s.message, "\r\nSubject: x\r\n\r\ny\r\n") {
			t.Errorf("%s: got message %q", name, s.message)
		}
	}
	s := &recorder{fates: []error{nil, temp}}
	addr := serve(t, &smtp.Server{Handler: smtp.Relay(s)}, smtp.Policy{LMTP: true})
	d := dialer()
	d.LMTP = true
	for _, c := range []struct {
		fate error
		want string
	}{{temp, "450 4.2.1 later"}, {noUTF8, "550 5.6.7 the next host lacks what this message needs: SMTPUTF8"}} {
		s.fates[1] = c.fate
		results, _ := dial(t, d, addr).Send(t.Context(), smtp.NewEnvelope("a@example.com", "b@example.net", "c@example.net"), text("x\r\n"))
		if results[0].Err != nil || results[1].Reply.String() != c.want {
			t.Errorf("LMTP: got %+v, want %s for the second", results, c.want)
		}
	}
}

// A Sender that tells less than it should loses no message: what is not known to be sent was not.
func TestSilentSender(t *testing.T) {
	env := smtp.NewEnvelope("a@example.com", "b@example.net", "c@example.net")
	for name, c := range map[string]struct {
		results []smtp.Result
		err     error
		want    string
	}{
		"an error alone":           {nil, errors.New("oops"), "451"},
		"a refusal alone":          {nil, smtp.Errorf(550, "5.1.1", "never"), "550"},
		"an error beside no fates": {make([]smtp.Result, 2), errors.New("oops"), "451"},
		"too few":                  {make([]smtp.Result, 1), errors.New("oops"), "451"},
		"nothing":                  {nil, nil, "250"},
	} {
		s := smtp.SenderFunc(func(_ context.Context, _ *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
			msg.WriteTo(io.Discard)
			return c.results, c.err
		})
		for _, lmtp := range []bool{false, true} {
			d := dialer()
			d.LMTP = lmtp
			addr := serve(t, &smtp.Server{Handler: smtp.Relay(s)}, smtp.Policy{LMTP: lmtp})
			results, _ := dial(t, d, addr).Send(t.Context(), env, text("x\r\n"))
			for _, r := range results {
				if got := fmt.Sprint(r.Reply.Code); got != c.want {
					t.Errorf("%s, LMTP %v: %s got %s, want %s", name, lmtp, r.Rcpt, got, c.want)
				}
			}
		}
		for how, by := range map[string]smtp.Sender{
			"Failover": smtp.Failover(s), "Retry": &smtp.Retry{Sender: s, Attempts: 1}, "Allow": smtp.Allow(s, func(string) bool { return true }),
		} {
			results, err := by.Send(t.Context(), env, text("x\r\n"))
			for _, r := range results {
				if len(results) != 2 || (err == nil) != (c.want == "250") || c.err != nil && !errors.Is(r.Err, c.err) {
					t.Errorf("%s by %s: got %+v, %v", name, how, results, err)
				}
			}
		}
	}
}

// A recorder is a Sender that keeps the last message and gives the fates it was
// told to.
type recorder struct {
	fates   []error
	env     smtp.Envelope
	message string
}

func (r *recorder) Send(_ context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	var b strings.Builder
	_, err := msg.WriteTo(&b)
	r.env, r.message = *env, b.String()
	results := make([]smtp.Result, len(env.To))
	for i := range results {
		results[i] = smtp.Result{Rcpt: env.To[i].Address, ID: "N1", Err: err}
		if i < len(r.fates) && r.fates[i] != nil {
			results[i].Err = r.fates[i]
		}
		if results[i].Err != nil {
			err = &smtp.SendError{Results: results}
		}
	}
	return results, err
}

// Both kinds of relay pass on of the options what is still true.
func TestRelayRules(t *testing.T) {
	s := &recorder{}
	relay := serve(t, &smtp.Server{Handler: smtp.Relay(s)}, smtp.Policy{})
	var box mailbox
	behind := serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{})
	tr := &smtp.Transport{Addr: behind, Dialer: dialer()}
	t.Cleanup(func() { tr.Close() })
	proxy := serve(t, &smtp.Server{Handler: tr}, smtp.Policy{})
	for name, addr := range map[string]string{"Relay": relay, "Transport": proxy} {
		env := smtp.NewEnvelope("ann@example.com", "bob@example.net")
		env.Options = smtp.MailOptions{Size: 1000, Body: smtp.Body8BitMIME, UTF8: true}
		if _, err := dial(t, dialer(), addr).Send(t.Context(), env, text("x\r\n")); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	want := smtp.MailOptions{Body: smtp.Body8BitMIME, UTF8: true}
	if s.env.Options != want {
		t.Errorf("Relay: got %+v, want %+v", s.env.Options, want)
	}
	all := box.all()
	if got := all[len(all)-1].env.Options; got != want || len(all) != 1 {
		t.Errorf("Transport: got %+v of %d messages, want %+v of 1", got, len(all), want)
	}
}

// Behind a Transport as Handler refusals come at RCPT, and what the server
// behind lacks is refused rather than dropped.
func TestTransportAsHandler(t *testing.T) {
	var box mailbox
	hooks := box.hooks()
	hooks.OnRcpt = func(_ context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
		if to == "nobody@example.net" {
			return smtp.Errorf(550, "5.1.1", "no such user")
		}
		return nil
	}
	tr := &smtp.Transport{Addr: serve(t, &smtp.Server{Handler: hooks}, smtp.Policy{}), Dialer: dialer(), MaxConns: 1}
	t.Cleanup(func() { tr.Close() })
	proxy := serve(t, &smtp.Server{Handler: tr}, smtp.Policy{})
	c := raw(t, proxy)
	c.say("EHLO x", "250")
	for range 3 { // the connection behind is given back each time
		c.say("MAIL FROM:<ann@example.com>", "250")
		c.say("RCPT TO:<nobody@example.net>", "550 5.1.1 no such user")
		c.say("RCPT TO:<bob@example.net>", "250")
		c.say("RSET", "250")
	}
	c.say("MAIL FROM:<ann@example.com>", "250")
	c.say("RCPT TO:<bob@example.net>", "250")
	c.say("DATA", "354")
	c.say("Subject: x\r\n\r\n..dot\r\n.", "250 2.0.0 ok: queued as ")
	if all := box.all(); len(all) != 1 || !strings.HasSuffix(all[0].data, "Subject: x\r\n\r\n.dot\r\n") {
		t.Errorf("got %+v", all)
	}
	old := scripted(t, "S: 220 old\nC: EHLO c.example.org\nS: 250 old\nC: QUIT\nS: 221 bye\n")
	tr2 := &smtp.Transport{Addr: old, Dialer: dialer()}
	c = raw(t, serve(t, &smtp.Server{Handler: tr2}, smtp.Policy{}))
	c.say("EHLO x", "250")
	c.say("MAIL FROM:<ann@example.com> SMTPUTF8", "550 5.6.7")
	tr2.Close()
}

// A connection that nobody uses is kept for its time, ended with QUIT, and replaced when it
// is wanted again.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sessions, quits atomic.Int32
		d := dialer()
		d.TLS = smtp.TLSNone
		d.NetDial = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			sessions.Add(1)
			m := &moody{conn: there, extensions: "PIPELINING", mood: func(verb, _ string) int {
				if verb == "QUIT" {
					quits.Add(1)
				}
				return 0
			}}
			go m.serve()
			return here, nil
		}
		tr := &smtp.Transport{Addr: "mx.example.net:25", Dialer: d, IdleTimeout: time.Minute}
		for _, c := range []struct {
			unused          time.Duration
			sessions, quits int32
		}{{0, 1, 0}, {59 * time.Second, 1, 0}, {59 * time.Second, 1, 0}, {61 * time.Second, 2, 1}, {61 * time.Second, 3, 2}} {
			time.Sleep(c.unused)
			synctest.Wait()
			if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); err != nil {
				t.Fatal(err)
			}
			if sessions.Load() != c.sessions || quits.Load() != c.quits {
				t.Errorf("after %v: got %d sessions and %d QUIT, want %d and %d", c.unused, sessions.Load(), quits.Load(), c.sessions, c.quits)
			}
		}
		tr.Close()
		if quits.Load() != 3 {
			t.Errorf("after Close: got %d QUIT, want 3", quits.Load())
		}
	})
}

// Whoever gives up waiting for a connection leaves it to those behind, also one that was
// given at the same moment, or was to be made.
func TestGiveUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mood atomic.Pointer[func() int] // what becomes of MAIL
		d := dialer()
		d.TLS = smtp.TLSNone
		d.NetDial = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			m := &moody{conn: there, extensions: "PIPELINING", mood: func(verb, _ string) int {
				if f := mood.Load(); verb == "MAIL" && f != nil {
					return (*f)()
				}
				return 0
			}}
			go m.serve()
			return here, nil
		}
		tr := &smtp.Transport{Addr: "mx.example.net:25", Dialer: d, MaxConns: 1, Window: 1}
		for i := range 100 {
			busy := func() int { time.Sleep(time.Second); return -(i % 2) } // then it hangs up, or not
			mood.Store(&busy)
			var all sync.WaitGroup
			all.Go(func() { tr.Send(t.Context(), toBob, text("x\r\n")) })
			synctest.Wait()
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := tr.Send(ctx, toBob, text("x\r\n")); err != nil && (classes(err) != "temporary" || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("given up: got %v", err)
				}
			})
			synctest.Wait()
			mood.Store(nil)
			if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); err != nil {
				t.Errorf("behind them: got %v", err)
			}
			all.Wait()
		}
		tr.Close()
	})
}

// Rate holds over all connections, and a message whose time does not come is deferred
// without a connection.
func TestTransportRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialer()
		d.NetDial = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go (&moody{conn: there, extensions: "PIPELINING", mood: func(string, string) int { return 0 }}).serve()
			return here, nil
		}
		tr := &smtp.Transport{Dialer: d, Rate: 2}
		begin := time.Now()
		var all sync.WaitGroup
		for range 7 {
			all.Go(func() {
				if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begin).Round(10 * time.Millisecond); took != 3*time.Second {
			t.Errorf("seven messages at two a second took %v, want 3s: the first is free", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := tr.Send(ctx, toBob, text("x\r\n")); classes(err) != "temporary" || !strings.Contains(err.Error(), "rate") {
			t.Errorf("no time for it: got %v", err)
		}
		tr.Close() // which would wait for ever for what was not ended
		if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); classes(err) != "permanent" {
			t.Errorf("closed: got %v, want it permanent", err)
		}
	})
}

// A connection brings no more messages than MaxPerConn, and no fewer.
func TestMaxPerConn(t *testing.T) {
	for most, want := range map[int]int{0: 1, 1: 7, 3: 3, 7: 1} {
		var served sync.WaitGroup
		dials := 0
		d := dialer()
		d.NetDial = func(context.Context, string, string) (net.Conn, error) {
			here, there := smtp.Connection(t)
			dials++
			served.Go((&moody{conn: there, extensions: "PIPELINING", mood: func(string, string) int { return 0 }}).serve)
			return here, nil
		}
		tr := &smtp.Transport{Dialer: d, MaxPerConn: most}
		for range 7 {
			if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); err != nil {
				t.Error(err)
			}
		}
		tr.Close()
		served.Wait()
		if dials != want {
			t.Errorf("seven messages, at most %d over a connection: %d connections, want %d", most, dials, want)
		}
	}
}

// Close waits for what is under way, which is not cut off, and lets nothing more begin.
func TestCloseFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dialer()
		var m *moody
		d.NetDial = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			m = &moody{conn: there, extensions: "PIPELINING", mood: func(verb, _ string) int {
				if verb == "." {
					time.Sleep(time.Minute)
				}
				return 0
			}}
			go m.serve()
			return here, nil
		}
		tr := &smtp.Transport{Dialer: d}
		sent := make(chan error, 1)
		go func() {
			_, err := tr.Send(t.Context(), toBob, text("x\r\n"))
			sent <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if err := tr.Close(); err != nil || time.Since(begin) < time.Minute {
			t.Errorf("Close: got %v after %v, want it after the message's minute", err, time.Since(begin))
		}
		synctest.Wait()
		select {
		case err := <-sent:
			if err != nil || len(m.taken) != 1 || !m.gone {
				t.Errorf("the message: got %v, %d taken; QUIT was said: %v", err, len(m.taken), m.gone)
			}
		default:
			t.Error("the message is still under way")
		}
		if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); classes(err) != "permanent" {
			t.Errorf("afterwards: got %v, want it permanent", err)
		}
	})
}
