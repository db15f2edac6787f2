//go:build linux

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/conform"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// The suite of package conform against other people's servers: what it says must make sense to one that is not ours. Each
// takes mail for one and two from anybody, and for others from its user alone, and passes everything on to our port, where
// it shows to whom the suite has sent anything.
//
// Which cases a server fails is its own affair, and changes with its versions: they are logged, and nothing is held of
// them but that they are few. QUIRK: Postfix 3.7 takes a dot between other line ends for the end of a message, Exim runs
// commands that end in LF.

const conformUser, conformPassword = "ann", "s3cret"

// guarded are the servers. start has them pass on to next, and returns where they listen.
var guarded = []struct {
	name  string
	peer  peers.Peer
	users bool // it offers STARTTLS, and then PLAIN
	start func(t *testing.T, next string, id identity) (addr string)
}{
	{"Postfix", peers.Postfix, true, startGuardedPostfix},
	{"Exim", peers.Exim, true, startGuardedExim},
	// QUIRK: Debian's OpenSMTPD 6.8 cannot sign a handshake, as it was written for an OpenSSL before 3.
	{"OpenSMTPD", peers.OpenSMTPD, false, startGuardedOpenSMTPD},
}

func TestConformOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays the whole suite to each server")
	}
	peers.NeedRoot(t, "mail servers change their user")
	id := newIdentity(t)
	for _, s := range guarded {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, s.peer)
			var got collector
			addr := s.start(t, serve(t, &got, id, smtp.Policy{Profile: smtp.Normalize}), id)
			c := conform.Config{Addr: addr, TLSConfig: id.client(), From: sender, Rcpt: one, RelayTo: "eve@example.org", Timeout: 10 * time.Second}
			if s.users {
				c.User, c.Password = conformUser, conformPassword
			}
			holdSuite(t, c)
			onlyTo(t, &got, c, one)
		})
	}
}

// holdSuite runs the suite and holds that it comes to an end in which each case has an outcome, and says why unless it passed.
func holdSuite(t *testing.T, c conform.Config) {
	t.Helper()
	var names []string
	count := map[conform.Outcome]int{}
	for r, err := range conform.Run(t.Context(), c) {
		if err != nil {
			t.Fatalf("user %q: %v", c.User, err)
		}
		names = append(names, r.Name)
		count[r.Outcome]++
		if r.Outcome == conform.Fail {
			t.Logf("user %q: %s (%s): %s %s", c.User, r.Name, r.Source, r.Title, r.Detail)
		}
		if (r.Outcome == conform.Pass) != (r.Detail == "") {
			t.Errorf("user %q: %s: got %s, %q", c.User, r.Name, r.Outcome, r.Detail)
		}
	}
	var want []string
	for _, one := range conform.Cases() {
		want = append(want, one.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("user %q: got %d cases, want each of %d", c.User, len(names), len(want))
	}
	t.Logf("user %q: %v", c.User, count)
	if count[conform.Fail] > len(want)/4 || count[conform.Pass] < len(want)/2 {
		t.Errorf("user %q: got %v, want most to pass", c.User, count)
	}
}

// onlyTo sends a last message, waits until it has been passed on, and holds that nobody but rcpt got any before. A server
// reports what it could not pass on to the sender, by itself.
func onlyTo(t *testing.T, got *collector, c conform.Config, rcpt string) {
	t.Helper()
	d := smtp.Dialer{Hostname: "client.example.com", TLS: smtp.TLSNone}
	client, err := d.Dial(t.Context(), c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const last = "the last message"
	if _, err := client.Send(t.Context(), smtp.NewEnvelope(sender, rcpt), strings.NewReader("Subject: "+last+"\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	peers.Until(t, last+", passed on", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return slices.ContainsFunc(got.list, func(a arrival) bool { return strings.Contains(string(a.raw), last) })
	})
	got.mu.Lock()
	defer got.mu.Unlock()
	for _, a := range got.list {
		to := slices.Compact(a.to) // a case names the recipient twice
		if report := a.from == "" && slices.Equal(to, []string{sender}); !report && !slices.Equal(to, []string{rcpt}) {
			t.Errorf("sent from %q to %q, want to %s alone:\n%.500s", a.from, a.to, rcpt, a.raw)
		}
	}
	if len(got.list) < 20 {
		t.Errorf("%d messages were passed on, want those of the cases that send some", len(got.list))
	}
}

// readableBy returns an identity in files that a user of the machine may read.
func readableBy(t *testing.T, id identity, user string) identity {
	t.Helper()
	dir := openDir(t, user)
	copied := identity{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), id.roots}
	for from, to := range map[string]string{id.certFile: copied.certFile, id.keyFile: copied.keyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, string(text))
	}
	return copied
}

func startGuardedPostfix(t *testing.T, next string, id identity) string {
	t.Helper()
	asked := startDovecotAuth(t, conformUser+":{PLAIN}"+conformPassword+"::::::\n", "plain")
	host, port, _ := strings.Cut(next, ":")
	return launchPostfix(t, "smtp unix - - n - - smtp\n", func(string) string {
		return fmt.Sprintf(`mydestination = $myhostname
local_transport = smtp:[%[1]s]:%[2]s
relayhost = [%[1]s]:%[2]s
relay_domains = example.net
relay_transport = smtp
relay_recipient_maps = inline:{ %[3]s=x, %[4]s=x }
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = %[5]s
smtpd_tls_key_file = %[6]s
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:%[7]s
smtpd_error_sleep_time = 0
`, host, port, one, two, id.certFile, id.keyFile, asked)
	}).addr
}

func startGuardedExim(t *testing.T, next string, id identity) string {
	t.Helper()
	host, port, _ := strings.Cut(next, ":")
	id = readableBy(t, id, "nobody") // whom Exim becomes before it reads the key
	return startExim(t, fmt.Sprintf(`tls_advertise_hosts = *
tls_certificate = %[1]s
tls_privatekey = %[2]s
dsn_advertise_hosts = *
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept authenticated = *
  accept local_parts = postmaster
         domains = exim.example.com : example.net
  accept recipients = %[3]s : %[4]s
  deny message = mail for others is not passed on
begin routers
all:
  driver = manualroute
  route_list = * %[5]s
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = %[6]s
  hosts_avoid_tls = *
begin retry
* * F,1h,1s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_advertise_condition = ${if def:tls_in_cipher}
  server_condition = ${if and{{eq{$auth2}{%[7]s}}{eq{$auth3}{%[8]s}}}}
  server_set_id = $auth2
`, id.certFile, id.keyFile, one, two, host, port, conformUser, conformPassword))
}

func startGuardedOpenSMTPD(t *testing.T, next string, _ identity) string {
	t.Helper()
	return startOpenSMTPD(t, func(port string) string {
		return fmt.Sprintf(`table known { "%s", "%s", "postmaster@opensmtpd.example.com" }
listen on 127.0.0.1 port %s hostname opensmtpd.example.com
action out relay host "smtp+notls://%s"
match from any for any rcpt-to <known> action out
`, one, two, port, next)
	})
}
