package interop

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// Other people's clients deliver to our server.

// arrival is a message as a handler heard of it.
type arrival struct {
	raw  []byte
	from string
	to   []string
	tls  bool
}

// collector is a Handler that keeps what it is given.
type collector struct {
	mu   sync.Mutex
	list []arrival
}

func (c *collector) data(_ context.Context, conn *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	a := arrival{raw: raw, from: env.From, tls: conn.TLS() != nil}
	for _, to := range env.To {
		a.to = append(a.to, to.Address)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, a)
	return "", nil
}

// serve starts a Server of ours with c as its handler, on loopback, until the test ends.
func serve(t *testing.T, c *collector, id identity, policy smtp.Policy) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(id.certFile, id.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, &smtp.Server{
		Hostname: "mx.example.net", Handler: &smtp.Hooks{OnData: c.data},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		// Clients that leave without a word are not what is tested.
		Logger: slog.New(slog.DiscardHandler),
	}, policy)
}

// listen has s serve on loopback until the test ends.
func listen(t *testing.T, s *smtp.Server, policy smtp.Policy) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(smtp.Listener{Listener: l, Policy: policy}) }()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestServerReceives(t *testing.T) {
	id := newIdentity(t)
	for _, c := range clients {
		for _, secure := range []bool{false, true} {
			name, ca, policy := c.name, "", smtp.Policy{}
			switch {
			case secure && c.tls == noTLS:
				continue
			case secure:
				name, ca = c.name+" with TLS", id.certFile
				policy = smtp.Policy{RequireTLS: true, ImplicitTLS: c.tls == implicitTLS}
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				peers.Find(t, c.peer)
				var got collector
				sent := c.deliver(t, serve(t, &got, id, policy), ca)
				got.compare(t, sent, c.recipients(), secure)
			})
		}
	}
}

// recipients returns to whom c sends.
func (c client) recipients() []string {
	if c.peer == peers.SMTPSource {
		return []string{one}
	}
	return []string{one, two}
}

// compare holds what has been collected against what was sent, envelopes included.
func (c *collector) compare(t *testing.T, sent []sample, to []string, secure bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var raw [][]byte
	for _, a := range c.list {
		raw = append(raw, a.raw)
		if a.from != sender || !slices.Equal(a.to, to) || a.tls != secure {
			t.Errorf("%s: got from %q to %q, TLS %v; want %q, %q, %v", subject(a.raw), a.from, a.to, a.tls, sender, to, secure)
		}
	}
	compare(t, raw, sent)
}
