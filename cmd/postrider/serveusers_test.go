package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/postrider/postrider/internal/mailini"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// withUsers writes a users file with the program, for names and passwords in turn.
func withUsers(t testing.TB, namesAndPasswords ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	putUsers(t, path, namesAndPasswords...)
	return path
}

func putUsers(t testing.TB, path string, namesAndPasswords ...string) {
	t.Helper()
	for i := 0; i < len(namesAndPasswords); i += 2 {
		cmd := command(t, "passwd", "--users", path, namesAndPasswords[i])
		cmd.Stdin = strings.NewReader(namesAndPasswords[i+1] + "\n")
		if code, stdout, stderr := exit(t, cmd); code != 0 || stdout != "" || stderr != "" {
			t.Fatalf("passwd: exit code %d, %q, %q", code, stdout, stderr)
		}
	}
}

// try sends a message as a user and returns what became of it.
func try(t *testing.T, addr string, d smtp.Dialer, to string) error {
	t.Helper()
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", to), strings.NewReader("Subject: x\r\n\r\n"))
	return err
}

// wantCode compares what a server said; 0 is no error.
func wantCode(t *testing.T, what string, err error, code int) {
	t.Helper()
	e, said := errors.AsType[*smtp.Error](err)
	if code == 0 && err != nil || code != 0 && (!said || e.Code != code) {
		t.Errorf("%s: got %v, want %d", what, err, code)
	}
}

// Users are verified by each mechanism that is announced, and without --accept nobody else may send.
func TestServeUsers(t *testing.T) {
	certFile, keyFile, roots := certificate(t)
	path := withUsers(t, "ann", "secret", "bob@example.com", "other")
	s := start(t, t.TempDir(), "--users", path, "--tls-cert", certFile, "--tls-key", keyFile)
	if takes := s.Line("Takes      "); takes != "mail from users alone" {
		t.Errorf("it takes %q", takes)
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	wantCode(t, "nobody", try(t, s.smtp, smtp.Dialer{TLS: smtp.TLSNone}, "bob@example.net"), 530)
	for _, mechanism := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"} {
		as := func(user, password string) smtp.Dialer {
			d := smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: config, Auth: sasl.Only(sasl.Password(user, password), mechanism)}
			return d
		}
		wantCode(t, mechanism, try(t, s.smtp, as("ann", "secret"), "bob@example.net"), 0)
		if m := s.entry(); m.User != "ann" {
			t.Errorf("%s: the user is %q", mechanism, m.User)
		}
		wantCode(t, mechanism+" wrong", try(t, s.smtp, as("ann", "other"), "bob@example.net"), 535)
		wantCode(t, mechanism+" unknown", try(t, s.smtp, as("eve", "other"), "bob@example.net"), 535)
	}
	// Where there is TLS no password that is looked at is taken in clear, on loopback neither.
	clear := smtp.Dialer{TLS: smtp.TLSNone, Auth: sasl.Password("ann", "secret")}
	if err := try(t, s.smtp, clear, "bob@example.net"); !errors.Is(err, smtp.ErrNoMechanism) {
		t.Errorf("in clear beside TLS: got %v, want no mechanism", err)
	}
	open := start(t, t.TempDir(), "--open", "--users", path, "--tls-cert", certFile, "--tls-key", keyFile)
	wantCode(t, "in clear beside TLS, with --open", try(t, open.smtp, clear, "bob@example.net"), 0)
}

// With --accept others may write to those domains, and users to anybody.
func TestServeUsersAndAccept(t *testing.T) {
	s := start(t, t.TempDir(), "--users", withUsers(t, "ann", "secret"), "--accept", "example.net")
	ann := smtp.Dialer{TLS: smtp.TLSNone, Auth: sasl.Password("ann", "secret")}
	wantCode(t, "nobody to the domain", try(t, s.smtp, smtp.Dialer{TLS: smtp.TLSNone}, "bob@example.net"), 0)
	wantCode(t, "nobody elsewhere", try(t, s.smtp, smtp.Dialer{TLS: smtp.TLSNone}, "bob@example.org"), 550)
	wantCode(t, "a user elsewhere", try(t, s.smtp, ann, "bob@example.org"), 0)
	// A name that anybody may give is none.
	any := start(t, t.TempDir(), "--accept", "example.net")
	wantCode(t, "any credentials elsewhere", try(t, any.smtp, ann, "bob@example.org"), 550)
}

// SIGHUP has users and the certificate read again; what cannot be used leaves what was there.
func TestServeReload(t *testing.T) {
	certFile, keyFile, roots := certificate(t)
	path := withUsers(t, "ann", "old")
	s := start(t, t.TempDir(), "--users", path, "--web-auth", path, "--tls-cert", certFile, "--tls-key", keyFile)
	as := func(password string) smtp.Dialer {
		return smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, Auth: sasl.Password("ann", password)}
	}
	hangUp := func(said string) {
		t.Helper()
		process, err := os.FindProcess(s.PID())
		if err == nil {
			err = process.Signal(syscall.SIGHUP)
		}
		if err != nil {
			t.Fatal(err)
		}
		peers.Until(t, "it has read again", func() bool { return strings.Contains(s.Output(), said) })
	}
	wantCode(t, "before", try(t, s.smtp, as("old"), "bob@example.net"), 0)
	newCert, newKey, newRoots := certificate(t)
	putUsers(t, path, "ann", "new", "bob", "his")
	move(t, newCert, certFile)
	move(t, newKey, keyFile)
	roots = newRoots
	hangUp("Read certificates and users again.")
	wantCode(t, "after", try(t, s.smtp, as("new"), "bob@example.net"), 0)
	wantCode(t, "the old password", try(t, s.smtp, as("old"), "bob@example.net"), 535)
	write(t, path, "no line\n")
	write(t, keyFile, "no key\n")
	hangUp("Not all of the certificates and users could be read again")
	wantCode(t, "after files that cannot be used", try(t, s.smtp, as("new"), "bob@example.net"), 0)
	if out := s.Output(); !strings.Contains(out, "line 1: there is no colon") || !strings.Contains(out, "the certificate cannot be used") {
		t.Errorf("it does not say what it could not use:\n%s", out)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// Where others can reach it the page is there by HTTPS, if there is a certificate, and
// not otherwise; where there is none, the log says what that means. Loopback stays as it is.
func TestServeHTTPS(t *testing.T) {
	path := withUsers(t, "ann", "secret")
	certFile, keyFile, roots := certificate(t)
	secure := []string{"--tls-cert", certFile, "--tls-key", keyFile}
	secured := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer secured.CloseIdleConnections()
	get := func(url string) (int, string) { return getAs(t, secured, url, "ann", "secret") }
	for _, c := range []struct {
		args   []string
		scheme string
		warns  bool
	}{
		{append([]string{"--web", "0.0.0.0:0", "--web-auth", path}, secure...), "https", false},
		{append([]string{"--web", "127.0.0.1:0"}, secure...), "http", false},
		{[]string{"--web", "0.0.0.0:0", "--web-auth", path}, "http", true},
	} {
		s := start(t, t.TempDir(), c.args...)
		if scheme, _, _ := strings.Cut(s.web, ":"); scheme != c.scheme {
			t.Errorf("%v: it is at %s, want %s", c.args, s.web, c.scheme)
		}
		if got, body := get(s.web + "/api/v1/messages"); got != 200 {
			t.Errorf("%v: %d %s", c.args, got, body)
		}
		if c.scheme == "https" {
			if got, body := get("http" + strings.TrimPrefix(s.web, "https") + "/api/v1/messages"); got != 400 || strings.Contains(body, "messages") {
				t.Errorf("in clear: %d %s", got, body)
			}
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(s.Output(), "can be read on the way"); got != c.warns {
			t.Errorf("%v: it warns: %v, want %v", c.args, got, c.warns)
		}
	}
}

// getAs asks for something by a user, or nobody.
func getAs(t *testing.T, client *http.Client, url, user, password string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The page asks for a password where it is told to, and off says that it does not.
func TestServeWebAuth(t *testing.T) {
	get := func(s *served, path, user, password string) (int, string) {
		return getAs(t, http.DefaultClient, s.web+path, user, password)
	}
	path := withUsers(t, "ann", "secret")
	// The file may be that of the users too, which is read once.
	for _, more := range [][]string{nil, {"--users", path}} {
		s := start(t, t.TempDir(), append(more, "--web", "0.0.0.0:0", "--web-auth", path)...)
		for _, c := range []struct {
			path, user, password string
			want                 int
		}{
			{"/", "", "", 401}, {"/", "ann", "wrong", 401}, {"/", "ann", "secret", 200}, {"/api/v1/messages", "", "", 401}, {"/api/v1/messages", "ann", "secret", 200},
			{"/healthz", "", "", 200}, {"/api/v1/events", "", "", 401},
		} {
			if got, body := get(s, c.path, c.user, c.password); got != c.want {
				t.Errorf("%q: %s by %q: got %d, want %d: %.200s", more, c.path, c.user, got, c.want, body)
			}
		}
	}
	if got, _ := get(start(t, t.TempDir(), "--web", "0.0.0.0:0", "--web-auth", "off"), "/", "", ""); got != 200 {
		t.Errorf("off: got %d", got)
	}
}

// The file that --init writes says what holds without it, and what it has commented out can be put in.
func TestServeInit(t *testing.T) {
	cmd := command(t, "serve", "--init")
	if code, stdout, stderr := exit(t, cmd); code != 0 || !strings.HasPrefix(stdout, "Wrote mail.ini") || stderr != "" {
		t.Fatalf("exit code %d, %q, %q", code, stdout, stderr)
	}
	read := func(text string) (serveOptions, *pflag.FlagSet) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "mail.ini")
		write(t, name, text)
		var o serveOptions
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		o.flags(flags)
		if err := o.fromFile([]string{name}, flags); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return o, flags
	}
	text, err := os.ReadFile(filepath.Join(cmd.Dir, "mail.ini"))
	if err != nil {
		t.Fatal(err)
	}
	_, flags := read(string(text))
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Value.String() != f.DefValue {
			t.Errorf("the file says %s for --%s, the default is %s", f.Value, f.Name, f.DefValue)
		}
	})
	full, flags := read(strings.ReplaceAll(string(text), "\n;", "\n"))
	if full.hostname != "mail.example.com" || full.maxSize != 50<<20 || full.smtps != "127.0.0.1:465" || full.onAuth == "" {
		t.Errorf("without its comments it is read as %+v", full)
	}
	for _, key := range mailini.Program() {
		if f := flags.Lookup(strings.ReplaceAll(key, "_", "-")); f == nil && key != "relay" {
			t.Errorf("the key %s is no flag", key)
		} else if f != nil && !f.Changed && key != "open" {
			t.Errorf("--init does not tell of %s", key)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "smtp", "smtps", "tls-cert", "tls-key", "init": // these are port, tls_port, tls_crt, tls_key
		default:
			if key := strings.ReplaceAll(f.Name, "-", "_"); !strings.Contains(strings.Join(mailini.Program(), " "), key) {
				t.Errorf("--%s is no key", f.Name)
			}
		}
	})
}

// Nothing that is merely found names commands to run.
func TestFoundFileRunsNothing(t *testing.T) {
	for _, key := range []string{"on_mail", "on_rcpt", "on_auth"} {
		cmd := command(t, "serve", "--data", t.TempDir())
		write(t, filepath.Join(cmd.Dir, "mail.ini"), "port = 2525\n"+key+" = touch ran\n")
		code, _, stderr := exit(t, cmd)
		if code != 78 || !strings.Contains(stderr, "mail.ini: configuration, line 2: "+key) {
			t.Errorf("%s: exit code %d, %q", key, code, stderr)
		}
	}
}

// A file's keys are flags, and stand below the environment. It need not name a port if a flag does.
func TestServeFileKeys(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ini := filepath.Join(t.TempDir(), "my.ini")
	write(t, ini, "data = "+data+"\naccept = example.com, example.net\nweb = off\nprint = full\non_rcpt = "+accepting(t)+"\n")
	cmd := command(t, "serve", "--smtp", "127.0.0.1:0", ini)
	cmd.Env = append(cmd.Env, "POSTRIDER_PRINT=line")
	p := peers.Start(t, cmd)
	if kept := p.Line("Kept in    "); kept != data+" (0 messages)" {
		t.Errorf("kept in %q, want %q", kept, data)
	}
	if takes := p.Line("Takes      "); takes != "mail for example.com, example.net" {
		t.Errorf("it takes %q", takes)
	}
	wantCode(t, "the second domain", try(t, p.Line("SMTP       smtp://"), smtp.Dialer{TLS: smtp.TLSNone}, "bob@example.net"), 0)
	wantCode(t, "another", try(t, p.Line("SMTP       smtp://"), smtp.Dialer{TLS: smtp.TLSNone}, "bob@example.org"), 550)
}
