package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// Durable means durable: the process is killed in the middle of a stream of
// deliveries, several times, and whatever had its 250 must be there.

const (
	crashMessages = 10_000
	crashSessions = 16
	crashKills    = 4
)

// A ledger is what the clients know: which messages were acknowledged, and
// which were sent and may or may not have been kept.
type ledger struct {
	mu           sync.Mutex
	acknowledged map[string]string // number to hash
	unknown      map[string]string
}

// crashMessage makes message number n: a few hundred octets, now and then many.
func crashMessage(n int) []byte {
	size := rand.IntN(2000)
	switch {
	case n%500 == 250:
		size = 1<<20 + rand.IntN(1<<20) // goes to a file
	case n%50 == 25:
		size = rand.IntN(200_000)
	}
	// A line that is in no other message, again and again: a piece of another
	// one in its place would be found out.
	line := fmt.Sprintf("%d %x\r\n", n, rand.Uint64())
	return fmt.Appendf(nil, "From: ann@example.com\r\nSubject: number %d\r\nX-Number: %d\r\n\r\n%sThe end.\r\n", n, n, strings.Repeat(line, size/len(line)))
}

func hash(msg []byte) string {
	sum := sha256.Sum256(msg)
	return hex.EncodeToString(sum[:])
}

// client delivers messages until there are none left or the server is gone.
func (l *ledger) client(addr string, next *atomic.Int64, until int64) {
	c, err := dial(addr)
	if err != nil {
		return
	}
	defer c.conn.Close()
	for {
		n := next.Add(1)
		if n > until {
			return
		}
		msg := crashMessage(int(n))
		key := fmt.Sprint(n)
		l.mu.Lock()
		l.unknown[key] = hash(msg)
		l.mu.Unlock()
		if c.send(msg) != nil {
			return
		}
		l.mu.Lock()
		delete(l.unknown, key)
		l.acknowledged[key] = hash(msg)
		l.mu.Unlock()
	}
}

func TestCrash(t *testing.T) {
	dir := t.TempDir()
	l := &ledger{acknowledged: map[string]string{}, unknown: map[string]string{}}
	var next atomic.Int64
	for round := 1; round <= crashKills; round++ {
		s := start(t, dir)
		// Some are left for the last round, which nobody kills.
		part := int64(crashMessages * round / (crashKills + 1))
		var clients sync.WaitGroup
		for range crashSessions {
			clients.Go(func() { l.client(s.smtp, &next, crashMessages) })
		}
		peers.Until(t, "a part of the messages is on its way", func() bool { return next.Load() > part })
		s.Kill()
		clients.Wait()
	}
	s := start(t, dir)
	var clients sync.WaitGroup
	for range crashSessions {
		clients.Go(func() { l.client(s.smtp, &next, crashMessages) })
	}
	clients.Wait()
	s.Kill()

	s = start(t, dir)
	l.compare(t, s)
	if len(l.acknowledged) < crashMessages*9/10 {
		t.Errorf("only %d of %d messages were acknowledged: the clients did not get on", len(l.acknowledged), crashMessages)
	}
	t.Logf("%d acknowledged, %d unknown when the process was killed", len(l.acknowledged), len(l.unknown))
}

// An index of words that is being built when the process is killed is complete
// after the next start, wherever that was.
func TestIndexKilled(t *testing.T) {
	const messages = 1200
	dir := t.TempDir()
	l := &ledger{acknowledged: map[string]string{}, unknown: map[string]string{}}
	s := start(t, dir)
	var next atomic.Int64
	var clients sync.WaitGroup
	for range crashSessions {
		clients.Go(func() { l.client(s.smtp, &next, messages) })
	}
	clients.Wait()
	index := filepath.Join(dir, "search.db")
	size := func() (n int64) {
		for _, name := range []string{index, index + "-wal"} {
			if info, err := os.Stat(name); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	// begin has a new process make the index from nothing.
	begin := func() {
		t.Helper()
		s.Kill()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(index + suffix); err != nil {
				t.Fatal(err)
			}
		}
		s = start(t, dir)
	}
	complete := func() {
		t.Helper()
		peers.Until(t, "all messages are found", func() bool { return len(all(t, s, "subject:number")) == messages })
	}
	begin()
	complete()
	whole := size()
	for range 3 {
		begin()
		// A moment is told by how much is written: what is never deleted meanwhile.
		until := rand.Int64N(whole / 2)
		peers.Until(t, "a part of the index is written", func() bool { return size() >= until })
		s.Kill()
		t.Logf("killed with %d octets of %d written", size(), whole)
		s = start(t, dir)
		complete()
	}
	if key := fmt.Sprint(rand.IntN(messages) + 1); len(all(t, s, `header:X-Number=`+key)) == 0 {
		t.Errorf("number %s is not found", key)
	}
	l.compare(t, s)
}

// compare reads every message that is there and holds it against the ledger.
func (l *ledger) compare(t *testing.T, s *served) {
	t.Helper()
	seen := map[string]int{}
	ids := make(chan string)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for id := range ids {
				key, raw := l.find(t, s, id)
				want, ok := l.acknowledged[key]
				if !ok {
					want, ok = l.unknown[key]
				}
				switch {
				case !ok:
					t.Errorf("message %q (%d octets) was never sent", key, len(raw))
				case hash(raw) != want:
					t.Errorf("message %s is not what was sent: %d octets, ending in %q", key, len(raw), raw[max(0, len(raw)-20):])
				}
				l.mu.Lock()
				seen[key]++
				l.mu.Unlock()
			}
		})
	}
	for _, id := range all(t, s, "") {
		ids <- id
	}
	close(ids)
	readers.Wait()
	missing := 0
	for key := range l.acknowledged {
		if seen[key] == 0 {
			missing++
		}
	}
	for key, n := range seen {
		if n > 1 {
			t.Errorf("message %s is there %d times", key, n)
		}
	}
	if missing > 0 {
		t.Errorf("%d acknowledged messages are lost", missing)
	}
}

// find reads a message and its number.
func (l *ledger) find(t *testing.T, s *served, id string) (key string, raw []byte) {
	resp, err := http.Get(s.web + "/api/v1/messages/" + id + "/raw")
	if err != nil {
		t.Error(err)
		return "", nil
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", id, resp.Status, err)
	}
	_, rest, _ := strings.Cut(string(raw[:min(len(raw), 200)]), "X-Number: ")
	key, _, _ = strings.Cut(rest, "\r\n")
	return key, raw
}

// all returns the ids of all messages that a query finds.
func all(t *testing.T, s *served, query string) (ids []string) {
	t.Helper()
	before := ""
	for {
		var page struct {
			Messages []struct{ ID string }
			Next     string
		}
		if err := json.Unmarshal(s.get("/api/v1/messages?limit=1000&query="+query+"&before="+before), &page); err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			ids = append(ids, m.ID)
		}
		if before = page.Next; before == "" {
			return ids
		}
	}
}
