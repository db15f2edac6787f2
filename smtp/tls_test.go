package smtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
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

// Less than TLS 1.2 is refused (RFC 8996), by whichever mode TLS came about; a TLSConfig
// that asks for less gets it, for a server that cannot be helped.
func TestLeastTLS(t *testing.T) {
	old := serverTLS(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	starttls := serve(t, &smtp.Server{TLSConfig: old, Logger: slog.New(slog.DiscardHandler)}, smtp.Policy{})
	implicit := serve(t, &smtp.Server{TLSConfig: old, Logger: slog.New(slog.DiscardHandler)}, smtp.Policy{ImplicitTLS: true})
	for name, c := range map[string]struct {
		addr  string
		mode  smtp.TLSMode
		least uint16
		want  string
	}{
		"starttls":                    {starttls, smtp.TLSStartTLS, 0, "version"},
		"implicit":                    {implicit, smtp.TLSImplicit, 0, "version"},
		"opportunistic":               {starttls, smtp.TLSOpportunistic, 0, "version"},
		"auto, near":                  {starttls, smtp.TLSAuto, 0, "version"},
		"starttls, asked for less":    {starttls, smtp.TLSStartTLS, tls.VersionTLS10, ""},
		"implicit, not little enough": {implicit, smtp.TLSImplicit, tls.VersionTLS12, "version"},
	} {
		d := dialer()
		d.TLS, d.TLSConfig = c.mode, clientTLS(t, old)
		d.TLSConfig.MinVersion = c.least
		client, err := d.Dial(t.Context(), c.addr)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || classes(err) != "temporary") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if client != nil {
			client.Close()
		}
	}
}

// What a server has said before TLS counts for nothing after it: not what it offers, and
// not who it is (RFC 3207, 4.2).
func TestForgottenInTLS(t *testing.T) {
	config := serverTLS(t)
	srv := &smtp.Server{TLSConfig: config, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
	d := &smtp.Dialer{Hostname: "c.example.org", TLS: smtp.TLSNone}
	c := dial(t, d, serve(t, srv, smtp.Policy{}))
	if _, ok := c.Extension("AUTH"); ok {
		t.Error("AUTH is offered in clear")
	}
	if _, ok := c.Extension("STARTTLS"); !ok {
		t.Fatal("STARTTLS is not offered")
	}
	trusting := clientTLS(t, config)
	trusting.ServerName = "localhost"
	if _, err := c.StartTLS(t.Context(), trusting); err != nil {
		t.Fatal(err)
	}
	for name := range c.Extensions() {
		t.Errorf("%s is still believed", name)
	}
	if _, err := c.Auth(t.Context(), password("ann", "secret")); !errors.Is(err, smtp.ErrNoMechanism) {
		t.Errorf("AUTH before EHLO: got %v, want ErrNoMechanism", err)
	}
	if _, err := c.Hello(t.Context(), "c.example.org"); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Extension("STARTTLS"); ok {
		t.Error("STARTTLS is offered within TLS")
	}
	if _, err := c.Auth(t.Context(), password("ann", "secret")); err != nil {
		t.Errorf("AUTH: %v", err)
	}
	c.Quit(t.Context())
}

// WrapTLS has the handshake whoever wants TLS, and what it fails with is told; a connection
// that it made is in TLS, whether it can tell more of it or not.
func TestWrapTLS(t *testing.T) {
	var box mailbox
	config := serverTLS(t)
	starttls := serve(t, &smtp.Server{TLSConfig: config, Handler: box.hooks()}, smtp.Policy{RequireTLS: true})
	implicit := serve(t, &smtp.Server{TLSConfig: config, Handler: box.hooks()}, smtp.Policy{ImplicitTLS: true})
	broken := errors.New("the card is not in the reader")
	for name, c := range map[string]struct {
		addr string
		mode smtp.TLSMode
		wrap func(net.Conn) net.Conn
		err  error
	}{
		"starttls":         {starttls, smtp.TLSStartTLS, func(c net.Conn) net.Conn { return c }, nil},
		"implicit, opaque": {implicit, smtp.TLSImplicit, func(c net.Conn) net.Conn { return opaque{c} }, nil},
		"failing":          {starttls, smtp.TLSStartTLS, nil, broken},
	} {
		before := len(box.all())
		d := dialer()
		d.TLS = c.mode
		d.WrapTLS = func(ctx context.Context, conn net.Conn) (net.Conn, error) {
			if c.err != nil {
				return nil, c.err
			}
			wrapped := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			return c.wrap(wrapped), wrapped.HandshakeContext(ctx)
		}
		tr := &smtp.Transport{Addr: c.addr, Dialer: d}
		for range 2 { // over one connection: one that is opaque can be asked whether it lives
			if _, err := tr.Send(t.Context(), toBob, text("x\r\n")); !errors.Is(err, c.err) || c.err != nil && classes(err) != "temporary" {
				t.Errorf("%s: got %v, want %v", name, err, c.err)
			}
		}
		tr.Close()
		if got := len(box.all()) - before; c.err == nil && got != 2 || c.err != nil && got != 0 {
			t.Errorf("%s: %d messages arrived", name, got)
		}
		if c.err != nil {
			continue
		}
		client := dial(t, d, c.addr)
		if state := client.TLS(); state == nil || (state.Version != 0) != (name == "starttls") {
			t.Errorf("%s: got the state %+v", name, state)
		}
		client.Quit(t.Context())
	}
}

// opaque is a connection that tells nothing of what it is.
type opaque struct{ net.Conn }

// REQUIRETLS is said where the server has it, and not without TLS with a server whose
// certificate was looked at (RFC 8689, 4.2.1).
func TestRequireTLS(t *testing.T) {
	config := serverTLS(t)
	env := &smtp.Envelope{From: "ann@example.com", To: toBob.To, Options: smtp.MailOptions{RequireTLS: true}}
	for name, c := range map[string]struct {
		offers bool
		mode   smtp.TLSMode
		want   string
	}{
		"in TLS":      {true, smtp.TLSStartTLS, ""},
		"in clear":    {true, smtp.TLSNone, "permanent"},
		"not offered": {false, smtp.TLSStartTLS, "permanent"},
		"with anyone": {true, smtp.TLSOpportunistic, "permanent"},
	} {
		var got []smtp.MailOptions
		h := offering{Hooks: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			got = append(got, env.Options)
			_, err := io.Copy(io.Discard, r)
			return "", err
		}}}
		if c.offers {
			h.offers = []string{"REQUIRETLS"}
		}
		d := dialer()
		d.TLS, d.TLSConfig = c.mode, clientTLS(t, config)
		tr := &smtp.Transport{Addr: serve(t, &smtp.Server{TLSConfig: config, Handler: h}, smtp.Policy{}), Dialer: d}
		_, err := tr.Send(t.Context(), env, text("x\r\n"))
		tr.Close()
		if classes(err) != c.want || c.want != "" && !errors.Is(err, smtp.ErrUnsupported) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if c.want == "" && (len(got) != 1 || !got[0].RequireTLS) || c.want != "" && got != nil {
			t.Errorf("%s: %+v arrived", name, got)
		}
	}
}
