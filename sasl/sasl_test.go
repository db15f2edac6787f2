package sasl_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/sasl"
)

// Both sides talk to each other here; what the two could agree on wrongly is held
// against the examples of the RFCs in vectors_test.go.

// users are what the tests' server knows: ann, whose password is "s3 cret é".
func users(t testing.TB) *sasl.Verifier {
	t.Helper()
	const password = "s3 cret é"
	keys := map[string]sasl.Keys{}
	for _, m := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		k, err := sasl.NewKeys(m, password, 0)
		if err != nil {
			t.Fatal(err)
		}
		keys[m] = k
	}
	known := func(user string) error {
		switch user {
		case "broken":
			return errBroken
		case "ann":
			return nil
		}
		return sasl.ErrRefused
	}
	return &sasl.Verifier{
		Password: func(_ context.Context, user, given string) error {
			if err := known(user); err != nil || given == password {
				return err
			}
			return sasl.ErrRefused
		},
		Keys: func(_ context.Context, user, mechanism string) (sasl.Keys, error) {
			return keys[mechanism], known(user)
		},
		Secret: func(_ context.Context, user string) (string, error) { return password, known(user) },
		Token: func(_ context.Context, user, token string) (string, error) {
			if token != "good" {
				return "", sasl.ErrRefused
			}
			return "ann", known("ann")
		},
		Certificate: func(_ context.Context, cert *x509.Certificate, identity string) (string, error) {
			return cmp.Or(identity, cert.Subject.CommonName), nil
		},
		Anonymous: func(context.Context, string) error { return nil },
		Authorize: func(_ context.Context, user, identity string) error {
			if user == "ann" && identity == "sales" {
				return nil
			}
			return sasl.ErrRefused
		},
	}
}

var errBroken = errors.New("the list of users cannot be read")

// talk lets a credential authenticate to a server, and returns what the server
// said, or the client if it gave up.
func talk(t testing.TB, c sasl.Credential, v *sasl.Verifier, offer sasl.Offer, channel sasl.Channel) (mechanism, user string, err error) {
	t.Helper()
	if offer.Mechanisms == nil {
		offer.Mechanisms = v.Mechanisms(channel)
	}
	x, err := c.Exchange(t.Context(), offer)
	if err != nil {
		return "", "", err
	}
	server := v.Server(t.Context(), strings.ToLower(x.Mechanism()), channel)
	if server == nil {
		t.Fatalf("%s is not offered", x.Mechanism())
	}
	response, err := x.Next(nil)
	for range 10 {
		if err != nil {
			return x.Mechanism(), "", err
		}
		challenge, done, refusal := server.Next(response)
		if done || refusal != nil {
			return x.Mechanism(), server.User(), x.End(refusal)
		}
		response, err = x.Next(append([]byte{}, challenge...))
	}
	t.Fatalf("%s does not end", x.Mechanism())
	return "", "", nil
}

// all are the mechanisms of users outside TLS, the strongest first.
var all = []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "CRAM-MD5", "ANONYMOUS"}

func TestMechanisms(t *testing.T) {
	v := users(t)
	if got := v.Mechanisms(sasl.Channel{}); !slices.Equal(got, all) {
		t.Errorf("got %v, want %v", got, all)
	}
	if got := new(sasl.Verifier).Mechanisms(sasl.Channel{}); got != nil {
		t.Errorf("a verifier that knows nothing offers %v", got)
	}
	_, server, cert := overTLS(t, tls.VersionTLS13)
	tokens := &sasl.Verifier{Token: v.Token}
	if got := tokens.Mechanisms(sasl.Channel{TLS: &server, Certificate: cert}); !slices.Equal(got, []string{"OAUTHBEARER", "XOAUTH2"}) {
		t.Errorf("a verifier of tokens offers %v inside TLS", got)
	}
	v.Only = []string{"PLAIN", "SCRAM-SHA-256"}
	if got := v.Mechanisms(sasl.Channel{}); !slices.Equal(got, []string{"SCRAM-SHA-256", "PLAIN"}) {
		t.Errorf("Only: got %v", got)
	}
	if v.Server(t.Context(), "LOGIN", sasl.Channel{}) != nil {
		t.Error("a mechanism that is left out can be used")
	}
}

// Every mechanism lets in who is right, and nobody else.
func TestExchanges(t *testing.T) {
	v := users(t)
	token := func(s string) sasl.TokenSource {
		return func(context.Context) (string, time.Time, error) { return s, time.Time{}, nil }
	}
	const right = "s3 cret é"
	type row struct {
		mechanism  string
		credential sasl.Credential
		user       string
		err        error
	}
	rows := []row{
		{"OAUTHBEARER", sasl.Token("ann", token("good")), "ann", nil},
		{"OAUTHBEARER", sasl.Token("", token("good")), "ann", nil},
		{"OAUTHBEARER", sasl.Token("a,n=n", token("good")), "ann", nil},
		{"OAUTHBEARER", sasl.Token("ann", token("bad")), "", sasl.ErrRefused},
		{"XOAUTH2", sasl.Token("ann", token("good")), "ann", nil},
		{"XOAUTH2", sasl.Token("ann", token("bad")), "", sasl.ErrRefused},
		{"ANONYMOUS", sasl.Anonymous("somebody"), "anonymous", nil},
		{"ANONYMOUS", sasl.Anonymous(""), "anonymous", nil},
		{"PLAIN", sasl.PasswordAs("sales", "ann", right), "sales", nil},
		{"PLAIN", sasl.PasswordAs("boss", "ann", right), "", sasl.ErrRefused},
		{"PLAIN", sasl.PasswordAs("ann", "ann", right), "ann", nil},
		{"SCRAM-SHA-256", sasl.PasswordAs("sales", "ann", right), "sales", nil},
		{"SCRAM-SHA-256", sasl.PasswordAs("boss", "ann", right), "", sasl.ErrRefused},
		{"LOGIN", sasl.PasswordAs("sales", "ann", right), "", sasl.ErrNoMechanism},
		{"EXTERNAL", sasl.External(""), "", sasl.ErrNoMechanism},
	}
	for _, m := range []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5"} {
		rows = append(rows,
			row{m, sasl.Password("ann", right), "ann", nil},
			row{m, sasl.Password("ann", "wrong"), "", sasl.ErrRefused},
			row{m, sasl.Password("ann", ""), "", sasl.ErrRefused},
			row{m, sasl.Password("nobody", right), "", sasl.ErrRefused},
			row{m, sasl.Password("broken", right), "", errBroken})
	}
	for _, r := range rows {
		mechanism, user, err := talk(t, sasl.Only(r.credential, r.mechanism), v, sasl.Offer{}, sasl.Channel{Host: "mx.example.com"})
		if user != r.user || !errors.Is(err, r.err) || r.err == nil && mechanism != r.mechanism {
			t.Errorf("%s, %v: got %s, user %q, %v; want user %q, %v", r.mechanism, r.credential, mechanism, user, err, r.user, r.err)
		}
	}
}

// The strongest mechanism that both have is used, and what one cannot do is left
// out.
func TestStrongest(t *testing.T) {
	for _, c := range []struct {
		credential sasl.Credential
		offer      sasl.Offer
		want       string
	}{
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: all}, "SCRAM-SHA-512"},
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: all, Skip: []string{"SCRAM-SHA-512"}}, "SCRAM-SHA-256"},
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: []string{"LOGIN", "PLAIN", "CRAM-MD5"}}, "CRAM-MD5"},
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: []string{"LOGIN", "PLAIN", "CRAM-MD5"}, TLS: &tls.ConnectionState{}}, "PLAIN"},
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: []string{"LOGIN", "CRAM-MD5"}, TLS: &tls.ConnectionState{}}, "LOGIN"},
		// No channel to bind to: -PLUS cannot be used.
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: []string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"}}, "SCRAM-SHA-1"},
		{sasl.Password("ann", "x"), sasl.Offer{Mechanisms: []string{"SCRAM-SHA-1-PLUS"}}, ""},
		// SASLprep forbids unassigned characters: the server cannot have keys.
		{sasl.Password("ann", "\U0001F511"), sasl.Offer{Mechanisms: all}, "CRAM-MD5"},
		{sasl.PasswordAs("sales", "ann", "x"), sasl.Offer{Mechanisms: []string{"LOGIN", "CRAM-MD5"}}, ""},
		{sasl.Only(sasl.Password("ann", "x"), "login"), sasl.Offer{Mechanisms: all}, "LOGIN"},
		{sasl.Only(sasl.Password("ann", "x"), "GSSAPI"), sasl.Offer{Mechanisms: all}, ""},
		{sasl.Password("ann", "x"), sasl.Offer{}, ""},
	} {
		x, err := c.credential.Exchange(t.Context(), c.offer)
		got := ""
		if err == nil {
			got = x.Mechanism()
		}
		if got != c.want || c.want == "" && !errors.Is(err, sasl.ErrNoMechanism) {
			t.Errorf("%v of %v: got %q, %v; want %q", c.credential, c.offer.Mechanisms, got, err, c.want)
		}
	}
	if _, err := sasl.Password("ann", "x").Exchange(t.Context(), sasl.Offer{}); err == nil || !strings.HasSuffix(err.Error(), "the server offers no authentication") {
		t.Errorf("nothing offered: got %v", err)
	}
}

// overTLS makes a connection and returns both sides' view of it.
func overTLS(t *testing.T, version uint16) (client, server tls.ConnectionState, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ann"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mx.example.com"},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	pair := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}}
	here, there := net.Pipe()
	defer here.Close()
	s := tls.Server(there, &tls.Config{Certificates: pair, MaxVersion: version, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	c := tls.Client(here, &tls.Config{RootCAs: pool, ServerName: "mx.example.com", Certificates: pair})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState(), cert
}

// Inside TLS the channel is bound to, and who is between the two cannot pass the
// exchange on.
func TestChannelBinding(t *testing.T) {
	v := users(t)
	ann := sasl.Password("ann", "s3 cret é")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		name := tls.VersionName(version)
		client, server, cert := overTLS(t, version)
		channel := sasl.Channel{Host: "mx.example.com", TLS: &server, Certificate: cert}
		mechanism, user, err := talk(t, ann, v, sasl.Offer{TLS: &client}, channel)
		if mechanism != "SCRAM-SHA-512-PLUS" || user != "ann" || err != nil {
			t.Errorf("%s: got %s, user %q, %v", name, mechanism, user, err)
		}
		// Another connection is another channel.
		other, _, _ := overTLS(t, version)
		if mechanism, user, err = talk(t, ann, v, sasl.Offer{TLS: &other}, channel); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s, in between: got %s, user %q, %v; want ErrRefused", name, mechanism, user, err)
		}
		// Somebody has taken -PLUS out of the announcement.
		if mechanism, user, err = talk(t, ann, v, sasl.Offer{TLS: &client, Mechanisms: []string{"SCRAM-SHA-256"}}, channel); !errors.Is(err, sasl.ErrRefused) {
			t.Errorf("%s, downgraded: got %s, user %q, %v; want ErrRefused", name, mechanism, user, err)
		}
		// Without -PLUS for want of a certificate, or by choice.
		plain := *v
		plain.Only = []string{"SCRAM-SHA-256"}
		if mechanism, user, err = talk(t, ann, &plain, sasl.Offer{TLS: &client}, channel); user != "ann" || err != nil {
			t.Errorf("%s, no -PLUS: got %s, user %q, %v", name, mechanism, user, err)
		}
		mechanism, user, err = talk(t, sasl.Only(sasl.Password("ann", "s3 cret é"), "SCRAM-SHA-256"), v, sasl.Offer{TLS: &client}, channel)
		if user != "ann" || err != nil {
			t.Errorf("%s, -PLUS passed over: got %s, user %q, %v", name, mechanism, user, err)
		}
		for identity, want := range map[string]string{"": "ann", "ann": "ann", "sales": "sales"} {
			if mechanism, user, err = talk(t, sasl.External(identity), v, sasl.Offer{TLS: &client}, channel); mechanism != "EXTERNAL" || user != want || err != nil {
				t.Errorf("%s: EXTERNAL as %q: got %s, user %q, %v", name, identity, mechanism, user, err)
			}
		}
	}
	_, server, _ := overTLS(t, tls.VersionTLS12)
	if got := v.Mechanisms(sasl.Channel{TLS: &server}); slices.Contains(got, "SCRAM-SHA-256-PLUS") {
		t.Errorf("TLS 1.2 without a certificate to bind to: got %v", got)
	}
}

// Who does not exist is answered like who has a wrong password: with a salt, and
// each time with the same.
func TestUnknownUserLooksKnown(t *testing.T) {
	v := users(t)
	first := func(user, nonce string) string {
		s := v.Server(t.Context(), "SCRAM-SHA-256", sasl.Channel{})
		challenge, done, err := s.Next([]byte("n,,n=" + user + ",r=" + nonce))
		if done || err != nil {
			t.Fatalf("%s: got %v, %v", user, done, err)
		}
		_, rest, _ := strings.Cut(string(challenge), ",")
		return rest
	}
	if a, b := first("nobody", "abc"), first("nobody", "def"); a != b || !strings.HasSuffix(a, ",i=4096") {
		t.Errorf("got %q, then %q", a, b)
	}
	if a, b := first("nobody", "abc"), first("nobody2", "abc"); a == b {
		t.Errorf("two users with one salt: %q", a)
	}
}

// A server that accepts without proof, or asks for too little or too much work,
// is not believed.
func TestFalseServer(t *testing.T) {
	begin := func() (sasl.Exchange, string) {
		x, err := sasl.Password("ann", "secret").Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"SCRAM-SHA-256"}})
		if err != nil {
			t.Fatal(err)
		}
		response, err := x.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(response), "r=")
		return x, nonce
	}
	x, _ := begin()
	if err := x.End(nil); !errors.Is(err, sasl.ErrUnproven) {
		t.Errorf("accepted at once: got %v, want ErrUnproven", err)
	}
	// What is no proof at all, such as a refusal in SCRAM's own words, proves nothing false.
	for last, unproven := range map[string]bool{"v=" + strings.Repeat("A", 43) + "=": true, "e=invalid-proof": false} {
		x, nonce := begin()
		if _, err := x.Next([]byte("r=" + nonce + "server,s=c2FsdA==,i=4096")); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Next([]byte(last)); err == nil || errors.Is(err, sasl.ErrUnproven) != unproven {
			t.Errorf("%s: got %v, want ErrUnproven: %t", last, err, unproven)
		}
	}
	for _, i := range []string{"1", "4095", "4194305", "99999999999999999999", "-1", "x", ""} {
		x, nonce := begin()
		if _, err := x.Next([]byte("r=" + nonce + "server,s=c2FsdA==,i=" + i)); err == nil {
			t.Errorf("%q iterations are done", i)
		}
	}
	x, _ = begin()
	if _, err := x.Next([]byte("r=another,s=c2FsdA==,i=4096")); err == nil {
		t.Error("a nonce that is not ours is taken")
	}
	refusal := errors.New("535")
	if err := x.End(refusal); !errors.Is(err, refusal) {
		t.Errorf("got %v, want the refusal", err)
	}
}

// No value can hold what would end a field, and none is printed.
func TestCredentialsAreClean(t *testing.T) {
	for _, bad := range []string{"a\x00b", "a\rb", "a\nb"} {
		for what, c := range map[string]sasl.Credential{
			"user": sasl.Password(bad, "x"), "password": sasl.Password("x", bad), "identity": sasl.PasswordAs(bad, "x", "x"),
			"trace": sasl.Anonymous(bad), "external": sasl.External(bad),
			"token user": sasl.Token(bad, func(context.Context) (string, time.Time, error) { return "t", time.Time{}, nil }),
			"token":      sasl.Token("x", func(context.Context) (string, time.Time, error) { return bad, time.Time{}, nil }),
		} {
			if x, err := c.Exchange(t.Context(), sasl.Offer{Mechanisms: append(all, "EXTERNAL")}); err == nil {
				t.Errorf("%s %q: %s begins", what, bad, x.Mechanism())
			}
		}
	}
	keys, err := sasl.NewKeys("SCRAM-SHA-1", "hunter2", 0)
	if err != nil {
		t.Fatal(err)
	}
	source := func(context.Context) (string, time.Time, error) { return "hunter2", time.Time{}, nil }
	for _, c := range []any{sasl.Password("ann", "hunter2"), sasl.Token("ann", source), keys} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(format, c); strings.Contains(s, "hunter2") || strings.Contains(s, string(keys.Salt)) || len(s) > 40 {
				t.Errorf("%s: got %s", format, s)
			}
		}
	}
}

func TestNewKeys(t *testing.T) {
	for _, c := range []struct {
		mechanism, password string
		iterations          int
	}{
		{"PLAIN", "x", 0}, {"SCRAM-SHA-256-PLUS", "x", 0}, {"SCRAM-SHA-256", "\U0001F511", 0},
		{"SCRAM-SHA-256", "x", 4095}, {"SCRAM-SHA-256", "x", 5 << 20},
	} {
		if _, err := sasl.NewKeys(c.mechanism, c.password, c.iterations); err == nil {
			t.Errorf("%s, %q, %d iterations: got keys", c.mechanism, c.password, c.iterations)
		}
	}
}
