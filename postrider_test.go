package postrider_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// Both sides of the short way, over real connections: what Send sends, Serve receives.

// serve runs Serve until the test ends and gives the addresses that it listens on.
func serve(t *testing.T, c postrider.Config, h postrider.Handlers) []string {
	t.Helper()
	ports := 1 + len(c.Listeners)
	switch {
	case c.Addr == "" && c.Listeners != nil:
		ports--
	case c.Addr == "":
		c.Addr = "127.0.0.1:0"
	}
	if c.TLSAddr != "" && c.Addr != postrider.Off {
		ports++
	}
	addrs, ended := make(chan string, ports), make(chan error, 1)
	c.OnListen = func(a net.Addr) { addrs <- a.String() }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- postrider.Serve(ctx, c, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	var out []string
	for range ports {
		select {
		case a := <-addrs:
			out = append(out, a)
		case err := <-ended:
			ended <- nil
			t.Fatalf("Serve ended at once: %v", err)
		}
	}
	return out
}

// A kept is what a test keeps of a message: the rest is gone when OnMail returns.
type kept struct {
	received postrider.Received
	subject  string
	text     string
	files    map[string]string
	original string
}

// keep is an OnMail that gives what it gets to a channel.
func keep(to chan<- kept) func(context.Context, *postrider.Received) error {
	return func(_ context.Context, m *postrider.Received) error {
		k := kept{received: *m, subject: m.Message.Subject, text: m.Message.Text, files: map[string]string{}}
		raw, err := io.ReadAll(m.Original)
		if err != nil {
			return err
		}
		k.original = string(raw)
		for _, a := range m.Message.Attachments {
			rc, err := a.Open()
			if err != nil {
				return err
			}
			b, err := io.ReadAll(rc)
			if err != nil {
				return err
			}
			k.files[a.Name] = string(b)
		}
		to <- k
		return nil
	}
}

func message() *mail.Message {
	return &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Bcc: mail.List("eve@example.org"), Subject: "Grüße", Text: "Hello.\n"}
}

func TestSendAndServe(t *testing.T) {
	got := make(chan kept, 1)
	addr := serve(t, postrider.Config{}, postrider.Handlers{OnMail: keep(got)})[0]
	for _, size := range []int{10, 300000} { // in memory, and in a file
		m := message()
		m.Attachments = []mail.Attachment{mail.FromBytes("data.bin", bytes.Repeat([]byte("x"), size))}
		results, err := postrider.Send(t.Context(), "smtp://"+addr+"?name=client.example.com", m)
		if err != nil || len(results) != 2 {
			t.Fatalf("%d octets: got %v, %v", size, results, err)
		}
		k := <-got
		if k.received.Sender != "ann@example.com" || !slices.Equal(k.received.Recipients, []string{"bob@example.net", "eve@example.org"}) ||
			k.received.Host != "client.example.com" || k.received.IP != "127.0.0.1" || k.received.TLS != "" || k.received.User != "" {
			t.Errorf("%d octets: got %+v", size, k.received)
		}
		if k.subject != "Grüße" || k.text != "Hello.\n" || len(k.files["data.bin"]) != size {
			t.Errorf("%d octets: got %q, %q, %d octets", size, k.subject, k.text, len(k.files["data.bin"]))
		}
		if !strings.HasPrefix(k.original, "Date: ") || strings.Contains(k.original, "eve@") {
			t.Errorf("%d octets: the original is %.300q", size, k.original)
		}
	}
}

// What a message needs of the server is said to it, and nothing else.
func TestForms(t *testing.T) {
	got := make(chan kept, 1)
	addr := serve(t, postrider.Config{}, postrider.Handlers{OnMail: keep(got)})[0]
	for _, c := range []struct {
		to, text, want string // in the original
	}{
		{"bob@exämple.net", "plain\n", "To: bob@xn--exmple-cua.net\r\n"},
		{"jürgen@example.net", "plain\n", "To: jürgen@example.net\r\n"},
		{"bob@example.net", "Grüße\n", "Content-Transfer-Encoding: 8bit\r\n"},
	} {
		m := message()
		m.To, m.Bcc, m.Text = mail.List(c.to), nil, c.text
		if _, err := postrider.Send(t.Context(), "smtp://"+addr, m); err != nil {
			t.Errorf("%s: %v", c.to, err)
			continue
		}
		if k := <-got; !strings.Contains(k.original, c.want) || k.text != c.text || len(k.received.Message.Defects) > 0 {
			t.Errorf("%s: got\n%s\n%v", c.to, k.original, k.received.Message.Defects)
		}
	}
}

func TestHandlersRefuse(t *testing.T) {
	addr := serve(t, postrider.Config{}, postrider.Handlers{
		OnMail: func(context.Context, *postrider.Received) error { return errors.New("the disk is called /dev/sda") },
		OnRcpt: func(_ context.Context, to string) error {
			if to == "eve@example.org" {
				return smtp.Errorf(550, "5.1.1", "nobody here")
			}
			return nil
		},
	})[0]
	results, err := postrider.Send(t.Context(), "smtp://"+addr, message())
	if err == nil || len(results) != 2 {
		t.Fatalf("got %v, %v", results, err)
	}
	if r := results[0]; !errors.Is(r.Err, smtp.ErrTemporary) || strings.Contains(r.Reply.Text, "sda") {
		t.Errorf("an error of the handler's: got %+v; it is 451, and its text stays here", r)
	}
	if r := results[1]; !errors.Is(r.Err, smtp.ErrPermanent) || r.Reply.Code != 550 {
		t.Errorf("a refused recipient: got %+v", r)
	}
}

func TestNilHandlers(t *testing.T) {
	addr := serve(t, postrider.Config{}, postrider.Handlers{})[0]
	if _, err := postrider.Send(t.Context(), "smtp://"+addr, message()); !errors.Is(err, smtp.ErrPermanent) {
		t.Errorf("without OnMail: got %v", err)
	}
}

func TestAuth(t *testing.T) {
	got := make(chan kept, 1)
	addr := serve(t, postrider.Config{}, postrider.Handlers{OnMail: keep(got), OnAuth: func(_ context.Context, user, password string) error {
		if user != "a@b" || password != "p:/?#@%" {
			return smtp.Errorf(535, "5.7.8", "wrong")
		}
		return nil
	}})[0]
	if _, err := postrider.Send(t.Context(), "smtp://a%40b:p%3A%2F%3F%23%40%25@"+addr, message()); err != nil {
		t.Fatal(err)
	}
	if k := <-got; k.received.User != "a@b" {
		t.Errorf("got the user %q", k.received.User)
	}
	if _, err := postrider.Send(t.Context(), "smtp://a%40b:wrong@"+addr, message()); err == nil || strings.Contains(err.Error(), "wrong@") {
		t.Errorf("a wrong password: got %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"smtp://ann:sec ret@host", "no URL"}, {"http://ann:secret@host", "smtp: smtps: lmtp:"}, {"smtps://", "no host"}, {"smtp://ann:secret@", "no host"},
		{"smtp://ann@host", "user:password"}, {"smtp://host/secret", "follows the host"}, {"smtp://ann:se#secret@host", ""}, {"smtp://host?tls=yes", "starttls"},
		{"smtp://host:65536", "1 to 65535"}, {"smtps://host:0", "1 to 65535"}, {"smtps://host?tls=none", "contradicts"}, {"smtp://host?tsl=none", "tls, name, without and auth"},
		{"smtp://ann:1?secret@host", "%3F"}, {"smtp://host?tls=secret", "starttls"}, {"ann:secret@host", ""}, {"", ""}, {"smtp://ann:secret@host:port", "no URL"},
		{"maildir:", "no path"}, {"mbox://host/secret", "no host"}, {"eml:/x?tls=none", "no parameters"}, {"maildir:/x#secret", "no parameters"}, {"lmtp+unix:sock", "absolute"},
		{"maildir:%zz", ""}, {"smtp://host?auth=PLAIN", "user:password"}, {"smtp://host?%zz=secret", "percent-encoded"},
	} {
		s, err := postrider.Open(c.url)
		if err == nil {
			t.Errorf("%s: opened as %+v", c.url, s)
			continue
		}
		if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, c.want) || !strings.HasPrefix(text, "postrider: ") {
			t.Errorf("%s: got the error %q, want %q in it and no password", c.url, text, c.want)
		}
	}
	for _, c := range []struct {
		url, addr string
		tls       smtp.TLSMode
		lmtp      bool
	}{
		{"smtp://host", "host:25", smtp.TLSAuto, false}, {"smtp://a:b@host", "host:587", smtp.TLSAuto, false}, {"smtp://host:2525/", "host:2525", smtp.TLSAuto, false},
		{"smtps://a:b@host", "host:465", smtp.TLSImplicit, false}, {"smtps://host:4650?tls=auto", "host:4650", smtp.TLSImplicit, false},
		{"lmtp://host", "host:24", smtp.TLSAuto, true}, {"smtp://[::1]:25?tls=none&name=me", "[::1]:25", smtp.TLSNone, false},
	} {
		s, err := postrider.Open(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if tr := s.(*smtp.Transport); tr.Addr != c.addr || tr.Dialer.TLS != c.tls || tr.Dialer.LMTP != c.lmtp {
			t.Errorf("%s: got %s, TLS %v, LMTP %v", c.url, tr.Addr, tr.Dialer.TLS, tr.Dialer.LMTP)
		}
	}
	for url, want := range map[string]smtp.Sender{
		"sendmail:": local.Sendmail{}, "sendmail:/usr/lib/sendmail": local.Sendmail{Path: "/usr/lib/sendmail"}, "maildir:/home/ann/Maildir": local.Maildir{Dir: "/home/ann/Maildir"},
		"maildir:///a%3Fb": local.Maildir{Dir: "/a?b"}, "mbox:here%20it/is": local.Mbox{Path: "here it/is"}, "eml:out": local.EML{Dir: "out"},
	} {
		if s, err := postrider.Open(url); err != nil || !reflect.DeepEqual(s, want) {
			t.Errorf("%s: got %+v and %v, want %+v", url, s, err, want)
		}
	}
	s, err := postrider.Open("smtp://host?without=CHUNKING,smtputf8")
	if tr, ok := s.(*smtp.Transport); err != nil || !ok || !slices.Equal(tr.Dialer.Without, []string{"CHUNKING", "smtputf8"}) {
		t.Errorf("without two extensions: got %+v and %v", s, err)
	}
	s, err = postrider.Open("lmtp+unix:///run/lmtp.sock")
	if tr, ok := s.(*smtp.Transport); err != nil || !ok || tr.Addr != "/run/lmtp.sock" || !tr.Dialer.LMTP {
		t.Errorf("LMTP over a unix socket: got %+v and %v", s, err)
	}
}

// ?auth= is the only mechanism that is used; a password is a token where that is wanted.
func TestOpenAuth(t *testing.T) {
	offer := sasl.Offer{Mechanisms: []string{"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS", "SCRAM-SHA-256"}}
	for url, want := range map[string]string{
		"smtp://ann:se%40cret@host": "SCRAM-SHA-256", "smtp://ann:secret@host?auth=login": "LOGIN", "smtps://ann:token@host?auth=XOAUTH2": "XOAUTH2",
		"smtp://ann:token@host?auth=oauthbearer": "OAUTHBEARER", "smtp://host?auth=EXTERNAL": "EXTERNAL", "smtp://trace@host?auth=anonymous": "ANONYMOUS",
	} {
		s, err := postrider.Open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		x, err := s.(*smtp.Transport).Dialer.Auth.Exchange(t.Context(), offer)
		if err != nil || x.Mechanism() != want {
			t.Errorf("%s: got %v and %v, want %s", url, x, err, want)
		}
	}
	if s, err := postrider.Open("smtp://host"); err != nil || s.(*smtp.Transport).Dialer.Auth != nil {
		t.Errorf("without credentials: got %+v and %v", s, err)
	}
}

func TestDeliverErrors(t *testing.T) {
	for _, c := range []struct {
		change func(*mail.Message)
		want   string
	}{
		{func(m *mail.Message) { m.From = nil }, "author"},
		{func(m *mail.Message) { m.To, m.Bcc = nil, nil }, "recipients"},
	} {
		m := message()
		c.change(m)
		if _, err := postrider.Send(t.Context(), "smtp://127.0.0.1:1", m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	c, err := postrider.ParseConfig(strings.NewReader("port = 2525\nlocal = true\n;tls_port = 465\n;tls_crt = a\n;tls_key = b\n"))
	if err != nil || c.Addr != "127.0.0.1:2525" || c.TLSAddr != "" {
		t.Errorf("Axiom's file: got %+v, %v", c, err)
	}
	c, err = postrider.ParseConfig(strings.NewReader("; port = 2525\nlocal=false\ntls_port=465\ntls_crt=/a.pem\ntls_key=\"/b.pem\"\nhostname=mx.example.com\nmax_size=1000\n"))
	if err != nil || c.Addr != postrider.Off || c.TLSAddr != ":465" || c.CertFile != "/a.pem" || c.KeyFile != "/b.pem" || c.Hostname != "mx.example.com" || c.MaxSize != 1000 {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, bad := range []struct{ text, want string }{
		{"port = 25\n\nprot = 3\n", "line 3: prot: unknown"}, {"port = x\n", "line 1: port"}, {"# a\nport = 70000\n", "line 2: port"}, {"local = perhaps\nport = 25", "line 1: local"},
		{"port = 25\ntls_crt = a\n", "line 2: tls_crt"}, {"tls_port = 465\n", "line 1: tls_port"}, {"port = 25\n[more]\nx = y\n", "line 2: [more]"},
		{"port = 25\nmax_size = -1\n", "line 2: max_size"}, {"hostname = my host", "line 1: hostname"}, {"hostname = bücher.example", "line 1: hostname"}, {"port\n", "postrider: configuration"}, {strings.Repeat("#", 2<<20), "longer"},
	} {
		if _, err := postrider.ParseConfig(strings.NewReader(bad.text)); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%.40q: got %v, want %q", bad.text, err, bad.want)
		}
	}
}

func TestServeErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []postrider.Config{
		{Addr: l.Addr().String()}, {Addr: postrider.Off}, {TLSAddr: "127.0.0.1:0"}, {Addr: "nonsense"},
		{Addr: "127.0.0.1:0", CertFile: "no such file", KeyFile: "nor this"}, {Addr: "127.0.0.1:0", CertFile: "no key"}, {Addr: "127.0.0.1:0", KeyFile: "no certificate"},
	} {
		if err := postrider.Serve(t.Context(), c, postrider.Handlers{}); err == nil || !strings.HasPrefix(err.Error(), "postrider: ") {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// Who asks for TLS alone gets no port in clear besides.
func TestServeTLSAlone(t *testing.T) {
	cert, key, _ := certificate(t)
	ctx, cancel := context.WithCancel(t.Context())
	var addrs []net.Addr
	c := postrider.Config{TLSAddr: "127.0.0.1:0", CertFile: cert, KeyFile: key, OnListen: func(a net.Addr) { addrs = append(addrs, a); cancel() }}
	if err := postrider.Serve(ctx, c, postrider.Handlers{}); err != nil || len(addrs) != 1 {
		t.Errorf("it listened on %v, want one port; %v", addrs, err)
	}
}

// certificate makes a certificate for localhost and 127.0.0.1 and gives the files of it, of its key, and of its issuer.
func certificate(t *testing.T) (cert, key, ca string) {
	t.Helper()
	dir := t.TempDir()
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, signer = template, k
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &k.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, k, der
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	root, rootKey, rootDER := make(&x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	_, leafKey, leafDER := make(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, root, rootKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER), write("ca.pem", "CERTIFICATE", rootDER)
}

func TestTLS(t *testing.T) {
	cert, key, ca := certificate(t)
	pool := x509.NewCertPool()
	pemCA, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(pemCA)
	got := make(chan kept, 1)
	var addrs []string
	own := &tls.Config{MaxVersion: tls.VersionTLS12}
	for config, version := range map[*tls.Config]string{nil: "TLS 1.3", own: "TLS 1.2"} {
		addrs = serve(t, postrider.Config{TLSAddr: "127.0.0.1:0", CertFile: cert, KeyFile: key, TLSConfig: config}, postrider.Handlers{OnMail: keep(got)})
		for _, url := range []string{"smtp://" + addrs[0] + "?tls=starttls", "smtps://" + addrs[1]} {
			s, err := postrider.Open(url)
			if err != nil {
				t.Fatal(err)
			}
			s.(*smtp.Transport).Dialer.TLSConfig = &tls.Config{RootCAs: pool}
			if _, err := postrider.Deliver(t.Context(), s, message()); err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			s.Close()
			if k := <-got; k.received.TLS != version {
				t.Errorf("%s: got the TLS version %q, want %q", url, k.received.TLS, version)
			}
		}
	}
	if own.Certificates != nil {
		t.Error("the caller's own configuration was changed")
	}
	if _, err := postrider.Send(t.Context(), "smtps://"+addrs[1], message()); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
}

// Of several URLs one is for whom those before it did not take; closing it closes them all.
func TestOpenSeveral(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "maildir")
	s, err := postrider.Open("smtp://127.0.0.1:1", "maildir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "x"}
	results, err := postrider.Deliver(t.Context(), s, m)
	if err != nil || len(results) != 1 || results[0].Err != nil {
		t.Errorf("got %+v, %v, want it accepted by the second", results, err)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "new")); len(files) != 1 {
		t.Errorf("got %d files, want 1", len(files))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	servers := []string{"smtp://127.0.0.1:1", "smtp://127.0.0.1:2"}
	s, err = postrider.Open(servers[0], servers[1])
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := postrider.Deliver(t.Context(), s, m); !errors.Is(err, smtp.ErrPermanent) {
		t.Errorf("after Close: got %v, want a permanent error: the transport is closed", err)
	}
	if s, err := postrider.Open(servers[0], "gopher://host"); err == nil || s != nil {
		t.Errorf("the second is wrong: got %v, %v", s, err)
	}
}
