package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// The system calls of a running server show that a message's bytes and its row
// were written, and synced by an fsync that had returned, before its 250 began
// to be written.

// covered checks that what was written of a mark was synced before the reply
// with an id was written. It returns how many writes the syncs covered.
func covered(calls []*peers.Call, mark, id string) (writes int, err error) {
	reply := 0
	for _, c := range calls {
		if strings.HasPrefix(c.Name, "write") && strings.Contains(c.Args, `"250 `) && strings.Contains(c.Args, id) {
			reply = c.Begin
		}
	}
	if reply == 0 {
		return 0, fmt.Errorf("no 250 with %s was written", id)
	}
	synced := map[string]*peers.Call{} // the sync that covers the first write to each descriptor
	for _, c := range calls {
		if !strings.Contains(c.Name, "write") || !strings.Contains(c.Args, mark) || c.Begin > reply {
			continue
		}
		// Later transactions write the same page again, with more in it: what
		// counts is the sync that follows the first time.
		s, again := synced[c.FD]
		if !again {
			s = nextSync(calls, c)
			synced[c.FD] = s
		}
		switch {
		case s == nil: // standard output, or a file that is never synced and so does not count
		case s.Failed || s.End == 0 || s.End >= reply:
			return writes, fmt.Errorf("%s of %s to descriptor %s at line %d was not synced before the 250 at line %d", c.Name, mark, c.FD, c.Begin, reply)
		case c.End < s.Begin:
			writes++
		}
	}
	return writes, nil
}

// nextSync returns the first sync of a descriptor that began after a write to it
// had ended.
func nextSync(calls []*peers.Call, write *peers.Call) *peers.Call {
	for _, c := range calls {
		if (c.Name == "fsync" || c.Name == "fdatasync") && c.FD == write.FD && c.Begin > write.End {
			return c
		}
	}
	return nil
}

// A traced message is one that was acknowledged.
type traced struct {
	mark, id string
	large    bool
}

// deliverTraced sends messages one after the other and notes the ids that the
// server told.
func deliverTraced(addr, name string, n, size int) ([]traced, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var list []traced
	for i := range n {
		mark := fmt.Sprintf("mark-%s-%d-", name, i)
		body := "Subject: " + mark + "\r\n\r\n" + strings.Repeat("All work and no play.\r\n", size/23)
		for _, step := range []struct{ code, text string }{
			{"250", "MAIL FROM:<" + mark + "@example.com>\r\n"}, {"250", "RCPT TO:<bob@example.net>\r\n"}, {"354", "DATA\r\n"},
		} {
			if err := c.say(step.code, step.text); err != nil {
				return nil, err
			}
		}
		if _, err := io.WriteString(c.conn, body+".\r\n"); err != nil {
			return nil, err
		}
		reply, err := c.r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		id := regexp.MustCompile(`[0-9A-Z]{26}`).FindString(reply)
		if !strings.HasPrefix(reply, "250 ") || id == "" {
			return nil, fmt.Errorf("reply is %q, want 250 with an id", reply)
		}
		list = append(list, traced{mark, id, size > 1<<20})
	}
	return list, nil
}

func TestSyncBeforeReply(t *testing.T) {
	peers.Find(t, peers.Strace)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	cmd := peers.Command(t, peers.Strace, "-f", "-qq", "-s", "8400", "-o", trace, "-e", "trace=write,writev,pwrite64,fsync,fdatasync,sendto,sendmsg",
		path, "serve", "--smtp", "127.0.0.1:0", "--web", "off", "--data", filepath.Join(dir, "data"))
	p := peers.Start(t, cmd)
	p.Line("Waiting for mail")
	addr := p.Line("SMTP       smtp://")

	// One at a time, then several at once, then one that goes to a file.
	var mu sync.Mutex
	var done []traced
	deliver := func(name string, n, size int) {
		list, err := deliverTraced(addr, name, n, size)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		done = append(done, list...)
	}
	deliver("alone", 5, 500)
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() { deliver(fmt.Sprintf("client%d", i), 5, 2000) })
	}
	clients.Wait()
	deliver("large", 1, 2<<20)
	p.Stop()

	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := peers.Calls(string(text))
	for _, m := range done {
		writes, err := covered(calls, m.mark, m.id)
		if err != nil {
			t.Error(err)
		}
		// The row, in which the bytes of a small message are packed; those of a large one are in a file.
		want := 1
		if m.large {
			want = 2
		}
		if writes < want {
			t.Errorf("%s was written %d times before its 250, want %d", m.mark, writes, want)
		}
	}
	if want := 5 + 6*5 + 1; len(done) != want {
		t.Errorf("%d messages were acknowledged, want %d", len(done), want)
	}
	// A server that replied first would be found out: the check itself is held
	// against a trace in which the sync comes too late.
	late := "1 pwrite64(7, \"mark-x-\", 7, 0) = 7\n2 write(5, \"250 2.0.0 01ID\\r\\n\", 16 <unfinished ...>\n" +
		"1 fsync(7) = 0\n2 <... write resumed>) = 16\n"
	if _, err := covered(peers.Calls(late), "mark-x-", "01ID"); err == nil {
		t.Error("a sync after the reply was not noticed")
	}
	syncs := bytes.Count(text, []byte("fsync(")) + bytes.Count(text, []byte("fdatasync("))
	t.Logf("%d messages, %d syncs, opening and closing included", len(done), syncs)
}

// Sessions of a durable sink share the sync of the directory, and none is answered
// before one that began when its file had its name.
func TestSinkSyncBeforeReply(t *testing.T) {
	peers.Find(t, peers.Strace)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	trace, dir := filepath.Join(t.TempDir(), "trace"), filepath.Join(t.TempDir(), "kept")
	p := peers.Start(t, peers.Command(t, peers.Strace, "-f", "-qq", "-y", "-s", "8400", "-o", trace, "-e", "trace=write,fsync,rename,renameat,renameat2",
		path, "sink", "--listen", "127.0.0.1:0", "--durable", dir))
	addr, _, _ := strings.Cut(p.Line("Takes mail on smtp://"), " ")
	var mu sync.Mutex
	var done []traced
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			list, err := deliverTraced(addr, fmt.Sprintf("client%d", i), 5, 2000)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, list...)
		})
	}
	clients.Wait()
	p.Stop()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := peers.Calls(string(text))
	for _, m := range done {
		if writes, err := covered(calls, m.mark, m.id); err != nil || writes != 1 {
			t.Errorf("%s: %d writes to its file were synced before its 250, %v; want 1", m.mark, writes, err)
		}
		if err := nameSynced(calls, dir, m.id); err != nil {
			t.Errorf("%s: %v", m.mark, err)
		}
	}
	if want := 6 * 5; len(done) != want {
		t.Errorf("%d messages were acknowledged, want %d", len(done), want)
	}
	t.Logf("%d messages, %d syncs of the directory", len(done), bytes.Count(text, []byte("<"+dir+">)")))
	early := peers.Calls("1 fsync(7</kept>) = 0\n1 renameat(5, \".01ID.tmp\", 5, \"01ID\") = 0\n1 write(5, \"250 2.0.0 01ID\\r\\n\", 16) = 16\n")
	if nameSynced(early, "/kept", "01ID") == nil {
		t.Error("a sync of the directory before the name was taken for one after it")
	}
}

// nameSynced checks that the directory was synced between the name of a file with an id and
// the reply that tells the id.
func nameSynced(calls []*peers.Call, dir, id string) error {
	var rename, sync *peers.Call
	for _, c := range calls {
		switch {
		case strings.HasPrefix(c.Name, "rename") && strings.Contains(c.Args, id):
			rename = c
		case c.Name == "fsync" && strings.HasSuffix(c.FD, "<"+dir+">") && rename != nil && rename.End != 0 && c.Begin > rename.End && !c.Failed && sync == nil:
			sync = c
		case c.Name == "write" && strings.Contains(c.Args, `"250 `) && strings.Contains(c.Args, id):
			if sync == nil || sync.End == 0 || sync.End >= c.Begin {
				return fmt.Errorf("the directory was not synced between the name with %s and its 250 at line %d", id, c.Begin)
			}
			return nil
		}
	}
	return fmt.Errorf("no 250 with %s was written", id)
}
