package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// An acmeServer is an authority (RFC 8555) for one test: it finds out whether a name is asked for by who has it, by HTTP
// at an address that it is told, as no name of the test leads anywhere. It trusts signatures and nonces unseen.
type acmeServer struct {
	t         *testing.T
	url       string
	challenge string // HOST:PORT where names are asked after
	root      *x509.Certificate
	key       *ecdsa.PrivateKey

	mu     sync.Mutex
	names  []string
	proved bool
	chain  []byte
	orders int
}

func newACMEServer(t *testing.T) *acmeServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &acmeServer{t: t, key: key, challenge: peers.FreeAddr(t)}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(a)
	a.url = "http://" + server.Listener.Addr().String()
	server.Start()
	t.Cleanup(server.Close)
	return a
}

// ServeHTTP answers the requests of an order in the order in which a client makes them.
func (a *acmeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Replay-Nonce", rand.Text())
	payload := a.payload(r)
	answer := func(status int, location string, v any) {
		w.Header().Set("Content-Type", "application/json")
		if location != "" {
			w.Header().Set("Location", a.url+location)
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	state := func(done, not string) string {
		if a.proved {
			return done
		}
		return not
	}
	order := func() map[string]any {
		o := map[string]any{"status": state("ready", "pending"), "authorizations": []string{a.url + "/authz"}, "finalize": a.url + "/finalize", "identifiers": identifiers(a.names)}
		if a.chain != nil {
			o["status"], o["certificate"] = "valid", a.url+"/cert"
		}
		return o
	}
	challenge := func() map[string]string {
		return map[string]string{"type": "http-01", "url": a.url + "/challenge", "token": "t0ken", "status": state("valid", "pending")}
	}
	switch r.URL.Path {
	case "/directory":
		answer(200, "", map[string]any{"newNonce": a.url + "/nonce", "newAccount": a.url + "/account", "newOrder": a.url + "/orders", "meta": map[string]string{"termsOfService": a.url + "/terms"}})
	case "/nonce":
	case "/account":
		answer(201, "/account/1", map[string]string{"status": "valid"})
	case "/orders":
		var o struct{ Identifiers []struct{ Value string } }
		a.decode(payload, &o)
		a.names, a.proved, a.chain = []string{o.Identifiers[0].Value}, false, nil
		a.orders++
		answer(201, "/order", order())
	case "/order":
		answer(200, "/order", order())
	case "/authz":
		answer(200, "", map[string]any{"status": state("valid", "pending"), "identifier": identifiers(a.names)[0], "challenges": []any{challenge()}})
	case "/challenge":
		a.prove()
		answer(200, "", challenge())
	case "/finalize":
		var f struct{ CSR string }
		a.decode(payload, &f)
		a.issue(f.CSR)
		answer(200, "/order", order())
	case "/cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(a.chain)
	default:
		a.t.Errorf("the authority is asked for %s", r.URL.Path)
		http.NotFound(w, r)
	}
}

func identifiers(names []string) (list []map[string]string) {
	for _, n := range names {
		list = append(list, map[string]string{"type": "dns", "value": n})
	}
	return list
}

// payload takes the content out of a signed request.
func (a *acmeServer) payload(r *http.Request) []byte {
	if r.Method != http.MethodPost {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	var jws struct{ Payload string }
	if err == nil {
		err = json.Unmarshal(body, &jws)
	}
	b, err2 := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil || err2 != nil {
		a.t.Errorf("%s: %q: %v, %v", r.URL, body, err, err2)
	}
	return b
}

func (a *acmeServer) decode(b []byte, to any) {
	if err := json.Unmarshal(b, to); err != nil {
		a.t.Errorf("%q: %v", b, err)
	}
}

// prove asks for the token where the name leads (RFC 8555, 8.3).
func (a *acmeServer) prove() {
	req, err := http.NewRequest(http.MethodGet, "http://"+a.challenge+"/.well-known/acme-challenge/t0ken", nil)
	if err != nil {
		a.t.Error(err)
		return
	}
	req.Host = a.names[0]
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.proved = err == nil && resp.StatusCode == 200 && strings.HasPrefix(string(body), "t0ken.")
	if !a.proved {
		a.t.Errorf("the challenge is answered with %s %q, %v", resp.Status, body, err)
	}
}

// issue signs what is asked for.
func (a *acmeServer) issue(encoded string) {
	der, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		a.t.Error(err)
		return
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		a.t.Error(err)
		return
	}
	// autocert renews a certificate thirty days before its end: this one has more.
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(a.orders) + 1), DNSNames: csr.DNSNames, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
	if err != nil {
		a.t.Error(err)
		return
	}
	var b bytes.Buffer
	for _, der := range [][]byte{cert, a.root.Raw} {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	a.chain = b.Bytes()
}

// The certificate is fetched before a client comes, shown to whoever asks for the name or for none, and kept.
func TestServeACME(t *testing.T) {
	a := newACMEServer(t)
	data := t.TempDir()
	flags := []string{"--acme", "mail.example.com", "--acme-url", a.url + "/directory", "--acme-http", a.challenge}
	s := start(t, data, flags...)
	peers.Until(t, "the certificate is there", func() bool { return strings.Contains(s.Output(), "the certificate is there") })
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	for _, asked := range []string{"mail.example.com", "", "other.example.com"} {
		// Whatever is asked for, it is the certificate of mail.example.com that is verified.
		config := &tls.Config{ServerName: asked, InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error {
			_, err := c.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: "mail.example.com"})
			return err
		}}
		wantCode(t, fmt.Sprintf("asked for %q", asked), try(t, s.smtp, smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: config}, "bob@example.net"), 0)
	}
	if resp, err := http.Get("http://" + a.challenge + "/"); err != nil || resp.StatusCode != 404 {
		t.Errorf("the port of the challenges shows something else: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	again := start(t, data, flags...)
	peers.Until(t, "the certificate is there", func() bool { return strings.Contains(again.Output(), "the certificate is there") })
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.orders != 1 {
		t.Errorf("%d certificates were ordered, want one that is kept", a.orders)
	}
}
