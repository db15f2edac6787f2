package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// A Postfix of the test's own: configuration, queue, data and mail below the test's folder, one port on loopback, and a
// transport that fails for every domain but example.net. The machine's own Postfix is not read and not touched.

// masterServices are the services of Postfix that take a message; what it then does with it is one more.
const masterServices = `
pickup     unix       n - n 60    1 pickup
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
tlsmgr     unix       - - n 1000? 1 tlsmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
verify     unix       - - n -     1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
error      unix       - - n -     - error
retry      unix       - - n -     - error
anvil      unix       - - n -     1 anvil
postlog    unix-dgram n - n -     1 postlogd
`

// postfixBase is what every main.cf here begins with.
const postfixBase = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.com
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
`

// postfixMaildirs returns what a Postfix below dir is told to keep all mail there.
func postfixMaildirs(dir string, id *identity, uid, gid int) string {
	// check_recipient_access comes before the list of users, which does not know busy.
	config := fmt.Sprintf(`default_transport = error:nothing leaves the test
relay_transport = error:nothing leaves the test
virtual_mailbox_domains = example.net
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = inline:{ %[2]s=one/, %[3]s=two/ }
virtual_uid_maps = static:%[4]d
virtual_gid_maps = static:%[5]d
virtual_minimum_uid = 1
smtpd_recipient_restrictions = check_recipient_access inline:{ {%[6]s = 450 4.2.1 try again later} },
  reject_unlisted_recipient, permit_mynetworks, reject
`, dir, one, two, uid, gid, busy)
	if id != nil {
		config += fmt.Sprintf("smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = %s\nsmtpd_tls_key_file = %s\n", id.certFile, id.keyFile)
	}
	return config
}

func startPostfix(t *testing.T, id *identity) running {
	t.Helper()
	uid, gid := ids(t, "nobody")
	return launchPostfix(t, "virtual unix - n n - - virtual\n", func(dir string) string { return postfixMaildirs(dir, id, uid, gid) })
}

// launchPostfix starts a Postfix with one more service and further configuration, which is told the folder.
func launchPostfix(t *testing.T, service string, config func(dir string) string) running {
	t.Helper()
	control := peers.Find(t, peers.Postfix)
	peers.NeedRoot(t, "Postfix changes its user")
	dir := openDir(t, "root")
	owner := map[string]string{"etc": "root", "queue": "root", "data": "postfix", "mail": "nobody"}
	for name, user := range owner {
		uid, gid := ids(t, user)
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	etc, addr := filepath.Join(dir, "etc"), peers.FreeAddr(t)
	write(t, filepath.Join(etc, "main.cf"), fmt.Sprintf(postfixBase, dir)+config(dir))
	write(t, filepath.Join(etc, "master.cf"), addr+" inet n - n - - smtpd\n"+service+strings.TrimSpace(masterServices)+"\n")

	// The check makes the folders of the queue. The master itself is started, not by the postfix command, which would put
	// it into a session of its own, where it could not be ended with the test.
	run(t, exec.CommandContext(t.Context(), control, "-c", etc, "check"))
	out, err := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(control), "postconf"), "-h", "-c", etc, "daemon_directory").Output()
	if err != nil {
		t.Fatalf("postconf: %v", err)
	}
	master := exec.Command(filepath.Join(strings.TrimSpace(string(out)), "master"), "-c", etc, "-d")
	proc := peers.Start(t, master)
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("Postfix's log:\n%s", log)
		}
	})
	proc.Accepts(addr)
	return running{addr, func(n int) [][]byte {
		// Each of the two recipients has got each message; one's copy stands for both.
		first := readFiles(t, filepath.Join(dir, "mail", "one", "new", "*"), n)
		second := readFiles(t, filepath.Join(dir, "mail", "two", "new", "*"), n)
		if len(first) != len(second) {
			t.Errorf("%d messages for one, %d for two, want as many", len(first), len(second))
		}
		for i, raw := range first {
			first[i] = fromUnix(t, raw)
		}
		return first
	}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
