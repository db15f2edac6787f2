// Package smtptest tests programs that send or receive mail: a server that
// records, with faults on request; a [Recorder] in place of a server; a server and
// a client that follow a script.
//
//	srv := smtptest.NewServer(t, nil)
//	signUp(srv.URL, "bob@example.net") // what is tested
//	srv.One(t).HasRecipients("bob@example.net").HasSubject("Welcome").HasText("Hello, Bob")
//
// The server is that of package smtp, with all that it checks. Everything ends
// with the test.
package smtptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/smtp"
)

// The server is package smtp's own and listens on a real port, so that nothing which is
// tested has to be told that it is: it parses what it is told, refuses what any server
// would refuse, and does TLS and AUTH. Faults do not reach into it. They stand around
// it: before its functions, where a verb is refused, and in its connections, where it is
// cut short. What a client then sees is what such a server would have done to it.

// A Server is an smtp.Server on loopback that lives as long as its test.
type Server struct {
	Recorder        // what it has received, unless it was given a Handler
	Addr     string // "127.0.0.1:41234"
	URL      string // "smtp://127.0.0.1:41234", for postrider.Open and the like

	smtp   *smtp.Server
	mu     sync.Mutex
	faults []*Fault
	conns  map[string]*conn // by the address of the client
}

// NewServer starts srv on a free port of loopback. nil is a server with the
// defaults of smtp.Server, and a nil Handler is the Server's Recorder. srv belongs
// to it from here on. It stops when the test ends.
func NewServer(t testing.TB, srv *smtp.Server) *Server {
	t.Helper()
	return Start(t, srv, smtp.Policy{})
}

// Start is NewServer with the policy of its listener: LMTP, implicit TLS and so on.
func Start(t testing.TB, srv *smtp.Server, p smtp.Policy) *Server {
	t.Helper()
	if srv == nil {
		srv = &smtp.Server{Hostname: "mx.example.com"}
	}
	if srv.Logger == nil {
		srv.Logger = slog.New(slog.DiscardHandler) // a test that provokes errors wants no noise
	}
	s := &Server{smtp: srv, conns: map[string]*conn{}}
	if srv.Handler == nil {
		srv.Handler = &s.Recorder
	}
	s.wire()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	scheme := "smtp://"
	switch {
	case p.LMTP:
		scheme = "lmtp://"
	case p.ImplicitTLS:
		scheme = "smtps://"
	}
	s.URL = scheme + s.Addr
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(smtp.Listener{Listener: listener{l, s}, Policy: p})
	}()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	return s
}

// TLS returns a certificate for localhost, 127.0.0.1 and ::1 that nobody else has, good
// for a day: the configuration of a server that shows it, and that of a client that
// trusts it.
func TLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}},
		&tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// wire puts the faults between the server and what it was given. Its own functions are
// called behind them: what a test has put there wins.
func (s *Server) wire() {
	onConnect, onCommand := s.smtp.OnConnect, s.smtp.OnCommand
	s.smtp.OnConnect = func(ctx context.Context, c *smtp.Conn) error {
		if err := s.fail(ctx, c, Connect); err != nil || onConnect == nil {
			return err
		}
		return onConnect(ctx, c)
	}
	s.smtp.OnCommand = func(ctx context.Context, c *smtp.Conn, verb, arg string) error {
		if err := s.fail(ctx, c, verb); err != nil || onCommand == nil {
			return err
		}
		return onCommand(ctx, c, verb, arg)
	}
	s.smtp.Handler = handler{s.smtp.Handler, s}
	if config := s.smtp.TLSConfig; config != nil {
		config = config.Clone() // the test may have others use it too
		next := config.GetConfigForClient
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if err := s.failTLS(hello.Context(), hello.Conn); err != nil || next == nil {
				return nil, err
			}
			return next(hello)
		}
		s.smtp.TLSConfig = config
	}
}

// handler adds the faults at the end of a message.
type handler struct {
	smtp.Handler
	server *Server
}

func (h handler) Offers() []string {
	if o, ok := h.Handler.(smtp.Offerer); ok {
		return o.Offers()
	}
	return nil
}

func (h handler) Mail(ctx context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	t, err := h.Handler.Mail(ctx, c, from, opts)
	if err != nil {
		return nil, err
	}
	return transaction{t, h.server, c}, nil
}

type transaction struct {
	smtp.Transaction
	server *Server
	conn   *smtp.Conn
}

func (t transaction) Data(ctx context.Context, r io.Reader) (string, error) {
	f := t.server.fault(EndOfData)
	if f == nil {
		return t.Transaction.Data(ctx, r)
	}
	if f.Reply != "" {
		// It is refused when it has been heard, as a filter does it, and kept by nobody.
		if _, err := io.Copy(io.Discard, r); err != nil {
			return "", err
		}
		return "", t.server.apply(ctx, t.conn, f)
	}
	// It is taken first: that the reply is lost is all that is wrong (RFC 1047).
	id, err := t.Transaction.Data(ctx, r)
	if err == nil {
		err = t.server.apply(ctx, t.conn, f)
	}
	return id, err
}
