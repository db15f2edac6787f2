package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/smtp"
)

// What a Send has reported as kept survives a loss of power. A process of its own keeps messages, and its system calls
// tell in which order it wrote them, synced them, named them and said so.

// keepThere names the directory to the process that keeps messages.
const keepThere = "POSTRIDER_TEST_KEEP"

// keepers are the Senders that keep messages in files, with the directory whose names each of them changes.
func keepers(dir string) map[string]struct {
	smtp.Sender
	names string
} {
	return map[string]struct {
		smtp.Sender
		names string
	}{
		"maildir": {local.Maildir{Dir: filepath.Join(dir, "a", "Maildir")}, filepath.Join(dir, "a", "Maildir", "new")},
		"eml":     {local.EML{Dir: filepath.Join(dir, "b", "eml")}, filepath.Join(dir, "b", "eml")},
		"mbox":    {local.Mbox{Path: filepath.Join(dir, "mbox")}, dir},
	}
}

func TestSynced(t *testing.T) {
	if dir := os.Getenv(keepThere); dir != "" {
		for name, s := range keepers(dir) {
			if _, err := s.Send(context.Background(), envelope(), literal("Subject: mark-"+name+"\r\n\r\nx\r\n")); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(os.Stdout, "kept-"+name)
		}
		return
	}
	peers.Find(t, peers.Strace)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := peers.Command(t, peers.Strace, "-f", "-qq", "-y", "-s", "8400", "-o", trace, "-e", "trace=write,fsync,rename,renameat,renameat2,mkdir,mkdirat",
		os.Args[0], "-test.run=^TestSynced$")
	cmd.Env = append(cmd.Env, keepThere+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := peers.Calls(string(text))
	for name, s := range keepers(dir) {
		if err := kept(calls, name, s.names, name != "mbox"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, made := range []string{"a", "a/Maildir", "a/Maildir/new", "b", "b/eml"} {
		if err := madeForGood(calls, filepath.Join(dir, made)); err != nil {
			t.Error(err)
		}
	}
	// The check itself is held against traces in which something is missing or comes too late.
	good := []string{`1 write(5</d/tmp/x>, "Subject: mark-x\n", 16) = 16`, `1 fsync(5</d/tmp/x>) = 0`, `1 renameat(5, "/d/tmp/x", 5, "/d/new/x") = 0`,
		`1 fsync(6</d/new>) = 0`, `1 write(1</out>, "kept-x\n", 7) = 7`}
	if err := kept(peers.Calls(strings.Join(good, "\n")), "x", "/d/new", true); err != nil {
		t.Errorf("of what is right: %v", err)
	}
	for i := 1; i < 4; i++ {
		bad := append([]string(nil), good...)
		bad[i], bad[i+1] = bad[i+1], bad[i]
		if kept(peers.Calls(strings.Join(bad, "\n")), "x", "/d/new", true) == nil {
			t.Errorf("%s was not found to come too late", good[i])
		}
	}
}

// kept checks that the file with a message was synced, named if it has another name until then, and its name synced, each
// when what comes before had returned, and all of it before the message was said to be kept.
func kept(calls []*peers.Call, name, dir string, named bool) error {
	var written, synced, renamed, found *peers.Call
	follows := func(c, before *peers.Call) bool {
		return before != nil && before.End != 0 && c.Begin > before.End && !c.Failed
	}
	for _, c := range calls {
		switch {
		case c.Name == "write" && strings.Contains(c.Args, "mark-"+name):
			written = c
		case c.Name == "fsync" && follows(c, written) && synced == nil && c.FD == written.FD:
			synced = c
		case strings.HasPrefix(c.Name, "rename") && follows(c, synced) && strings.Contains(c.Args, dir):
			renamed = c
		case c.Name == "fsync" && strings.HasSuffix(c.FD, "<"+dir+">") && (follows(c, renamed) || !named && follows(c, synced)):
			found = c
		case c.Name == "write" && strings.Contains(c.Args, "kept-"+name):
			if !follows(c, found) {
				return fmt.Errorf("said to be kept when it had been written: %v, synced: %v, named: %v, its name synced: %v", written != nil, synced != nil, renamed != nil, found != nil)
			}
			return nil
		}
	}
	return errors.New("never said to be kept")
}

// madeForGood checks that a directory's name was synced when it had been made.
func madeForGood(calls []*peers.Call, dir string) error {
	made := -1
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.Name, "mkdir") && strings.Contains(c.Args, `"`+dir+`"`) && !c.Failed:
			made = c.End
		case c.Name == "fsync" && made > 0 && c.Begin > made && strings.HasSuffix(c.FD, "<"+filepath.Dir(dir)+">"):
			return nil
		}
	}
	return fmt.Errorf("the name of %s was not synced", dir)
}
