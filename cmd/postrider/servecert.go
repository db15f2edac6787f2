package main

import (
	"crypto/tls"
	"sync/atomic"
)

// A keyPair is a chain and its key in files, which can be read again while it is in use: certificates last some weeks,
// servers longer.
type keyPair struct {
	certFile, keyFile string
	pair              atomic.Pointer[tls.Certificate]
}

// openKeyPair reads the files; without any there is no certificate, and no error.
func openKeyPair(certFile, keyFile string) (*keyPair, error) {
	if certFile == "" {
		return nil, nil
	}
	c := &keyPair{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again. After an error the certificate is that of before.
func (c *keyPair) Reload() error {
	// The file system says which of the two files it is; the certificate does not.
	for _, name := range []string{c.certFile, c.keyFile} {
		if _, err := readConfig(name); err != nil {
			return err
		}
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return exitf(exitConfig, "the certificate cannot be used: %w", err)
	}
	c.pair.Store(&pair)
	return nil
}

// config is what servers are given; nil without a certificate.
func (c *keyPair) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}
