//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/store/sqlite"
)

// older makes a database of the schema before this one, with some megabytes in it.
func older(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		noise := make([]byte, 800<<10)
		rand.Read(noise)
		if _, err := db.Inbox().Add(t.Context(), &inbox.Arrival{Received: time.Now()}, bytes.NewReader(noise)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", filepath.Join(dir, "postrider.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.ExecContext(t.Context(), `CREATE INDEX message_unread ON message (unread);
		CREATE TABLE tag (name TEXT NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (name, key)) STRICT, WITHOUT ROWID; PRAGMA user_version=4`); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whoever waits while an older database is migrated is told: a log, a terminal, and systemd.
func TestMigrateIsTold(t *testing.T) {
	const line = "level=WARN msg=\"the database is of an older version: it is copied, then brought up to date\" from=4 to=5 copy="
	dir := older(t)
	target := "mbox:" + filepath.Join(t.TempDir(), "out")
	if code, out, errs := exit(t, command(t, "export", "--data", dir, target)); code != 0 || out != "Exported 5 messages.\n" ||
		strings.Count(errs, "\n") != 1 || !strings.Contains(errs, line+filepath.Join(dir, "postrider-schema4.db")) {
		t.Errorf("in no terminal: got %d, %q, %q; want a line with %q", code, out, errs, line)
	}
	if code, _, errs := exit(t, command(t, "export", "--data", dir, target)); code != 0 || errs != "" {
		t.Errorf("once more: got %d, %q; want nothing to be told", code, errs)
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), peers.Find(t, peers.Script), "-qec", program+" export --data "+older(t)+" "+target, "/dev/null").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "from=4 to=5") || !strings.Contains(string(out), "copying") || !strings.Contains(string(out), "done!") {
		t.Errorf("in a terminal: got %v\n%s", err, out)
	}
	short, err := os.MkdirTemp("", "n") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(short, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	cmd := command(t, "serve", "--smtp", "127.0.0.1:0", "--web", "off", "--data", older(t))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+filepath.Join(short, "notify"))
	p := peers.Start(t, cmd)
	var told []string
	for len(told) == 0 || told[len(told)-1] != "READY=1" {
		b := make([]byte, 200)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", told, err)
		}
		told = append(told, string(b[:n]))
	}
	n := len(told)
	if n < 5 || told[0] != fmt.Sprintf(migrating, 0) || told[n-3] != fmt.Sprintf(migrating, 100) || told[n-2] != migrated {
		t.Errorf("systemd is told %q", told)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
