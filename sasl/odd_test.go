package sasl_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/sasl"
)

// What neither side should say, step by step: an exchange that goes on for longer than its mechanism does, a message that
// is none at a later step, and functions of the server's that fail.

// A server that asks for more than its mechanism has gets nothing more: the next answer could be worth something elsewhere.
func TestAskedTooMuch(t *testing.T) {
	token := sasl.Token("ann", func(context.Context) (string, time.Time, error) { return "good", time.Time{}, nil })
	for name, c := range map[string]struct {
		credential sasl.Credential
		challenges []string // the last one is too many
	}{
		"PLAIN":                       {sasl.Password("ann", "secret"), []string{"more?"}},
		"LOGIN":                       {sasl.Password("ann", "secret"), []string{"Username:", "Password:", "Token:"}},
		"CRAM-MD5":                    {sasl.Password("ann", "secret"), []string{"<1@mx>", "<2@mx>"}},
		"CRAM-MD5 of nothing":         {sasl.Password("ann", "secret"), []string{""}},
		"XOAUTH2":                     {token, []string{"{}", "{}"}},
		"OAUTHBEARER":                 {token, []string{"{}", "{}"}},
		"XOAUTH2 asked again":         {token, []string{""}},
		"EXTERNAL":                    {sasl.External("ann"), []string{"more?"}},
		"ANONYMOUS":                   {sasl.Anonymous("ann"), []string{""}},
		"SCRAM-SHA-256":               {sasl.Password("ann", "secret"), []string{"no such message"}},
		"SCRAM-SHA-256 without count": {sasl.Password("ann", "secret"), []string{"r=x,s=c2FsdA=="}},
	} {
		mechanism, _, _ := strings.Cut(name, " ")
		x, err := c.credential.Exchange(t.Context(), sasl.Offer{Mechanisms: []string{mechanism}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := x.Next(nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, challenge := range c.challenges {
			response, err := x.Next([]byte(challenge))
			if last := i == len(c.challenges)-1; last != (err != nil) || last && response != nil {
				t.Errorf("%s: to %q it says %q (%v)", name, challenge, response, err)
			}
			if err != nil && !strings.Contains(err.Error(), mechanism) {
				t.Errorf("%s: got %v, want the mechanism in it", name, err)
			}
		}
	}
	// Nor one that tells what is wrong with a token before it has been given one.
	x, err := token.Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"XOAUTH2"}})
	if err != nil {
		t.Fatal(err)
	}
	if response, err := x.Next([]byte("{}")); err == nil {
		t.Errorf("told before it has asked: it says %q", response)
	}
}

// What a server says of a token it refuses is told in its words: status, scope and description, as far as there are any.
func TestReasons(t *testing.T) {
	for told, want := range map[string]string{
		`{"status":"invalid_token"}`:                                            `535 (status "invalid_token")`,
		`{"status":"401","scope":"mail"}`:                                       `535 (status "401", scope "mail")`,
		`{"status":"401","error_description":"it is over"}`:                     `535 (status "401", "it is over")`,
		`{"status":"401","scope":"mail","error_description":"it is\r\n over" }`: `535 (status "401", scope "mail", "it is\r\n over")`,
		`{"scope":"mail"}`:                                                      `535 (the server told "{\"scope\":\"mail\"}")`,
		`no JSON`:                                                               `535 (the server told "no JSON")`,
	} {
		x, err := sasl.Token("ann", func(context.Context) (string, time.Time, error) { return "good", time.Time{}, nil }).
			Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"OAUTHBEARER"}})
		if err != nil {
			t.Fatal(err)
		}
		x.Next(nil)
		if response, err := x.Next([]byte(told)); string(response) != "\x01" || err != nil {
			t.Errorf("%s: got %q, %v, want ^A alone (RFC 7628, 3.2.3)", told, response, err)
		}
		refusal := errors.New("535")
		if got := x.End(refusal); got.Error() != want || !errors.Is(got, refusal) {
			t.Errorf("%s: got %s, want %s", told, got, want)
		}
	}
}

// A source that gives no token, or what is none, says so as ErrNoToken, with its own error within.
func TestNoToken(t *testing.T) {
	down := errors.New("no route to host")
	for name, c := range map[string]struct {
		token string
		err   error
	}{"down": {"", down}, "empty": {"", nil}, "two words": {"a b", nil}, "beyond ASCII": {"tökén", nil}, "DEL": {"a\x7f", nil}} {
		asked := 0
		credential := sasl.Token("ann", func(context.Context) (string, time.Time, error) {
			asked++
			return c.token, time.Time{}, c.err
		})
		for range 2 { // nothing is kept of what was no token
			if _, err := credential.Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"XOAUTH2"}}); !errors.Is(err, sasl.ErrNoToken) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%s: got %v, want ErrNoToken and %v", name, err, c.err)
			}
		}
		if asked != 2 {
			t.Errorf("%s: asked %d times, want 2", name, asked)
		}
	}
	if _, err := sasl.Token("ann", nil).Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"PLAIN"}}); !errors.Is(err, sasl.ErrNoMechanism) {
		t.Errorf("no mechanism for tokens: got %v, and the source is not asked", err)
	}
}

// A name goes through a saslname whole (RFC 5801, 4), whatever is in it, and reaches who judges the token.
func TestNamesOfTokens(t *testing.T) {
	for _, name := range []string{"ann", "a,n=n", "=2C", ",,==", "ann@exämple.com"} {
		var claimed string
		v := &sasl.Verifier{Token: func(_ context.Context, user, _ string) (string, error) { claimed = user; return "ann", nil }}
		credential := sasl.Token(name, func(context.Context) (string, time.Time, error) { return "good", time.Time{}, nil })
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			if _, user, err := talk(t, sasl.Only(credential, mechanism), v, sasl.Offer{}, sasl.Channel{}); user != "ann" || err != nil || claimed != name {
				t.Errorf("%s of %q: got %q who claims to be %q, %v", mechanism, name, user, claimed, err)
			}
		}
	}
	// A client that could bind to a channel, if there were one to bind to, says y.
	if _, done, err := users(t).Server(t.Context(), "OAUTHBEARER", sasl.Channel{}).Next([]byte("y,,\x01auth=Bearer good\x01\x01")); !done || err != nil {
		t.Errorf("y in place of n: got %t, %v", done, err)
	}
}

// What a client says at a later step, or first, is looked at like all else. nil is that it said nothing yet.
func TestLaterSyntax(t *testing.T) {
	said := func(words ...string) (b [][]byte) {
		for _, w := range words {
			if b = append(b, []byte(w)); w == "nil" {
				b[len(b)-1] = nil
			}
		}
		return b
	}
	const bearer = "n,,\x01auth=Bearer bad\x01\x01"
	for name, c := range map[string]struct {
		said [][]byte
		want error
	}{
		"LOGIN":                          {said("nil", "a\nnn", "secret"), sasl.ErrSyntax},
		"LOGIN of nobody":                {said("nil", "", "secret"), sasl.ErrSyntax},
		"OAUTHBEARER":                    {said("nil", bearer, "\x01"), sasl.ErrRefused},
		"OAUTHBEARER says it again":      {said(bearer, "n,,\x01auth=Bearer good\x01\x01"), sasl.ErrRefused},
		"OAUTHBEARER, a pair that isn't": {said("n,,\x01auth\x01\x01"), sasl.ErrSyntax},
		"XOAUTH2 asks what is wanted":    {said("user=ann\x01auth=\x01\x01", ""), sasl.ErrRefused},
		"ANONYMOUS":                      {said("nil", "a\x00b"), sasl.ErrSyntax},
		"PLAIN":                          {said("nil", "\x00ann"), sasl.ErrSyntax},
	} {
		mechanism, _, _ := strings.Cut(strings.ReplaceAll(name, ",", " "), " ")
		s := users(t).Server(t.Context(), mechanism, sasl.Channel{Host: "mx.example.com"})
		var err error
		for i, response := range c.said {
			var done bool
			if _, done, err = s.Next(response); done || (err != nil) != (i == len(c.said)-1) {
				t.Errorf("%s: %q: got done %v, %v", name, response, done, err)
			}
		}
		if !errors.Is(err, c.want) || s.User() != "" {
			t.Errorf("%s: got %v and the user %q, want %v and nobody", name, err, s.User(), c.want)
		}
	}
}

// A function that fails is no refusal, and lets nobody in.
func TestFunctionsFail(t *testing.T) {
	client, server, cert := overTLS(t, tls.VersionTLS13)
	v := users(t)
	v.Anonymous = func(context.Context, string) error { return errBroken }
	v.Token = func(context.Context, string, string) (string, error) { return "", errBroken }
	v.Certificate = nil
	token := sasl.Token("ann", func(context.Context) (string, time.Time, error) { return "good", time.Time{}, nil })
	channel := sasl.Channel{Host: "mx.example.com", TLS: &server, Certificate: cert}
	for mechanism, c := range map[string]sasl.Credential{"ANONYMOUS": sasl.Anonymous("x"), "OAUTHBEARER": token, "XOAUTH2": token} {
		if _, user, err := talk(t, sasl.Only(c, mechanism), v, sasl.Offer{TLS: &client}, channel); !errors.Is(err, errBroken) || errors.Is(err, sasl.ErrRefused) || user != "" {
			t.Errorf("%s: got %q, %v, want the function's error", mechanism, user, err)
		}
	}
	// A name that a function made up could break a line of a log as well as a client's.
	v.Token = func(context.Context, string, string) (string, error) { return "a\nb", nil }
	if _, user, err := talk(t, token, v, sasl.Offer{Mechanisms: []string{"XOAUTH2"}}, channel); err == nil || user != "" {
		t.Errorf("a name of two lines: got %q, %v", user, err)
	}
}

// The salt of a user who does not exist cannot be worked out: whoever could would know who does exist.
func TestMadeUpSaltIsSecret(t *testing.T) {
	salt := func(key []byte) string {
		v := users(t)
		v.SaltKey = key
		challenge, _, err := v.Server(t.Context(), "SCRAM-SHA-256", sasl.Channel{}).Next([]byte("n,,n=nobody,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(challenge), ",s=")
		s, _, _ := strings.Cut(rest, ",")
		return s
	}
	kept, err := sasl.NewKeys("SCRAM-SHA-256", "secret", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := salt(nil); got == salt([]byte{}) || got != salt(nil) {
		t.Errorf("without a key: got the salt %s, want one of a key that nobody knows, each time the same", got)
	} else if n := len(got) / 4 * 3; n != (len(kept.Salt)+2)/3*3 {
		t.Errorf("it has about %d octets, others have %d", n, len(kept.Salt))
	}
}

// When a SCRAM server has proved itself the client has only to say that it has heard (RFC 5802, 5): anything else is not
// of the mechanism, and it is not let in.
func TestHeardAndMore(t *testing.T) {
	for said, want := range map[string]error{"": nil, "v=more": sasl.ErrSyntax} {
		x, err := sasl.Password("ann", "s3 cret é").Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"SCRAM-SHA-256"}})
		if err != nil {
			t.Fatal(err)
		}
		s := users(t).Server(t.Context(), "SCRAM-SHA-256", sasl.Channel{})
		var challenge []byte
		for range 3 { // hello, proof, and the server's own
			response, err := x.Next(challenge)
			if err != nil {
				t.Fatal(err)
			}
			if len(response) == 0 {
				break
			}
			if challenge, _, err = s.Next(response); err != nil || s.User() != "" {
				t.Fatalf("%q: got %v and the user %q before the end", response, err, s.User())
			}
		}
		if _, done, err := s.Next([]byte(said)); !errors.Is(err, want) || done != (want == nil) {
			t.Errorf("%q: got %v, %v, want %v", said, done, err, want)
		}
		if got := s.User(); (got == "ann") != (want == nil) {
			t.Errorf("%q: the user is %q", said, got)
		}
	}
}
