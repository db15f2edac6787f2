package interop

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/smtp"
)

// Programs that hand their mail to sendmail hand it to ours, which goes by that name. What they make must arrive at a
// relay that shares nothing with our server.

// caller is a program that calls sendmail, which is at path. It sends one message with the subject "A subject" and the
// body "Hello.\n.\nBye." from sender to one.
type caller struct {
	name string
	peer peers.Peer
	call func(t *testing.T, path string) *exec.Cmd
	want []string // of the message, besides subject and body
}

// hello has a line with a dot, which ends a message for a sendmail that was not told otherwise.
const hello = "Hello.\n.\nBye.\n"

var callers = []caller{
	{name: "git send-email", peer: peers.GitSend, call: func(t *testing.T, path string) *exec.Cmd {
		patch := filepath.Join(t.TempDir(), "0001.patch")
		if err := os.WriteFile(patch, []byte("From: Ann <"+sender+">\nSubject: A subject\n\n"+hello), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := peers.Command(t, peers.GitSend, "send-email", "--sendmail-cmd="+path, "--from="+sender, "--to="+one, "--confirm=never",
			"--envelope-sender="+sender, "--suppress-cc=all", patch)
		cmd.Dir = t.TempDir()
		return cmd
	}, want: []string{"X-Mailer: git-send-email"}},
	{name: "PHP", peer: peers.PHP, call: func(t *testing.T, path string) *exec.Cmd {
		return peers.Command(t, peers.PHP, "-d", "sendmail_path="+path+" -t -i", "-r",
			`exit(mail("`+one+`", "A subject", "Hello.\n.\nBye.", "From: `+sender+`\r\nCc: `+two+`", "-f`+sender+`") ? 0 : 1);`)
	}, want: []string{"Cc: " + two + "\r\n"}},
	{name: "mutt", peer: peers.Mutt, call: func(t *testing.T, path string) *exec.Cmd {
		cmd := peers.Command(t, peers.Mutt, "-n", "-F", "/dev/null", "-e", `set sendmail="`+path+` -oem -oi"`, "-e", "set copy=no use_envelope_from=yes from="+sender,
			"-s", "A subject", "--", one)
		cmd.Stdin = strings.NewReader(hello)
		return cmd
	}, want: []string{"Content-Disposition: inline"}},
	{name: "s-nail", peer: peers.SNail, call: func(t *testing.T, path string) *exec.Cmd {
		cmd := peers.Command(t, peers.SNail, "-:/", "-S", "mta="+path, "-S", "v15-compat=yes", "-S", "mta-arguments=-i", "-S", "from="+sender, "-r", sender, "-s", "A subject", one)
		cmd.Stdin = strings.NewReader(hello)
		return cmd
	}},
	{name: "Racket", peer: peers.Racket, call: callRacket, want: []string{"X-Mailer: Racket"}},
}

// callRacket puts ours where Racket looks for it, in a namespace of its own: the machine keeps the one it has.
func callRacket(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	peers.NeedRoot(t, "Racket finds sendmail in /usr/sbin only, which is laid over for it")
	racket := peers.Find(t, peers.Racket)
	const script = `(require net/sendmail) (send-mail-message "` + sender + `" "A subject" (list "` + one + `") '() '() '("Hello." "." "Bye."))`
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", `mount -t tmpfs none /usr/sbin && cp "$0" /usr/sbin/sendmail && exec "$1" -e "$2"`, path, racket, script)
	return cmd
}

// asSendmail returns the program by that name.
func asSendmail(t *testing.T) (path string) {
	t.Helper()
	built, err := build()
	if err != nil {
		t.Fatalf("go build: %v", err)
	}
	path = filepath.Join(t.TempDir(), "sendmail")
	if err := os.Link(built, path); err != nil {
		if err := os.Symlink(built, path); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestSendmailCallers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no program calls sendmail there")
	}
	path := asSendmail(t)
	for _, c := range callers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.peer != "" {
				peers.Find(t, c.peer)
			}
			r := newRecorder(t)
			cmd := c.call(t, path)
			cmd.Env = append(peers.Env(c.peer), "POSTRIDER_SERVER=smtp://"+r.addr+"?tls=none", "HOME="+t.TempDir(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL="+sender, "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL="+sender)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// Racket does not wait for the program that it calls.
			peers.Until(t, "the message", func() bool { return len(r.messages()) > 0 })
			c.check(t, r)
		})
	}
}

// body is what arrives of hello; some callers add an empty line, or a signature.
var body = regexp.MustCompile(`\r\n\r\nHello\.\r\n\.\r\nBye\.\r\n`)

// check compares what was recorded.
func (c caller) check(t *testing.T, r *recorder) {
	t.Helper()
	raw := string(r.messages()[0])
	for _, want := range append(c.want, "Subject: A subject\r\n", "Date: ", "From: ", one) {
		if !strings.Contains(raw, want) {
			t.Errorf("%q is not in\n%s", want, raw)
		}
	}
	if !body.MatchString(raw) {
		t.Errorf("the body has changed:\n%s", raw)
	}
	if !regexp.MustCompile(`(?i)\r\nmessage-id: <`).MatchString(raw) {
		t.Errorf("no Message-ID:\n%s", raw)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	envelope := strings.Join(r.envelope, "\n")
	if !strings.Contains(envelope, "RCPT TO:<"+one+">") || c.name != "Racket" && !strings.HasPrefix(envelope, "MAIL FROM:<"+sender+">") {
		t.Errorf("got the envelope\n%s", envelope)
	}
}

// TestCron has cron run a job when it starts. What the job prints arrives, by the sendmail that cron was built to call. In its
// namespace the folders of jobs and of what runs are empty, and the machine's own jobs are not seen.
func TestCron(t *testing.T) {
	path := asSendmail(t)
	peers.NeedRoot(t, "cron changes its user, and finds sendmail in /usr/sbin only, which is laid over for it")
	cron := peers.Find(t, peers.Cron)
	r := newRecorder(t)
	dir := t.TempDir()
	job := filepath.Join(dir, "job")
	write(t, job, "printf 'Gr\\303\\274\\303\\237e\\n.\\nBye.\\n'\n")
	const prepare = `set -e
for d in /usr/sbin /var/spool /run; do mount -t tmpfs none "$d"; done
cp "$0" /usr/sbin/sendmail
mkdir -p /var/spool/cron/crontabs
printf 'MAILTO=%s\nLANG=C.UTF-8\nPOSTRIDER_SERVER=%s\n@reboot sh %s\n' "$2" "$3" "$4" > /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
exec "$1" -f`
	server := "smtp://" + r.addr + "?tls=none"
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", prepare, path, cron, one, server, job)
	cmd.Env = append(os.Environ(), "POSTRIDER_SERVER="+server)
	peers.Start(t, cmd)
	peers.Until(t, "the message", func() bool { return len(r.messages()) > 0 })
	raw := string(r.messages()[0])
	for _, want := range []string{"From: Cron Daemon <root@", "To: " + one, "Subject: Cron <root@", "X-Cron-Env: <MAILTO=" + one + ">", "Message-ID: <", "\r\n\r\nGrüße\r\n.\r\nBye.\r\n"} {
		if !strings.Contains(raw, want) {
			t.Errorf("%q is not in\n%s", want, raw)
		}
	}
}

// The other way round: ours hands over to a program of others that goes by that name.
func TestHandOverToSendmail(t *testing.T) {
	r := newRecorder(t)
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	program := local.Sendmail{Path: peers.Find(t, peers.Msmtp), Args: []string{"--host=" + host, "--port=" + port, "--tls=off", "--auth=off"}}
	for _, s := range samples() {
		if _, err := program.Send(t.Context(), smtp.NewEnvelope(sender, one, two), bytes.NewBuffer(s.raw)); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	list := samples()
	for i := range list {
		list[i].raw = ended(list[i].raw)
	}
	compare(t, r.messages(), list)
	want := strings.Repeat("MAIL FROM:<"+sender+">\nRCPT TO:<"+one+">\nRCPT TO:<"+two+">\n", len(list))
	if got := strings.Join(r.envelope, "\n") + "\n"; got != want {
		t.Errorf("got the envelopes\n%s, want\n%s", got, want)
	}
	// A server that is not there is temporary, and said to be so by the program.
	program.Args[1] = "--port=1"
	if _, err := program.Send(t.Context(), smtp.NewEnvelope(sender, one), strings.NewReader("x\r\n")); !errors.Is(err, smtp.ErrTemporary) && !errors.Is(err, smtp.ErrPermanent) || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("got %v, want what msmtp says", err)
	}
}
