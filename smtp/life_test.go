package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// A transaction's life, and what a Handler's error becomes, sentence by sentence.

// lives is a Handler that keeps the contexts of its transactions.
type lives struct {
	mu   sync.Mutex
	ctxs []context.Context
	in   chan string // what is being called
	rcpt func(ctx context.Context, to string) error
	data func(ctx context.Context, r io.Reader) (string, error)
}

func (h *lives) Mail(ctx context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	if opts == nil || smtp.ConnFrom(ctx) != c {
		return nil, errors.New("no options or another session")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ctxs = append(h.ctxs, ctx)
	return h, nil
}

func (h *lives) Rcpt(ctx context.Context, to string, opts *smtp.RcptOptions) error {
	if opts == nil {
		return errors.New("no options")
	}
	if h.rcpt != nil {
		return h.rcpt(ctx, to)
	}
	return nil
}

func (h *lives) Data(ctx context.Context, r io.Reader) (string, error) { return h.data(ctx, r) }

func (h *lives) last() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ctxs[len(h.ctxs)-1]
}

func ended(t *testing.T, ctx context.Context, what string) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Errorf("%s: the transaction's context has not ended", what)
	}
}

// RSET, EHLO, QUIT or a disconnect cancels a transaction's context.
func TestTransactionEnds(t *testing.T) {
	for name, end := range map[string]func(*smtp.Client) error{
		"RSET": func(c *smtp.Client) error { _, err := c.Reset(t.Context()); return err },
		"EHLO": func(c *smtp.Client) error { _, err := c.Hello(t.Context(), "again.example.org"); return err },
		"QUIT": func(c *smtp.Client) error { _, err := c.Quit(t.Context()); return err },
		"gone": func(c *smtp.Client) error { return c.Close() },
	} {
		h := &lives{}
		c := dial(t, dialer(), serve(t, &smtp.Server{Handler: h}, smtp.Policy{}))
		if _, err := c.Mail(t.Context(), "ann@example.com", nil); err != nil {
			t.Fatal(err)
		}
		if err := h.last().Err(); err != nil {
			t.Errorf("%s: ended before: %v", name, err)
		}
		if err := end(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ended(t, h.last(), name)
	}
}

// What OnConnect is given is the session's context, which transactions do not end.
func TestSessionContext(t *testing.T) {
	sessions := make(chan context.Context, 1)
	srv := &smtp.Server{Handler: &lives{}, OnConnect: func(ctx context.Context, c *smtp.Conn) error {
		if smtp.ConnFrom(ctx) != c {
			t.Error("ConnFrom: got another session")
		}
		sessions <- ctx
		return nil
	}}
	addr := serve(t, srv, smtp.Policy{})
	for name, end := range map[string]func(*smtp.Client){
		"QUIT": func(c *smtp.Client) { c.Quit(t.Context()) },
		"gone": func(c *smtp.Client) { c.Close() },
	} {
		c := dial(t, dialer(), addr)
		ctx := <-sessions
		c.Mail(t.Context(), "ann@example.com", nil)
		c.Reset(t.Context())
		if err := ctx.Err(); err != nil {
			t.Errorf("%s: ended before: %v", name, err)
		}
		end(c)
		ended(t, ctx, name)
	}
}

// What a Handler is given has the listener's context in it, and ends with that and with
// the server.
func TestBaseContext(t *testing.T) {
	for name, end := range map[string]func(*smtp.Server, context.CancelFunc){
		"base":   func(_ *smtp.Server, cancel context.CancelFunc) { cancel() },
		"server": func(srv *smtp.Server, _ context.CancelFunc) { srv.Close() },
	} {
		type key struct{}
		base, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, name))
		defer cancel()
		in, waited := make(chan any, 1), make(chan error, 1)
		srv := &smtp.Server{
			BaseContext: func(net.Listener) context.Context { return base },
			Handler: &smtp.Hooks{OnSender: func(ctx context.Context, _ *smtp.Conn, _ string, _ *smtp.MailOptions) error {
				in <- ctx.Value(key{})
				<-ctx.Done()
				waited <- ctx.Err()
				return nil
			}},
		}
		c := dial(t, dialer(), serve(t, srv, smtp.Policy{}))
		go c.Mail(t.Context(), "ann@example.com", nil)
		if got := <-in; got != name {
			t.Errorf("%s: the value in the context: got %v, want %q", name, got, name)
		}
		end(srv, cancel)
		if err := <-waited; err != context.Canceled {
			t.Errorf("%s: got %v, want %v", name, err, context.Canceled)
		}
	}
}

// A disconnect is noticed while the Handler works on a command, and one in the
// middle of a message too.
func TestDisconnectWhileHandling(t *testing.T) {
	waited := make(chan error, 2)
	h := &lives{in: make(chan string, 1)}
	h.rcpt, h.data =
		func(ctx context.Context, to string) error {
			if strings.HasPrefix(to, "slow") {
				h.in <- to
				<-ctx.Done()
				waited <- ctx.Err()
			}
			return nil
		},
		func(ctx context.Context, r io.Reader) (string, error) {
			_, err := io.ReadAll(r)
			if err == nil || ctx.Err() == nil {
				err = fmt.Errorf("read %v in a context with %v", err, ctx.Err())
			} else {
				err = nil
			}
			waited <- err
			return "", err
		}
	addr := serve(t, &smtp.Server{Handler: h}, smtp.Policy{})
	c := dial(t, dialer(), addr)
	c.Mail(t.Context(), "ann@example.com", nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-h.in; cancel() }()
	c.Rcpt(ctx, "slow@example.net", nil)
	if err := <-waited; err == nil {
		t.Error("the context of a slow Rcpt did not end")
	}
	c = dial(t, dialer(), addr)
	c.Mail(t.Context(), "ann@example.com", nil)
	c.Rcpt(t.Context(), "bob@example.net", nil)
	w, err := c.Data(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "Subject: half\r\n")
	w.Abort()
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// A slow Handler does not hold back the replies that came before it, and a
// session goes on after it.
func TestSlowHandler(t *testing.T) {
	release := make(chan struct{})
	h := &lives{rcpt: func(context.Context, string) error { <-release; return nil }}
	addr := serve(t, &smtp.Server{Hostname: "mx", Handler: h}, smtp.Policy{})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
	read := func(until string) {
		t.Helper()
		var got strings.Builder
		for b := make([]byte, 1); !strings.Contains(got.String(), until); {
			if _, err := nc.Read(b); err != nil {
				t.Fatalf("waiting for %q: got %q and %v", until, got.String(), err)
			}
			got.WriteByte(b[0])
		}
	}
	read("250 2.1.0 sender ok\r\n") // while Rcpt waits
	io.WriteString(nc, "NOOP\r\n")
	close(release)
	read("250 2.1.5 recipient ok\r\n")
	read("250 2.0.0 ok\r\n")
}

// After the message has been read to its end only Server.Close cancels.
func TestDataOutlivesTheClient(t *testing.T) {
	read, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	h := &lives{data: func(ctx context.Context, r io.Reader) (string, error) {
		io.Copy(io.Discard, r)
		close(read)
		<-release
		done <- ctx.Err()
		if errors.Is(ctx.Err(), context.Canceled) {
			return "", ctx.Err()
		}
		<-ctx.Done()
		done <- nil
		return "", nil
	}}
	srv := &smtp.Server{Handler: h, Logger: slog.New(slog.DiscardHandler)}
	c := dial(t, dialer(), serve(t, srv, smtp.Policy{}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-read; cancel() }()
	c.Send(ctx, toBob, text("x\r\n"))
	close(release)
	if err := <-done; err != nil {
		t.Errorf("after the client had gone: got %v", err)
	}
	srv.Close()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("Server.Close did not cancel")
	}
}

// r is dead after Data.
func TestReaderDies(t *testing.T) {
	var kept io.Reader
	h := &lives{data: func(_ context.Context, r io.Reader) (string, error) {
		kept = r
		return "", smtp.Errorf(554, "5.7.1", "no")
	}}
	c := dial(t, dialer(), serve(t, &smtp.Server{Handler: h}, smtp.Policy{}))
	c.Send(t.Context(), toBob, text("Subject: x\r\n"))
	if n, err := kept.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("Read: got %d, %v, want an error", n, err)
	}
	if n, err := kept.(io.WriterTo).WriteTo(io.Discard); n != 0 || err == nil {
		t.Errorf("WriteTo: got %d, %v, want an error", n, err)
	}
}

// A lockedLog is a log that sessions write and a test reads.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedLog) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// What a Handler's error becomes, at RCPT and at the end of the data.
func TestHandlerErrors(t *testing.T) {
	no := &smtp.Error{Code: 550, Enhanced: "5.1.1", Text: "no such user\nnobody at all"}
	secret := errors.New("password of the database: hunter2")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"itself":           {no, "550 5.1.1 no such user / nobody at all"},
		"wrapped":          {fmt.Errorf("a: %w", fmt.Errorf("b: %w", no)), "550 5.1.1 no such user / nobody at all"},
		"temporary":        {smtp.Errorf(450, "", "later"), "450 4.0.0 later"},
		"joined":           {errors.Join(secret, no), "451 4.3.0 local error in processing"},
		"wrapped in joins": {fmt.Errorf("%w and %w", no, secret), "451 4.3.0 local error in processing"},
		"anything else":    {secret, "451 4.3.0 local error in processing"},
		"not a refusal":    {&smtp.Error{Code: 250, Text: "fine"}, "451 4.3.0 local error in processing"},
		"control chars":    {smtp.Errorf(550, "5.1.1", "a\r\n250 ok\x00b"), "550 5.1.1 a / 250 okb"},
	} {
		var log lockedLog
		h := &lives{
			rcpt: func(_ context.Context, to string) error {
				if strings.HasPrefix(to, "bad") {
					return c.err
				}
				return nil
			},
			data: func(_ context.Context, r io.Reader) (string, error) { io.Copy(io.Discard, r); return "", c.err },
		}
		srv := &smtp.Server{Handler: h, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		client := dial(t, dialer(), serve(t, srv, smtp.Policy{}))
		results, _ := client.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bad@example.net", "bob@example.net"), text("x\r\n"))
		for i, step := range []string{"RCPT", "DATA"} {
			if got := results[i].Reply.String(); step == "RCPT" && got != c.want {
				t.Errorf("%s at %s: got %q, want %q", name, step, got, c.want)
			}
			var e *smtp.Error
			if !errors.As(results[i].Err, &e) || !strings.HasSuffix(e.Error(), c.want) {
				t.Errorf("%s at %s: got %v, want %q", name, step, results[i].Err, c.want)
			}
		}
		srv.Close()
		if logged := strings.Contains(log.String(), "hunter2"); logged != strings.HasPrefix(c.want, "451") && !strings.Contains(c.want, "250") && name != "not a refusal" {
			t.Errorf("%s: logged %q", name, log.String())
		}
	}
}

// An *Error goes all the way: what the handler of a server behind says is what
// the client of the proxy before it gets.
func TestErrorRoundTrip(t *testing.T) {
	want := &smtp.Error{Code: 451, Enhanced: "4.7.1", Text: "greylisted\ntry again", Verb: "RCPT"}
	h := &lives{rcpt: func(context.Context, string) error { return want }}
	behind := serve(t, &smtp.Server{Handler: h}, smtp.Policy{})
	proxy := serve(t, &smtp.Server{Handler: &smtp.Transport{Addr: behind, Dialer: dialer()}}, smtp.Policy{})
	c := dial(t, dialer(), proxy)
	c.Mail(t.Context(), "ann@example.com", nil)
	_, err := c.Rcpt(t.Context(), "bob@example.net", nil)
	var got *smtp.Error
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// Addresses reach a Handler as they were said, without brackets and routes.
func TestAddressesReachHandlers(t *testing.T) {
	var got []string
	h := &lives{rcpt: func(_ context.Context, to string) error { got = append(got, to); return nil }}
	addr := serve(t, &smtp.Server{Handler: h}, smtp.Policy{})
	c := dial(t, dialer(), addr)
	c.Mail(t.Context(), "", nil)
	for _, line := range []string{`RCPT TO:<"x@evil"@good>`, `RCPT TO:<@a,@b:User@Example.NET>`, `RCPT TO:<"a\"b"@c>`} {
		if _, err := c.Command(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if want := `"x@evil"@good User@Example.NET "a\"b"@c`; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// Without a Handler, and with Hooks that have nothing to keep mail with, mail is
// refused.
func TestNothingKeepsMail(t *testing.T) {
	for name, h := range map[string]smtp.Handler{"no handler": nil, "empty hooks": &smtp.Hooks{}} {
		c := dial(t, dialer(), serve(t, &smtp.Server{Handler: h}, smtp.Policy{}))
		if _, err := c.Send(t.Context(), toBob, text("x")); classes(err) != "permanent" {
			t.Errorf("%s: got %v, want a permanent refusal", name, err)
		}
	}
}

// A Handler that returns neither a transaction nor an error has made a mistake, which the
// log tells and the client is spared.
func TestNeitherTransactionNorError(t *testing.T) {
	var log lockedLog
	c := raw(t, serve(t, &smtp.Server{Handler: neither{}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, smtp.Policy{}))
	c.say("EHLO x", "250")
	c.say("MAIL FROM:<a@b>", "451 4.3.0")
	c.say("RCPT TO:<c@d>", "503 5.5.1")
	if !strings.Contains(log.String(), "neither a Transaction nor an error") {
		t.Errorf("got the log %q, want it to tell of the mistake", log.String())
	}
}

type neither struct{}

func (neither) Mail(context.Context, *smtp.Conn, string, *smtp.MailOptions) (smtp.Transaction, error) {
	return nil, nil
}

// Hooks decide one after the other, and Next hears what they let through.
func TestHooks(t *testing.T) {
	var box mailbox
	no := smtp.Errorf(550, "5.7.1", "no")
	h := &smtp.Hooks{
		OnSender: func(_ context.Context, _ *smtp.Conn, from string, _ *smtp.MailOptions) error {
			if from == "" {
				return no
			}
			return nil
		},
		OnRcpt: func(_ context.Context, _ *smtp.Conn, to string, _ *smtp.RcptOptions) error {
			if !strings.HasSuffix(to, "@example.net") {
				return no
			}
			return nil
		},
		Next: box.hooks(),
	}
	c := dial(t, dialer(), serve(t, &smtp.Server{Handler: h}, smtp.Policy{}))
	if _, err := c.Send(t.Context(), smtp.NewEnvelope("", "bob@example.net"), text("x")); classes(err) != "permanent" {
		t.Errorf("sender: got %v", err)
	}
	results, _ := c.Send(t.Context(), smtp.NewEnvelope("a@example.com", "x@example.org", "bob@example.net"), text("x"))
	if results[0].Err == nil || results[1].Err != nil {
		t.Errorf("recipients: got %+v", results)
	}
	if all := box.all(); len(all) != 1 || len(all[0].env.To) != 1 || all[0].env.To[0].Address != "bob@example.net" {
		t.Errorf("got %+v", all)
	}
}

// offering is Hooks that honour what they say.
type offering struct {
	*smtp.Hooks
	offers []string
}

func (h offering) Offers() []string { return h.offers }

// What a Handler offers is announced, with its parameters, and what is said of it
// reaches the Handler; what it does not offer is refused.
func TestHandlersHearOptions(t *testing.T) {
	var heard smtp.MailOptions
	hooks := &smtp.Hooks{OnSender: func(_ context.Context, _ *smtp.Conn, _ string, opts *smtp.MailOptions) error {
		heard = *opts
		return nil
	}}
	said := "MAIL FROM:<a@b> BY=120;R HOLDFOR=60 MT-PRIORITY=3"
	c := dial(t, dialer(), serve(t, &smtp.Server{Handler: offering{hooks, []string{"DELIVERBY 60", "FUTURERELEASE 3600", "MT-PRIORITY MIXER"}}}, smtp.Policy{}))
	for extension, want := range map[string]string{"DELIVERBY": "60", "FUTURERELEASE": "3600 20", "MT-PRIORITY": "MIXER"} {
		if got, ok := c.Extension(extension); !ok || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, %v, want it announced with %q", extension, got, ok, want)
		}
	}
	if _, err := c.Command(t.Context(), said); err != nil {
		t.Fatal(err)
	}
	want := smtp.MailOptions{By: smtp.DeliverBy{Within: 2 * time.Minute, Mode: smtp.ByReturn}, HoldFor: time.Minute, Priority: 3}
	if heard != want {
		t.Errorf("got %+v, want %+v", heard, want)
	}
	c = dial(t, dialer(), serve(t, &smtp.Server{Handler: hooks}, smtp.Policy{}))
	for _, line := range []string{"BY=120;R", "HOLDFOR=60", "MT-PRIORITY=3"} {
		if r, _ := c.Command(t.Context(), "MAIL FROM:<a@b> "+line); r.Code != 555 {
			t.Errorf("%s, not offered: got %v, want 555", line, r)
		}
	}
}
