package smtp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// listener accepts on loopback and hands each connection to serve.
func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// join passes on what either side says.
func join(in io.Reader, a net.Conn, addr string) {
	defer a.Close()
	b, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	go func() { io.Copy(b, in); b.Close() }()
	io.Copy(a, b)
}

// httpProxy is a CONNECT proxy for ann, secret; it says addr to want when it is asked.
func httpProxy(t *testing.T, to string, asked chan<- string) func(net.Conn) {
	return func(conn net.Conn) {
		rd := bufio.NewReader(conn)
		allowed := false
		var target string
		for {
			line, err := rd.ReadString('\n')
			if err != nil {
				conn.Close()
				return
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				break
			}
			if rest, ok := strings.CutPrefix(line, "CONNECT "); ok {
				target, _, _ = strings.Cut(rest, " ")
			}
			allowed = allowed || line == "Proxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("ann:secret"))
		}
		if !allowed {
			io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
			conn.Close()
			return
		}
		asked <- target
		io.WriteString(conn, "HTTP/1.1 200 fine\r\nX: y\r\n\r\n")
		join(rd, conn, to)
	}
}

// socksProxy is a SOCKS5 proxy for ann, secret (RFC 1928, 1929).
func socksProxy(t *testing.T, to string, asked chan<- string) func(net.Conn) {
	return func(conn net.Conn) {
		rd := bufio.NewReader(conn)
		take := func(n int) []byte {
			b := make([]byte, n)
			io.ReadFull(rd, b)
			return b
		}
		take(int(take(2)[1]))
		conn.Write([]byte{5, 2})
		user := string(take(int(take(2)[1])))
		pass := string(take(int(take(1)[0])))
		if user != "ann" || pass != "secret" {
			conn.Write([]byte{1, 1})
			conn.Close()
			return
		}
		conn.Write([]byte{1, 0})
		if head := take(4); head[3] != 3 {
			t.Errorf("SOCKS5: got address type %d, want a name: the proxy resolves", head[3])
		}
		host := string(take(int(take(1)[0])))
		asked <- fmt.Sprintf("%s:%d", host, binary.BigEndian.Uint16(take(2)))
		conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		join(rd, conn, to)
	}
}

// A server behind a proxy is reached by its name, and is not on loopback though the
// proxy is.
func TestProxies(t *testing.T) {
	var box mailbox
	config := serverTLS(t)
	addr := serve(t, &smtp.Server{Handler: box.hooks(), TLSConfig: config}, smtp.Policy{})
	asked := make(chan string, 1)
	for scheme, proxy := range map[string]func(net.Conn){"http": httpProxy(t, addr, asked), "socks5": socksProxy(t, addr, asked)} {
		at := listener(t, proxy)
		d := &smtp.Dialer{Hostname: "c.example.org", Proxy: &url.URL{Scheme: scheme, Host: at, User: url.UserPassword("ann", "secret")}}
		if _, err := d.Dial(t.Context(), "mx.example.com:25"); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: a certificate of another name: got %v", scheme, err)
		}
		if got := <-asked; got != "mx.example.com:25" {
			t.Errorf("%s: asked for %s", scheme, got)
		}
		d.TLSConfig = clientTLS(t, config)
		c, err := d.Dial(t.Context(), "localhost:25")
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		<-asked
		if _, err := c.Send(t.Context(), toBob, text("x\r\n")); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		c.Close()
		d.Proxy.User = url.UserPassword("eve", "guess")
		if _, err := d.Dial(t.Context(), "localhost:25"); classes(err) != "temporary" || strings.Contains(err.Error(), "guess") {
			t.Errorf("%s: wrong password: got %v", scheme, err)
		}
	}
	if n := len(box.all()); n != 2 {
		t.Errorf("delivered %d messages, want 2", n)
	}
	d := &smtp.Dialer{Proxy: &url.URL{Scheme: "gopher", Host: "x"}}
	if _, err := d.Dial(t.Context(), "localhost:25"); err == nil || !strings.Contains(err.Error(), "socks5") {
		t.Errorf("unknown scheme: got %v", err)
	}
}

func TestLocalAddr(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux all of 127.0.0.0/8 is there")
	}
	from := make(chan string, 1)
	addr := listener(t, func(conn net.Conn) {
		from <- conn.RemoteAddr().String()
		conn.Close()
	})
	d := &smtp.Dialer{LocalAddr: netip.MustParseAddr("127.0.0.77")}
	d.Dial(t.Context(), addr)
	if got := <-from; !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("connected from %s, want 127.0.0.77", got)
	}
}

// A pinned key is trusted, and no other, in whichever mode.
func TestPins(t *testing.T) {
	config := serverTLS(t)
	addr := serve(t, &smtp.Server{Handler: discard(), TLSConfig: config}, smtp.Policy{})
	cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	skip := &tls.Config{InsecureSkipVerify: true}
	for name, c := range map[string]struct {
		pin    string
		config *tls.Config
		ok     bool
	}{
		"the key":                {smtp.Pin(cert), clientTLS(t, config), true},
		"the key, unverified":    {smtp.Pin(cert), skip, true},
		"another key":            {smtp.Pin(&x509.Certificate{}), clientTLS(t, config), false},
		"another key, not asked": {smtp.Pin(&x509.Certificate{}), nil, false},
		"the key, not vouched":   {smtp.Pin(cert), &tls.Config{RootCAs: x509.NewCertPool()}, false},
	} {
		d := &smtp.Dialer{Pins: []string{c.pin}, TLSConfig: c.config}
		conn, err := d.Dial(t.Context(), addr)
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	plain := serve(t, &smtp.Server{Handler: discard()}, smtp.Policy{})
	if _, err := (&smtp.Dialer{Pins: []string{smtp.Pin(cert)}}).Dial(t.Context(), plain); !errors.Is(err, smtp.ErrUnsupported) {
		t.Errorf("no TLS on loopback, with a pin: got %v, want ErrUnsupported", err)
	}
}

// Credentials do not go to whoever answers.
func TestAuthToAnybody(t *testing.T) {
	srv := &smtp.Server{Handler: discard(), TLSConfig: serverTLS(t), OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
	addr := serve(t, srv, smtp.Policy{})
	d := farDialer()
	d.TLS, d.Auth = smtp.TLSOpportunistic, password("ann", "secret")
	if _, err := d.Dial(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "verified") {
		t.Errorf("got %v, want a refusal to send credentials", err)
	}
	d.AllowInsecureAuth = true
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatalf("asked for: %v", err)
	}
	c.Close()
}

// A proxy that is no proxy, or never done, or gone, holds nothing up and gets nothing: what
// it says is bounded, and the password goes only to an https proxy that has proved itself.
func TestFalseProxies(t *testing.T) {
	config := serverTLS(t)
	heard := make(chan string, 1)
	listen := func(conn net.Conn) { // what comes in TLS from who does not look at the certificate
		b, err := io.ReadAll(tls.Server(conn, config))
		heard <- fmt.Sprint(string(b), err != nil)
		conn.Close()
	}
	for name, c := range map[string]struct {
		scheme string
		proxy  func(net.Conn)
		want   string
	}{
		"endless": {"http", func(conn net.Conn) {
			defer conn.Close()
			for _, err := io.WriteString(conn, "HTTP/1.1 200 fine\r\n"); err == nil; {
				_, err = io.WriteString(conn, "X: y\r\n")
			}
		}, "too long"},
		"refusing":            {"http", func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 403 not there\r\n\r\n"); conn.Close() }, "403 not there"},
		"of another protocol": {"http", func(conn net.Conn) { io.WriteString(conn, "220 mx.example.com ESMTP\r\n\r\n"); conn.Close() }, "220 mx"},
		"gone":                {"http", func(conn net.Conn) { conn.Close() }, ""},
		"unverified":          {"https", listen, "certificate"},
		"not there":           {"https", nil, "refused"},
		"no SOCKS":            {"socks5", func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 no\r\n\r\n"); conn.Close() }, ""},
	} {
		at := "127.0.0.1:1"
		if c.proxy != nil {
			at = listener(t, c.proxy)
		}
		d := &smtp.Dialer{Proxy: &url.URL{Scheme: c.scheme, Host: at, User: url.UserPassword("ann", "secret")}}
		_, err := d.Dial(t.Context(), "mx.example.com:25")
		if classes(err) != "temporary" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), at) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want it temporary, with %q, the proxy and no password", name, err, c.want)
		}
	}
	if got := <-heard; got != "true" {
		t.Errorf("the unverified proxy heard %s, want nothing", got)
	}
	d := &smtp.Dialer{Proxy: &url.URL{Scheme: "http", Host: listener(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })}}
	if _, err := d.Dial(t.Context(), "mx.example.com\r\nX: y:25"); classes(err) != "temporary" || !strings.Contains(err.Error(), "address") {
		t.Errorf("an address of two lines: got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := make(chan struct{})
	d.Proxy.Host = listener(t, func(conn net.Conn) { bufio.NewReader(conn).ReadByte(); close(asked) })
	go func() { <-asked; cancel(nil) }()
	if _, err := d.Dial(ctx, "mx.example.com:25"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while the proxy says nothing: got %v", err)
	}
}

// What the caller's own check of TLS says counts beside the pins.
func TestPinsAndVerifyConnection(t *testing.T) {
	config := serverTLS(t)
	cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{})
	not := errors.New("not this one")
	for _, want := range []error{nil, not} {
		d := &smtp.Dialer{Pins: []string{smtp.Pin(cert)}, TLSConfig: clientTLS(t, config)}
		d.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return want }
		c, err := d.Dial(t.Context(), addr)
		if !errors.Is(err, want) || (c == nil) != (want != nil) {
			t.Errorf("it says %v: got %v", want, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

// TLS verifies the name that was dialled, or over the caller's own connection the one in
// TLSConfig; where there is none nothing is taken on trust.
func TestNameInTLS(t *testing.T) {
	config := serverTLS(t)
	addr := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{})
	for name, want := range map[string]string{"localhost": "", "mx.example.com": "mx.example.com", "": "ServerName"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		d := &smtp.Dialer{TLSConfig: clientTLS(t, config), TLS: smtp.TLSStartTLS}
		d.TLSConfig.ServerName = name
		c, err := d.Client(t.Context(), conn)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
		if c == nil {
			continue
		}
		if results, _ := c.Send(t.Context(), toBob, text("x\r\n")); results[0].Host != name {
			t.Errorf("%q: the result is of %q", name, results[0].Host)
		}
		c.Close()
	}
	c := dial(t, dialer(), addr)
	if _, err := c.StartTLS(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("no configuration: got %v, want the name verified", err)
	}
	if _, err := c.Noop(t.Context()); classes(err) != "temporary" {
		t.Errorf("after a failed handshake: got %v, want the connection at its end", err)
	}
}
