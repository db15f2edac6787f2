package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// The commands that ask a server and send nothing, held against servers of ours.

// servedBy runs a server until the test ends.
func servedBy(t *testing.T, s *smtp.Server, policy smtp.Policy) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(smtp.Listener{Listener: l, Policy: policy}) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String()
}

// ran runs the program.
func ran(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

func knowing() *smtp.Server {
	return &smtp.Server{
		OnVerify: func(_ context.Context, _ *smtp.Conn, name string) (string, error) {
			switch name {
			case "nobody":
				return "", smtp.Errorf(550, "5.1.1", "nobody here")
			case "later":
				return "", smtp.Errorf(451, "4.3.0", "not now")
			case "moved":
				return "", nil
			}
			return "Ann <" + name + "@example.com>", nil
		},
		OnExpand: func(_ context.Context, _ *smtp.Conn, list string) ([]string, error) {
			if list != "staff" {
				return nil, smtp.Errorf(550, "5.1.1", "no such list")
			}
			return []string{"Ann <ann@example.com>", "bob@example.com"}, nil
		},
	}
}

func TestVerifyExpandNoop(t *testing.T) {
	addr := servedBy(t, knowing(), smtp.Policy{})
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"verify", "ann"}, exitOK, "ann  yes  250 2.1.5 Ann <ann@example.com>\n"},
		{[]string{"verify", "nobody", "ann"}, exitNoUser, "nobody  no  550 5.1.1 nobody here\nann  yes  250 2.1.5 Ann <ann@example.com>\n"},
		{[]string{"verify", "later"}, exitTempFail, "later  later  451 4.3.0 not now\n"},
		{[]string{"verify", "moved"}, exitUnavailable, "moved  untold  252 "},
		{[]string{"expand", "staff"}, exitOK, "Ann <ann@example.com>\nbob@example.com\n"},
		{[]string{"expand", "others"}, exitNoUser, ""},
		{[]string{"noop"}, exitOK, addr + "  250 ok  "},
	} {
		code, out, errs := ran(t, append(c.args, "--server", addr)...)
		if code != c.code || !strings.HasPrefix(out, c.out) {
			t.Errorf("%q: got %d %q, want %d %q; %s", c.args, code, out, c.code, c.out, errs)
		}
	}
	code, out, errs := ran(t, "expand", "staff", "others", "--server", addr, "--json")
	var answers []answer
	if err := json.Unmarshal([]byte(out), &answers); err != nil || code != exitNoUser || len(answers) != 2 || len(answers[0].Members) != 2 || answers[1].Answer != "no" {
		t.Errorf("--json: got %d, %v\n%s%s", code, err, out, errs)
	}
	old, _ := sinking(t, "--fault", "EHLO=502")     // which knows no extension
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the system connects, and nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--server", []string{"noop"}},
		{exitUsage, "say which address", []string{"verify", "--server", addr}},
		{exitUsage, "no server", []string{"noop", "--server", "maildir:x"}},
		{exitTempFail, "nothing listens", []string{"noop", "--server", peers.FreeAddr(t)}},
		{exitUsage, "HOST[:PORT]", []string{"check"}},
		{exitUsage, "--tls", []string{"check", addr, "--tls", "starttls"}},
		{exitUsage, "--timeout", []string{"check", addr, "--timeout", "0s"}},
		{exitTempFail, "waits for TLS to begin", []string{"check", silent.Addr().String(), "--timeout", "100ms"}},
		{exitTempFail, "nothing listens", []string{"check", peers.FreeAddr(t)}},
		{exitNoHost, "spelling", []string{"check", "nowhere.invalid"}},
		{exitProtocol, "leave out --tls implicit", []string{"check", addr, "--tls", "implicit"}},
		{exitUnavailable, "needs SMTPUTF8", []string{"verify", "--server", old, "jörg"}},
	} {
		code, out, errs := ran(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: got %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

func TestCheck(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	server := func() *smtp.Server {
		return &smtp.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil }}
	}
	starttls := servedBy(t, server(), smtp.Policy{})
	implicit := servedBy(t, server(), smtp.Policy{ImplicitTLS: true})
	_, port, err := net.SplitHostPort(starttls)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"STARTTLS", []string{starttls, "--ca-file", certFile}, 0, []string{"by STARTTLS", "TLS 1.3", "for localhost 127.0.0.1", "verified     yes", "mechanisms   PLAIN LOGIN", "in clear   none", "- the certificate ends in 0 days", "noop "}},
		{"the name", []string{"localhost:" + port, "--ca-file", certFile}, 0, []string{"verified     yes"}},
		{"unknown authority", []string{starttls}, exitUnavailable, []string{"verified     no: x509: ", "! the certificate is not good"}},
		{"implicit", []string{implicit, "--tls", "implicit", "--ca-file", certFile}, 0, []string{"from the beginning", "verified     yes"}},
		{"none", []string{starttls, "--tls", "none"}, 0, []string{"TLS          none", "STARTTLS"}},
	} {
		code, out, errs := ran(t, append([]string{"check"}, c.args...)...)
		if code != c.code {
			t.Errorf("%s: got %d, want %d", c.name, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s%s", c.name, want, out, errs)
			}
		}
	}
	code, out, errs := ran(t, "check", starttls, "--json", "--trace", "--ca-file", certFile)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.TLS == nil || !r.TLS.Verified || len(r.TLS.Certificates) != 1 || r.Timings["tls"] <= 0 || r.Extensions["SIZE"] == "" {
		t.Errorf("--json: got %d, %v\n%s%s", code, err, out, errs)
	}
	if !strings.Contains(errs, "C: STARTTLS") {
		t.Errorf("--trace: got\n%s", errs)
	}
}

// What is wrong is told by the facts, whoever the server is.
func TestAdvice(t *testing.T) {
	all := map[string]string{"PIPELINING": "", "SIZE": "1", "8BITMIME": "", "SMTPUTF8": "", "ENHANCEDSTATUSCODES": ""}
	good := &tlsReport{Verified: true, version: tls.VersionTLS13, Certificates: []chainLink{{Days: 90}}}
	for _, c := range []struct {
		r    report
		port string
		want string // "" for nothing at all
	}{
		{report{Extensions: all, TLS: good, Greeting: "mail.example.com ESMTP"}, "25", ""},
		{report{Extensions: all, Greeting: "mail.example.com"}, "25", "no STARTTLS"},
		{report{Extensions: all, TLS: good, Greeting: "mail.example.com", Clear: []string{"PLAIN"}}, "25", "in clear"},
		{report{Extensions: all, TLS: good, Greeting: "mail.example.com"}, "587", "no AUTH"},
		{report{Extensions: all, TLS: good, Greeting: "mail ESMTP"}, "25", "no full name"},
		{report{TLS: good, Greeting: "mail.example.com"}, "25", "no PIPELINING"},
		{report{Extensions: all, TLS: &tlsReport{Verified: true, version: tls.VersionTLS10, Version: "TLS 1.0", Certificates: good.Certificates}, Greeting: "a.b"}, "25", "TLS 1.0 is broken"},
		{report{Extensions: all, TLS: good, Greeting: "a.b", Timings: map[string]float64{"greeting": 20}}, "25", "greets after 20s"},
	} {
		c.r.Address = "192.0.2.1:" + c.port
		c.r.advise(c.port)
		got := strings.Join(append(c.r.Wrong, c.r.Advice...), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %q, want %q", c.r, got, c.want)
		}
	}
}

// What they print, to the letter but for what differs each time. The files are rewritten by -update.
func TestAskGolden(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s := knowing()
	s.Hostname = "mail.example.com"
	plain := servedBy(t, s, smtp.Policy{})
	s = knowing()
	s.Hostname, s.TLSConfig = "mail.example.com", &tls.Config{Certificates: []tls.Certificate{pair}}
	s.OnAuth = func(context.Context, *smtp.Conn, string, string) error { return nil }
	secure := servedBy(t, s, smtp.Policy{})
	for name, args := range map[string][]string{
		"verify":     {"verify", "--server", plain, "--json", "ann", "nobody", "later", "moved"},
		"expand":     {"expand", "--server", plain, "--json", "staff", "others"},
		"noop":       {"noop", "--server", plain, "--json"},
		"check":      {"check", secure, "--ca-file", certFile},
		"check-none": {"check", plain},
		"check-json": {"check", secure, "--ca-file", certFile, "--json"},
	} {
		_, out, errs := ran(t, args...)
		got := strings.NewReplacer(plain, "HOST:PORT", secure, "HOST:PORT").Replace(out)
		for _, differs := range []struct{ pattern, by string }{
			{`("seconds": )[^,\n]*`, "${1}0"},
			{`("(?:connect|greeting|tls|ehlo|noop)": )[0-9.e-]+`, "${1}0"},
			{`\b(connect|greeting|tls|ehlo|noop) [0-9.]+[mµ]?s`, "$1 TIME"},
			{`\d{4}-\d\d-\d\d(T[0-9:.]+Z)?`, "DATE"},
		} {
			got = regexp.MustCompile(differs.pattern).ReplaceAllString(got, differs.by)
		}
		golden := filepath.Join("testdata", "ask", name+".golden")
		if *updateGolden {
			write(t, golden, got)
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s%s", name, got, want, errs)
		}
	}
}
