package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// script writes a script for the shell and returns its path.
func script(t testing.TB, lines string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts are for a Unix shell")
	}
	path := filepath.Join(t.TempDir(), "hook.sh")
	write(t, path, "#!/bin/sh\n"+lines+"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// kept returns how many messages the server has kept.
func (s *served) kept() (n int) {
	s.t.Helper()
	var list struct{ Total int }
	if err := json.Unmarshal(s.get("/api/v1/messages"), &list); err != nil {
		s.t.Fatal(err)
	}
	return list.Total
}

// plain sends in clear.
var plain = smtp.Dialer{TLS: smtp.TLSNone}

// A command decides about messages before they are kept: each outcome on the wire and in the store.
func TestServeOnMailCommand(t *testing.T) {
	dir := t.TempDir()
	// It does what the file says that the test writes before each message.
	path := script(t, "cat >"+dir+"/in; env >"+dir+"/env; . "+dir+"/does")
	s := start(t, t.TempDir(), "--on-mail", path)
	kept := 0
	for _, c := range []struct {
		does string
		code int
		text string
	}{
		{"exit 0", 0, ""}, {"echo 'no, thanks'; exit 1", 550, "no, thanks"}, {"exit 65", 554, "not accepted"}, {"exit 67", 550, "not accepted"}, {"exit 77", 550, "not accepted"},
		{"echo 'greylisted, come again'; exit 75", 451, "greylisted"}, {"echo secret; exit 3", 451, ""}, {"echo secret; kill -9 $$", 451, ""}, {"no-such-program", 451, ""},
	} {
		write(t, filepath.Join(dir, "does"), c.does+"\n")
		err := try(t, s.smtp, plain, "bob@example.net")
		wantCode(t, c.does, err, c.code)
		if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: got %v, want the text %q", c.does, err, c.text)
		}
		if c.code == 0 {
			kept++
		}
		if n := s.kept(); n != kept {
			t.Errorf("%s: %d are kept, want %d", c.does, n, kept)
		}
	}
	var in struct {
		IP, Host, Sender, Subject string
		Recipients                []string
		Size                      int
	}
	b, err := os.ReadFile(filepath.Join(dir, "in"))
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	if err != nil || in.IP != "127.0.0.1" || in.Host == "" || in.Sender != "ann@example.com" || in.Subject != "x" || len(in.Recipients) != 1 || in.Recipients[0] != "bob@example.net" || in.Size != 14 {
		t.Errorf("it was told %s, %v", b, err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MAIL_SENDER=ann@example.com\n", "MAIL_RECIPIENTS=bob@example.net\n", "MAIL_IP=127.0.0.1\n", "MAIL_HOST=", "MAIL_TLS=\n", "MAIL_USER=\n", "MAIL_SIZE=14\n"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("the environment lacks %q:\n%s", want, env)
		}
	}
	// A program that goes away while the server runs defers.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the program is gone", try(t, s.smtp, plain, "bob@example.net"), 451)
	if out := s.Output(); !strings.Contains(out, "on-mail: ") {
		t.Errorf("the log does not tell why:\n%s", out)
	}
}

// What is kept is what the command saw, to the last octet: small, and larger than what is held in memory.
func TestServeOnMailRaw(t *testing.T) {
	dir := t.TempDir()
	s := start(t, t.TempDir(), "--on-mail", "raw:"+script(t, "cat >"+dir+"/$MAIL_SIZE"))
	for _, msg := range []string{"Subject: small\r\n\r\n.dot\r\n", "Subject: large\r\n\r\n" + strings.Repeat("0123456789\r\n.\r\n", 20_000)} {
		s.deliver([]byte(msg))
		saw, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(len(msg))))
		if err != nil || string(saw) != msg {
			t.Errorf("the command saw %d octets, %v; want %d", len(saw), err, len(msg))
		}
		subject := strings.Fields(msg)[1]
		if kept := s.get("/api/v1/messages/" + s.wait(subject) + "/raw"); string(kept) != msg {
			t.Errorf("%d octets are kept, want %d", len(kept), len(msg))
		}
	}
}

// A command decides about each recipient, and knows the sender.
func TestServeOnRcptCommand(t *testing.T) {
	s := start(t, t.TempDir(), "--on-rcpt", script(t, `
case "$MAIL_SENDER:$MAIL_RECIPIENT" in
ann@example.com:nobody@*) echo 'nobody here'; exit 67;;
*:later@*) exit 75;;
*:broken@*) exit 2;;
ann@example.com:*) exit 0;;
esac
exit 1`))
	for to, code := range map[string]int{"bob@example.net": 0, "nobody@example.net": 550, "later@example.net": 451, "broken@example.net": 451} {
		wantCode(t, to, try(t, s.smtp, plain, to), code)
	}
	c, err := plain.Dial(t.Context(), s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	results, err := c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "nobody@example.net", "bob@example.net"), strings.NewReader("Subject: both\r\n\r\n"))
	if err == nil || len(results) != 2 || results[0].Reply.Code != 550 || results[0].Reply.Enhanced != "5.1.1" || results[0].Reply.Text != "nobody here" || results[1].Err != nil {
		t.Errorf("got %+v, %v", results, err)
	}
}

// A command decides who the users are. It gets the password on standard input and nowhere else.
func TestServeOnAuthCommand(t *testing.T) {
	dir := t.TempDir()
	s := start(t, t.TempDir(), "--on-auth", script(t, `
env >`+dir+`/env
read -r line
case "$line" in
*'"user":"ann","password":"s3cret"}') exit 0;;
*'"user":"later"'*) exit 75;;
*'"user":"broken"'*) exit 99;;
esac
echo 'who are you?'
exit 1`))
	for _, c := range []struct {
		user, password string
		code           int
	}{{"ann", "s3cret", 0}, {"ann", "wrong", 535}, {"later", "x", 454}, {"broken", "x", 454}} {
		wantCode(t, c.user, try(t, s.smtp, smtp.Dialer{TLS: smtp.TLSNone, Auth: sasl.Password(c.user, c.password)}, "bob@example.net"), c.code)
	}
	if m := s.entry(); m.User != "ann" {
		t.Errorf("the user is %q", m.User)
	}
	wantCode(t, "nobody", try(t, s.smtp, plain, "bob@example.net"), 530)
	client, err := plain.Dial(t.Context(), s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// No keys are known, so nothing is announced that would need them.
	if mechanisms, _ := client.Extension("AUTH"); mechanisms != "PLAIN LOGIN" {
		t.Errorf("announced is %q", mechanisms)
	}
	if env, err := os.ReadFile(filepath.Join(dir, "env")); err != nil || strings.Contains(string(env), "s3cret") {
		t.Errorf("the environment has the password: %s, %v", env, err)
	}
}

// A URL decides: each outcome, for each kind of question, signed with the secret of the environment or of a file.
func TestServeHookURL(t *testing.T) {
	var mu sync.Mutex
	asked, status := map[string]string{}, http.StatusOK
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || r.Header.Get("Webhook-Signature") == "" {
			t.Errorf("asked with %v, %v", r.Header, err)
		}
		asked[r.Header.Get("Postrider-Hook")] = string(body)
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/"+r.Header.Get("Postrider-Hook")+"/decides" {
			w.WriteHeader(status)
			io.WriteString(w, "by the service")
		}
	}))
	defer service.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "whsec_c2VjcmV0\n")
	user := smtp.Dialer{TLS: smtp.TLSNone, Auth: sasl.Password("ann", "s3cret")}
	for kind, codes := range map[string]map[int]int{
		"mail": {200: 0, 204: 0, 403: 550, 404: 550, 410: 550, 422: 554, 301: 451, 400: 451, 503: 451},
		"rcpt": {200: 0, 403: 550, 404: 550, 422: 554, 418: 451},
		"auth": {200: 0, 403: 535, 404: 535, 410: 535, 422: 535, 401: 454, 500: 454},
	} {
		s := start(t, t.TempDir(), "--on-"+kind, service.URL+"/"+kind+"/decides", "--hook-secret-file", secret)
		for answer, code := range codes {
			mu.Lock()
			status = answer
			mu.Unlock()
			err := try(t, s.smtp, user, "bob@example.net")
			wantCode(t, kind+" "+http.StatusText(answer), err, code)
			if e, ok := errors.AsType[*smtp.Error](err); ok && e.Code/100 == 5 && e.Text != "by the service" {
				t.Errorf("%s %d: got the text %q", kind, answer, e.Text)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for kind, want := range map[string]string{"mail": `"subject":"x"`, "rcpt": `"recipient":"bob@example.net"`, "auth": `"user":"ann","password":"s3cret"`} {
		if !strings.Contains(asked[kind], want) {
			t.Errorf("%s was asked %q, want %s", kind, asked[kind], want)
		}
	}
}

// accepting is a command that accepts all, reads nothing, and is there on every system.
func accepting(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return "'" + path + "' version"
}

// Attachments come with their content on request. A command that reads nothing is no error.
func TestServeHookContent(t *testing.T) {
	dir := t.TempDir()
	s := start(t, t.TempDir(), "--on-mail", "content:"+script(t, `IFS= read -r line; printf %s "$line" >`+dir+"/in"))
	s.deliver([]byte("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\none\r\n--b--\r\n"))
	if b, err := os.ReadFile(filepath.Join(dir, "in")); err != nil || !strings.Contains(string(b), `"content":"b25l"`) {
		t.Errorf("it was told %s, %v", b, err)
	}
	s = start(t, t.TempDir(), "--on-mail", accepting(t))
	s.deliver([]byte("Subject: " + strings.Repeat("long ", 1_000) + "\r\n\r\n" + strings.Repeat("text\r\n", 100_000)))
}

// What takes longer than it may defers, a command and a URL alike, and the limit of the file counts as that of the flag.
func TestServeHookTimeout(t *testing.T) {
	stalls := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else nobody notices that the client has gone
		<-r.Context().Done()
	}))
	defer stalls.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "c2VjcmV0IG9mIHRoZSB0ZXN0cywgbG9uZyBlbm91Z2g=\n")
	ini := filepath.Join(t.TempDir(), "hooks.ini")
	write(t, ini, "port = 2525\nhook_timeout = 300ms\nhook_limit = 2\nhook_secret_file = "+secret+"\n")
	for _, hook := range []string{script(t, "sleep 600"), stalls.URL} {
		s := start(t, t.TempDir(), ini, "--on-mail", hook)
		wantCode(t, hook, try(t, s.smtp, plain, "bob@example.net"), 451)
		if n := s.kept(); n != 0 {
			t.Errorf("%s: %d are kept, want none", hook, n)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}
