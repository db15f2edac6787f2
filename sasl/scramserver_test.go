package sasl_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/sasl"
)

// What a SCRAM server does with clients that are no client of ours, and with what its own
// side gives it (RFC 5802). Most of it no honest peer ever shows.

// first lets a server answer a client's first message.
func first(t *testing.T, v *sasl.Verifier, mechanism string, channel sasl.Channel, message string) (string, error) {
	t.Helper()
	challenge, done, err := v.Server(t.Context(), mechanism, channel).Next([]byte(message))
	if done {
		t.Errorf("%s: %q ends it", mechanism, message)
	}
	return string(challenge), err
}

// AUTH without an initial response is answered by an empty challenge (RFC 4954, 4), after
// which the exchange goes on as with one.
func TestScramWithoutInitialResponse(t *testing.T) {
	s := users(t).Server(t.Context(), "SCRAM-SHA-256", sasl.Channel{})
	if challenge, done, err := s.Next(nil); len(challenge) != 0 || challenge == nil || done || err != nil {
		t.Fatalf("got %q, %v, %v, want an empty challenge", challenge, done, err)
	}
	if challenge, _, err := s.Next([]byte("n,,n=ann,r=abc")); err != nil || !strings.HasPrefix(string(challenge), "r=abc") {
		t.Errorf("then got %q, %v, want the server's first message", challenge, err)
	}
}

// The binding is the one of the version of TLS: from 1.3 on tls-exporter (RFC 9266, 3),
// before it what the certificate gives, because there an exporter may not be unique.
func TestKindOfBinding(t *testing.T) {
	for version, want := range map[uint16]string{tls.VersionTLS12: "p=tls-server-end-point,", tls.VersionTLS13: "p=tls-exporter,"} {
		state, _, _ := overTLS(t, version)
		x, err := sasl.Password("ann", "secret").Exchange(t.Context(), sasl.Offer{Mechanisms: []string{"SCRAM-SHA-256-PLUS"}, TLS: &state})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.Next(nil); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: got %q, %v, want %s", tls.VersionName(version), got, err, want)
		}
	}
}

// A binding that the server cannot make is refused, whichever it is: there is no certificate
// to bind to, nobody knows it, or it is one that TLS 1.3 does not have (RFC 9266, 1).
func TestBindingThatCannotBe(t *testing.T) {
	_, server, _ := overTLS(t, tls.VersionTLS13)
	for _, kind := range []string{"tls-server-end-point", "tls-unique", "", "x"} {
		challenge, err := first(t, users(t), "SCRAM-SHA-256-PLUS", sasl.Channel{TLS: &server}, "p="+kind+",,n=ann,r=abc")
		if err == nil {
			t.Errorf("%q: got %q, want a refusal", kind, challenge)
		}
	}
}

// Keys that cannot be a mechanism's are a fault of the server's own, and no refusal: a
// password that is right must not be called wrong.
func TestKeysOfAnotherShape(t *testing.T) {
	for name, spoil := range map[string]func(k *sasl.Keys){
		"stored key": func(k *sasl.Keys) { k.StoredKey = k.StoredKey[1:] },
		"server key": func(k *sasl.Keys) { k.ServerKey = k.ServerKey[1:] },
		"salt":       func(k *sasl.Keys) { k.Salt = nil },
		"iterations": func(k *sasl.Keys) { k.Iterations = 0 },
	} {
		keys, err := sasl.NewKeys("SCRAM-SHA-256", "secret", 0)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&keys)
		v := &sasl.Verifier{Keys: func(context.Context, string, string) (sasl.Keys, error) { return keys, nil }}
		_, err = first(t, v, "SCRAM-SHA-256", sasl.Channel{}, "n,,n=ann,r=abc")
		if err == nil || errors.Is(err, sasl.ErrRefused) || errors.Is(err, sasl.ErrSyntax) {
			t.Errorf("%s: got %v, want an error that is no refusal", name, err)
		}
	}
}

// Where nodes share a SaltKey, a user who does not exist has the same salt on each; with
// another one another, so that nobody can tell from elsewhere who is made up.
func TestSaltKey(t *testing.T) {
	salt := func(key string) string {
		v := users(t)
		v.SaltKey = []byte(key)
		challenge, err := first(t, v, "SCRAM-SHA-256", sasl.Channel{}, "n,,n=nobody,r=abc")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(challenge, ",")
		return rest
	}
	if a, b := salt("one key"), salt("one key"); a != b {
		t.Errorf("one key gave %q and %q", a, b)
	}
	if a, b := salt("one key"), salt("another"); a == b {
		t.Errorf("two keys gave %q", a)
	}
}

// A name goes into logs and Received fields: one that cannot be shown is asked about nowhere.
func TestNamesThatCannotBeShown(t *testing.T) {
	var asked []string
	v := users(t)
	keys, authorize := v.Keys, v.Authorize
	v.Keys = func(ctx context.Context, user, mechanism string) (sasl.Keys, error) {
		asked = append(asked, user)
		return keys(ctx, user, mechanism)
	}
	v.Authorize = func(ctx context.Context, user, identity string) error {
		asked = append(asked, identity)
		return authorize(ctx, user, identity)
	}
	for _, name := range []string{"a\x01b", "a\x7fb", "a\nb", ""} {
		if challenge, err := first(t, v, "SCRAM-SHA-256", sasl.Channel{}, "n,,n="+name+",r=abc"); err == nil {
			t.Errorf("%q: got %q, want a refusal", name, challenge)
		}
	}
	plain := bytes.Join([][]byte{[]byte("sa\nles"), []byte("ann"), []byte("s3 cret é")}, []byte{0})
	if _, done, err := v.Server(t.Context(), "PLAIN", sasl.Channel{}).Next(plain); done || err == nil {
		t.Errorf("%q: got %v, %v, want a refusal", plain, done, err)
	}
	if len(asked) > 0 {
		t.Errorf("asked about %q", asked)
	}
}

// Without Authorize nobody acts for another (RFC 4616, 2), and everybody for themselves.
func TestNobodyActsForAnother(t *testing.T) {
	v := users(t)
	v.Authorize = nil
	for identity, want := range map[string]error{"sales": sasl.ErrRefused, "": nil, "ann": nil} {
		plain := slices.Concat([]byte(identity), []byte("\x00ann\x00s3 cret é"))
		if _, _, err := v.Server(t.Context(), "PLAIN", sasl.Channel{}).Next(plain); !errors.Is(err, want) {
			t.Errorf("as %q: got %v, want %v", identity, err, want)
		}
	}
}
