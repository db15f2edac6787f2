package dialogue_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/dialogue"
)

func TestScripts(t *testing.T) {
	scripts, err := dialogue.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if s.Steps[0].Who != 'S' {
			t.Errorf("%s: begins with %c:, and a server speaks first", s.Name, s.Steps[0].Who)
		}
		switch s.Set["plays"] {
		case "both", "server", "client", "send":
		default:
			t.Errorf("%s: plays %q", s.Name, s.Set["plays"])
		}
	}
}

func TestParse(t *testing.T) {
	s, err := dialogue.Parse("x", "# A title\n# with: tls size=10\nS: 220 *\nC| a\\r\\x41\\{3 b}\\\\\nC: <tls>\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "A title" || len(s.Steps) != 3 || s.Steps[1].Text != "a\rAbbb\\" || !s.Steps[1].Open {
		t.Errorf("got %+v", s)
	}
	if v, ok := s.Has("size"); !ok || v != "10" {
		t.Errorf("size: got %q %v, want 10", v, ok)
	}
	for _, bad := range []string{"", "# only a title", "S: no title", "# t\nX: who", "# t\nS: \\q", "# t\nS: \\x4", "# t\nS: \\{z", "# t\nS: \\"} {
		if _, err := dialogue.Parse("x", bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
	}{
		{"250 ok", "250 ok", true}, {"250 ok", "250 ok.", false}, {"250 *", "250 ", true}, {"250 *", "250", false},
		{"*x*y", "axby", true}, {"*x*y", "axb", false}, {"*", "", true},
	} {
		if got := dialogue.Match(c.pattern, c.line); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.pattern, c.line, got, c.want)
		}
	}
}

// A play between two players agrees with itself, and one that differs is told
// with the line where it does.
func TestPlay(t *testing.T) {
	play := func(server, client string) (error, error) {
		a, b := net.Pipe()
		parse := func(text string) *dialogue.Script {
			s, err := dialogue.Parse("x", "# t\n"+text)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		done := make(chan error, 1)
		go func() { done <- (&dialogue.Player{Role: 'S', Conn: a}).Play(parse(server)) }()
		err := (&dialogue.Player{Role: 'C', Conn: b, Split: true}).Play(parse(client))
		return <-done, err
	}
	text := "S: 220 hi\nC: EHLO x\nS: 250-x\nS: ...\nC| ab\nC: c\nS: 250 *\nS: <close>\n"
	if s, c := play(text, text); s != nil || c != nil {
		t.Errorf("got %v and %v, want no error", s, c)
	}
	_, c := play(text, strings.Replace(text, "220 hi", "220 ho", 1))
	if c == nil || !strings.Contains(c.Error(), "x:2") {
		t.Errorf("got %v, want an error at x:2", c)
	}
	s, _ := play(text, strings.Replace(text, "EHLO x", "EHLO y", 1))
	if s == nil || !strings.Contains(s.Error(), "x:3") {
		t.Errorf("got %v, want an error at x:3", s)
	}
}

// against plays the client's part by codes against a server that says what it is told, and
// returns how it went.
func against(t *testing.T, server, client string) error {
	t.Helper()
	a, b := net.Pipe()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer a.Close()
		go io.Copy(io.Discard, a)
		io.WriteString(a, server)
	}()
	s, err := dialogue.Parse("x", "# t\n"+client)
	if err != nil {
		t.Fatal(err)
	}
	err = (&dialogue.Player{Role: 'C', Conn: b, Codes: true, Timeout: 30 * time.Second}).Play(s)
	<-heard
	return err
}

// Replies that are told by their codes: what fits, and what each kind of misfit is called.
func TestCodes(t *testing.T) {
	for _, c := range []struct{ server, expect, problem string }{
		{"250 ok\r\n", "S: 250", ""},
		{"250-one\r\n250 two\r\n", "S: 250", ""},
		{"250\r\n", "S: 250", ""},
		{"551 no\r\n", "S: 4xx 5xx", ""},
		{"451 no\r\n", "S: 5xx", "want 5xx"},
		{"250-a\r\n250-STARTTLS\r\n250 b\r\n", "S: 250 with STARTTLS", ""},
		{"250-a\r\n250 starttls now\r\n", "S: 250 with STARTTLS", ""},
		{"250-a\r\n250 b\r\n", "S: 250 with STARTTLS", "want 250 with STARTTLS"},
		{"250-AUTH PLAIN\r\n250 b\r\n", "S: 250 without AUTH", "want 250 without AUTH"},
		{"500 5.1.1 no\r\n", "S: 500 with 5.*", ""},
		{"", "S: 250 <close>", ""},
		{"", "S: 250", "the end of the connection"},
		{"250 a\r\n450 b\r\n", "S: 250 450 times 2", ""},
		{"250 a\r\n250 b\r\n", "S: 250 <close> times 1000000", ""},
		{"250 a\r\n550 b\r\n", "S: 250 times 3", "550 b"},
		{"250 a\r\n", "S: 250 times 2", "the end of the connection"},
		{"250-a\r\n550 b\r\n", "S: 250", "two codes"},
		{"250-a\n250 b\r\n", "S: 250", "CR, LF or NUL"},
		{"250 a\x00\r\n", "S: 250", "CR, LF or NUL"},
		{"hello\r\n", "S: 250", "no reply begins like this"},
		{"650 a\r\n", "S: 250", "no reply begins like this"},
		{"250_a\r\n", "S: 250", "neither a space nor a hyphen"},
		{"250-a\r\n", "S: 250 <close>", "EOF"},
		{strings.Repeat("250-a\r\n", 1001), "S: 250", "more than 1000 lines"},
	} {
		err := against(t, c.server, "C: x\n"+c.expect+"\n")
		if got := fmt.Sprint(err); (err == nil) != (c.problem == "") || !strings.Contains(got, c.problem) && c.problem != "" {
			t.Errorf("%.40q, %s: got %v, want %q", c.server, c.expect, err, c.problem)
		}
	}
}

// A server that answers while it is told a great deal in one write holds up nobody, and is
// not held up.
func TestManyAtOnce(t *testing.T) {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer a.Close()
		rd := bufio.NewReader(a)
		for range 20_000 {
			if _, err := rd.ReadString('\n'); err != nil {
				done <- err
				return
			}
			if _, err := io.WriteString(a, "250 ok\r\n"); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	s, err := dialogue.Parse("x", "# t\nC| \\{20000 NOOP\\r\\n}\nS: 250 times 20000\nS: 250 <close>\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := (&dialogue.Player{Role: 'C', Conn: b, Codes: true}).Play(s); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the server: %v", err)
	}
}

// TLS begins in the middle of a connection, for the host of any name; a server that has
// closed the connection instead, or refused, is told apart.
func TestTLS(t *testing.T) {
	cert := certificate(t)
	for name, c := range map[string]struct{ server, client, asked, problem string }{
		"it begins":        {"S: 220 go\nC: <tls>\nC: EHLO x\nS: 250 secure\nS: <close>\n", "S: 220\nC: <tls>\nC: EHLO x\nS: 250\n", "", ""},
		"by name":          {"S: 220 go\nC: <tls>\nC: EHLO x\nS: 250 secure\nS: <close>\n", "S: 220\nC: <tls odd.example\\\\>\nC: EHLO x\nS: 250\n", `odd.example\`, ""},
		"tried":            {"S: 220 go\nC: <tls>\nC: EHLO x\nS: 250 secure\nS: <close>\n", "S: 220\nC: <try-tls>\nC: EHLO x\nS: 250 <close>\n", "", ""},
		"refused":          {"S: 454 no\nC: EHLO x\nS: 250 in clear\nS: <close>\n", "S: 220 454\nC: <try-tls>\nC: EHLO x\nS: 250\n", "", ""},
		"closed":           {"S: 220 go\nS: <close>\n", "S: 220\nC: <try-tls>\nC: EHLO x\nS: 250 <close>\n", "", ""},
		"closed too early": {"S: 220 go\nS: <close>\n", "S: 220\nC: <try-tls>\nC: EHLO x\nS: 250\n", "", "end of the connection"},
		"an alert":         {"S: 220 go\nC: text\nS| \\x15\\x03\\x03\\0\\x02\\x02\\n\nS: <close>\n", "S: 220\nC: text\nS: <close>\n", "", ""},
		"no handshake":     {"S: 220 go\nS: <close>\n", "S: 220\nC: <tls>\nC: EHLO x\nS: 250\n", "", "no handshake:4: "},
	} {
		a, b := net.Pipe()
		asked, served := "", make(chan error, 1)
		parse := func(text string) *dialogue.Script {
			s, err := dialogue.Parse(name, "# t\nC: STARTTLS\n"+text)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		server := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked = hello.ServerName
			return &cert, nil
		}}
		go func() { served <- (&dialogue.Player{Role: 'S', Conn: a, TLS: server}).Play(parse(c.server)) }()
		err := (&dialogue.Player{Role: 'C', Conn: b, Codes: true, TLS: &tls.Config{InsecureSkipVerify: true}}).Play(parse(c.client))
		if got := fmt.Sprint(err); (err == nil) != (c.problem == "") || !strings.Contains(got, c.problem) && c.problem != "" {
			t.Errorf("%s: got %v, want %q", name, err, c.problem)
		}
		if err := <-served; err != nil && c.problem == "" {
			t.Errorf("%s: the server: %v", name, err)
		}
		if asked != c.asked {
			t.Errorf("%s: got the name %q, want %q", name, asked, c.asked)
		}
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
