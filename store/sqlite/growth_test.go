//go:build linux

package sqlite_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
)

// octetsRead returns how many octets this process has read from files so far, those
// that the system had in memory included.
func octetsRead(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "rchar: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The first page of a query reads about as much, however many messages there are that
// it could show: what all contain, what a part does, and alternatives of which one
// has nothing. What is read by a database that has just been opened is the same each
// time, on any machine and under any load.
func TestFindGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("it keeps thousands of messages")
	}
	keep := func(n int) string {
		dir := t.TempDir()
		db := open(t, dir)
		db.SetShardSize(2 * inbox.MaxTotal)
		no, tags := false, []string{"some"}
		var half []string
		for i, id := range fill(t, db.Inbox(), n) {
			if i%2 == 0 {
				half = append(half, id)
			}
		}
		if _, err := db.Inbox().Update(t.Context(), inbox.Change{Unread: &no, Tags: &tags}, half...); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	cost := func(dir, query string) int64 {
		t.Helper()
		e, err := inbox.ParseQuery(query, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, dir)
		defer db.Close()
		before := octetsRead(t)
		if _, err := db.Inbox().List(t.Context(), inbox.Query{Match: e}); err != nil {
			t.Fatal(err)
		}
		return octetsRead(t) - before
	}
	// Of the few there are as many as a total counts.
	small, large := keep(2*inbox.MaxTotal), keep(16*inbox.MaxTotal)
	for _, query := range []string{"", "hello", "w0x -w1x", "is:unread", "is:read hello", "tag:some hello", "larger:300k",
		"hello OR tag:none", "nothing OR (is:tagged hello)", "-(nothing OR is:unread)"} {
		// Linear would be 8; what is read of each file to open it is not of the query.
		if a, b := cost(small, query), cost(large, query); b > 3*a+256<<10 {
			t.Errorf("%q reads %d octets of 2,000 messages and %d of 16,000, want less than three times as many", query, a, b)
		} else {
			t.Logf("%q reads %d and %d octets", query, a, b)
		}
	}
}
