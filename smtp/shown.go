package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Which certificate a client was shown. The exchanges that are bound to the server's
// certificate need it (RFC 5929, 4: tls-server-end-point), and crypto/tls does not
// tell: it is chosen for each handshake by functions of the user's, by what the
// client can do, and anew whenever a certificate was renewed. So it is noted while it
// is being chosen, in what the context of the handshake leads to.

// shownKey is the context key of the place where the choice is noted, a
// *x509.Certificate.
type shownKey struct{}

// noting returns config with a choice of certificates that notes what it chose. It is
// made once for a Server: the keys of session tickets belong to a Config.
func noting(config *tls.Config) *tls.Config {
	out := config.Clone()
	if inner := config.GetConfigForClient; inner != nil {
		out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := inner(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			return noting(chosen), nil // it is not asked again for another
		}
	}
	out.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := choose(config, hello)
		if place, ok := hello.Context().Value(shownKey{}).(**x509.Certificate); ok && cert != nil && err == nil {
			*place = leaf(cert)
		}
		return cert, err
	}
	// With none GetCertificate is asked, whatever the client says.
	out.Certificates = nil
	return out
}

// choose does what crypto/tls does with the certificates of config.
func choose(config *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if config.GetCertificate != nil && (len(config.Certificates) == 0 || hello.ServerName != "") {
		if cert, err := config.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(config.Certificates) == 0 {
		return nil, errors.New("smtp: TLSConfig has no certificate")
	}
	for i := range config.Certificates {
		if hello.SupportsCertificate(&config.Certificates[i]) == nil {
			return &config.Certificates[i], nil
		}
	}
	return &config.Certificates[0], nil
}

// leaf returns the certificate itself; nil if it cannot be read, and then nothing is
// bound to it.
func leaf(cert *tls.Certificate) *x509.Certificate {
	if cert.Leaf != nil || len(cert.Certificate) == 0 {
		return cert.Leaf
	}
	parsed, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil
	}
	return parsed
}

// note returns a context that has what is shown in a handshake noted in place. A
// session that is resumed shows nothing.
func note(ctx context.Context, place **x509.Certificate) context.Context {
	return context.WithValue(ctx, shownKey{}, place)
}
