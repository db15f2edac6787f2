package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// certificate writes a certificate for localhost and its key to files.
func certificate(t testing.TB) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile, roots = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return certFile, keyFile, roots
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Every way to start it wrongly gives one line that says what to do, and the
// exit code that fits.
func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	certFile, keyFile, _ := certificate(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "x")
	foreign := filepath.Join(dir, "foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(foreign, "postrider.db"), strings.Repeat("no database ", 1000))
	ini := filepath.Join(dir, "bad.ini")
	write(t, ini, "port = 2525\nport_of_call = 1\n")
	open := filepath.Join(dir, "open.ini")
	write(t, open, "port = 2525\nlocal = false\n")

	hooks, twice, noBool := filepath.Join(dir, "hooks.ini"), filepath.Join(dir, "twice.ini"), filepath.Join(dir, "bool.ini")
	write(t, hooks, "port = 2525\non_mail = no-such-program-anywhere\n")
	write(t, twice, "port = 2525\nport = 2526\n")
	write(t, noBool, "port = 2525\nopen = perhaps\n")
	usersFile := withUsers(t, "ann", "secret")
	badSecret := filepath.Join(dir, "secret")
	write(t, badSecret, "whsec_!")

	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"serve --nonsense", 64, "unknown flag: --nonsense"},
		{"serve --smtp", 64, "needs an argument"},
		{"serve a.ini b.ini", 64, "takes one file"},
		{"serve --smtp 2525", 64, "give HOST:PORT"},
		{"serve --smtp 127.0.0.1:port", 64, "give HOST:PORT"},
		{"serve --smtp 127.0.0.1:70000", 64, "give HOST:PORT"},
		{"serve --smtp off --web off", 64, "nothing to serve"},
		{"serve --print all", 64, "line or full"},
		{"serve --data=", 64, "give a directory"},
		{"serve --web-path /a/../b", 64, "as /mail"},
		{"serve --web-path http://example.com/mail", 64, "as /mail"},
		{"serve --tls-cert " + certFile, 64, "go together"},
		{"serve --acme mail.example.com --tls-cert " + certFile + " --tls-key " + keyFile, 64, "give one of them"},
		{"serve --smtps 127.0.0.1:0", 64, "needs --tls-cert"},
		{"serve --hook-timeout 0s", 64, "at most 9m0s"},
		{"serve --hook-timeout 10m", 64, "at most 9m0s"},
		{"serve --hook-limit 0", 64, "from 1"},
		{"serve --hook-limit many", 64, `--hook-limit "many": it is a number; see postrider serve --help`},
		{"serve --hook-timeout 1", 64, `--hook-timeout "1": give a time such as 30s or 5m`},
		{"serve --verbose=perhaps", 64, `--verbose "perhaps": it is true or false`},
		{"serve --smtp unix:", 64, "a path follows"},
		{"serve --smtp 127.0.0.1:0,:0", 64, "--accept"},
		{"serve --smtp :0", 64, "--accept"},
		{"serve --smtp 0.0.0.0:0", 64, "--users"},
		{"serve --smtp :0 --users " + usersFile, 64, "nobody could authenticate there"},
		{"serve --smtp :0 --on-auth true", 64, "nobody could authenticate there"},
		{"serve --users " + usersFile + " --on-auth true", 64, "give one of them"},
		{"serve --users " + dir + "/none", 66, "postrider passwd --users " + dir + "/none NAME makes it"},
		{"serve --web-auth " + dir + "/none", 66, "--web-auth: there is no file"},
		{"serve --users " + file, 78, "line 1: there is no colon"},
		{"serve --on-mail no-such-program-anywhere", 64, "--on-mail: exec: "},
		{"serve --on-auth raw:cat", 64, "--on-auth: raw: is for messages"},
		{"serve --on-mail http://127.0.0.1:1/", 64, "POSTRIDER_HOOK_SECRET"},
		{"serve --hook-secret-file " + dir + "/none", 66, "no such file"},
		{"serve --hook-secret-file " + dir, 66, "is a directory"},
		{"serve --hook-secret-file " + badSecret, 78, "--hook-secret-file: what follows whsec_ is not base64"},
		{"serve --init " + file, 73, "is there already"},
		{"serve --init " + dir + "/none/mail.ini", 73, "no such file"},
		{"serve " + hooks, 78, hooks + ": configuration, line 2: on_mail: exec: "},
		{"serve " + twice, 78, "line 2: port: it is in line 1 already"},
		{"serve " + noBool, 78, `line 2: open "perhaps": it is true or false`},
		{"serve --web 0.0.0.0:0", 64, "--web-auth"},
		{"serve --web :0 --users " + usersFile, 64, "everybody could read the mail"},
		{"serve --web :0 --accept any", 64, "everybody could read the mail"},
		{"serve " + open, 78, "--accept"},
		{"serve --tls-cert " + dir + "/none --tls-key " + keyFile, 66, "no such file"},
		{"serve --tls-cert " + file + " --tls-key " + keyFile, 78, file + " with " + keyFile + ": the certificate cannot be used"},
		{"serve " + dir + "/none.ini", 66, "postrider serve --init " + dir + "/none.ini writes one"},
		{"serve " + ini, 78, "line 2: port_of_call"},
		{"serve --web 127.0.0.1:0 --smtp " + taken.Addr().String(), 69, "is in use by another program"},
		{"serve --smtp 127.0.0.1:0 --web " + taken.Addr().String(), 69, "--web off"},
		{"serve --smtp 192.0.2.1:2525 --open --web off", 69, "is not an address of this machine"},
		{"serve --smtp 127.0.0.1:0 --web off --data " + file, 73, "mail cannot be kept"},
		{"serve --smtp 127.0.0.1:0 --web off --data " + file + "/below", 73, "mail cannot be kept"},
		{"serve --smtp 127.0.0.1:0 --web off --data " + foreign, 65, "not a postrider database"},
	} {
		refuses(t, c.args, c.code, c.want)
	}
}

// So do the other commands.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 64, "say what to do"},
		{"serv", 64, `unknown command "serv"`},
		{"version x", 64, "takes no arguments"},
		{"noop x", 64, `takes no arguments, but got "x"; see postrider noop --help` + "\n"}, // once
		{"verify", 64, "say which address: postrider verify --server HOST ADDRESS"},
		{"expand", 64, "say which list: postrider expand --server HOST LIST"},
		{"nope", 64, "postrider --help lists the commands"},
		{"check http://mx.example.com", 64, "HOST[:PORT]"},
		{"conform 127.0.0.1:1", 75, "nothing listens there"},
		{"conform 127.0.0.1:smpt", 68, "a port is a number"},
		{"conform 127.0.0.1:1 --json --junit", 64, "give one of them"},
		{"conform 127.0.0.1:1 --rcpt bob", 64, `Rcpt is "bob", want an address`},
		{"conform 127.0.0.1:1 --mailbox " + t.TempDir() + "/none", 64, "want a directory"},
		{"conform 127.0.0.1:1 --rcpt bob@example.net --relay-to eve@example.net", 64, "want another domain"},
		{"version --x", 64, "unknown flag"},
	} {
		refuses(t, c.args, c.code, c.want)
	}
}

// refuses runs the program, which must say why it does not in one line, and do nothing.
func refuses(t *testing.T, args string, wantCode int, want string) {
	t.Helper()
	t.Run(args, func(t *testing.T) {
		cmd := command(t, strings.Fields(args)...)
		code, stdout, stderr := exit(t, cmd)
		if code != wantCode || !strings.Contains(stderr, want) || stdout != "" {
			t.Errorf("exit code %d, want %d; standard error %q, want %q; standard output %q", code, wantCode, stderr, want, stdout)
		}
		if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "postrider: ") {
			t.Errorf("it does not say it in one line: %q", stderr)
		}
		if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
			t.Errorf("it left %v behind", left)
		}
	})
}

// A directory that somebody else uses is said to be so, and both stay whole.
func TestServeTwice(t *testing.T) {
	s := start(t, t.TempDir())
	code, _, stderr := exit(t, command(t, "serve", "--smtp", "127.0.0.1:0", "--web", "off", "--data", s.data))
	if code != 69 || !strings.Contains(stderr, "another process uses it") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestServeUnwritable(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		dir = filepath.Join(dir, "file") // within which not even root can make a directory
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := exit(t, command(t, "serve", "--smtp", "127.0.0.1:0", "--web", "off", "--data", filepath.Join(dir, "data")))
	if code != 73 || !strings.Contains(stderr, "mail cannot be kept") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestServePrints(t *testing.T) {
	data := filepath.Join(t.TempDir(), "mail here")
	s := start(t, data, "--print", "full")
	if kept := s.Line("Kept in    "); kept != data+" (0 messages)" {
		t.Errorf("kept in %q", kept)
	}
	s.deliver([]byte("From: ann@example.com\r\nSubject: Stars =?utf-8?q?and=1B[2J?= stripes\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\n\r\nfirst line\x1b]0;x\x07\r\nsecond\r\n--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nx\r\n--b--\r\n"))
	line := s.Line(time.Now().Format("15:")) // the hour: what is before it in the line is empty
	if !strings.Contains(line, "ann@example.com → bob@example.net") || !strings.Contains(line, "Stars") || !strings.Contains(line, "1 attachment") {
		t.Errorf("the line is %q", line)
	}
	s.Line("second")
	s.Line("[a.txt")
	if out := s.Output(); strings.ContainsAny(out, "\x1b\x07") {
		t.Errorf("the sender's controls reach the terminal: %q", out)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	again := start(t, data)
	if kept := again.Line("Kept in    "); kept != data+" (1 message)" {
		t.Errorf("kept in %q", kept)
	}
}

// A signal ends it in order: what is being received is finished, and the exit
// code says that all is well.
func TestServeEnds(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			data := t.TempDir()
			s := start(t, data)
			c, err := dial(s.smtp)
			if err != nil {
				t.Fatal(err)
			}
			defer c.conn.Close()
			// A stream of events never ends by itself and must not keep it.
			resp, err := s.events()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Close()
			for _, step := range []struct{ code, text string }{
				{"250", "MAIL FROM:<ann@example.com>\r\n"}, {"250", "RCPT TO:<bob@example.net>\r\n"}, {"354", "DATA\r\n"},
			} {
				if err := c.say(step.code, step.text); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.conn.Write([]byte("Subject: half\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			process, err := os.FindProcess(s.PID())
			if err == nil {
				err = process.Signal(signal)
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Line("Ending")
			if err := c.say("250", "the rest\r\n.\r\n"); err != nil {
				t.Errorf("the message that was under way: %v", err)
			}
			if err := s.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if again := start(t, data); again.Line("Kept in    ") != data+" (1 message)" {
				t.Errorf("it was not kept: %s", again.Output())
			}
		})
	}
}

// What was acknowledged is told of, also if the end comes on its heels.
func TestServeTellsAtTheEnd(t *testing.T) {
	s := start(t, t.TempDir())
	c, err := (&smtp.Dialer{}).Dial(t.Context(), s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 1000
	for range n {
		if _, err := c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: last\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	process, err := os.FindProcess(s.PID())
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if got := strings.Count(s.Output(), "→"); got != n {
		t.Errorf("%d messages were told of, want %d", got, n)
	}
}

// events opens the stream of events.
func (s *served) events() (interface{ Close() error }, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.web, "http://"))
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		return nil, err
	}
	_, err = conn.Read(make([]byte, 1))
	return conn, err
}

// entry returns the JSON of the newest message.
func (s *served) entry() (m struct{ User, TLS, Subject string }) {
	s.t.Helper()
	if err := json.Unmarshal(s.get("/api/v1/messages/wait"), &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func TestServeAuthAndTLS(t *testing.T) {
	certFile, keyFile, roots := certificate(t)
	s := start(t, t.TempDir(), "--tls-cert", certFile, "--tls-key", keyFile, "--smtps", "127.0.0.1:0")
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	for _, c := range []struct {
		name, addr string
		dialer     smtp.Dialer
		user, tls  string
	}{
		{"plain", s.smtp, smtp.Dialer{TLS: smtp.TLSNone}, "", ""},
		{"any password", s.smtp, smtp.Dialer{TLS: smtp.TLSNone, Auth: sasl.Password("ann", "anything")}, "ann", ""},
		{"STARTTLS", s.smtp, smtp.Dialer{TLS: smtp.TLSStartTLS, TLSConfig: config, Auth: sasl.Password("bob", "x")}, "bob", "TLS 1.3"},
		{"implicit", s.Line("SMTP, TLS  smtps://"), smtp.Dialer{TLS: smtp.TLSImplicit, TLSConfig: config}, "", "TLS 1.3"},
	} {
		client, err := c.dialer.Dial(t.Context(), c.addr)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if _, err := client.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: "+c.name+"\r\n\r\n")); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		client.Close()
		if m := s.entry(); m.Subject != c.name || m.User != c.user || m.TLS != c.tls {
			t.Errorf("%s: %+v, want user %q and TLS %q", c.name, m, c.user, c.tls)
		}
	}
}

func TestServeAccept(t *testing.T) {
	s := start(t, t.TempDir(), "--accept", "example.com,Example.ORG")
	c, err := dial(s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for _, step := range []struct{ code, text string }{
		{"250", "MAIL FROM:<ann@example.com>\r\n"}, {"250", "RCPT TO:<bob@example.com>\r\n"}, {"250", "RCPT TO:<bob@EXAMPLE.org>\r\n"},
		{"550", "RCPT TO:<bob@example.net>\r\n"}, {"550", "RCPT TO:<bob@sub.example.com>\r\n"}, {"250", "RCPT TO:<postmaster>\r\n"},
	} {
		if err := c.say(step.code, step.text); err != nil {
			t.Errorf("%s: %v", strings.TrimSpace(step.text), err)
		}
	}
}

// Where others can reach it, passwords are not asked for in clear. Where it is told
// whose mail it takes, nothing is announced that only a queue could honour.
func TestServeElsewhere(t *testing.T) {
	for _, c := range []struct {
		args      []string
		auth, dsn bool
	}{
		{[]string{"--smtp", "0.0.0.0:0", "--accept", "any"}, false, false},
		{[]string{"--smtp", "0.0.0.0:0", "--open"}, true, true},
		{[]string{"--smtp", "127.0.0.1:0"}, true, true},
		{[]string{"--smtp", "127.0.0.1:0", "--accept", "example.com"}, true, false},
	} {
		s := start(t, t.TempDir(), c.args...)
		d := smtp.Dialer{TLS: smtp.TLSNone}
		client, err := d.Dial(t.Context(), s.smtp)
		if err != nil {
			t.Fatal(err)
		}
		if _, offered := client.Extension("AUTH"); offered != c.auth {
			t.Errorf("%v: AUTH offered %v, want %v", c.args, offered, c.auth)
		}
		for _, name := range []string{"DSN", "DELIVERBY", "FUTURERELEASE", "MT-PRIORITY", "RRVS"} {
			if _, offered := client.Extension(name); offered != c.dsn {
				t.Errorf("%v: %s offered %v, want %v", c.args, name, offered, c.dsn)
			}
		}
		client.Close()
	}
}

// Flags come before the environment, and both before the file.
func TestServePrecedence(t *testing.T) {
	run := func(env []string, args ...string) *peers.Process {
		cmd := command(t, append([]string{"serve", "--web", "off"}, args...)...)
		write(t, filepath.Join(cmd.Dir, "mail.ini"), "port = 1\nhostname = mail.example.com\nmax_size = 5000\n")
		cmd.Env = append(cmd.Env, env...)
		p := peers.Start(t, cmd)
		p.Line("Waiting for mail")
		return p
	}
	fromEnv, fromFlag := filepath.Join(t.TempDir(), "env"), filepath.Join(t.TempDir(), "flag")
	env := []string{"POSTRIDER_SMTP=127.0.0.1:0", "POSTRIDER_DATA=" + fromEnv}
	p := run(env)
	if kept := p.Line("Kept in    "); !strings.HasPrefix(kept, fromEnv+" ") {
		t.Errorf("kept in %q, want the environment's %q", kept, fromEnv)
	}
	conn, err := net.Dial("tcp", p.Line("SMTP       smtp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 200)
	n, err := conn.Read(greeting)
	if err != nil || !strings.HasPrefix(string(greeting[:n]), "220 mail.example.com ") {
		t.Errorf("the greeting is %q, %v; want the file's name in it", greeting[:n], err)
	}
	if kept := run(env, "--data", fromFlag).Line("Kept in    "); !strings.HasPrefix(kept, fromFlag+" ") {
		t.Errorf("kept in %q, want the flag's %q", kept, fromFlag)
	}
	// What is wrong is told by the name under which it was given.
	for _, c := range []struct {
		env, args string
		code      int
		want      string
	}{
		{"POSTRIDER_OPEN=perhaps", "serve", 78, `POSTRIDER_OPEN "perhaps": it is true or false`},
		{"POSTRIDER_PRINT=all", "serve", 78, `POSTRIDER_PRINT "all": it is line or full`},
		{"POSTRIDER_PRINT=all", "serve --print some", 64, `--print "some": it is line or full`},
		{"POSTRIDER_USERS=none", "serve", 66, "POSTRIDER_USERS: there is no file none"},
		{"POSTRIDER_TLS=quick", "noop --server 127.0.0.1:1", 78, `POSTRIDER_TLS "quick": it is auto,`},
		{"POSTRIDER_ODDS=often", "sink", 78, `POSTRIDER_ODDS "often": it is a number`},
		{"POSTRIDER_PASSWORD_FILE=none", "passwd ann", 66, "POSTRIDER_PASSWORD_FILE: none: no such file"},
	} {
		code, _, stderr := exit(t, withEnv(command(t, strings.Fields(c.args)...), c.env))
		if code != c.code || !strings.HasPrefix(stderr, "postrider: "+c.want) {
			t.Errorf("%s %s: exit code %d, want %d; standard error %q, want %q", c.env, c.args, code, c.code, stderr, c.want)
		}
	}
}

func withEnv(cmd *exec.Cmd, kv string) *exec.Cmd {
	cmd.Env = append(cmd.Env, kv)
	return cmd
}

func TestVersion(t *testing.T) {
	code, stdout, _ := exit(t, command(t, "version"))
	if code != 0 || !strings.HasPrefix(stdout, "postrider ") || !strings.Contains(stdout, "commit ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// run in this process: the same, without a binary.
func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"--help"}, streams{nil, &out, &errs}); code != 0 || !strings.Contains(out.String(), "serve") || errs.Len() > 0 {
		t.Errorf("--help: exit code %d\n%s%s", code, out.String(), errs.String())
	}
}
