package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// send, held against a server of ours: what arrives, what is printed, what the exit code says.

// an arrival is what the server was given.
type arrival struct {
	user, sender, raw string
	recipients        []string
	message           *mail.Message
}

// receiver runs a server until the test ends. Recipients named nobody are refused for good, later for now.
func receiver(t *testing.T) (addr string, got <-chan arrival) {
	t.Helper()
	return receiving(t, func(_ context.Context, to string) error {
		switch local, _, _ := strings.Cut(to, "@"); local {
		case "nobody":
			return smtp.Errorf(550, "5.1.1", "nobody here")
		case "later":
			return smtp.Errorf(451, "4.2.0", "not now")
		}
		return nil
	})
}

// receiving is receiver with another opinion of recipients; nil accepts all.
func receiving(t *testing.T, onRcpt func(context.Context, string) error) (addr string, got <-chan arrival) {
	t.Helper()
	arrivals := make(chan arrival, 1)
	h := postrider.Handlers{
		OnMail: func(_ context.Context, m *postrider.Received) error {
			raw, err := io.ReadAll(m.Original)
			if err != nil {
				return err
			}
			parsed, err := mail.Parse(bytes.NewReader(raw))
			arrivals <- arrival{m.User, m.Sender, string(raw), m.Recipients, parsed}
			return err
		},
		OnRcpt: onRcpt,
		OnAuth: func(_ context.Context, user, password string) error {
			if user != "ann" || password != "secret" {
				return smtp.Errorf(535, "5.7.8", "no")
			}
			return nil
		},
	}
	listens, ended := make(chan net.Addr, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- postrider.Serve(ctx, postrider.Config{Addr: "127.0.0.1:0", OnListen: func(a net.Addr) { listens <- a }}, h)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-listens:
		return a.String(), arrivals
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		return "", nil
	}
}

// sent runs postrider send with args.
func sent(t *testing.T, stdin string, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"send"}, args...), streams{strings.NewReader(stdin), &o, &e})
	return code, o.String(), e.String()
}

// file makes a file of the test's.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSend(t *testing.T) {
	addr, got := receiver(t)
	picture := file(t, "logo.png", "png")
	code, out, errs := sent(t, "text from standard input\n", "--server", addr, "--from", "Ann <ann@example.com>", "--to", "bob@example.net, Eve <eve@example.net>", "--to", "c@example.net",
		"--cc", "d@example.net", "--bcc", "hidden@example.net", "--reply-to", "list@example.com", "--subject", "Grüße", "--text", "-", "--html", "@"+file(t, "a.html", "<img src=cid:logo.png>"),
		"--attach", file(t, "a b.txt", "attached"), "--embed", picture, "--header", "X-Test: yes", "--user", "ann", "--password-file", file(t, "password", "secret\n"), "--auth", "plain", "--trace")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	a := <-got
	m := a.message
	if a.user != "ann" || a.sender != "ann@example.com" || len(a.recipients) != 5 {
		t.Errorf("the envelope: got %q %q %q", a.user, a.sender, a.recipients)
	}
	if m.Subject != "Grüße" || m.Text != "text from standard input\n" || m.HTML != "<img src=cid:logo.png>" || len(m.Attachments) != 2 || m.Header.Value("X-Test") != "yes" || len(m.ReplyTo) != 1 {
		t.Errorf("the message: got\n%s", a.raw)
	}
	if strings.Contains(a.raw, "hidden") {
		t.Errorf("Bcc is told:\n%s", a.raw)
	}
	if strings.Count(out, "accepted") != 5 {
		t.Errorf("printed\n%s", out)
	}
	if !regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d\d\d C: MAIL FROM:<ann@example.com>`).MatchString(errs) || strings.Contains(errs, "secret") || strings.Contains(errs, "AGFubgBzZWNyZXQ") {
		t.Errorf("the trace lacks the dialogue, or tells the password:\n%s", errs)
	}
}

// A page in a file takes the pictures beside it along, and nothing else; one that is read from elsewhere has no folder.
func TestSendPage(t *testing.T) {
	addr, got := receiver(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "logo.png"), "png")
	write(t, filepath.Join(filepath.Dir(dir), "other.png"), "png")
	flags := []string{"--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--html"}
	page := filepath.Join(dir, "page.html")
	for _, c := range []struct {
		html, shown string
		code        int
		want        string
	}{
		{`<img src="logo.png"><img src="https://example.com/a.png">`, "@" + page, exitOK, "png"},
		{`<img src="logo.png">`, "-", exitOK, ""},
		{`<img src="gone.png">`, "@" + page, exitNoInput, "gone.png"},
		{`<img src="../other.png">`, "@" + page, exitNoInput, "outside of its folder"},
		{`<img src="page.html">`, "@" + page, exitNoInput, "no picture"},
	} {
		write(t, page, c.html)
		code, out, errs := sent(t, c.html, append(flags, c.shown)...)
		if code != c.code || code != exitOK && !strings.Contains(errs, c.want) {
			t.Errorf("%s by %s: got %d, want %d with %q:\n%s%s", c.html, c.shown, code, c.code, c.want, out, errs)
		}
		if code != exitOK {
			continue
		}
		m := (<-got).message
		if embedded := strings.Contains(m.HTML, `<img src="cid:`); embedded != (c.want != "") || len(m.Attachments) != len(c.want)/3 {
			t.Errorf("%s by %s: got %q with %d attachments", c.html, c.shown, m.HTML, len(m.Attachments))
		}
	}
}

func TestSendEML(t *testing.T) {
	addr, got := receiver(t)
	const raw = "From: ann@example.com\r\nBcc: hidden@example.net,\r\n other@example.net\r\nTo: bob@example.net\r\nSubject: raw\r\n\r\n.body\r\n"
	for _, args := range [][]string{{"--eml", file(t, "a.eml", raw)}, {"--eml", "-"}} {
		if code, out, errs := sent(t, raw, append(args, "--server", addr)...); code != 0 {
			t.Fatalf("%q: exit code %d\n%s%s", args, code, out, errs)
		}
		a := <-got
		if want := strings.Replace(raw, "Bcc: hidden@example.net,\r\n other@example.net\r\n", "", 1); a.raw != want {
			t.Errorf("%q: got %q, want %q", args, a.raw, want)
		}
		if want := "bob@example.net hidden@example.net other@example.net"; strings.Join(a.recipients, " ") != want || a.sender != "ann@example.com" {
			t.Errorf("%q: got the envelope %q %q", args, a.sender, a.recipients)
		}
	}
	// A file with the line ends of this system gets those of mail on its way.
	if code, _, errs := sent(t, strings.ReplaceAll(raw, "\r\n", "\n"), "--server", addr, "--eml", "-"); code != 0 {
		t.Fatal(errs)
	}
	if a := <-got; !strings.HasSuffix(a.raw, "\r\n\r\n.body\r\n") || strings.Contains(strings.ReplaceAll(a.raw, "\r\n", ""), "\n") {
		t.Errorf("with line feeds: got %q", a.raw)
	}
	if code, _, errs := sent(t, raw, "--server", addr, "--eml", "-", "--from", "x@example.com", "--to", "y@example.com"); code != 0 {
		t.Fatal(errs)
	}
	if a := <-got; a.sender != "x@example.com" || strings.Join(a.recipients, " ") != "y@example.com" {
		t.Errorf("the envelope of the flags: got %q %q", a.sender, a.recipients)
	}
}

func TestSendDryRun(t *testing.T) {
	code, out, errs := sent(t, "", "--from", "ann@example.com", "--to", "bob@example.net", "--subject", "s", "--text", "t", "--dry-run")
	if code != 0 || !strings.Contains(out, "Subject: s\r\n") || !strings.HasSuffix(out, "\r\n\r\nt\r\n") || !strings.Contains(errs, "from <ann@example.com> to <bob@example.net>") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	// The JSON tells the envelope too: who is in Bcc.
	code, out, errs = sent(t, "", "--from", "ann@example.com", "--to", "bob@example.net", "--bcc", "hidden@example.net", "--text", "t", "--dry-run", "--json")
	var m mailjson.Message
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 {
		t.Fatalf("%v: %d\n%s%s", err, code, out, errs)
	}
	if got := strings.Join(m.Recipients, " "); got != "bob@example.net hidden@example.net" || m.Sender != "ann@example.com" || m.Text != "t\n" || len(m.Bcc) != 0 {
		t.Errorf("--json: got\n%s", out)
	}
}

// Those whom one server did not take for now are tried at the next one, and nobody else.
func TestSendSeveralServers(t *testing.T) {
	first, got := receiver(t)
	addr, second := receiving(t, nil)
	code, out, errs := sent(t, "", "--server", first, "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net,later@example.net,nobody@example.net,later2@example.net", "--text", "t")
	if a := <-got; strings.Join(a.recipients, " ") != "bob@example.net later2@example.net" {
		t.Errorf("the first server: got %q", a.recipients)
	}
	if a := <-second; strings.Join(a.recipients, " ") != "later@example.net" {
		t.Errorf("the second server: got %q", a.recipients)
	}
	if code != exitUnavailable || strings.Count(out, "accepted") != 3 || !strings.Contains(errs, "nobody@example.net  refused  550 5.1.1 nobody here") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	closed := peers.FreeAddr(t)
	code, out, errs = sent(t, "", "--server", closed, "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--text", "t", "--trace")
	<-second
	if code != 0 || strings.Count(out, "accepted") != 1 || !strings.Contains(errs, closed) || strings.Count(errs, "the next server is tried") != 1 {
		t.Errorf("the first one is down: got %d\n%s%s", code, out, errs)
	}
}

// --auth uses that mechanism and no other; what the file holds is a token where that is wanted.
func TestSendAuth(t *testing.T) {
	seen := make(chan string, 1)
	addr := servedBy(t, &smtp.Server{
		AllowInsecureAuth: true,
		SASL: &sasl.Verifier{
			Password: func(_ context.Context, user, password string) error { seen <- user + " " + password; return nil },
			Token: func(_ context.Context, user, token string) (string, error) {
				seen <- user + " " + token
				return user, nil
			},
			Anonymous: func(_ context.Context, trace string) error { seen <- trace; return nil },
		},
	}, smtp.Policy{})
	for mechanism, want := range map[string]string{"PLAIN": "ann secret", "login": "ann secret", "XOAUTH2": "ann secret", "oauthbearer": "ann secret", "ANONYMOUS": "ann"} {
		args := []string{"noop", "--server", addr, "--user", "ann", "--auth", mechanism, "--trace"}
		if mechanism != "ANONYMOUS" {
			args = append(args, "--password-file", file(t, "secret", "secret\n"))
		}
		code, out, errs := ran(t, args...)
		if code != 0 || !strings.Contains(errs, "C: AUTH "+strings.ToUpper(mechanism)) || strings.Contains(errs, "secret") {
			t.Errorf("%s: got %d\n%s%s", mechanism, code, out, errs)
			continue
		}
		if got := <-seen; got != want {
			t.Errorf("%s: the server was told %q, want %q", mechanism, got, want)
		}
	}
	code, _, errs := ran(t, "noop", "--server", addr, "--user", "ann", "--password-file", file(t, "p", "x"), "--auth", "SCRAM-SHA-256")
	if code == 0 || !strings.Contains(errs, "postrider check shows") {
		t.Errorf("a mechanism that is not offered: got %d: %s", code, errs)
	}
}

// A server that asks for a certificate is shown ours, and EXTERNAL is who it says we are.
func TestSendCertificate(t *testing.T) {
	cert, key, roots := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	server := func() *smtp.Server {
		return &smtp.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
			SASL: &sasl.Verifier{Certificate: func(_ context.Context, cert *x509.Certificate, identity string) (string, error) {
				seen <- identity + " " + cert.DNSNames[0]
				return identity, nil
			}},
		}
	}
	both := file(t, "both.pem", slurp(t, cert)+slurp(t, key))
	for _, args := range [][]string{
		{"--server", servedBy(t, server(), smtp.Policy{}), "--tls", "starttls", "--cert-file", cert, "--key-file", key},
		{"--server", "smtps://" + servedBy(t, server(), smtp.Policy{ImplicitTLS: true}), "--cert-file", both},
	} {
		code, out, errs := ran(t, append([]string{"noop", "--ca-file", cert, "--user", "ann", "--auth", "EXTERNAL"}, args...)...)
		if code != 0 {
			t.Errorf("%q: got %d\n%s%s", args, code, out, errs)
			continue
		}
		if got := <-seen; got != "ann localhost" {
			t.Errorf("%q: the server was told %q, want ann and the certificate's name", args, got)
		}
	}
	addr := servedBy(t, server(), smtp.Policy{ImplicitTLS: true})
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitTempFail, "certificate", nil},
		{exitUsage, "--key-file needs --cert-file", []string{"--key-file", key}},
		{exitData, "no certificate with its key", []string{"--cert-file", key, "--key-file", key}},
	} {
		if code, out, errs := ran(t, append([]string{"noop", "--server", "smtps://" + addr, "--ca-file", cert}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%q: got %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

func slurp(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is no server takes mail too, and says that it knows nothing of servers' flags.
func TestSendLocal(t *testing.T) {
	dir := t.TempDir()
	good := []string{"--from", "ann@example.com", "--to", "bob@example.net", "--text", "t", "--server"}
	if code, out, errs := sent(t, "", append(good, "maildir:"+filepath.ToSlash(dir))...); code != 0 || !strings.Contains(out, "bob@example.net  accepted  maildir") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "new", "*")); err != nil || len(files) != 1 {
		t.Errorf("got %q and %v, want one file", files, err)
	}
	if code, _, errs := sent(t, "", append(good, "maildir:"+filepath.ToSlash(dir), "--trace")...); code != exitUsage || !strings.Contains(errs, "for servers") {
		t.Errorf("--trace: got %d\n%s", code, errs)
	}
}

// A message that some have and others may still get must not look as if it could be sent again as it is.
func TestSendSomeDeferred(t *testing.T) {
	addr, got := receiver(t)
	code, out, errs := sent(t, "", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net,later@example.net", "--text", "t")
	<-got
	if code != exitUnavailable || !strings.Contains(errs, "these alone: later@example.net") {
		t.Errorf("got %d\n%s%s", code, out, errs)
	}
}

// In a terminal a large message shows how far it is.
func TestSendProgress(t *testing.T) {
	script := peers.Find(t, peers.Script)
	addr, got := receiver(t)
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	large := file(t, "large.bin", strings.Repeat("0123456789abcdef", 2<<20/16))
	line := program + " send --server " + addr + " --from ann@example.com --to bob@example.net --attach " + large
	out, err := exec.CommandContext(t.Context(), script, "-qec", line, "/dev/null").CombinedOutput()
	<-got
	if err != nil || !strings.Contains(string(out), "sending") || !strings.Contains(string(out), "done") || !strings.Contains(string(out), "accepted") {
		t.Errorf("got %v\n%s", err, out)
	}
	// Without one it does not.
	cmd := command(t, "send", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--attach", large)
	plain, err := cmd.CombinedOutput()
	<-got
	if err != nil || strings.Contains(string(plain), "sending") {
		t.Errorf("without a terminal: got %v\n%s", err, plain)
	}
}

func TestSendJSON(t *testing.T) {
	addr, got := receiver(t)
	code, out, errs := sent(t, "", "--server", addr, "--from", "ann@example.com", "--to", "bob@example.net,nobody@example.net,later@example.net", "--text", "t", "--json")
	<-got
	var results []sentResult
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) != 3 {
		t.Fatalf("%v: %d\n%s%s", err, code, out, errs)
	}
	for i, want := range []string{"accepted", "refused", "deferred"} {
		if results[i].Outcome != want {
			t.Errorf("%s: got %q, want %q", results[i].Recipient, results[i].Outcome, want)
		}
	}
}

// Each mistake has one line that says what to do, and its exit code.
func TestSendErrors(t *testing.T) {
	addr, _ := receiver(t)
	bare := servedBy(t, new(smtp.Server), smtp.Policy{})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	good := []string{"--server", addr, "--from", "ann@example.com", "--to", "bob@example.net", "--text", "t"}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--server", []string{"--from", "a@b.c", "--to", "b@c.d"}},
		{exitUsage, "--from", []string{"--server", addr, "--to", "b@c.d"}},
		{exitUsage, "--to", []string{"--server", addr, "--from", "a@b.c"}},
		{exitUsage, `--to "x": address list, octet 0: an entry without an address; write ann@example.com`, []string{"--to", "x"}},
		{exitUsage, "something behind an address; write", []string{"--to", "a@b.c d"}},
		{exitUsage, "postrider: --server: the port", append(good, "--server", "127.0.0.1:99999")},
		{exitUsage, "unknown flag", []string{"--form", "x"}},
		{exitUsage, "no arguments", append(good, "stray")},
		{exitUsage, "--tls", append(good, "--tls", "yes")},
		{exitUsage, "--auth", append(good, "--auth", "GSSAPI")},
		{exitUsage, "needs --user", append(good, "--auth", "PLAIN")},
		{exitUsage, "postrider: --user needs a password: give --password-file", append(good, "--user", "ann")},
		{exitUsage, "NAME: VALUE", append(good, "--header", "x")},
		{exitUsage, "--header", append(good, "--header", "X Y: z")},
		{exitUsage, "--to says it already", append(good, "--header", "to: eve@example.net")},
		{exitUsage, "--from says it already", append(good, "--header", "From: eve@example.net")},
		{exitUsage, "--bcc says it already", append(good, "--bcc", "eve@example.net", "--header", "Bcc: dan@example.net")},
		{exitUsage, "made of --text", append(good, "--header", "Content-Type: text/html")},
		{exitUsage, "one such field", append(good, "--header", "Cc: a@b.c", "--header", "CC: d@e.f")},
		{exitUsage, "no date", append(good, "--header", "Date: tomorrow")},
		{exitUsage, "--html", append(good, "--embed", "x")},
		{exitUsage, "standard input", append(good, "--text", "-", "--html", "-")},
		{exitUsage, "do not go together", append(good, "--eml", "x")},
		{exitUsage, "smtp: smtps:", append(good, "--server", "ftp://x")},
		{exitNoInput, "no such file", append(good, "--attach", "no such")},
		{exitNoInput, "no file", append(good, "--attach", ".")},
		{exitNoInput, "no such file", append(good, "--text", "@no such")},
		{exitNoInput, "no such file", []string{"--server", addr, "--eml", "no such"}},
		{exitNoInput, "postrider: --ca-file", append(good, "--ca-file", "no such")},
		{exitNoInput, "postrider: --cert-file", append(good, "--cert-file", "no such")},
		{exitData, "no certificate with its key", append(good, "--cert-file", file(t, "c", "x"))},
		{exitData, "no certificate", append(good, "--ca-file", file(t, "a", "x"))},
		{exitData, "Subject", append(good, "--subject", "a\nb")},
		{exitData, "no author", []string{"--server", addr, "--eml", file(t, "a.eml", "To: a@b.c\n\nx")}},
		{exitData, "no recipients", []string{"--server", addr, "--eml", file(t, "a.eml", "From: a@b.c\n\nx")}},
		{exitNoUser, "nobody here", []string{"--server", addr, "--from", "ann@example.com", "--to", "nobody@example.net", "--text", "t"}},
		{exitNoUser, "2 of 2", []string{"--server", addr, "--from", "ann@example.com", "--to", "nobody@example.net,nobody@example.com", "--text", "t"}},
		{exitUnavailable, "2 of 2", []string{"--server", addr, "--from", "ann@example.com", "--to", "nobody@example.net,later@example.com", "--text", "t"}},
		{exitUnavailable, "offers no authentication", []string{"--server", bare, "--user", "ann", "--password-file", file(t, "p", "x"), "--from", "ann@example.com", "--to", "bob@example.net"}},
		{exitTempFail, "nothing listens", append(good[2:], "--server", closed.Addr().String())},
		{exitNoHost, "check its spelling", append(good[2:], "--server", "nowhere.invalid")},
		{exitNoPerm, "user or password is wrong", append(good, "--user", "ann", "--password-file", file(t, "p", "wrong"))},
	} {
		code, out, errs := sent(t, "", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: got exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}
