package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// However a server comes to its certificate, and whatever it shows to others by
// then, an exchange is bound to the one that this client has seen.
func TestAuthBoundToWhatWasShown(t *testing.T) {
	old, renewed := serverTLS(t), serverTLS(t)
	pool := x509.NewCertPool()
	for _, config := range []*tls.Config{old, renewed} {
		cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(cert)
	}
	var now atomic.Pointer[tls.Config]
	for name, config := range map[string]*tls.Config{
		"one":     old,
		"several": {Certificates: append(old.Certificates[:1:1], renewed.Certificates...)},
		"GetCertificate": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &now.Load().Certificates[0], nil
		}},
		"GetCertificate has none": {Certificates: old.Certificates, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }},
		"GetConfigForClient":      {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return now.Load(), nil }},
		"GetConfigForClient has none": {Certificates: old.Certificates,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }},
	} {
		keys, err := sasl.NewKeys("SCRAM-SHA-256", "secret", 0)
		if err != nil {
			t.Fatal(err)
		}
		addr := serve(t, &smtp.Server{TLSConfig: config, Handler: new(mailbox).hooks(), Logger: slog.New(slog.DiscardHandler),
			SASL: &sasl.Verifier{Keys: func(context.Context, string, string) (sasl.Keys, error) { return keys, nil }}}, smtp.Policy{})
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			now.Store(old)
			d := dialer()
			d.TLS, d.TLSConfig = smtp.TLSStartTLS, &tls.Config{RootCAs: pool, ServerName: "localhost", MaxVersion: version}
			client, err := d.Dial(t.Context(), addr)
			if err != nil {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
				continue
			}
			now.Store(renewed) // SIGHUP, or the authority's new one
			if _, err := client.Auth(t.Context(), sasl.Only(sasl.Password("ann", "secret"), "SCRAM-SHA-256-PLUS")); err != nil {
				t.Errorf("%s, %s: got %v, want a bound exchange", name, tls.VersionName(version), err)
			}
			client.Close()
		}
	}
}

// Without any certificate a handshake fails, and the session ends.
func TestNoCertificate(t *testing.T) {
	addr := serve(t, &smtp.Server{TLSConfig: new(tls.Config), Handler: new(mailbox).hooks(), Logger: slog.New(slog.DiscardHandler)}, smtp.Policy{})
	d := dialer()
	d.TLS, d.TLSConfig = smtp.TLSStartTLS, &tls.Config{InsecureSkipVerify: true}
	if _, err := d.Dial(t.Context(), addr); err == nil {
		t.Error("got a session in TLS, want none")
	}
}
