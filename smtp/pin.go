package smtp

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
)

// Public keys that are trusted whatever authorities vouch for.

// Pin returns the pin of a certificate's public key: the SHA-256 of its
// SubjectPublicKeyInfo in base64 (RFC 7469, 2.4), as openssl makes it by
//
//	openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// pinned returns a VerifyConnection that looks for a pin, after next has been asked.
func (d *Dialer) pinned(next func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if next != nil {
			if err := next(state); err != nil {
				return err
			}
		}
		chains := state.VerifiedChains
		if chains == nil {
			// Nobody has looked whether the others belong to the first: they prove
			// nothing, since anyone may send them along.
			chains = [][]*x509.Certificate{state.PeerCertificates[:1]}
		}
		for _, chain := range chains {
			for _, cert := range chain {
				if slices.Contains(d.Pins, Pin(cert)) {
					return nil
				}
			}
		}
		return errors.New("the server's key is " + Pin(state.PeerCertificates[0]) + ", which is none of those pinned")
	}
}
