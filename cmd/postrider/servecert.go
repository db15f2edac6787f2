package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// Certificates: of files, or fetched by ACME. Both are looked up for each handshake, so that
// one that was renewed is used by the next session without a restart. Which protocol versions
// are spoken is decided in tlsOf, for all ports.

// certificates are what TLS is done with: files, or an authority that gives them out.
type certificates interface {
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Reload() error
}

// tlsOf is what servers are given; nil without certificates.
func tlsOf(c certificates) *tls.Config {
	if c == nil {
		return nil
	}
	// RFC 8996: nothing older than TLS 1.2. Ciphers and curves are Go's, which keeps them current.
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.certificate}
}

// openCertificates reads the files, or prepares to ask the authority; without either there is no TLS, and no error.
func (v *server) openCertificates() (err error) {
	if o := &v.options; o.acme != nil {
		v.acme = newAuthority(o)
		v.certificates = v.acme
		return nil
	}
	v.certificates, err = openKeyPair(v.options.tlsCert, v.options.tlsKey)
	return err
}

// A keyPair is a chain and its key in files, which can be read again while it is in use: certificates last some weeks,
// servers longer.
type keyPair struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate]
}

// openKeyPair reads the files; without any there are no certificates, and no error.
func openKeyPair(certFile, keyFile string) (certificates, error) {
	if certFile == "" {
		return nil, nil
	}
	c := &keyPair{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again. After an error the certificate is that of before.
func (c *keyPair) Reload() error {
	// The file system says which of the two files it is; the certificate does not.
	for _, f := range []struct{ flag, name string }{{"tls-cert", c.certFile}, {"tls-key", c.keyFile}} {
		if _, err := readConfig(f.name); err != nil {
			return flagf(exitNoInput, f.flag, ": %w", err)
		}
	}
	// Loaded and matched before it replaces the old pair: between a new chain and its new key, which
	// some tools write one after the other, the old pair goes on being used.
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return flagf(exitConfig, "tls-cert", ": %s with %s: the certificate cannot be used: %w", c.certFile, c.keyFile, err)
	}
	c.pair.Store(&pair)
	return nil
}

func (c *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.pair.Load(), nil
}

// An authority gives out certificates for names that it has found to be ours, by ACME (RFC 8555). What it gave is kept in
// the data directory and renewed in time.
type authority struct {
	names   []string
	manager *autocert.Manager
}

func newAuthority(o *serveOptions) *authority {
	return &authority{o.acme, &autocert.Manager{
		Prompt:     autocert.AcceptTOS, // as the help of --acme says
		Cache:      autocert.DirCache(filepath.Join(o.data, "acme")),
		HostPolicy: autocert.HostWhitelist(o.acme...),
		Client:     &acme.Client{DirectoryURL: o.acmeURL, UserAgent: "postrider"},
	}}
}

// certificate returns that of the name that the client asks for. QUIRK: most mail servers ask for none, or for what a
// domain's MX calls us; they get the first one, as they verify none or another name (RFC 7672, 8.1).
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	asked := *hello
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	if !slices.ContainsFunc(a.names, func(n string) bool { return strings.EqualFold(n, name) }) {
		asked.ServerName = a.names[0]
	}
	return a.manager.GetCertificate(&asked)
}

// Reload does nothing: what is renewed is used by itself.
func (a *authority) Reload() error { return nil }

// fetch gets the certificates that are not there yet, so that no client has to wait for them. One that cannot be had is
// asked for again when a client comes.
func (a *authority) fetch(ctx context.Context, log *slog.Logger) {
	for _, name := range a.names {
		if ctx.Err() != nil {
			return
		}
		// What a client of today says: it gets the certificate that it would get.
		hello := &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
		if _, err := a.manager.GetCertificate(hello); err != nil {
			log.Error("the authority gives no certificate", "name", name, "err", err)
			continue
		}
		log.Info("the certificate is there", "name", name)
	}
}

// challenges answers the authority, and nobody else.
func (a *authority) challenges() http.Handler { return a.manager.HTTPHandler(http.NotFoundHandler()) }
