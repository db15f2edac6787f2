//go:build linux

package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// Real servers pass mail on to ours. Each is private to the test, and knows no way but to our port on loopback.
//
// Exim and OpenSMTPD look up users and use folders by names that are compiled in. They run in a mount namespace, in which
// those names are the test's own and the machine's stay as they are.

// relay is a foreign server that passes on what it is given.
type relay struct {
	name string
	peer peers.Peer
	// start starts it; it passes everything on to next, with STARTTLS if secure.
	start func(t *testing.T, next string, secure bool) (addr string)
}

var relays = []relay{
	{"Postfix", peers.Postfix, startPostfixRelay},
	{"Exim", peers.Exim, startEximRelay},
	{"OpenSMTPD", peers.OpenSMTPD, startOpenSMTPDRelay},
}

func TestRelaysDeliver(t *testing.T) {
	peers.NeedRoot(t, "mail servers change their user")
	id := newIdentity(t)
	for _, r := range relays {
		for _, secure := range []bool{false, true} {
			name := r.name
			if secure {
				name += " with TLS"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				peers.Find(t, r.peer)
				var got collector
				addr := r.start(t, serve(t, &got, id, smtp.Policy{RequireTLS: secure}), secure)
				sent := samples()
				submit(t, addr, sent)
				peers.Until(t, fmt.Sprintf("%d messages, passed on by %s", len(sent), r.name), func() bool { return got.count() >= len(sent) })
				got.mu.Lock()
				for i, a := range got.list {
					got.list[i].raw = withoutTrace(t, a.raw)
					slices.Sort(got.list[i].to) // which of the two comes first is the relay's affair
				}
				got.mu.Unlock()
				for i := range sent {
					sent[i].raw = ended(sent[i].raw)
				}
				got.compare(t, sent, []string{one, two}, secure)
			})
		}
	}
}

// count returns how many messages have been collected.
func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.list)
}

// submit gives the messages to a relay.
func submit(t *testing.T, addr string, list []sample) {
	t.Helper()
	d := smtp.Dialer{Hostname: "client.example.com", TLS: smtp.TLSNone}
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range list {
		if _, err := c.Send(t.Context(), smtp.NewEnvelope(sender, one, two), bytes.NewReader(s.raw)); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
}

// withoutTrace takes away what a relay puts before the message (RFC 5321, 4.4).
func withoutTrace(t *testing.T, raw []byte) []byte {
	t.Helper()
	first := []byte("\r\nFrom: Sender <" + sender + ">\r\n")
	at := bytes.Index(raw, first)
	if !bytes.HasPrefix(raw, []byte("Received: ")) || at < 0 {
		t.Errorf("a message arrived without a Received field first:\n%q", raw[:min(len(raw), 500)])
		return raw
	}
	return raw[at+2:]
}

func startPostfixRelay(t *testing.T, next string, secure bool) string {
	t.Helper()
	level := "none"
	if secure {
		level = "encrypt"
	}
	host, port, _ := strings.Cut(next, ":")
	return launchPostfix(t, "smtp unix - - n - - smtp\n", func(string) string {
		return fmt.Sprintf("relayhost = [%s]:%s\nsmtp_tls_security_level = %s\nsmtpd_relay_restrictions = permit_mynetworks, reject\n", host, port, level)
	}).addr
}

// own makes a folder with files in which users and groups are those of the machine and one or two more.
func own(t *testing.T, names ...string) string {
	t.Helper()
	dir := openDir(t, "root")
	for file, form := range map[string]string{"passwd": "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", "group": "%s:x:%d:\n"} {
		text, err := os.ReadFile(filepath.Join("/etc", file))
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			text = append(text, fmt.Sprintf(strings.Replace(form, "%d:%d", "%[2]d:%[2]d", 1), name, 65500+i)...)
		}
		write(t, filepath.Join(dir, file), string(text))
	}
	return dir
}

// inNamespace returns a command in a mount namespace of its own, in which users and groups are those of dir, and the
// folders that OpenSMTPD uses are empty.
func inNamespace(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	const prepare = `set -e
mount --bind "$0/passwd" /etc/passwd
mount --bind "$0/group" /etc/group
for d in /var/spool /var/lib /run; do mount -t tmpfs none "$d"; done
mkdir -m 711 /var/spool/smtpd
mkdir -p /var/lib/opensmtpd/empty
exec "$@"`
	return exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "sh", "-c", prepare, dir}, args...)...)
}

func startEximRelay(t *testing.T, next string, secure bool) string {
	t.Helper()
	tls := "hosts_avoid_tls = *"
	if secure {
		tls = "hosts_require_tls = *"
	}
	host, port, _ := strings.Cut(next, ":")
	return startExim(t, fmt.Sprintf(`tls_advertise_hosts =
acl_smtp_rcpt = accept
begin routers
all:
  driver = manualroute
  route_list = * %s
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = %s
  %s
begin retry
* * F,1h,1s
`, host, port, tls))
}

// startExim starts an Exim that is private to the test. What conf says comes behind where it lies and listens.
func startExim(t *testing.T, conf string) (addr string) {
	t.Helper()
	dir, addr := own(t, "Debian-exim"), peers.FreeAddr(t)
	spool := filepath.Join(dir, "spool")
	uid, gid := ids(t, "nobody")
	if err := os.Mkdir(spool, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(spool, uid, gid); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	program, file := peers.Find(t, peers.Exim), filepath.Join(dir, "exim.conf")
	write(t, file, fmt.Sprintf(`primary_hostname = exim.example.com
exim_path = %[3]s
spool_directory = %[1]s
log_file_path = %[1]s/%%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[2]s
exim_user = nobody
exim_group = nogroup
keep_environment =
`, spool, port, program)+conf)
	p := peers.Start(t, inNamespace(t, dir, program, "-C", file, "-bdf", "-q1s"))
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(spool, "mainlog")); err == nil && t.Failed() {
			t.Logf("Exim's log:\n%s", log)
		}
	})
	p.Accepts(addr)
	return addr
}

func startOpenSMTPDRelay(t *testing.T, next string, secure bool) string {
	t.Helper()
	// The certificate is the test's own, which the machine does not know.
	scheme, verify := "smtp+notls", ""
	if secure {
		scheme, verify = "smtp+tls", " tls no-verify"
	}
	return startOpenSMTPD(t, func(port string) string {
		return fmt.Sprintf("listen on 127.0.0.1 port %s hostname opensmtpd.example.com\naction out relay host \"%s://%s\"%s\nmatch from any for any action out\n", port, scheme, next, verify)
	})
}

// startOpenSMTPD starts an OpenSMTPD that is private to the test. conf is told the port on which it is to listen.
func startOpenSMTPD(t *testing.T, conf func(port string) string) (addr string) {
	t.Helper()
	dir, addr := own(t, "opensmtpd", "opensmtpq"), peers.FreeAddr(t)
	file := filepath.Join(dir, "smtpd.conf")
	write(t, file, conf(portOf(addr)))
	p := peers.Start(t, inNamespace(t, dir, peers.Find(t, peers.OpenSMTPD), "-d", "-f", file))
	p.Accepts(addr)
	return addr
}
