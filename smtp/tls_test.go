package smtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

func password(user, pass string) sasl.Credential { return sasl.Password(user, pass) }

// serverTLS makes a certificate for 127.0.0.1 and localhost.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// clientTLS trusts what server shows.
func clientTLS(t testing.TB, server *tls.Config) *tls.Config {
	t.Helper()
	cert, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool}
}

// elsewhere makes a connection look as if it went to another host: there TLS is
// required.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

func farDialer() *smtp.Dialer {
	d := dialer()
	d.TLS = smtp.TLSAuto
	d.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		return elsewhere{nc}, err
	}
	return d
}

// Each mode against a server with STARTTLS, one without, and one with implicit
// TLS, near and far.
func TestTLSModes(t *testing.T) {
	config := serverTLS(t)
	trusting := clientTLS(t, config)
	with := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{})
	without := serve(t, &smtp.Server{}, smtp.Policy{})
	implicit := serve(t, &smtp.Server{TLSConfig: config}, smtp.Policy{ImplicitTLS: true})
	for name, c := range map[string]struct {
		addr   string
		mode   smtp.TLSMode
		far    bool
		config *tls.Config
		want   string // "tls", "clear" or an error's text
	}{
		"auto, near":                     {with, smtp.TLSAuto, false, nil, "tls"},
		"auto, near, not offered":        {without, smtp.TLSAuto, false, nil, "clear"},
		"auto, far":                      {with, smtp.TLSAuto, true, trusting, "tls"},
		"auto, far, not trusted":         {with, smtp.TLSAuto, true, nil, "certificate"},
		"auto, far, not offered":         {without, smtp.TLSAuto, true, nil, "no STARTTLS"},
		"starttls":                       {with, smtp.TLSStartTLS, false, trusting, "tls"},
		"starttls, not trusted":          {with, smtp.TLSStartTLS, false, nil, "certificate"},
		"starttls, not offered":          {without, smtp.TLSStartTLS, false, nil, "no STARTTLS"},
		"opportunistic, far":             {with, smtp.TLSOpportunistic, true, nil, "tls"},
		"opportunistic, not offered":     {without, smtp.TLSOpportunistic, true, nil, "clear"},
		"none":                           {with, smtp.TLSNone, true, nil, "clear"},
		"implicit":                       {implicit, smtp.TLSImplicit, true, trusting, "tls"},
		"implicit, not trusted":          {implicit, smtp.TLSImplicit, false, nil, "certificate"},
		"implicit, but the server isn't": {with, smtp.TLSImplicit, false, trusting, "TLS"},
	} {
		d := dialer()
		if c.far {
			d = farDialer()
		}
		d.TLS, d.TLSConfig = c.mode, c.config
		client, err := d.Dial(t.Context(), c.addr)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case client.TLS() != nil:
			got = "tls"
		default:
			got = "clear"
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if client != nil {
			client.Close()
		}
	}
}

// Credentials are not sent in clear to other hosts, nor for a mechanism that was
// not offered; a refusal is permanent and a fault of the server's temporary.
func TestAuth(t *testing.T) {
	users := func(_ context.Context, _ *smtp.Conn, user, pass string) error {
		switch {
		case user == "broken":
			return errors.New("no database")
		case pass != "secret":
			return smtp.Errorf(535, "5.7.8", "wrong")
		}
		return nil
	}
	clear := serve(t, &smtp.Server{OnAuth: users, AllowInsecureAuth: true}, smtp.Policy{})
	none := serve(t, &smtp.Server{}, smtp.Policy{})
	try := func(d *smtp.Dialer, addr, user, pass string) error {
		d.TLS, d.Auth = smtp.TLSNone, password(user, pass)
		c, err := d.Dial(t.Context(), addr)
		if c != nil {
			c.Close()
		}
		return err
	}
	if err := try(dialer(), clear, "ann", "secret"); err != nil {
		t.Errorf("near: got %v", err)
	}
	if err := try(farDialer(), clear, "ann", "secret"); classes(err) != "permanent" || !strings.Contains(err.Error(), "in clear") {
		t.Errorf("far: got %v, want a refusal to send in clear", err)
	}
	allowed := farDialer()
	allowed.AllowInsecureAuth = true
	if err := try(allowed, clear, "ann", "secret"); err != nil {
		t.Errorf("far, allowed: got %v", err)
	}
	if err := try(dialer(), none, "ann", "secret"); !errors.Is(err, smtp.ErrNoMechanism) {
		t.Errorf("not offered: got %v, want ErrNoMechanism", err)
	}
	if err := try(dialer(), clear, "ann", "wrong"); classes(err) != "permanent" {
		t.Errorf("wrong password: got %v, want permanent", err)
	}
	if err := try(dialer(), clear, "broken", "secret"); classes(err) != "temporary" || strings.Contains(err.Error(), "database") {
		t.Errorf("server's fault: got %v, want temporary and nothing of its text", err)
	}
}
