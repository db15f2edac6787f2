package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/dialogue"
)

// Every dialogue is played against our server, its S: lines against our client,
// and both again a byte at a time.

func TestDialogues(t *testing.T) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 60 {
		t.Fatalf("got %d dialogues, want at least 60", len(scripts))
	}
	cert := testCertificate(t)
	played := map[string]int{}
	for _, s := range scripts {
		for _, split := range []bool{false, true} {
			if split && s.Set["split"] == "no" {
				continue
			}
			how := map[bool]string{false: "whole", true: "split"}[split]
			for side, play := range map[string]func(*testing.T, *dialogue.Script, tls.Certificate, bool){
				"server": playServer, "client": playClient, "send": playSend,
			} {
				if s.Plays(side) {
					played[side]++
					t.Run(s.Name+"/"+side+"/"+how, func(t *testing.T) {
						t.Parallel()
						play(t, s, cert, split)
					})
				}
			}
		}
	}
	t.Logf("%d dialogues: %v", len(scripts), played)
}

// testHandler is what the dialogues' servers do with mail.
type testHandler struct {
	offers    []string
	mu        sync.Mutex
	delivered []string
}

func (h *testHandler) Offers() []string { return h.offers }

func (h *testHandler) Mail(_ context.Context, _ *Conn, from string, _ *MailOptions) (Transaction, error) {
	if from == "refused@example.com" {
		return nil, fmt.Errorf("wrapped: %w", Errorf(550, "5.7.1", "not you"))
	}
	return &testTransaction{h: h, from: from}, nil
}

type testTransaction struct {
	h    *testHandler
	from string
	full []error
	ok   int
}

func (x *testTransaction) Rcpt(_ context.Context, to string, _ *RcptOptions) error {
	switch local, _, _ := strings.Cut(to, "@"); local {
	case "nobody":
		return Errorf(550, "5.1.1", "no such user")
	case "later":
		return Errorf(450, "4.2.1", "not now")
	case "panic":
		panic("handler")
	case "fault":
		return errors.New("the database at 10.0.0.7 does not answer")
	case "full":
		x.full = append(x.full, &RcptError{to, Errorf(452, "4.2.2", "mailbox full")})
	default:
		x.ok++
	}
	return nil
}

func (x *testTransaction) Data(_ context.Context, r io.Reader) (string, error) {
	switch x.from {
	case "early@example.com":
		return "", Errorf(550, "5.7.1", "too early")
	case "careless@example.com":
		return "", nil
	case "panicdata@example.com":
		panic("handler")
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(b, []byte("X-Reject")) {
		return "", Errorf(554, "5.7.1", "no spam here")
	}
	if x.ok > 0 {
		x.h.mu.Lock()
		x.h.delivered = append(x.h.delivered, string(b))
		x.h.mu.Unlock()
	}
	return "Q1", errors.Join(x.full...)
}

// testServer is the server that a script wants.
func testServer(t *testing.T, s *dialogue.Script, cert tls.Certificate) (*Server, *testHandler, Policy) {
	h := new(testHandler)
	srv := &Server{Hostname: "mx.example.com", Handler: h, Logger: slog.New(slog.DiscardHandler)}
	number := func(feature string, set func(int)) {
		if v, ok := s.Has(feature); ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatal(err)
			}
			set(n)
		}
	}
	number("size", func(n int) { srv.MaxSize = int64(n) })
	number("line", func(n int) { srv.MaxLine = n })
	number("rcpts", func(n int) { srv.MaxRecipients = n })
	number("hops", func(n int) { srv.MaxHops = n })
	number("errors", func(n int) { srv.MaxErrors = n })
	number("commands", func(n int) { srv.MaxCommands = n })
	number("auth-errors", func(n int) { srv.MaxAuthErrors = n })
	number("noops", func(n int) { srv.MaxNoops = n })
	if v, ok := s.Has("offers"); ok {
		h.offers = strings.Split(strings.ReplaceAll(v, "_", " "), ",")
	}
	if _, ok := s.Has("tls"); ok {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	_, auth := s.Has("auth")
	_, authInTLS := s.Has("auth-in-tls")
	if auth || authInTLS {
		srv.AllowInsecureAuth = auth
		srv.OnAuth = func(_ context.Context, _ *Conn, user, password string) error {
			switch {
			case user == "panic":
				panic("OnAuth")
			case user == "fault":
				return errors.New("the user list cannot be read")
			case user != "ann" || password != "secret":
				return Errorf(535, "5.7.8", "wrong user name or password")
			}
			return nil
		}
	}
	testQueries(s, srv)
	var p Policy
	_, p.LMTP = s.Has("lmtp")
	_, p.RequireTLS = s.Has("require-tls")
	_, p.RequireAuth = s.Has("require-auth")
	_, p.WildPaths = s.Has("wild")
	_, p.RefuseEarly = s.Has("early")
	if _, ok := s.Has("trusted"); ok {
		p.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if _, ok := s.Has("normalize"); ok {
		p.Profile = Normalize
	}
	return srv, h, p
}

// testQueries sets what answers commands that are not about mail.
func testQueries(s *dialogue.Script, srv *Server) {
	if _, ok := s.Has("verify"); ok {
		srv.OnVerify = func(_ context.Context, _ *Conn, name string) (string, error) {
			switch name {
			case "ann":
				return "Ann <ann@example.com>", nil
			case "jörg":
				return "Jörg <jörg@example.com>", nil
			case "smith":
				return "", Errorf(553, "5.1.4", "ambiguous\n<ann.smith@example.com>\n<bob.smith@example.com>")
			case "nobody":
				return "", Errorf(550, "5.1.1", "no such user")
			case "fault":
				return "", errors.New("the user list cannot be read")
			case "panic":
				panic("OnVerify")
			}
			return "", nil
		}
	}
	if _, ok := s.Has("expand"); ok {
		srv.OnExpand = func(_ context.Context, _ *Conn, list string) ([]string, error) {
			switch list {
			case "staff":
				return []string{"Ann <ann@example.com>", "<bob@example.com>"}, nil
			case "empty":
				return nil, nil
			}
			return nil, Errorf(550, "5.1.1", "no such list")
		}
	}
	if _, ok := s.Has("command"); ok {
		srv.OnCommand = func(_ context.Context, _ *Conn, verb, arg string) error {
			switch {
			case verb == "BDAT":
				return Errorf(452, "4.3.1", "no chunks now")
			case arg == "no":
				return Errorf(450, "4.3.0", "no to %s", verb)
			}
			return nil
		}
	}
}

func playServer(t *testing.T, s *dialogue.Script, cert tls.Certificate, split bool) {
	srv, h, policy := testServer(t, s, cert)
	here, there := Connection(t)
	done := make(chan struct{})
	go func() { defer close(done); srv.ServeConn(there, policy) }()
	player := &dialogue.Player{Role: 'C', Conn: here, Split: split}
	if srv.TLSConfig != nil {
		player.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	if err := player.Play(s); err != nil {
		t.Error(err)
	}
	<-done
	if want, ok := s.Set["delivers"]; ok && strconv.Itoa(len(h.delivered)) != want {
		t.Errorf("delivered %d messages, want %s: %q", len(h.delivered), want, h.delivered)
	}
	for _, m := range h.delivered {
		if strings.HasPrefix(s.Name, "smuggle") && strings.Contains(m, "\r\n.\r\n") {
			t.Errorf("delivered %q, which holds an end of data", m)
		}
	}
}

// Connection is a real connection on loopback, both ends.
func Connection(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.com", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
