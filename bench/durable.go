package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Servers that keep what they receive: a 250 after the message is on stable storage. Ours is the program as it is
// installed, with its inbox; the peer is a Postfix of the benchmark's own, which holds what it accepts, so that it
// spends nothing on delivery. smtp-sink, which keeps nothing, shows how much the network leaves to be had: machines
// differ more in that than in how fast Postfix is.

func measureDurable(e effort) (table, error) {
	postfix, why := postfixServer(e)
	if why != "" {
		return table{{what: "1 KB", unit: "messages/s", note: why}}, nil
	}
	sink, haveSink := smtpSink()
	// Shorter than this, Postfix is still starting its processes.
	e.time = max(e.time, 2*time.Second)
	var t table
	for _, m := range []struct {
		what, mode  string
		each        bool
		conns, size int
		target      float64
	}{
		{"1 KB, persistent", "step", false, conns, 1 << 10, 8},
		{"1 KB, a session each", "step", true, conns, 1 << 10, 4},
		{"100 KB, persistent", "step", false, conns, 100 << 10, 2.5},
		{"1 KB, pipelined, 128 connections", "pipeline", false, 128, 1 << 10, 35},
	} {
		l := e.load(m.mode, m.conns, m.size)
		l.each = m.each
		peers := []peer{{postfix.loaded(l), m.target, false}}
		if haveSink {
			peers = append(peers, peer{sink.loaded(l), 0, false})
		}
		r, err := duel(e, m.what, "messages/s", e.inbox().loaded(l), peers...)
		if err != nil {
			return nil, err
		}
		t = append(t, r)
	}
	return t, nil
}

// build builds the program, in its own module, with the dependencies that its users get.
func build(dir string) (binary string, err error) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/postrider/postrider").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	binary = filepath.Join(dir, "postrider")
	cmd := exec.Command("go", "build", "-C", strings.TrimSpace(string(module)), "-trimpath", "-o", binary, "./cmd/postrider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// inbox returns the program as a server, with a new data directory each time it is started.
func (e effort) inbox() starter {
	return starter{"postrider serve", func() (*process, error) {
		data, err := os.MkdirTemp(e.dir, "data-")
		if err != nil {
			return nil, err
		}
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		return startAt(exec.Command(e.postrider, "serve", "--smtp", addr, "--web", "off", "--data", data), addr)
	}}
}

// postfixMain is main.cf; postfixMaster are the services that take a message into the queue.
const (
	postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.com
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
default_transport = error:nothing leaves the benchmark
relay_transport = discard:nothing leaves the benchmark
relay_domains = example.net
relay_recipient_maps =
smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_mynetworks, reject
default_process_limit = 200
in_flow_delay = 0
`
	postfixMaster = `
pickup   unix       n - n 60    1 pickup
cleanup  unix       n - n -     0 cleanup
qmgr     unix       n - n 300   1 qmgr
tlsmgr   unix       - - n 1000? 1 tlsmgr
rewrite  unix       - - n -     - trivial-rewrite
bounce   unix       - - n -     0 bounce
defer    unix       - - n -     0 bounce
trace    unix       - - n -     0 bounce
proxymap unix       - - n -     - proxymap
error    unix       - - n -     - error
discard  unix       - - n -     - discard
anvil    unix       - - n -     1 anvil
postlog  unix-dgram n - n -     1 postlogd
`
)

// postfixServer returns Postfix as a server, or why it cannot be measured.
func postfixServer(e effort) (starter, string) {
	control, ok := program("postfix")
	if !ok {
		return starter{}, "postfix is not installed: run scripts/peers"
	}
	if os.Geteuid() != 0 {
		return starter{}, "must run as root: Postfix changes its user"
	}
	return starter{"Postfix", func() (*process, error) { return startPostfix(e, control) }}, ""
}

func startPostfix(e effort, control string) (*process, error) {
	dir, err := os.MkdirTemp(e.dir, "postfix-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return nil, err
	}
	etc := filepath.Join(dir, "etc")
	err = errors.Join(
		os.Chmod(dir, 0o755), os.Mkdir(etc, 0o755), os.Mkdir(filepath.Join(dir, "queue"), 0o755),
		os.Mkdir(filepath.Join(dir, "data"), 0o700), os.Chown(filepath.Join(dir, "data"), uid, -1),
		os.WriteFile(filepath.Join(etc, "main.cf"), fmt.Appendf(nil, postfixMain, dir), 0o644),
		os.WriteFile(filepath.Join(etc, "master.cf"), []byte(addr+" inet n - n - - smtpd\n"+strings.TrimSpace(postfixMaster)+"\n"), 0o644))
	if err != nil {
		return nil, err
	}
	// The check makes the folders of the queue. The master is started without the postfix command, as a child of ours,
	// so that it can be measured and ended.
	if out, err := exec.Command(control, "-c", etc, "check").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postfix check: %w\n%s", err, out)
	}
	daemons, err := exec.Command(filepath.Join(filepath.Dir(control), "postconf"), "-h", "-c", etc, "daemon_directory").Output()
	if err != nil {
		return nil, fmt.Errorf("postconf: %w", err)
	}
	return startAt(exec.Command(filepath.Join(strings.TrimSpace(string(daemons)), "master"), "-c", etc, "-d"), addr)
}

// endSignal is what ends a server in order; Postfix knows no other.
var endSignal os.Signal = syscall.SIGTERM
