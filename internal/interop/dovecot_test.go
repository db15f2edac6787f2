//go:build linux

package interop

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
)

// A Dovecot of the test's own: users of a file, and the services that the test names, below the test's folder.

// startDovecot starts one that is to be reached at addr.
func startDovecot(t *testing.T, dir, addr, users, services string) {
	t.Helper()
	program := peers.Find(t, peers.Dovecot)
	write(t, filepath.Join(dir, "users"), users)
	write(t, filepath.Join(dir, "dovecot.conf"), fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
listen = 127.0.0.1
ssl = no
log_path = %[1]s/log
first_valid_uid = 1
first_valid_gid = 1
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = passwd-file
  args = %[1]s/users
}
`, dir)+services)
	proc := peers.Start(t, peers.Command(t, peers.Dovecot, "-F", "-c", filepath.Join(dir, "dovecot.conf")))
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("%s's log:\n%s", program, log)
		}
	})
	proc.Accepts(addr)
}

// startDovecotAuth starts one that only says who users are, and returns where it is asked. It makes nobody who guesses wait.
func startDovecotAuth(t *testing.T, users, mechanisms string) (addr string) {
	t.Helper()
	addr = peers.FreeAddr(t)
	startDovecot(t, openDir(t, "root"), addr, users, fmt.Sprintf(`protocols = none
auth_mechanisms = %s
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = %s
  }
}
`, mechanisms, portOf(addr)))
	return addr
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// TestPostfixAuth authenticates to a Postfix that asks Dovecot, by each mechanism that the two have. What SCRAM says was
// written by neither side of ours.
func TestPostfixAuth(t *testing.T) {
	peers.NeedRoot(t, "mail servers change their user")
	const password = "s3 cret,=%"
	asked := startDovecotAuth(t, "ann:{PLAIN}"+password+"::::::\n", "plain login cram-md5 scram-sha-1 scram-sha-256")
	id := newIdentity(t)
	uid, gid := ids(t, "nobody")
	postfix := launchPostfix(t, "virtual unix - n n - - virtual\n", func(dir string) string {
		config := strings.Replace(postfixMaildirs(dir, &id, uid, gid), "permit_mynetworks", "permit_sasl_authenticated", 1)
		return config + "smtpd_error_sleep_time = 0\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = inet:" + asked + "\n"
	})
	mechanisms := []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	send := func(c sasl.Credential) (string, error) {
		said := ""
		d := dialer(&id)
		d.Auth = c
		d.Trace = func(l smtp.Line) {
			if rest, ok := strings.CutPrefix(l.Text, "AUTH "); ok && l.FromClient {
				said, _, _ = strings.Cut(rest, " ")
			}
		}
		pool := &smtp.Transport{Addr: postfix.addr, Dialer: d}
		defer pool.Close()
		_, err := pool.Send(t.Context(), smtp.NewEnvelope(sender, one, two), bytes.NewReader(samples()[0].raw))
		return said, err
	}
	for _, m := range mechanisms {
		if said, err := send(sasl.Only(sasl.Password("ann", password), m)); err != nil || said != m {
			t.Errorf("%s: got %q, %v", m, said, err)
		}
		_, err := send(sasl.Only(sasl.Password("ann", "wrong"), m))
		if e, ok := errors.AsType[*smtp.Error](err); !ok || e.Code != 535 {
			t.Errorf("%s, wrong password: got %v, want 535", m, err)
		}
	}
	if said, err := send(sasl.Password("ann", password)); err != nil || said != mechanisms[0] {
		t.Errorf("the strongest: got %q, %v, want %s", said, err, mechanisms[0])
	}
	if _, err := send(nil); !errors.Is(err, smtp.ErrPermanent) {
		t.Errorf("nobody: got %v, want a refusal", err)
	}
	if got := postfix.arrived(len(mechanisms) + 1); len(got) != len(mechanisms)+1 {
		t.Errorf("%d messages were delivered, want %d", len(got), len(mechanisms)+1)
	}
}
