package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// What a server bears. Sessions run over pipes, so that there may be more of them
// than a machine has descriptors; honest clients come over loopback beside them.

// aFlood says the same for ever, and counts how much of it is taken.
type aFlood struct {
	stream
	begin, again string
	rest         string
	taken        int64
	out          int64
	last         []byte
	hold         *sync.RWMutex // nothing is said while it is locked; nil: there is no need
}

func (f *aFlood) Read(p []byte) (int, error) {
	if f.hold != nil {
		f.hold.RLock()
		defer f.hold.RUnlock()
	}
	if f.rest == "" {
		f.rest, f.begin = f.begin, ""
	}
	if n := len(p) - len(f.rest); n > 0 {
		f.rest += strings.Repeat(f.again, n/len(f.again)+1)
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	f.taken += int64(n)
	return n, nil
}

func (f *aFlood) Write(p []byte) (int, error) {
	f.out += int64(len(p))
	f.last = append(f.last[:0], p...)
	return len(p), nil
}
func (f *aFlood) Close() error { return nil }

// floods are what is said first, and what is said without end then.
var floods = func() map[string][2]string {
	line := strings.Repeat("x", 1000)
	return map[string][2]string{
		"nothing but text":    {"", line},
		"empty lines":         {"", "\r\n"},
		"unknown verbs":       {"", "WONDER\r\n"},
		"NOOP":                {"", "NOOP\r\n"},
		"RSET":                {"EHLO x\r\n", "RSET\r\n"},
		"EHLO":                {"", "EHLO x\r\n"},
		"HELO":                {"", "HELO x\r\n"},
		"VRFY":                {"EHLO x\r\n", "VRFY ann\r\n"},
		"EXPN":                {"EHLO x\r\n", "EXPN ann\r\n"},
		"HELP":                {"", "HELP\r\n"},
		"MAIL and RSET":       {"EHLO x\r\n", "MAIL FROM:<a@b>\r\nRSET\r\n"},
		"MAIL":                {"EHLO x\r\n", "MAIL FROM:<a@b>\r\n"},
		"refused senders":     {"EHLO x\r\n", "MAIL FROM:<refused@example.com>\r\n"},
		"recipients":          {"EHLO x\r\nMAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n"},
		"refused recipients":  {"EHLO x\r\nMAIL FROM:<a@b>\r\n", "RCPT TO:<nobody@d>\r\n"},
		"parameters":          {"EHLO x\r\n", "MAIL FROM:<a@b>" + strings.Repeat(" X=1", 1000) + "\r\n"},
		"AUTH":                {"EHLO x\r\n", "AUTH PLAIN AGFubgB3cm9uZw==\r\n"},
		"cancelled AUTH":      {"EHLO x\r\n", "AUTH PLAIN\r\n*\r\n"},
		"long responses":      {"EHLO x\r\nAUTH PLAIN\r\n", line},
		"STARTTLS":            {"EHLO x\r\n", "STARTTLS\r\n"},
		"HTTP":                {"", "GET / HTTP/1.1\r\n"},
		"a message":           {envelope + "DATA\r\n", "Received: from a by b; now\r\n"},
		"a line of a message": {envelope + "DATA\r\n", line},
		"folds":               {envelope + "DATA\r\nX: y\r\n", " z\r\n"},
		"dots":                {envelope + "DATA\r\n", "..\r\n"},
		"chunks of nothing":   {envelope, "BDAT 0\r\n"},
		"small chunks":        {envelope, "BDAT 1\r\nx"},
		"refused chunks":      {"EHLO x\r\n", "BDAT 1\r\nx"},
		"NOOP between chunks": {envelope + "BDAT 1\r\nx", "NOOP\r\n"},
		"MAIL between chunks": {envelope + "BDAT 1\r\nx", "MAIL FROM:<a@b>\r\n"},
		"an endless chunk":    {envelope + "BDAT 900000000000 LAST\r\n", line},
	}
}()

// floodedServer refuses who authenticates, and takes messages up to 1 MiB.
func floodedServer(h Handler) *Server {
	return &Server{Handler: h, MaxSize: 1 << 20, Logger: slog.New(slog.DiscardHandler), AllowInsecureAuth: true,
		OnAuth: func(context.Context, *Conn, string, string) error { return Errorf(535, "5.7.8", "no") }}
}

// Whatever is said without end, the server ends it.
func TestFloodsEnd(t *testing.T) {
	for name, c := range floods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // failed AUTH takes its time
				f := &aFlood{begin: c[0], again: c[1]}
				srv := floodedServer(new(testHandler))
				srv.ServeConn(f, Policy{})
				srv.Close()
				// A message is drained up to its limit once more, and then some while the client reads.
				if f.taken > 8<<20 || f.out > 8<<20 {
					t.Errorf("took %d octets and said %d, want less", f.taken, f.out)
				}
				lines := strings.Split(strings.TrimSpace(string(f.last)), "\r\n")
				if last := lines[len(lines)-1]; last == "" || last[0] != '4' && last[0] != '5' {
					t.Errorf("its last words were %.200q, want a refusal", last)
				}
			})
		})
	}
}

// crowd opens n sessions over pipes, and lets each say something.
func crowd(t *testing.T, srv *Server, n int, said string) (leave func()) {
	t.Helper()
	var all sync.WaitGroup
	ends := make([]net.Conn, n)
	ready := make(chan struct{}, n)
	for i := range ends {
		here, there := net.Pipe()
		ends[i] = here
		all.Go(func() { srv.ServeConn(there, Policy{}) })
		all.Go(func() {
			io.WriteString(here, said)
			ready <- struct{}{}
		})
		all.Go(func() { io.Copy(io.Discard, here) })
	}
	for range ends {
		select {
		case <-ready:
		case <-time.After(time.Minute):
			t.Fatal("the sessions do not listen")
		}
	}
	return func() {
		for _, c := range ends {
			c.Close()
		}
		all.Wait()
	}
}

// memory returns what is in use, after what can go has gone.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// honest sends a message of a megabyte over loopback, as anybody does.
func honest(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := new(Dialer).Dial(ctx, addr)
	if err != nil {
		t.Fatalf("an honest client: %v", err)
	}
	defer c.Close()
	if _, err := c.Send(ctx, NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader(strings.Repeat("a line of text\r\n", 1<<16))); err != nil {
		t.Errorf("an honest client: %v", err)
	}
}

// counter is a Handler that counts octets and keeps none.
func counter(octets *atomic.Int64) *Hooks {
	return &Hooks{OnData: func(_ context.Context, _ *Conn, _ *Envelope, r io.Reader) (string, error) {
		n, err := io.Copy(io.Discard, r)
		octets.Add(n)
		return "", err
	}}
}

// loaded serves srv on loopback too.
func loaded(t *testing.T, srv *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: got %v", err)
		}
	})
	return l.Addr().String()
}

// Ten thousand sessions that wait cost little, and others are served.
func TestIdleSessions(t *testing.T) {
	n := manySessions
	if testing.Short() {
		n = 1000
	}
	var octets atomic.Int64
	srv := &Server{Hostname: "mx.example.com", Handler: counter(&octets), MaxConns: n + 10}
	addr := loaded(t, srv)
	before := memory()
	leave := crowd(t, srv, n, "EHLO client.example.org\r\n")
	defer leave()
	// What a pipe and the test's own goroutines take is in it too.
	if each := (memory() - before) / uint64(n); each > 40<<10 && n == 10_000 { // the race detector takes some itself
		t.Errorf("a session that waits takes %d octets, want at most 40 KiB", each)
	} else {
		t.Logf("%d octets for each session, both ends", each)
	}
	honest(t, addr)
	if octets.Load() != 1<<20 {
		t.Errorf("got %d octets of the honest client, want 1 MiB", octets.Load())
	}
}

// A thousand clients that stop within a message hold no more memory than they may
// together, and others are served.
func TestSlowSenders(t *testing.T) {
	const n = 1000
	var octets atomic.Int64
	srv := &Server{Hostname: "mx.example.com", Handler: counter(&octets), MaxMemory: 4 << 20}
	addr := loaded(t, srv)
	before := memory()
	leave := crowd(t, srv, n, envelope+"DATA\r\n"+strings.Repeat("a line of text\r\n", 2000)+"and half")
	defer leave()
	// Large buffers for all would be 64 MiB.
	if used := memory() - before; used > 40<<20 && manySessions == 10_000 {
		t.Errorf("%d slow senders take %d MiB", n, used>>20)
	} else {
		t.Logf("%d KiB for each slow sender, both ends", used>>10/n)
	}
	honest(t, addr)
}

// All floods at once, each of which begins anew when the server has ended it, take no more memory than the sessions of
// them may, and others are served meanwhile. They hold their breath while it is measured: what they leave behind for the
// collector is not what they take.
func TestFloodsTogether(t *testing.T) {
	var octets atomic.Int64
	srv := floodedServer(counter(&octets))
	addr := loaded(t, srv)
	before := memory()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var hold sync.RWMutex
	for _, c := range floods {
		all.Go(func() {
			for ctx.Err() == nil {
				srv.ServeConn(&aFlood{begin: c[0], again: c[1], hold: &hold}, Policy{})
			}
		})
	}
	for range 3 {
		honest(t, addr)
	}
	hold.Lock()
	used := memory() - before
	hold.Unlock()
	cancel()
	srv.Close() // a failed AUTH is answered late
	all.Wait()
	if got := octets.Load(); got < 3<<20 {
		t.Errorf("got %d octets, want those of 3 honest clients at least", got)
	}
	if int64(used) > 8<<20 {
		t.Errorf("%d floods take %d KiB", len(floods), used>>10)
	} else {
		t.Logf("%d KiB for %d floods", used>>10, len(floods))
	}
}

// However sessions end, nothing of them is left.
func TestNothingIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	slow := func(ctx context.Context, c *Conn, to string, _ *RcptOptions) error {
		if strings.HasPrefix(to, "slow") {
			<-ctx.Done()
		}
		return nil
	}
	var octets atomic.Int64
	hooks := counter(&octets)
	hooks.OnRcpt = slow
	srv := &Server{Handler: hooks, Logger: slog.New(slog.DiscardHandler), TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	var conns []net.Conn
	for i, said := range slices.Repeat([]string{
		"", "EHLO x\r\n", "EHLO x\r\nMAIL FROM:<a@b>\r\n", "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<slow@d>\r\n", envelope + "DATA\r\nhalf",
		envelope + "DATA\r\n\r\n.\r\nQUIT\r\n", envelope + "BDAT 100 LAST\r\nhalf", "EHLO x\r\nSTARTTLS\r\n", "GET / HTTP/1.1\r\n", "a\nb",
	}, 5) {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, said)
		nc.Read(make([]byte, 10))
		if i%2 == 0 {
			nc.Close()
		} else {
			conns = append(conns, nc)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); err == nil {
		t.Error("Shutdown did not wait for transactions")
	}
	srv.Close()
	if err := <-done; err != ErrServerClosed {
		t.Errorf("Serve: got %v", err)
	}
	for _, nc := range conns {
		if rest, err := io.ReadAll(nc); err != nil && !strings.Contains(fmt.Sprint(err), "reset") {
			t.Errorf("a client was left with %q, %v", rest, err)
		}
		nc.Close()
	}
}
