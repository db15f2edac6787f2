package sasl_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/postrider/postrider/sasl"
)

// What would let somebody in, or bring a server down, if it were taken for what it looks like.

// A certificate that nobody has verified says nothing of who holds it (RFC 4422, A.4): with
// tls.RequireAnyClientCert everyone has one, of any name.
func TestExternalNeedsAVerifiedCertificate(t *testing.T) {
	_, server, cert := overTLS(t, tls.VersionTLS13)
	if got := users(t).Mechanisms(sasl.Channel{TLS: &server}); !slices.Contains(got, "EXTERNAL") {
		t.Errorf("verified: got %v, want EXTERNAL among them", got)
	}
	unverified := sasl.Channel{TLS: &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}}
	v := users(t)
	if got := v.Mechanisms(unverified); slices.Contains(got, "EXTERNAL") {
		t.Errorf("unverified: got %v, want no EXTERNAL", got)
	}
	if s := v.Server(t.Context(), "EXTERNAL", unverified); s != nil {
		t.Errorf("unverified: got the server %T, want none", s)
	}
}

// A response to CRAM-MD5 that is no name and digest (RFC 2195, 2) is a syntax error, which
// asks about nobody.
func TestCRAMResponses(t *testing.T) {
	for response, want := range map[string]error{
		"":        sasl.ErrSyntax,
		"ann":     sasl.ErrSyntax, // no digest
		" abc":    sasl.ErrSyntax, // no name
		"a\nn 00": sasl.ErrSyntax,
		"ann ":    sasl.ErrRefused, // an empty digest is a wrong one
		"ann 00":  sasl.ErrRefused,
	} {
		s := users(t).Server(t.Context(), "CRAM-MD5", sasl.Channel{Host: "mx.example.com"})
		if _, done, err := s.Next(nil); done || err != nil {
			t.Fatalf("the challenge: got %v, %v", done, err)
		}
		if _, done, err := s.Next([]byte(response)); done || !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want %v", response, done, err, want)
		}
	}
}
