package postrider_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// OnMail is told everything that there is to know of a message: the session, the envelope, and what it says of itself.
func TestReceivedIsWhole(t *testing.T) {
	got := make(chan kept, 1)
	addr := serve(t, postrider.Config{}, postrider.Handlers{
		OnMail: keep(got),
		OnRcpt: func(_ context.Context, to string) error {
			if to == "nobody@example.net" {
				return smtp.Errorf(550, "5.1.1", "nobody here")
			}
			return nil
		},
		OnAuth: func(context.Context, string, string) error { return nil },
	})[0]
	d := smtp.Dialer{Hostname: "client.example.com", TLS: smtp.TLSNone, Auth: sasl.Password("ann", "x")}
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nCc: \"Eve, E.\" <eve@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>Hello</b>\r\n" +
		"--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\none\r\n--b\r\nContent-Disposition: attachment; filename=b.txt\r\n\r\ntwo\r\n--b--\r\n"
	_, err = c.Send(t.Context(), smtp.NewEnvelope("bounces@example.com", "bob@example.net", "nobody@example.net", "secret@example.net"), strings.NewReader(raw))
	if err == nil {
		t.Error("the refused recipient was not told")
	}
	k := <-got
	r := k.received
	if r.IP != "127.0.0.1" || r.Host != "client.example.com" || r.User != "ann" || r.Sender != "bounces@example.com" || r.TLS != "" || r.Time.IsZero() {
		t.Errorf("the session is told as %+v", r)
	}
	if want := []string{"bob@example.net", "secret@example.net"}; !slices.Equal(r.Recipients, want) {
		t.Errorf("got the recipients %q, want %q", r.Recipients, want)
	}
	m := r.Message
	if !slices.Equal(m.From, mail.List("Ann <ann@example.com>")) || !slices.Equal(m.To, mail.List("bob@example.net")) || !slices.Equal(m.Cc, mail.List(`"Eve, E." <eve@example.net>`)) || m.Bcc != nil {
		t.Errorf("the addresses are told as %v, %v, %v, %v", m.From, m.To, m.Cc, m.Bcc)
	}
	if k.subject != "Grüße" || m.HTML != "<b>Hello</b>" || k.files["a.txt"] != "one" || k.files["b.txt"] != "two" || k.original != raw {
		t.Errorf("the message is told as %q, %q, %q, %q", k.subject, m.HTML, k.files, k.original)
	}
}

// A port may be a socket in the file system, and ports that are open already come with what they ask for.
func TestServeListeners(t *testing.T) {
	dir, err := os.MkdirTemp("", "p") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, lmtp := filepath.Join(dir, "s"), filepath.Join(dir, "l")
	l, err := net.Listen("unix", lmtp)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan kept, 1)
	serve(t, postrider.Config{
		Addr: "unix:" + socket, Listeners: []net.Listener{smtp.Listener{Listener: l, Policy: smtp.Policy{LMTP: true}}},
	}, postrider.Handlers{OnMail: keep(got), OnAuth: func(context.Context, string, string) error { return nil }})
	for path, d := range map[string]smtp.Dialer{
		socket: {Auth: sasl.Password("ann", "x"), AllowInsecureAuth: true, TLS: smtp.TLSNone}, lmtp: {LMTP: true, TLS: smtp.TLSNone},
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Client(t.Context(), conn)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, err := c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: x\r\n\r\n")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		c.Close()
		if k := <-got; k.received.IP != "" || k.subject != "x" {
			t.Errorf("%s: got %+v", path, k.received)
		}
	}
}

// Listeners alone: nothing else is opened, and they are closed even if Serve does not come to serve.
func TestServeClosesListeners(t *testing.T) {
	for _, c := range []postrider.Config{{TLSAddr: "127.0.0.1:0"}, {Addr: "nonsense"}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.Listeners = []net.Listener{l}
		if err := postrider.Serve(t.Context(), c, postrider.Handlers{}); err == nil {
			t.Errorf("%+v: served", c)
		}
		if _, err := l.Accept(); err == nil {
			t.Errorf("%+v: the listener is still open", c)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if addr := serve(t, postrider.Config{Listeners: []net.Listener{l}}, postrider.Handlers{})[0]; addr != l.Addr().String() {
		t.Errorf("it listens on %s, want %s", addr, l.Addr())
	}
}

// A port that fails ends Serve, with the reason and with the other ports.
func TestServePortFails(t *testing.T) {
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	open := 0
	err := postrider.Serve(t.Context(), postrider.Config{Listeners: listeners, OnListen: func(net.Addr) {
		if open++; open == 2 {
			listeners[0].Close()
		}
	}}, postrider.Handlers{})
	if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "postrider: ") {
		t.Errorf("got %v, want that a port was closed", err)
	}
	if _, err := listeners[1].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other port: got %v, want it closed", err)
	}
}

// The zero Config is a port of loopback, which another program may have.
func TestServeDefault(t *testing.T) {
	const want = "127.0.0.1:2525"
	ctx, cancel := context.WithCancel(t.Context())
	var got string
	err := postrider.Serve(ctx, postrider.Config{OnListen: func(a net.Addr) { got = a.String(); cancel() }}, postrider.Handlers{})
	if got != want && !(errors.Is(err, syscall.EADDRINUSE) && strings.Contains(err.Error(), want)) {
		t.Errorf("it listens on %q (%v), want %s", got, err, want)
	}
}

// A line is a listener to which one client comes, without a network.
type line struct {
	net.Listener // nil: the rest is not called
	conns        chan net.Conn
	close        func()
}

func (l line) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l line) Close() error   { l.close(); return nil }
func (l line) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }

// Who is in the middle of a message when the context ends has ten seconds to finish it, and no more.
func TestServeGrace(t *testing.T) {
	for ends, want := range map[string]string{".\r\n": "354 go ahead\r\n250 2.0.0 ok\r\n421 4.3.2 ", "more\r\n": "354 go ahead\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			l := line{conns: make(chan net.Conn, 1)}
			l.close = sync.OnceFunc(func() { close(l.conns) })
			client, server := net.Pipe()
			l.conns <- server
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() {
				served <- postrider.Serve(ctx, postrider.Config{Listeners: []net.Listener{l}}, postrider.Handlers{OnMail: func(context.Context, *postrider.Received) error { return nil }})
			}()
			heard := make(chan string, 1)
			go func() {
				b, _ := io.ReadAll(client)
				heard <- string(b)
			}()
			io.WriteString(client, "HELO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n\r\n")
			synctest.Wait()
			begin := time.Now()
			cancel()
			time.Sleep(9 * time.Second)
			io.WriteString(client, ends)
			if err := <-served; err != nil {
				t.Errorf("%q: got %v, want nil", ends, err)
			}
			got := <-heard // all of it: the connection was closed
			took := time.Since(begin)
			if whole := ends == ".\r\n"; whole && took != 9*time.Second || !whole && took != 10*time.Second {
				t.Errorf("%q: it ended after %v", ends, took)
			}
			client.Close()
			if _, got, _ = strings.Cut(got, "354"); !strings.HasPrefix("354"+got, want) {
				t.Errorf("%q: got %q, want %q", ends, got, want)
			}
		})
	}
}

// A file that the program shares is read; what cannot be is said with its line.
func TestParseConfigShared(t *testing.T) {
	c, err := postrider.ParseConfig(strings.NewReader("port = 2525\ndata = /var/mail\nusers = users\non_mail = cat\nrelay = smtp://127.0.0.1\n"))
	if err != nil || c.Addr != "127.0.0.1:2525" {
		t.Errorf("got %+v, %v", c, err)
	}
	// Without a port it is for ports that are open already; alone it is refused by Serve.
	if c, err = postrider.ParseConfig(strings.NewReader("hostname = mx.example.com\n")); err != nil || c.Addr != postrider.Off {
		t.Errorf("without a port: got %+v, %v", c, err)
	}
	if err := postrider.Serve(t.Context(), c, postrider.Handlers{}); err == nil || !strings.Contains(err.Error(), "nothing to serve") {
		t.Errorf("without a port: got %v", err)
	}
	for text, want := range map[string]string{
		"port = 25\nport = 26\n":                     "line 2: port",
		"port = %(local)s\nlocal = %(port)s\n":       "line 2: local",
		"port = 25\ntls_key = a\n":                   "line 2: tls_key",
		"port = 2525\nlocal = true\n[server]\nx=1\n": "line 3: [server]",
	} {
		if _, err := postrider.ParseConfig(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
