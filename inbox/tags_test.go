package inbox_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// A message has the tags that its sender names, as soon as it can be found; whoever
// has heard of it is told.
func TestSentTags(t *testing.T) {
	r := start(t, nil)
	next := r.stream()
	long := strings.Repeat("x", 101)
	for _, c := range []struct {
		fields string
		want   []string
	}{
		{"X-Tags: billing, Two words ,billing,,BILLING\r\nx-tags: =?utf-8?q?=C3=BC?=\r\n", []string{"billing", "Two words", "ü"}},
		{"X-Tags: " + long + ", a\u202eb, fine\r\n", []string{"fine"}},
		{"X-Tags: " + strings.Repeat("t,", 5) + "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20\r\n", nil}, // as many as there is room for
		{"X-Tag: no\r\n", []string{}},
	} {
		id := r.mustDeliver(c.fields + "Subject: tagged\r\n\r\n")
		got := want[struct{ Tags []string }](r, 200, "GET", api+"messages/wait?query=id:"+id, "").Tags
		if c.want == nil && len(got) > 20 || c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%q: the tags are %q, want %q", c.fields, got, c.want)
		}
		if len(got) > 0 {
			for kind, data := "", ""; kind != "update" || !strings.Contains(data, id); kind, data = next() {
			}
		}
	}
	if n := want[struct{ Total int }](r, 200, "GET", api+"messages?query=tag:billing", "").Total; n != 1 {
		t.Errorf("tag:billing finds %d messages, want 1", n)
	}
}

// What somebody has taken off stays off, also when the index is lost and made anew.
func TestSentTagsOnce(t *testing.T) {
	dir := t.TempDir()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var id string
	for _, want := range [][]string{{"one", "two"}, {"two"}} {
		db, err := sqlite.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		store := db.Inbox()
		if id == "" {
			id, err = store.Add(t.Context(), &inbox.Arrival{Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net")}, strings.NewReader("X-Tags: one, two\r\n\r\n"))
			if err != nil {
				t.Fatal(err)
			}
		}
		in := &inbox.Inbox{Store: store, Logger: slog.New(slog.DiscardHandler)}
		if left, err := store.Unindexed(t.Context(), 10); err != nil || len(left) != 1 {
			t.Fatalf("%d messages are to be indexed, %v; want 1", len(left), err)
		}
		if err := in.Run(ended); err != nil {
			t.Fatal(err)
		}
		if e, err := store.Entry(t.Context(), id); err != nil || !slices.Equal(e.Tags, want) {
			t.Errorf("the tags are %q, %v; want %q", e.Tags, err, want)
		}
		if _, err := store.Update(t.Context(), inbox.Change{Untag: []string{"one"}}, id); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		lost, err := filepath.Glob(filepath.Join(dir, "search*"))
		if err != nil || len(lost) == 0 {
			t.Fatalf("there is no index: %v", err)
		}
		for _, path := range lost {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}
