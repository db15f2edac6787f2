package interop

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// Programs that make the message themselves, with a date and an identity that are new each time. Each sends the same text
// twice, to the recorder and to our server; the bodies must be the same, and the fields but for those two.

const composedText = "Hello,\n\n.a line with a dot\n..two dots\n\nGrüße\n"

// composer sends text, which is also in file, to addr.
type composer struct {
	name string
	peer peers.Peer
	cmd  func(t *testing.T, addr, file string) *exec.Cmd
}

var composers = []composer{
	{"s-nail", peers.SNail, func(t *testing.T, addr, _ string) *exec.Cmd {
		return peers.Command(t, peers.SNail, "-:/", "-S", "v15-compat", "-S", "mta=smtp://"+addr, "-S", "smtp-auth=none",
			"-r", sender, "-S", "hostname=client.example.com",
			"-S", "ttycharset=utf-8", "-S", "mime-encoding=8b", "-s", "composed", one)
	}},
	{"mutt", peers.Mutt, func(t *testing.T, addr, _ string) *exec.Cmd {
		rc := filepath.Join(t.TempDir(), "muttrc")
		write(t, rc, "set smtp_url=\"smtp://"+addr+"/\"\nset ssl_starttls=no\nset ssl_force_tls=no\nset from="+sender+"\nset hostname=client.example.com\n"+
			"set copy=no\nset record=\"\"\nset charset=utf-8\nset send_charset=utf-8\nset allow_8bit=yes\nset crypt_autosign=no\n")
		return peers.Command(t, peers.Mutt, "-n", "-F", rc, "-s", "composed", one)
	}},
	{"git send-email", peers.GitSend, func(t *testing.T, addr, file string) *exec.Cmd {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		patch := filepath.Join(t.TempDir(), "0001.patch")
		write(t, patch, "From: "+sender+"\nSubject: composed\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"+
			"Content-Transfer-Encoding: 8bit\n\n"+string(text))
		cmd := peers.Command(t, peers.GitSend, "send-email", "--quiet", "--confirm=never", "--suppress-cc=all", "--no-validate",
			"--smtp-server="+host, "--smtp-server-port="+port, "--smtp-domain=client.example.com", "--transfer-encoding=8bit",
			"--from="+sender, "--to="+one, patch)
		// The user's own settings are not meant here, and it insists on a name for who sends.
		cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=Sender", "GIT_AUTHOR_EMAIL="+sender, "GIT_COMMITTER_NAME=Sender", "GIT_COMMITTER_EMAIL="+sender)
		return cmd
	}},
	{"PHPMailer", peers.PHPMailer, func(t *testing.T, addr, file string) *exec.Cmd {
		return peers.Command(t, peers.PHPMailer, filepath.Join("testdata", "send_phpmailer.php"), addr, sender, one, file)
	}},
}

// compose has c send one message to addr.
func (c composer) compose(t *testing.T, addr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text")
	write(t, file, composedText)
	cmd := c.cmd(t, addr, file)
	cmd.Stdin = strings.NewReader(composedText)
	// A home of its own keeps the user's settings out, and what the program leaves behind with the test.
	cmd.Env = append(cmd.Env, "HOME="+t.TempDir())
	run(t, cmd)
}

func TestComposersDeliver(t *testing.T) {
	id := newIdentity(t)
	for _, c := range composers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, c.peer)
			r := newRecorder(t)
			c.compose(t, r.addr)
			var got collector
			c.compose(t, serve(t, &got, id, smtp.Policy{}))
			want := r.messages()
			if len(want) != 1 || len(got.list) != 1 {
				t.Fatalf("%d messages arrived, %d were recorded, want one each", len(got.list), len(want))
			}
			if !bytes.Contains(want[0], []byte("\r\n.a line with a dot\r\n..two dots\r\n\r\nGrüße\r\n")) {
				t.Errorf("the program sent something else than it was given:\n%s", want[0])
			}
			same(t, c.name, without(got.list[0].raw), without(want[0]))
			if a := got.list[0]; a.from != sender || len(a.to) != 1 || a.to[0] != one {
				t.Errorf("got from %q to %q, want %q and %q", a.from, a.to, sender, one)
			}
		})
	}
}

// without takes the fields away that are new in each message.
func without(raw []byte) []byte {
	header, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var kept []byte
	for line := range bytes.Lines(header) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		if n := strings.ToLower(string(name)); n != "date" && n != "message-id" {
			kept = append(kept, line...)
		}
	}
	return append(append(kept, "\r\n\r\n"...), body...)
}
