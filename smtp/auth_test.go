package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// AUTH between our client and our server, every mechanism of package sasl, and
// what the client does when one is refused.

// A tracer keeps what the client says in a session.
type tracer struct {
	mu   sync.Mutex
	said []string
}

func (r *tracer) line(l smtp.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.FromClient {
		r.said = append(r.said, l.Text)
	}
}

// auths returns the mechanisms that were tried.
func (r *tracer) auths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, s := range r.said {
		if rest, ok := strings.CutPrefix(s, "AUTH "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}

// login authenticates to addr and returns what was tried.
func login(t *testing.T, d *smtp.Dialer, addr string, c sasl.Credential) ([]string, error) {
	t.Helper()
	r := new(tracer)
	d.Auth, d.Trace = c, r.line
	client, err := d.Dial(t.Context(), addr)
	if client != nil {
		client.Quit(t.Context())
	}
	for _, said := range r.said {
		if strings.Contains(said, "c2VjcmV0") || strings.Contains(said, "secret") {
			t.Errorf("%q was traced", said)
		}
	}
	return r.auths(), err
}

func TestAuthMechanisms(t *testing.T) {
	keys := map[string]sasl.Keys{}
	for _, m := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		k, err := sasl.NewKeys(m, "secret", 0)
		if err != nil {
			t.Fatal(err)
		}
		keys[m] = k
	}
	var got []string
	config := serverTLS(t)
	srv := &smtp.Server{
		TLSConfig: config, AllowInsecureAuth: true, Logger: slog.New(slog.DiscardHandler),
		Handler: &smtp.Hooks{OnSender: func(_ context.Context, c *smtp.Conn, _ string, _ *smtp.MailOptions) error {
			got = append(got, c.User())
			return smtp.Errorf(550, "5.7.1", "no")
		}},
		SASL: &sasl.Verifier{
			Password: func(ctx context.Context, user, password string) error {
				if smtp.ConnFrom(ctx) == nil {
					return errors.New("no session in the context")
				}
				if user != "ann" || password != "secret" {
					return sasl.ErrRefused
				}
				return nil
			},
			Keys:      func(_ context.Context, _, mechanism string) (sasl.Keys, error) { return keys[mechanism], nil },
			Secret:    func(context.Context, string) (string, error) { return "secret", nil },
			Token:     func(context.Context, string, string) (string, error) { return "ann", nil },
			Anonymous: func(context.Context, string) error { panic("anonymous") },
		},
	}
	addr := serve(t, srv, smtp.Policy{})
	token := sasl.Token("ann", func(context.Context) (string, time.Time, error) { return strings.Repeat("t", 3000), time.Time{}, nil })
	plus := []string{"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"}
	clear := []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"}
	for _, mode := range []smtp.TLSMode{smtp.TLSNone, smtp.TLSStartTLS} {
		names := clear
		if mode == smtp.TLSStartTLS {
			names = append(slices.Clone(plus), clear...)
		}
		for _, name := range append(names, "OAUTHBEARER", "XOAUTH2") {
			d := dialer()
			d.TLS, d.TLSConfig = mode, clientTLS(t, config)
			c := sasl.Password("ann", "secret")
			if strings.Contains(name, "OAUTH") {
				c = token
			}
			tried, err := login(t, d, addr, sasl.Only(c, name))
			if err != nil || !slices.Equal(tried, []string{name}) {
				t.Errorf("%s: got %v, %v", name, tried, err)
			}
			if name == "XOAUTH2" || name == "OAUTHBEARER" {
				continue // the password would be none
			}
			tried, err = login(t, d, addr, sasl.Only(sasl.Password("ann", "wrong"), name))
			if e, ok := errors.AsType[*smtp.Error](err); !ok || e.Code != 535 || e.Enhanced != "5.7.8" || len(tried) != 1 {
				t.Errorf("%s, wrong password: got %v, %v; want 535 5.7.8 at the first try", name, tried, err)
			}
		}
	}
	// The strongest goes first.
	d := dialer()
	d.TLS, d.TLSConfig = smtp.TLSStartTLS, clientTLS(t, config)
	if tried, err := login(t, d, addr, sasl.Password("ann", "secret")); err != nil || !slices.Equal(tried, plus[:1]) {
		t.Errorf("got %v, %v; want %v", tried, err, plus[:1])
	}
	// A panic in a function of ours says nothing about the client.
	_, err := login(t, d, addr, sasl.Anonymous("x"))
	if e, ok := errors.AsType[*smtp.Error](err); !ok || e.Code != 454 || strings.Contains(e.Text, "anonymous") {
		t.Errorf("panic: got %v, want 454", err)
	}
	d.Auth = nil
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Auth(t.Context(), sasl.PasswordAs("boss", "ann", "secret")); !errors.Is(err, smtp.ErrPermanent) {
		t.Errorf("acting as somebody else: got %v, want permanent", err)
	}
	if _, err := c.Auth(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if c.Mail(t.Context(), "ann@example.com", nil); !slices.Equal(got, []string{"ann"}) {
		t.Errorf("the handler heard of %q, want ann", got)
	}
}

// A server that says that the mechanism is at fault is given the next one; one
// that says that the password is wrong is not given it twice.
func TestAuthNextMechanism(t *testing.T) {
	for _, c := range []struct {
		refusal error
		tries   int
		code    int
	}{
		{smtp.Errorf(534, "5.7.9", "too weak"), 2, 534},
		{smtp.Errorf(504, "5.7.4", "unrecognized authentication type"), 2, 504},
		{smtp.Errorf(504, "5.5.4", "not here"), 2, 504},
		{smtp.Errorf(538, "5.7.11", "needs encryption"), 2, 538},
		{smtp.Errorf(535, "5.7.8", "wrong"), 1, 535},
		{smtp.Errorf(454, "4.7.0", "later"), 1, 454},
		{smtp.Errorf(454, "4.7.9", "later"), 1, 454},
	} {
		tries := 0
		srv := &smtp.Server{AllowInsecureAuth: true, OnAuth: func(context.Context, *smtp.Conn, string, string) error {
			tries++
			return c.refusal
		}}
		d := dialer()
		d.TLS = smtp.TLSNone
		tried, err := login(t, d, serve(t, srv, smtp.Policy{}), sasl.Password("ann", "secret"))
		e, ok := errors.AsType[*smtp.Error](err)
		if !ok || e.Code != c.code || tries != c.tries || len(tried) != c.tries {
			t.Errorf("%v: got %v, %v, asked %d times; want %d tries", c.refusal, tried, err, tries, c.tries)
		}
		if temporary := c.code == 454; errors.Is(err, smtp.ErrTemporary) != temporary || errors.Is(err, smtp.ErrPermanent) == temporary {
			t.Errorf("%v: got %v, temporary should be %v", c.refusal, err, temporary)
		}
	}
}

// A token that was kept and is refused is asked for anew, once; a new one that is
// refused is refused.
func TestAuthToken(t *testing.T) {
	good := "t1"
	srv := &smtp.Server{AllowInsecureAuth: true, SASL: &sasl.Verifier{Token: func(_ context.Context, _, token string) (string, error) {
		if token != good {
			return "", sasl.ErrRefused
		}
		return "ann", nil
	}}}
	addr := serve(t, srv, smtp.Policy{})
	asked := 0
	c := sasl.Token("ann", func(context.Context) (string, time.Time, error) {
		asked++
		return fmt.Sprintf("t%d", asked), time.Time{}, nil
	})
	d := dialer()
	d.TLS = smtp.TLSNone
	for i, want := range []struct {
		good  string
		tries int
		asked int
		ok    bool
	}{{"t1", 1, 1, true}, {"t1", 1, 1, true}, {"t2", 2, 2, true}, {"none", 2, 3, false}, {"none", 1, 4, false}} {
		good = want.good
		tried, err := login(t, d, addr, c)
		if (err == nil) != want.ok || len(tried) != want.tries || asked != want.asked {
			t.Errorf("login %d: got %v, %v, asked %d times; want %d tries, asked %d times", i, tried, err, asked, want.tries, want.asked)
		}
		if err != nil && !strings.Contains(err.Error(), "invalid_token") {
			t.Errorf("login %d: got %v, want what the server told", i, err)
		}
	}
}

// A server that lets everybody in does not know the password.
func TestAuthUnproven(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		fmt.Fprint(server, "220 mx.example.com ESMTP\r\n")
		for r := bufio.NewScanner(server); r.Scan(); {
			switch verb, _, _ := strings.Cut(r.Text(), " "); verb {
			case "EHLO":
				fmt.Fprint(server, "250-mx.example.com\r\n250 AUTH SCRAM-SHA-256\r\n")
			case "AUTH":
				fmt.Fprint(server, "235 2.7.0 come in\r\n")
			}
		}
	}()
	d := &smtp.Dialer{Hostname: "client.example.org", TLS: smtp.TLSNone, Auth: sasl.Password("ann", "secret")}
	c, err := d.Client(t.Context(), client)
	if !errors.Is(err, sasl.ErrUnproven) || c != nil {
		t.Errorf("got %v, want ErrUnproven", err)
	}
}
