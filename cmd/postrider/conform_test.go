package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// listening serves srv on loopback until the test ends.
func listening(t *testing.T, srv *smtp.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// conformRun runs the command and returns its exit code and what it printed.
func conformRun(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"conform"}, args...), streams{strings.NewReader(""), &stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

func TestConform(t *testing.T) {
	srv := &smtp.Server{Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, r)
		return "", err
	}}, Logger: slog.New(slog.DiscardHandler)}
	addr := listening(t, srv)
	code, out, _ := conformRun(t, addr, "--rcpt", "bob@example.net")
	if want := regexp.MustCompile(`(?m)^ok    rset-forgets-sender +RFC 5321, 4\.1\.1\.5 +RSET forgets the sender\.\n`); code != 0 || !want.MatchString(out) {
		t.Errorf("got exit %d and %q, want 0 and a line for each case", code, out)
	}
	if want := regexp.MustCompile(`\n\d+ passed, 0 failed, \d+ skipped in `); !want.MatchString(out) || !strings.Contains(out, "\n      STARTTLS is not announced\n") {
		t.Errorf("got %q, want a summary, and why cases were skipped", out)
	}
}

// The two commands that everybody tries, and the other ways to serve on loopback: what takes all by
// design fails nothing, and what could not be judged is told.
func TestConformServe(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	users := withUsers(t, "ann", "secret")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secure, asAnn := []string{"--tls-cert", certFile, "--tls-key", keyFile}, []string{"--user", "ann", "--password-file", password}
	relay := []string{"--relay-to", "eve@example.org"}
	for _, c := range []struct {
		serve, conform []string
		skipped        string // why, of a case that tells the servers apart
	}{
		{nil, nil, "the server takes any password"},
		{secure, nil, "the server takes any password"},
		{[]string{"--accept", "example.net"}, relay, "the server takes any recipient"},
		// Each session's password is hashed, which is slow on purpose: what users make a difference to is enough.
		{append([]string{"--users", users, "--accept", "example.net"}, secure...), slices.Concat(asAnn, relay, []string{"--run", "auth-*,relay*"}), "the server takes any recipient"},
	} {
		s := start(t, t.TempDir(), c.serve...)
		code, out, _ := conformRun(t, append([]string{strings.TrimPrefix(s.smtp, "smtp://"), "--rcpt", "bob@example.net"}, c.conform...)...)
		if failed := regexp.MustCompile("(?m)^FAIL.*").FindAllString(out, 5); code != 0 || failed != nil {
			t.Errorf("serve %q: got exit %d and %q, want 0 and no failure", c.serve, code, failed)
		}
		if !strings.Contains(out, c.skipped) {
			t.Errorf("serve %q: got no %q as why a case was skipped", c.serve, c.skipped)
		}
	}
	s := start(t, t.TempDir())
	code, out, _ := conformRun(t, append([]string{strings.TrimPrefix(s.smtp, "smtp://"), "--rcpt", "bob@example.net", "--run", "relay,relay-percent"}, relay...)...)
	if code != 1 || !strings.Contains(out, "FAIL  relay ") || !strings.Contains(out, "skip  relay-percent ") {
		t.Errorf("--relay-to: got exit %d and %q, want a failure, as it takes mail for anybody", code, out)
	}
}

// A server with a fault: the exit code is 1, in whatever form it is told.
func TestConformFails(t *testing.T) {
	srv := &smtp.Server{OnCommand: func(_ context.Context, _ *smtp.Conn, verb, _ string) error {
		if verb == "NOOP" {
			return smtp.Errorf(550, "5.7.1", "no\x1b[31m")
		}
		return nil
	}}
	addr := listening(t, srv)
	code, out, errOut := conformRun(t, addr, "--run", "noop-*,rset-nothing")
	if code != 1 || !strings.Contains(out, "FAIL  noop-before-hello ") || strings.Contains(out, "\x1b") || !strings.HasSuffix(errOut, " cases failed\n") {
		t.Errorf("got exit %d, %q, %q, want 1 and a line that says FAIL", code, out, errOut)
	}
	code, out, errOut = conformRun(t, addr, "--run", "noop-argument", "--json")
	var c caseJSON
	if err := json.Unmarshal([]byte(out), &c); code != 1 || !strings.HasSuffix(errOut, ": 1 case failed\n") || err != nil || c.Outcome != "fail" || c.Source != "RFC 5321, 4.1.1.9" || !strings.Contains(c.Detail, "550") {
		t.Errorf("got exit %d and %q (%v), want one failed case", code, out, err)
	}
	code, out, _ = conformRun(t, addr, "--run", "noop-argument,rset-nothing", "--junit")
	var suite junitSuite
	if err := xml.Unmarshal([]byte(out), &suite); code != 1 || err != nil || suite.Tests != 2 || suite.Failures != 1 {
		t.Errorf("got exit %d and %q (%v), want two cases, one of which failed", code, out, err)
	}
}

func TestConformUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"127.0.0.1:1", "--tls", "opportunistic"}, {"127.0.0.1:1", "--user", "ann"}} {
		if code, _, errOut := conformRun(t, args...); code != exitUsage {
			t.Errorf("%q: got exit %d and %q, want %d", args, code, errOut, exitUsage)
		}
	}
	if code, out, _ := conformRun(t, "--list"); code != 0 || strings.Count(out, "\n") < 200 {
		t.Errorf("--list: got exit %d and %d lines, want at least 200", code, strings.Count(out, "\n"))
	}
	if code, _, _ := conformRun(t, "127.0.0.1:1"); code != exitTempFail {
		t.Errorf("nobody there: got exit %d, want %d", code, exitTempFail)
	}
}
