package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// Other people's clients authenticate to our server, by each mechanism that they have, offered alone. CRAM-MD5 is there
// because the test's server knows the password itself; postrider serve does not, and offers none.

const (
	account  = "ann@example.com"
	password = "s3cret p/w"
)

// authenticated are clients that send a message of their own as account.
var authenticated = []struct {
	name       string
	peer       peers.Peer
	mechanisms []string
	command    func(t *testing.T, addr, mechanism string) *exec.Cmd
}{
	{"swaks", peers.Swaks, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, func(t *testing.T, addr, mechanism string) *exec.Cmd {
		return peers.Command(t, peers.Swaks, "--server", addr, "--from", sender, "--to", one, "--auth", mechanism, "--auth-user", account, "--auth-password", password)
	}},
	{"curl", peers.Curl, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, func(t *testing.T, addr, mechanism string) *exec.Cmd {
		cmd := peers.Command(t, peers.Curl, "--silent", "--show-error", "--url", "smtp://"+addr, "--mail-from", sender, "--mail-rcpt", one,
			"--login-options", "AUTH="+mechanism, "--user", account+":"+password, "--upload-file", "-")
		cmd.Stdin = strings.NewReader("Subject: x\r\n\r\n")
		return cmd
	}},
	{"msmtp", peers.Msmtp, []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}, func(t *testing.T, addr, mechanism string) *exec.Cmd {
		host, port, _ := strings.Cut(addr, ":")
		cmd := peers.Command(t, peers.Msmtp, "--file=/dev/null", "--host="+host, "--port="+port, "--from="+sender, "--tls=off",
			"--auth="+strings.ToLower(mechanism), "--user="+account, "--passwordeval=echo '"+password+"'", one)
		cmd.Stdin = strings.NewReader("Subject: x\n\n")
		return cmd
	}},
	{"s-nail", peers.SNail, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, func(t *testing.T, addr, mechanism string) *exec.Cmd {
		login := strings.ReplaceAll(url.UserPassword(account, password).String(), "@", "%40")
		cmd := peers.Command(t, peers.SNail, "-:/", "-S", "v15-compat", "-S", "mta=smtp://"+login+"@"+addr, "-S", "smtp-auth="+strings.ToLower(mechanism), "-r", sender, "-S", "hostname=client.example.com", "-s", "x", one)
		cmd.Stdin = strings.NewReader("x\n")
		return cmd
	}},
	{"smtplib", peers.Smtplib, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, inline(peers.Smtplib, "-c", `
import smtplib, sys
host, port = sys.argv[1].split(":")
with smtplib.SMTP(host, int(port), timeout=60) as s:
    s.login(sys.argv[2], sys.argv[3])
    s.sendmail(sys.argv[4], [sys.argv[5]], "Subject: x\r\n\r\n")`)},
	{"aiosmtplib", peers.Aiosmtplib, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, inline(peers.Aiosmtplib, "-c", `
import asyncio, aiosmtplib, sys
host, port = sys.argv[1].split(":")
async def main():
    s = aiosmtplib.SMTP(hostname=host, port=int(port))
    await s.connect()
    await s.login(sys.argv[2], sys.argv[3])
    await s.sendmail(sys.argv[4], [sys.argv[5]], "Subject: x\r\n\r\n")
    await s.quit()
asyncio.run(main())`)},
	{"Nodemailer", peers.Nodemailer, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, inline(peers.Nodemailer, "-e", `
const [addr, user, pass, from, to] = process.argv.slice(1);
const [host, port] = addr.split(":");
require("nodemailer").createTransport({host, port, auth: {user, pass}}).sendMail({from, to, subject: "x", text: "x"})
	.catch((e) => { console.error(e); process.exit(1); });`)},
	{"Net-SMTP", peers.PerlSASL, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, inline(peers.PerlSASL, "-e", `
use Net::SMTP;
my ($addr, $user, $password, $from, $to) = @ARGV;
my $s = Net::SMTP->new($addr) or die $@;
$s->auth($user, $password) && $s->mail($from) && $s->to($to) && $s->data("Subject: x\n\n") or die $s->message;
$s->quit;`)},
	{"Ruby", peers.Ruby, []string{"PLAIN", "LOGIN", "CRAM-MD5"}, func(t *testing.T, addr, mechanism string) *exec.Cmd {
		return inline(peers.Ruby, "-e", `
require "net/smtp"
addr, user, password, from, to = ARGV
host, port = addr.split(":")
smtp = Net::SMTP.new(host, port.to_i)
smtp.disable_starttls
smtp.start("client.example.com", user, password, :`+strings.ToLower(strings.ReplaceAll(mechanism, "-", "_"))+`) { smtp.send_message("Subject: x\n\n", from, to) }`)(t, addr, mechanism)
	}},
	{"LuaSocket", peers.LuaSocket, []string{"PLAIN", "LOGIN"}, func(t *testing.T, addr, _ string) *exec.Cmd {
		return peers.Command(t, peers.LuaSocket, filepath.Join("testdata", "auth_luasocket.lua"), addr, account, password, sender, one)
	}},
	{"Racket", peers.Racket, []string{"PLAIN"}, func(t *testing.T, addr, _ string) *exec.Cmd {
		return peers.Command(t, peers.Racket, "-l", "racket/base", "-l", "net/smtp", "-l", "racket/string", "-e", `
(define args (current-command-line-arguments))
(define addr (string-split (vector-ref args 0) ":"))
(smtp-send-message (car addr) (vector-ref args 3) (list (vector-ref args 4)) "Subject: x\r\n\r\n" '("x")
  #:port-no (string->number (cadr addr)) #:auth-user (vector-ref args 1) #:auth-passwd (vector-ref args 2))`, addr, account, password, sender, one)
	}},
}

// inline returns a command that runs a script which is an argument, and gets the address, user, password, sender and
// recipient.
func inline(p peers.Peer, flag, script string) func(*testing.T, string, string) *exec.Cmd {
	return func(t *testing.T, addr, _ string) *exec.Cmd {
		return peers.Command(t, p, flag, script, addr, account, password, sender, one)
	}
}

// A submission is a message and the user who has sent it.
type submission struct {
	user string
	raw  []byte
}

// serveAuth starts a server that offers one mechanism, or all if that is "", and nothing without it.
func serveAuth(t *testing.T, mechanism string, seen chan<- submission) string {
	t.Helper()
	s := authServer(mechanism, seen)
	s.AllowInsecureAuth = true
	return listen(t, s, smtp.Policy{RequireAuth: true})
}

func authServer(mechanism string, seen chan<- submission) *smtp.Server {
	s := &smtp.Server{
		Hostname: "mx.example.net", Logger: slog.New(slog.DiscardHandler),
		Handler: &smtp.Hooks{OnData: func(_ context.Context, c *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
			raw, err := io.ReadAll(r)
			seen <- submission{c.User(), raw}
			return "", err
		}},
		SASL: &sasl.Verifier{
			Password: func(_ context.Context, name, pw string) error {
				if name != account || pw != password {
					return sasl.ErrRefused
				}
				return nil
			},
			Keys: func(_ context.Context, name, mechanism string) (sasl.Keys, error) {
				if name != account {
					return sasl.Keys{}, sasl.ErrRefused
				}
				return sasl.NewKeys(mechanism, password, 0)
			},
			Secret: func(_ context.Context, name string) (string, error) {
				if name != account {
					return "", sasl.ErrRefused
				}
				return password, nil
			},
		},
	}
	if mechanism != "" {
		s.SASL.Only = []string{mechanism}
	}
	return s
}

// authenticate has one client send its message, and returns it.
func authenticate(t *testing.T, mechanism string, command func(t *testing.T, addr, mechanism string) *exec.Cmd) submission {
	t.Helper()
	seen := make(chan submission, 10)
	run(t, command(t, serveAuth(t, mechanism, seen), mechanism))
	if len(seen) != 1 {
		t.Fatalf("it sent %d messages, want one", len(seen))
	}
	return <-seen
}

func TestClientsAuthenticate(t *testing.T) {
	for _, c := range authenticated {
		for _, mechanism := range c.mechanisms {
			t.Run(c.name+" "+mechanism, func(t *testing.T) {
				t.Parallel()
				peers.Find(t, c.peer)
				if got := authenticate(t, mechanism, c.command); got.user != account {
					t.Errorf("it sent as %q, want %q", got.user, account)
				}
			})
		}
	}
}

// secured are clients that authenticate inside TLS, where credentials are taken by default. They send what is in files.
var secured = []struct {
	name    string
	peer    peers.Peer
	tls     tlsKind
	command func(t *testing.T, addr, ca string, files ...string) *exec.Cmd
}{
	{"LuaSocket", peers.LuaSocket, implicitTLS, func(t *testing.T, addr, ca string, files ...string) *exec.Cmd {
		return withAccount(peers.Command(t, peers.LuaSocket, append([]string{filepath.Join("testdata", "send_luasocket.lua"), addr, ca, sender, one}, files...)...))
	}},
	{"Racket by STARTTLS", peers.Racket, startTLS, func(t *testing.T, addr, ca string, files ...string) *exec.Cmd {
		return withAccount(peers.Command(t, peers.Racket, append([]string{filepath.Join("testdata", "send_racket.rkt"), addr, ca, sender, one}, files...)...))
	}},
	{"Racket", peers.Racket, implicitTLS, func(t *testing.T, addr, ca string, files ...string) *exec.Cmd {
		return withAccount(peers.Command(t, peers.Racket, append([]string{filepath.Join("testdata", "send_racket.rkt"), addr, "tls:" + ca, sender, one}, files...)...))
	}},
	{"swaks by STARTTLS", peers.Swaks, startTLS, func(t *testing.T, addr, ca string, files ...string) *exec.Cmd {
		return peers.Command(t, peers.Swaks, "--server", addr, "--from", sender, "--to", one, "-tls", "--tls-verify", "--tls-ca-path", ca,
			"--auth", "LOGIN", "--auth-user", account, "--auth-password", password, "--data", "@"+files[0])
	}},
	{"curl", peers.Curl, implicitTLS, func(t *testing.T, addr, ca string, files ...string) *exec.Cmd {
		return peers.Command(t, peers.Curl, "--silent", "--show-error", "--url", "smtps://"+addr, "--cacert", ca, "--mail-from", sender, "--mail-rcpt", one,
			"--user", account+":"+password, "--upload-file", files[0])
	}},
}

func withAccount(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, "MAIL_USER="+account, "MAIL_PASSWORD="+password)
	return cmd
}

// Inside TLS, and nowhere else, the server offers all that it can verify; the client chooses.
func TestClientsAuthenticateInTLS(t *testing.T) {
	id := newIdentity(t)
	cert, err := tls.LoadX509KeyPair(id.certFile, id.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range secured {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, c.peer)
			seen := make(chan submission, 10)
			s := authServer("", seen)
			s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			want := samples()[:1]
			run(t, c.command(t, listen(t, s, smtp.Policy{RequireAuth: true, RequireTLS: true, ImplicitTLS: c.tls == implicitTLS}), id.certFile, files(t, want, openEnd)...))
			if len(seen) != 1 {
				t.Fatalf("it sent %d messages, want one", len(seen))
			}
			got := <-seen
			if got.user != account {
				t.Errorf("it sent as %q, want %q", got.user, account)
			}
			compare(t, [][]byte{got.raw}, want)
		})
	}
}

// LuaSocket's multipart, with attachment, preamble and epilogue, is read as it was meant.
func TestLuaSocketMultipart(t *testing.T) {
	peers.Find(t, peers.LuaSocket)
	got := authenticate(t, "PLAIN", func(t *testing.T, addr, _ string) *exec.Cmd {
		return peers.Command(t, peers.LuaSocket, filepath.Join("testdata", "auth_luasocket.lua"), addr, account, password, sender, one)
	})
	m, err := mail.Parse(bytes.NewReader(got.raw))
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "multipart" || strings.TrimSpace(m.Text) != "the text\n.with a dot" || len(m.Attachments) != 1 || m.Attachments[0].Name != "data.bin" {
		t.Fatalf("got %+v of\n%s", m, got.raw)
	}
	f, err := m.Attachments[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, bytes.Repeat([]byte("\x00\x01\x02\xff"), 100)) {
		t.Errorf("the attachment is %q, %v", b, err)
	}
}
