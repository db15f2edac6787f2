package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// What stands in front of servers: a load balancer that says whom it speaks for by the PROXY protocol, a proxy that does so
// by XCLIENT, a mail server that has us look at mail and tells by XFORWARD where it is from. Each as it is, before a server
// of ours that trusts loopback.

// behind is such a server, and what it has been told of its clients.
type behind struct {
	addr string
	mu   sync.Mutex
	mail []story
	ehlo []string // of all sessions
}

// A story is what a handler knew of the client when a message had come.
type story struct {
	remote, hello, user string
	tls                 bool
	forwarded           map[string]string
	raw                 string
}

func startBehind(t *testing.T, id identity, policy smtp.Policy) *behind {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(id.certFile, id.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	b := new(behind)
	b.addr = listen(t, &smtp.Server{
		Hostname: "mx.example.net", Logger: slog.New(slog.DiscardHandler), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		OnCommand: func(_ context.Context, _ *smtp.Conn, verb, arg string) error {
			if b.mu.Lock(); verb == "EHLO" {
				b.ehlo = append(b.ehlo, arg)
			}
			b.mu.Unlock()
			return nil
		},
		Handler: &smtp.Hooks{OnData: func(_ context.Context, c *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			raw, err := io.ReadAll(r)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.mail = append(b.mail, story{c.RemoteAddr().String(), c.Hello(), c.User(), c.TLS() != nil, c.Forwarded(), string(raw)})
			return "", err
		}},
	}, policy)
	return b
}

// one waits for the only message.
func (b *behind) one(t *testing.T) story {
	t.Helper()
	peers.Until(t, "a message behind what is in front", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.mail) > 0
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mail) != 1 {
		t.Fatalf("got %d messages, want one", len(b.mail))
	}
	return b.mail[0]
}

// say sends a message and returns where it was sent from.
func say(t *testing.T, d *smtp.Dialer, addr string) (from string) {
	t.Helper()
	d.Hostname = "client.example.com"
	d.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			from = nc.LocalAddr().String()
		}
		return nc, err
	}
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Send(t.Context(), smtp.NewEnvelope(sender, one), strings.NewReader("Subject: from "+from+"\r\n\r\n.\r\n")); err != nil {
		t.Fatal(err)
	}
	return from
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// HAProxy, version 1 and 2 of the protocol, with the extras of version 2, before SMTP and before TLS. It looks whether the
// server lives with a header that speaks for nobody.
func TestHAProxy(t *testing.T) {
	program := peers.Find(t, peers.HAProxy)
	id := newIdentity(t)
	for name, c := range map[string]struct {
		server string
		policy smtp.Policy
		dialer smtp.Dialer
	}{
		"version 1":             {"send-proxy", smtp.Policy{}, smtp.Dialer{TLS: smtp.TLSNone}},
		"version 2":             {"send-proxy-v2", smtp.Policy{}, smtp.Dialer{TLS: smtp.TLSNone}},
		"version 2 with extras": {"send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority", smtp.Policy{}, smtp.Dialer{TLS: smtp.TLSNone}},
		"before STARTTLS":       {"send-proxy-v2", smtp.Policy{RequireTLS: true}, smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: id.client()}},
		"version 1 before TLS":  {"send-proxy", smtp.Policy{ImplicitTLS: true}, smtp.Dialer{TLS: smtp.TLSImplicit, TLSConfig: id.client()}},
		"version 2 before TLS":  {"send-proxy-v2", smtp.Policy{ImplicitTLS: true}, smtp.Dialer{TLS: smtp.TLSImplicit, TLSConfig: id.client()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.policy.Proxies = loopback
			b := startBehind(t, id, c.policy)
			front, conf, check := peers.FreeAddr(t), filepath.Join(t.TempDir(), "haproxy.cfg"), ""
			if !c.policy.ImplicitTLS {
				check = "check check-send-proxy inter 100ms"
			}
			write(t, conf, fmt.Sprintf(`defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
frontend in
  bind %s
  unique-id-format %%ci:%%cp
  default_backend out
backend out
  option smtpchk EHLO haproxy.example.com
  server ours %s %s %s
`, front, b.addr, c.server, check))
			cmd := peers.Command(t, peers.HAProxy, "-db", "-f", conf)
			cmd.Path = program
			peers.Start(t, cmd).Accepts(front)
			from := say(t, &c.dialer, front)
			got := b.one(t)
			if got.remote != from || got.hello != "client.example.com" || got.tls != (c.dialer.TLS != smtp.TLSNone) || !strings.Contains(got.raw, from) {
				t.Errorf("got %+v, want it from %s", got, from)
			}
			if check == "" {
				return
			}
			peers.Until(t, "HAProxy looks whether the server lives", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				n := 0
				for _, name := range b.ehlo {
					if name == "haproxy.example.com" {
						n++
					}
				}
				return n > 2
			})
			if c, err := (&smtp.Dialer{TLS: smtp.TLSNone}).Dial(t.Context(), front); err != nil {
				t.Errorf("after HAProxy has looked: %v", err)
			} else {
				c.Close()
			}
		})
	}
}

// nginx's mail proxy asks by HTTP who may come in and where to, and says XCLIENT, or sends a header.
func TestNginx(t *testing.T) {
	peers.Find(t, peers.Nginx)
	id := newIdentity(t)
	for name, c := range map[string]struct {
		auth, tell string
		policy     smtp.Policy
		user       string
		hello      string
	}{
		"XCLIENT":            {"none", "xclient on;", smtp.Policy{Trusted: loopback}, "", "client.example.com"},
		"XCLIENT of a user":  {"plain login", "xclient on;", smtp.Policy{Trusted: loopback, RequireAuth: true}, account, "client.example.com"},
		"header":             {"none", "xclient off; proxy_protocol on;", smtp.Policy{Proxies: loopback}, "", "nginx.example.com"},
		"header and XCLIENT": {"none", "xclient on; proxy_protocol on;", smtp.Policy{Proxies: loopback, Trusted: loopback}, "", "client.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBehind(t, id, c.policy)
			host, port, _ := strings.Cut(b.addr, ":")
			door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.user != "" && (r.Header.Get("Auth-User") != account || r.Header.Get("Auth-Pass") != "s3cret%20p/w") {
					t.Errorf("nginx asked for %q, %q", r.Header.Get("Auth-User"), r.Header.Get("Auth-Pass"))
				}
				w.Header()["Auth-Status"], w.Header()["Auth-Server"], w.Header()["Auth-Port"] = []string{"OK"}, []string{host}, []string{port}
			}))
			defer door.Close()
			front, dir := peers.FreeAddr(t), t.TempDir()
			conf := filepath.Join(dir, "nginx.conf")
			write(t, conf, fmt.Sprintf(`load_module %[6]s;
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/log;
events {}
mail {
  server_name nginx.example.com;
  auth_http %[2]s;
  %[3]s
  smtp_auth %[4]s;
  server { listen %[5]s; protocol smtp; }
}
`, dir, strings.TrimPrefix(door.URL, "http://")+"/", c.tell, c.auth, front, peers.NginxMail))
			peers.Start(t, peers.Command(t, peers.Nginx, "-c", conf, "-p", dir)).Accepts(front)
			t.Cleanup(func() {
				if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
					t.Logf("nginx's log:\n%s", log)
				}
			})
			d := &smtp.Dialer{TLS: smtp.TLSNone}
			if c.user != "" {
				d.Auth = sasl.Password(account, password)
			}
			from := say(t, d, front)
			got := b.one(t)
			// XCLIENT as nginx says it has an address and no port.
			address, _, _ := strings.Cut(from, ":")
			if !strings.HasPrefix(got.remote, address+":") || c.policy.Proxies != nil && got.remote != from {
				t.Errorf("got it from %s, want %s", got.remote, from)
			}
			if got.hello != c.hello || got.user != c.user || !strings.Contains(got.raw, from) {
				t.Errorf("got %+v, want it of user %q", got, c.user)
			}
		})
	}
}

// Postfix has mail looked at by us before it takes it, and passes it on to us behind its queue; both times it says XFORWARD.
func TestPostfixForwards(t *testing.T) {
	peers.NeedRoot(t, "Postfix changes its user")
	peers.Find(t, peers.Postfix)
	id := newIdentity(t)
	for name, config := range map[string]string{
		"before the queue": "smtpd_proxy_filter = %[1]s:%[2]s\n",
		"behind the queue": "relayhost = [%[1]s]:%[2]s\nsmtp_send_xforward_command = yes\nsmtp_tls_security_level = none\nsmtpd_relay_restrictions = permit_mynetworks, reject\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBehind(t, id, smtp.Policy{Trusted: loopback})
			host, port, _ := strings.Cut(b.addr, ":")
			postfix := launchPostfix(t, "smtp unix - - n - - smtp\n", func(string) string { return fmt.Sprintf(config, host, port) })
			from := say(t, &smtp.Dialer{TLS: smtp.TLSNone}, postfix.addr)
			got := b.one(t)
			address, port, _ := strings.Cut(from, ":")
			for name, want := range map[string]string{"ADDR": address, "PORT": port, "HELO": "client.example.com", "PROTO": "ESMTP"} {
				if got.forwarded[name] != want {
					t.Errorf("%s: got %q, want %q, of %q", name, got.forwarded[name], want, got.forwarded)
				}
			}
			if !strings.Contains(got.raw, from) {
				t.Errorf("got the message %q, want that from %s", got.raw, from)
			}
		})
	}
}
