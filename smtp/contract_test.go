package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/internal/dialogue"
	"github.com/postrider/postrider/smtp"
)

// Send's contract, sentence by sentence, on a server that a script plays.

// scripted listens on loopback and plays one script for each connection, in turn.
func scripted(t *testing.T, texts ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, text := range texts {
			s, err := dialogue.Parse(fmt.Sprintf("connection %d", i+1), "# a server\n"+text)
			if err != nil {
				t.Error(err)
				return
			}
			conn, err := l.Accept()
			if err != nil {
				t.Errorf("connection %d was never made", i+1)
				return
			}
			if err := (&dialogue.Player{Role: 'S', Conn: conn}).Play(s); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

const hello = "S: 220 mx.example.com\nC: EHLO c.example.org\nS: 250-mx.example.com\nS: 250 PIPELINING\n"
const envelope = "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"

func dialer() *smtp.Dialer { return &smtp.Dialer{Hostname: "c.example.org", TLS: smtp.TLSNone} }

func dial(t *testing.T, d *smtp.Dialer, addr string) *smtp.Client {
	t.Helper()
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func text(s string) io.WriterTo { return strings.NewReader(s) }

var toBob = smtp.NewEnvelope("ann@example.com", "bob@example.net")

// classes tells which of the three classes err is of.
func classes(err error) string {
	var s []string
	for name, class := range map[string]error{"temporary": smtp.ErrTemporary, "permanent": smtp.ErrPermanent, "unknown": smtp.ErrUnknown} {
		if errors.Is(err, class) {
			s = append(s, name)
		}
	}
	return strings.Join(s, " ")
}

// As many Results as recipients, in their order, always.
func TestResultsAlways(t *testing.T) {
	env := smtp.NewEnvelope("ann@example.com", "b@example.net", "no address", "c@example.net")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	var box mailbox
	addr := serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{})
	for name, send := range map[string]func() ([]smtp.Result, error){
		"a server that is not there": func() ([]smtp.Result, error) {
			return (&smtp.Transport{Addr: closed.Addr().String()}).Send(t.Context(), env, text("x"))
		},
		"a context that has ended": func() ([]smtp.Result, error) {
			return (&smtp.Transport{Addr: addr}).Send(cancelled, env, text("x"))
		},
		"a sender that is none": func() ([]smtp.Result, error) {
			bad := *env
			bad.From = "ann"
			return dial(t, dialer(), addr).Send(t.Context(), &bad, text("x"))
		},
		"one recipient that is none": func() ([]smtp.Result, error) {
			return dial(t, dialer(), addr).Send(t.Context(), env, text("x"))
		},
	} {
		results, err := send()
		var all *smtp.SendError
		if !errors.As(err, &all) || len(results) != 3 || len(all.Results) != 3 {
			t.Errorf("%s: got %d results and %v, want 3 and a SendError", name, len(results), err)
			continue
		}
		for i, r := range results {
			if r.Rcpt != env.To[i].Address {
				t.Errorf("%s: result %d is of %s, want %s", name, i, r.Rcpt, env.To[i].Address)
			}
		}
	}
	if n := len(box.all()); n != 1 {
		t.Errorf("delivered %d messages, want 1: one bad recipient must not sink the rest", n)
	}
}

// SendError is ErrTemporary only if no recipient was accepted, refused for good
// or unknown; ErrPermanent only if nobody is worth another try; an unknown is
// neither.
func TestSendErrorClass(t *testing.T) {
	temp, perm := error(&smtp.Error{Code: 450}), error(&smtp.Error{Code: 550})
	for _, c := range []struct {
		errs []error
		want string
	}{
		{[]error{temp}, "temporary"}, {[]error{perm}, "permanent"}, {[]error{temp, temp}, "temporary"}, {[]error{nil, temp}, ""},
		{[]error{nil, perm}, "permanent"}, {[]error{temp, perm}, ""}, {[]error{smtp.ErrUnknown}, "unknown"},
		{[]error{smtp.ErrUnknown, temp}, "unknown"}, {[]error{smtp.ErrUnknown, perm}, "unknown"},
	} {
		e := &smtp.SendError{}
		for _, err := range c.errs {
			e.Results = append(e.Results, smtp.Result{Rcpt: "x@y", Err: err})
		}
		if got := classes(e); got != c.want {
			t.Errorf("%v: got %q, want %q", c.errs, got, c.want)
		}
	}
}

// A message that was accepted is never reported as failed, whatever happens to
// the connection after.
func TestAcceptedStaysAccepted(t *testing.T) {
	body := "C: Subject: x\nC: .\n"
	for name, after := range map[string]string{
		"closed":            "S: 250 ok\nS: <close>\n",
		"closing announced": "S: 250 ok\nS: 421 bye\nS: <close>\n",
		"rubbish":           "S: 250 ok\nS: what else\nS: <close>\n",
	} {
		tr := &smtp.Transport{Addr: scripted(t, hello+envelope+body+after), Dialer: dialer()}
		if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n")); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		if err := tr.Close(); err != nil {
			t.Errorf("%s: Close: got %v", name, err)
		}
	}
}

// If the message's writer fails half-way nothing is delivered. One that fails before
// anything was said costs nothing; else nothing more is written, and the connection
// closes.
func TestWriterFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, octets := range map[string]int{"small": 100, "large": 1 << 20} {
		for way, addr := range bothWays(t) {
			c := dial(t, dialer(), addr)
			msg := writerTo(func(w io.Writer) (int64, error) {
				n, _ := io.WriteString(w, strings.Repeat("half a line..\r\n", octets/15))
				return int64(n), broken
			})
			results, err := c.Send(t.Context(), toBob, msg)
			if !errors.Is(err, broken) || classes(results[0].Err) != "temporary" {
				t.Errorf("%s, %s: got %v, want the writer's error, temporary", name, way, err)
			}
			if _, err := c.Noop(t.Context()); (err == nil) != (name == "small") {
				t.Errorf("%s, %s: NOOP afterwards: got %v", name, way, err)
			}
		}
	}
}

// bothWays are servers that take no message: by DATA and by BDAT.
func bothWays(t *testing.T) map[string]string {
	hooks := &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, r)
		if err == nil {
			t.Error("a message was delivered")
		}
		return "", err
	}}
	addr := serve(t, &smtp.Server{Handler: hooks}, smtp.Policy{})
	return map[string]string{"BDAT": addr, "DATA": scriptless(t, addr)}
}

type writerTo func(io.Writer) (int64, error)

func (f writerTo) WriteTo(w io.Writer) (int64, error) { return f(w) }

// A heardConn calls then when last has been said, or if that is empty, when
// something has been heard.
type heardConn struct {
	net.Conn
	last string
	then func()
}

func (c heardConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.last != "" && strings.HasSuffix(string(b), c.last) {
		c.then()
	}
	return n, err
}

func (c heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.last == "" {
		c.then()
	}
	return n, err
}

// Cancelling returns at once at each step, and the fate is right: temporary before
// the final dot, unknown after it.
func TestCancel(t *testing.T) {
	stall := "C: <close>\n"
	body := "C: Subject: x\nC: .\n"
	for name, c := range map[string]struct{ server, last, want string }{
		"greeting": {"S: 220-mx\n" + stall, "", "temporary"},
		"EHLO":     {"S: 220 mx\nC: EHLO c.example.org\n" + stall, "EHLO c.example.org\r\n", "temporary"},
		"envelope": {hello + "C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nC: DATA\n" + stall, "DATA\r\n", "temporary"},
		"DATA":     {hello + strings.Replace(envelope, "S: 354 go\n", "", 1) + stall, "DATA\r\n", "temporary"},
		"the end":  {hello + envelope + body + stall, "\r\n.\r\n", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			d := dialer()
			d.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				return heardConn{conn, c.last, cancel}, err
			}
			tr := &smtp.Transport{Addr: scripted(t, c.server), Dialer: d}
			results, err := tr.Send(ctx, toBob, text("Subject: x\r\n"))
			if classes(results[0].Err) != c.want || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v (%s), want %s and the context's error", err, classes(results[0].Err), c.want)
			}
		})
	}
}

// A cancelled Send returns even while the message waits for a source of its own.
func TestCancelStuckSource(t *testing.T) {
	for _, addr := range bothWays(t) {
		c := dial(t, dialer(), addr)
		ctx, cancel := context.WithCancel(t.Context())
		stuck := make(chan struct{})
		msg := writerTo(func(w io.Writer) (int64, error) {
			cancel()
			<-stuck
			n, err := io.WriteString(w, strings.Repeat("late\r\n", 100_000))
			return int64(n), err
		})
		results, err := c.Send(ctx, toBob, msg)
		close(stuck)
		if !errors.Is(err, context.Canceled) || classes(results[0].Err) != "temporary" {
			t.Errorf("got %v, want the cancellation, temporary", err)
		}
	}
}

// A server that closes with 421 while a large message waits for its recipients
// ends the connection and nothing else: it is not used again.
func TestClosingBeforeChunks(t *testing.T) {
	server := strings.Replace(hello, "S: 250 PIPELINING", "S: 250-PIPELINING\nS: 250 CHUNKING", 1) +
		"C: MAIL FROM:<ann@example.com>\nC: RCPT TO:<bob@example.net>\nS: 250 ok\nS: 421 4.3.2 going down\nC: <close>\n"
	c := dial(t, dialer(), scripted(t, server))
	results, err := c.Send(t.Context(), toBob, text(strings.Repeat("line\r\n", 100_000)))
	if classes(err) != "temporary" || results[0].Reply.Code != 421 {
		t.Errorf("got %v, %v, want the 421, temporary", err, results[0].Reply)
	}
	if _, err := c.Noop(t.Context()); err == nil {
		t.Error("the connection is still in use")
	}
}

// Commit is called when the message has been written and before its end; its
// error abandons the delivery.
func TestCommit(t *testing.T) {
	no := errors.New("changed my mind")
	d := dialer()
	d.Commit = func(_ context.Context, env *smtp.Envelope) error {
		if env.To[0].Address != "bob@example.net" {
			t.Errorf("got %v", env)
		}
		return no
	}
	var box mailbox
	for _, addr := range []string{scripted(t, hello+envelope+"C: <close>\n"), serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{})} {
		if _, err := dial(t, d, addr).Send(t.Context(), toBob, text("Subject: x\r\n")); !errors.Is(err, no) || classes(err) != "temporary" {
			t.Errorf("got %v, want Commit's error", err)
		}
	}
	if n := len(box.all()); n != 0 {
		t.Errorf("delivered %d messages, want none", n)
	}
}

// Remaining are those who can be tried again without risk of a double.
func TestRemaining(t *testing.T) {
	env := smtp.NewEnvelope("a@x", "accepted@y", "later@y", "never@y", "unknown@y", "lost@y")
	env.To[1].Options.Notify = smtp.NotifyNever
	results := []smtp.Result{{}, {Err: &smtp.Error{Code: 450}}, {Err: &smtp.Error{Code: 550}}, {Err: smtp.ErrUnknown}, {Err: smtp.ErrTemporary}}
	rest := smtp.Remaining(env, results)
	if rest == nil || len(rest.To) != 2 || rest.To[0] != env.To[1] || rest.To[1].Address != "lost@y" || rest.From != "a@x" {
		t.Errorf("got %+v, want later and lost", rest)
	}
	if rest := smtp.Remaining(env, make([]smtp.Result, 5)); rest != nil {
		t.Errorf("all accepted: got %+v, want nil", rest)
	}
}

// What Prepare returns writes the same bytes each time, its line ends repaired,
// whatever the source; and a file that it spooled to does not stay.
func TestPrepare(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	long := strings.Repeat("line\n", 50_000)
	file := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(file, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, msg := range map[string]io.WriterTo{"buffer": bytes.NewBufferString("a\nb"), "long": text(long), "file": f} {
		p, err := smtp.Prepare(msg)
		if err != nil {
			t.Fatal(err)
		}
		var first, second bytes.Buffer
		n, _ := p.WriteTo(&first)
		p.WriteTo(&second)
		size, err := p.(smtp.Sizer).Size()
		if err != nil || size != n || first.String() != second.String() || int(n) != first.Len() || !strings.HasSuffix(first.String(), "\r\n") || strings.Contains(first.String(), "e\n") {
			t.Errorf("%s: size %d, %v, wrote %d, then %d octets", name, size, err, first.Len(), second.Len())
		}
		if again, err := smtp.Prepare(p); again != p || err != nil {
			t.Errorf("%s: prepared twice", name)
		}
		p.(io.Closer).Close()
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) != 0 {
		t.Errorf("%d files left behind", len(left))
	}
	if _, err := smtp.Prepare(writerTo(func(io.Writer) (int64, error) { return 0, io.ErrNoProgress })); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// A whole message has all that a message may be; WithProgress passes it on.
type whole struct{ *strings.Reader }

func (m whole) Freeze() (io.WriterTo, error) { return whole{strings.NewReader("frozen\r\n")}, nil }
func (m whole) Repeatable() bool             { return true }
func (m whole) Size() (int64, error)         { return 8, nil }
func (m whole) Adapt(offered func(string) bool) (io.WriterTo, []string, error) {
	if offered("8BITMIME") {
		return m, []string{"8BITMIME"}, nil
	}
	return m, nil, nil
}

func TestWithProgress(t *testing.T) {
	var last int64
	var opts smtp.MailOptions
	addr := serve(t, &smtp.Server{Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
		opts = env.Options
		_, err := io.Copy(io.Discard, r)
		return "", err
	}}}, smtp.Policy{})
	msg := smtp.WithProgress(whole{strings.NewReader("open")}, func(n int64) { last = n })
	if _, err := dial(t, dialer(), addr).Send(t.Context(), toBob, msg); err != nil {
		t.Fatal(err)
	}
	if last != 8 || opts.Size != 8 || opts.Body != smtp.Body8BitMIME {
		t.Errorf("got progress %d, options %+v; want 8, SIZE=8 BODY=8BITMIME", last, opts)
	}
	plain := smtp.WithProgress(text("x"), func(int64) {})
	if plain.(smtp.Repeatable).Repeatable() {
		t.Error("a reader is said to be repeatable")
	}
	if _, err := plain.(smtp.Sizer).Size(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("size of a reader: got %v", err)
	}
}

// A message over the server's limit is not sent.
func TestSizeKnownBefore(t *testing.T) {
	addr := scripted(t, strings.Replace(hello, "250 PIPELINING", "250 SIZE 7", 1)+"C: <close>\n")
	c := dial(t, dialer(), addr)
	if _, err := c.Send(t.Context(), toBob, whole{}); classes(err) != "permanent" || !strings.Contains(err.Error(), "8 octets") {
		t.Errorf("got %v, want a permanent error with both sizes", err)
	}
	c.Close()
}

// What the message's source returns half-way through a large file is told, and a
// large message of many chunks arrives whole.
func TestLargeMessages(t *testing.T) {
	var box mailbox
	addr := serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{})
	large := strings.Repeat(".0123456789\r\n", 100_000)
	noChunks := scriptless(t, addr)
	for _, a := range []string{addr, noChunks} {
		if _, err := dial(t, dialer(), a).Send(t.Context(), toBob, text(large)); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range box.all() {
		if m.data != large {
			t.Errorf("message %d: got %d octets, want %d", i, len(m.data), len(large))
		}
	}
	refused := serve(t, &smtp.Server{Handler: &smtp.Hooks{OnRcpt: func(context.Context, *smtp.Conn, string, *smtp.RcptOptions) error {
		return smtp.Errorf(550, "5.1.1", "nobody here")
	}, OnData: box.hooks().OnData}}, smtp.Policy{})
	written := 0
	c := dial(t, dialer(), refused)
	_, err := c.Send(t.Context(), toBob, writerTo(func(w io.Writer) (int64, error) {
		n, err := io.Copy(w, io.TeeReader(iotest.HalfReader(strings.NewReader(large)), counter(&written)))
		return n, err
	}))
	if classes(err) != "permanent" || written > 700_000 {
		t.Errorf("got %v after %d octets; a large message waits for the recipients", err, written)
	}
	if _, err := c.Noop(t.Context()); err != nil {
		t.Errorf("the connection is not in step: %v", err)
	}
}

type countWriter struct{ n *int }

func (c countWriter) Write(p []byte) (int, error) { *c.n += len(p); return len(p), nil }
func counter(n *int) io.Writer                    { return countWriter{n} }

// scriptless is a proxy before addr that hides CHUNKING, so that DATA is used.
func scriptless(t *testing.T, addr string) string {
	t.Helper()
	return listener(t, func(in net.Conn) {
		out, err := net.Dial("tcp", addr)
		if err != nil {
			in.Close()
			return
		}
		go func() { io.Copy(out, in); out.Close() }()
		go func() { io.Copy(hideChunking{in}, out); in.Close() }()
	})
}

type hideChunking struct{ w io.Writer }

func (h hideChunking) Write(p []byte) (int, error) {
	_, err := h.w.Write(bytes.ReplaceAll(p, []byte("CHUNKING"), []byte("XHUNKING")))
	return len(p), err
}
