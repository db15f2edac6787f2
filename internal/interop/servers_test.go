package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// Real servers, each private to the test: a directory, a port on loopback, and nowhere to deliver to but that directory.
// The largest of them, Postfix, is in postfix_test.go.

// server is a foreign server.
type server struct {
	name string
	peer peers.Peer
	// tls: it offers STARTTLS, and no mail without it.
	tls bool
	// refuses: it refuses the recipients nobody, for good, and busy, for now.
	refuses bool
	start   func(t *testing.T, id *identity) running
}

// running is a server that accepts connections.
type running struct {
	addr string
	// arrived waits for n messages and returns them as they arrived, with what the server added taken away.
	arrived func(n int) [][]byte
}

var servers = []server{
	{name: "smtp-sink", peer: peers.SMTPSink, start: startSink},
	{name: "Postfix", peer: peers.Postfix, tls: true, refuses: true, start: startPostfix},
	{name: "aiosmtpd", peer: peers.Aiosmtpd, tls: true, refuses: true, start: startScript(peers.Aiosmtpd, "serve_aiosmtpd.py")},
	{name: "smtp-server", peer: peers.SMTPServer, tls: true, refuses: true, start: startScript(peers.SMTPServer, "serve_smtp_server.js")},
}

// startScript returns a start that runs a script of testdata, which tells its address and writes a file a message.
func startScript(p peers.Peer, name string) func(*testing.T, *identity) running {
	return func(t *testing.T, id *identity) running {
		t.Helper()
		dir := t.TempDir()
		args := []string{filepath.Join("testdata", name), dir, "-"}
		if id != nil {
			args = append(args[:2], id.certFile, id.keyFile)
		}
		proc := peers.Start(t, peers.Command(t, p, args...))
		return running{proc.Line("listens on "), func(n int) [][]byte { return readFiles(t, filepath.Join(dir, "*.eml"), n) }}
	}
}

// readFiles waits until n files match pattern, and reads them.
func readFiles(t *testing.T, pattern string, n int) [][]byte {
	t.Helper()
	var paths []string
	peers.Until(t, fmt.Sprintf("%d files %s", n, pattern), func() bool {
		var err error
		if paths, err = filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		}
		return len(paths) >= n
	})
	var all [][]byte
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, raw)
	}
	return all
}

// startSink starts smtp-sink, which writes each message to a file of its own.
func startSink(t *testing.T, _ *identity) running {
	t.Helper()
	dir := openDir(t, "nobody")
	addr := peers.FreeAddr(t)
	args := []string{"-d", filepath.Join(dir, "m."), addr, "128"}
	if os.Geteuid() == 0 {
		// It wants to be told whom to become instead.
		args = append([]string{"-u", "nobody"}, args...)
	}
	proc := peers.Start(t, peers.Command(t, peers.SMTPSink, args...))
	proc.Accepts(addr)
	return running{addr, func(n int) [][]byte {
		all := readFiles(t, filepath.Join(dir, "m.*"), n)
		for i, raw := range all {
			// It puts an empty line after the message.
			all[i] = fromUnix(t, bytes.TrimSuffix(raw, []byte("\n")))
		}
		return all
	}}
}

// fromUnix takes a message as a Unix program keeps it, with the envelope in fields of its own before our first field and
// LF as line end, and returns it as it was on the wire.
func fromUnix(t *testing.T, raw []byte) []byte {
	t.Helper()
	first := []byte("From: Sender <" + sender + ">\n")
	at := bytes.Index(raw, first)
	if at < 0 || at > 0 && raw[at-1] != '\n' {
		t.Errorf("a message arrived without its first field %q:\n%q", first, raw[:min(len(raw), 500)])
		return raw
	}
	if bytes.Contains(raw, []byte("\r")) {
		t.Error("a message arrived with a CR that is not part of a line end")
	}
	return bytes.ReplaceAll(raw[at:], []byte("\n"), []byte("\r\n"))
}

// openDir returns a folder that belongs to the user named and can be reached by every user, which a test's folder cannot.
// Who is not root keeps it.
func openDir(t *testing.T, owner string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		return dir
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	uid, gid := ids(t, owner)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ids returns the numbers of a user and of its group.
func ids(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s: uid %q, gid %q, want numbers", name, u.Uid, u.Gid)
	}
	return uid, gid
}

// TestServersAlone delivers to each server with curl. It holds what this file says of the servers against what they do,
// so that a difference in the other tests is our client's.
func TestServersAlone(t *testing.T) {
	id := newIdentity(t)
	curl := clients[slices.IndexFunc(clients, func(c client) bool { return c.peer == peers.Curl })]
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, s.peer)
			peers.Find(t, curl.peer)
			srv := s.start(t, nil)
			sent := curl.deliver(t, srv.addr, "")
			compare(t, srv.arrived(len(sent)), sent)
		})
		if !s.tls {
			continue
		}
		t.Run(s.name+" with STARTTLS", func(t *testing.T) {
			t.Parallel()
			peers.Find(t, s.peer)
			peers.Find(t, curl.peer)
			srv := s.start(t, &id)
			sent := curl.deliver(t, srv.addr, id.certFile)
			compare(t, srv.arrived(len(sent)), sent)
		})
	}
}
