package conform_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/conform"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/smtp/smtptest"
)

// build builds the server that is tried, with some source files replaced.
func build(t *testing.T, replace map[string]string) string {
	t.Helper()
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "server.exe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "./testdata/server")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// start starts it, and returns how it is reached.
func start(t *testing.T, program, fault string) conform.Config {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, "-dir", dir)
	cmd.Env = append(os.Environ(), "FAULT="+fault)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return conform.Config{Addr: strings.TrimSpace(addr), Rcpt: "bob@example.net", RelayTo: "eve@example.org", Mailbox: dir, User: "ann", Password: "secret"}
}

// Our own server passes every case, in clear, in TLS and an octet at a time.
func TestOurs(t *testing.T) {
	c := start(t, build(t, nil), "")
	played := map[string]bool{}
	run := func(c conform.Config) {
		for r, err := range conform.Run(t.Context(), c) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Outcome == conform.Fail {
				t.Errorf("%s: %s (%s): %s", r.Name, r.Title, r.Source, r.Detail)
			}
			played[r.Name] = played[r.Name] || r.Outcome != conform.Skip
		}
	}
	run(c)
	if !played["starttls"] {
		t.Error("with credentials, which are said in TLS, nothing is tried before it")
	}
	clear := c
	clear.User, clear.TLS = "", smtp.TLSNone
	run(clear)
	if !testing.Short() {
		c.Split = true
		run(c)
	}
	for name, ok := range played {
		// These are for servers that lack what ours has.
		if !ok && !strings.HasSuffix(name, "-unoffered") {
			t.Errorf("%s: it was never played", name)
		}
	}
}

// Each case is a rule of its own, that says where it comes from.
func TestCases(t *testing.T) {
	cases := conform.Cases()
	if len(cases) < 200 {
		t.Errorf("got %d cases, want at least 200", len(cases))
	}
	source := regexp.MustCompile(`^(RFC \d+, [\dA-F][\d.]*|CVE-\d{4}-\d+)$`)
	seen := map[string]string{}
	for _, c := range cases {
		if !source.MatchString(c.Source) {
			t.Errorf("%s: got source %q, want an RFC's section or a CVE", c.Name, c.Source)
		}
		for what, s := range map[string]string{"name": c.Name, "title": c.Title} {
			if other := seen[what+s]; other != "" || s == "" {
				t.Errorf("%s: the %s %q is that of %s too", c.Name, what, s, other)
			}
			seen[what+s] = c.Name
		}
	}
}

// Nothing is ever sent to the address that no mail is to be passed on to: a case
// that says it never says DATA or BDAT.
func TestRelayCasesSendNothing(t *testing.T) {
	n := 0
	for _, c := range conform.Cases() {
		if lines := conform.Lines(c); strings.Contains(strings.ToLower(lines), "{relay") {
			n++
			if strings.Contains(lines, "DATA") || strings.Contains(lines, "BDAT") {
				t.Errorf("%s: got %q, want no message", c.Name, lines)
			}
		}
	}
	if n < 40 {
		t.Errorf("got %d cases about relaying, want at least 40", n)
	}
}

// What cannot be asked for is an error before anything is said.
func TestRelayTo(t *testing.T) {
	for _, to := range []string{"eve", "eve@", "@example.org", "eve@EXAMPLE.net", `"e ve"@example.org`, "eve@[192.0.2.1]", "jörg@example.org", "eve@example.org>\r\nDATA"} {
		for r, err := range conform.Run(t.Context(), conform.Config{Addr: "127.0.0.1:1", Rcpt: "bob@example.net", RelayTo: to}) {
			if err == nil || !strings.Contains(err.Error(), "RelayTo") {
				t.Errorf("%q: got %+v and error %v, want one about RelayTo", to, r, err)
			}
		}
	}
}

// A server that takes everything is not held to refusals, unless there is a user.
func TestTakesAnything(t *testing.T) {
	c := start(t, build(t, seed(t)), "every password is right")
	c.Only = []string{"auth-wrong"}
	for user, want := range map[string]conform.Outcome{"": conform.Skip, "ann": conform.Fail} {
		c.User = user
		for r, err := range conform.Run(t.Context(), c) {
			if err != nil || r.Outcome != want {
				t.Errorf("user %q: got %s, %s (%v), want %s", user, r.Outcome, r.Detail, err, want)
			}
		}
	}
}

// So is one that takes any recipient at its domain. It is told who sends, and from.
func TestTakesAnyRecipient(t *testing.T) {
	for from, want := range map[string]string{"": "postmaster@localhost", "ann@example.com": "ann@example.com"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &smtp.Server{Handler: &smtp.Hooks{OnSender: func(_ context.Context, _ *smtp.Conn, sender string, _ *smtp.MailOptions) error {
			if sender != want {
				t.Errorf("From %q: it is said to be from %q, want %q", from, sender, want)
			}
			return nil
		}}}
		go srv.Serve(l)
		defer srv.Close()
		c := conform.Config{Addr: l.Addr().String(), From: from, Rcpt: "bob@example.net", RelayTo: "eve@example.org", Only: []string{"rcpt", "relay-bang"}}
		for r, err := range conform.Run(t.Context(), c) {
			if want := map[string]conform.Outcome{"rcpt": conform.Pass, "relay-bang": conform.Skip}[r.Name]; err != nil || r.Outcome != want {
				t.Errorf("%s: got %s, %s (%v), want %s", r.Name, r.Outcome, r.Detail, err, want)
			}
		}
	}
}

// The suite as a Go test has it.
func TestTest(t *testing.T) {
	c := start(t, build(t, nil), "")
	c.Only = []string{"rset*", "quit"}
	conform.Test(t, c)
}

// A spy is a test that is told what it would be.
type spy struct {
	*testing.T
	name string
	said map[string]string
}

func (s spy) Run(name string, f func(spy)) bool { f(spy{s.T, name, s.said}); return true }
func (s spy) Skip(args ...any)                  { s.said[s.name] = "skip: " + fmt.Sprint(args...) }
func (s spy) Errorf(format string, args ...any) {
	s.said[s.name] = "error: " + fmt.Sprintf(format, args...)
}

// What a case has found is told by its subtest, and that none could be played by the test itself.
func TestTestTells(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &smtp.Server{Handler: new(smtp.Hooks)} // takes mail for everybody
	go srv.Serve(l)
	defer srv.Close()
	c := conform.Config{
		Addr: l.Addr().String(), Rcpt: "bob@example.net", RelayTo: "eve@a-domain-whose-name-is-longer-than-what-is-told-of-it.example.org", Only: []string{"quit", "binary", "relay"},
	}
	s := spy{t, "", map[string]string{}}
	conform.Test(s, c)
	for name, want := range map[string]string{
		"quit": "", "binary": "skip: BINARYMIME is not announced",
		"relay": `error: A stranger's mail for another domain is not passed on. (RFC 2505, 2.1): after "RCPT TO:<eve@a-domain-whose-name-is-longer-than-what-is-told …": got "250`,
	} {
		if got := s.said[name]; !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: it was told %q, want %q", name, got, want)
		}
	}
	c.Addr = "127.0.0.1:1"
	if conform.Test(s, c); !strings.HasPrefix(s.said[""], "error: conform: 127.0.0.1:1: ") {
		t.Errorf("nobody is there: it was told %q", s.said[""])
	}
}

// Where TLS is first, what comes before it is not tried, and the rest is.
func TestImplicitTLS(t *testing.T) {
	config, trusting := smtptest.TLS(t)
	srv := smtptest.Start(t, &smtp.Server{TLSConfig: config}, smtp.Policy{ImplicitTLS: true})
	c := conform.Config{Addr: srv.Addr, TLS: smtp.TLSImplicit, TLSConfig: trusting, Only: []string{"quit", "starttls"}}
	for r, err := range conform.Run(t.Context(), c) {
		if want := map[string]conform.Outcome{"quit": conform.Pass, "starttls": conform.Skip}[r.Name]; err != nil || r.Outcome != want {
			t.Errorf("%s: got %s, %s (%v), want %s", r.Name, r.Outcome, r.Detail, err, want)
		}
	}
}

// A server that is not there is an error, and no failed case.
func TestNobodyThere(t *testing.T) {
	for r, err := range conform.Run(t.Context(), conform.Config{Addr: "127.0.0.1:1", Timeout: time.Second}) {
		if err == nil {
			t.Errorf("got %+v, want an error", r)
		}
	}
}

// A server that wants to know who is there, or wants TLS, before it takes mail is not held
// to what it never gets to hear.
func TestAsksFirst(t *testing.T) {
	for name, policy := range map[string]smtp.Policy{"AUTH": {RequireAuth: true}, "TLS": {RequireTLS: true}, "nothing": {}} {
		srv := &smtp.Server{Handler: &smtp.Hooks{}, AllowInsecureAuth: true, OnAuth: func(_ context.Context, _ *smtp.Conn, user, password string) error {
			if user != "ann" || password != "secret" {
				return sasl.ErrRefused
			}
			return nil
		}}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go srv.Serve(smtp.Listener{Listener: l, Policy: policy})
		defer srv.Close()
		for _, user := range []string{"", "ann"} {
			if user != "" && name == "TLS" {
				continue // there is none
			}
			asked := 0
			c := conform.Config{Addr: l.Addr().String(), User: user, Password: "secret", Only: []string{"rset-*", "auth-in-mail", "quit"}}
			for r, err := range conform.Run(t.Context(), c) {
				if err != nil || r.Outcome == conform.Fail {
					t.Errorf("%s, user %q: %s: %s (%v)", name, user, r.Name, r.Detail, err)
				}
				if r.Outcome == conform.Skip && strings.Contains(r.Detail, "530") {
					asked++
				}
			}
			// With credentials there is one case left that has none by its nature.
			if want := map[string]bool{"AUTH": user == "" || asked == 1, "TLS": true}[name]; (asked > 0) != want {
				t.Errorf("%s, user %q: %d cases were skipped because something is asked first", name, user, asked)
			}
		}
	}
}
