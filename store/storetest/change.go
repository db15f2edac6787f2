package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
)

// What changes messages that are there, or were: unread and tags, and deleting.

// Changes are seen at once and counted once.
func testUpdate(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	ids := adds(t, s, 3)
	yes, no := true, false
	change := func(id string, c inbox.Change) {
		t.Helper()
		if _, err := s.Update(ctx, c, id); err != nil {
			t.Fatalf("Update(%+v): %v", c, err)
		}
	}
	change(ids[0], inbox.Change{Unread: &no})
	change(ids[0], inbox.Change{Unread: &no}) // again: counted once
	wantStats(t, s, 3, 2)
	change(ids[1], inbox.Change{Tags: &[]string{"a b", "ü"}})
	e, err := s.Entry(ctx, ids[1])
	if err != nil || !slices.Equal(e.Tags, []string{"a b", "ü"}) || !e.Unread {
		t.Errorf("Entry = %+v, %v; want two tags, and unread", e, err)
	}
	change(ids[1], inbox.Change{Tags: &[]string{}})
	if e, err := s.Entry(ctx, ids[1]); err != nil || len(e.Tags) != 0 {
		t.Errorf("tags taken away: %+v, %v", e, err)
	}
	if e, err := s.Entry(ctx, ids[0]); err != nil || e.Unread {
		t.Errorf("Entry = %+v, %v; want it read", e, err)
	}
	change(ids[0], inbox.Change{Unread: &yes})
	wantStats(t, s, 3, 3)
	for _, c := range []struct {
		change inbox.Change
		want   []string
	}{
		{inbox.Change{Tag: []string{"One", "two"}}, []string{"One", "two"}},
		{inbox.Change{Tag: []string{"ONE", "three"}}, []string{"One", "two", "three"}},
		{inbox.Change{Untag: []string{"TWO", "none"}}, []string{"One", "three"}},
		{inbox.Change{Tags: &[]string{"x"}, Tag: []string{"y"}, Untag: []string{"X"}}, []string{"y"}},
		{inbox.Change{}, []string{"y"}},
	} {
		change(ids[2], c.change)
		if e, err := s.Entry(ctx, ids[2]); err != nil || !slices.Equal(e.Tags, c.want) {
			t.Errorf("after %+v the tags are %q, %v; want %q", c.change, e.Tags, err, c.want)
		}
	}
}

// Many are changed at once, each once, and those that are gone are passed over.
func testUpdateMany(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	ids := adds(t, s, 4)
	if _, err := s.Delete(ctx, ids[3]); err != nil {
		t.Fatal(err)
	}
	no := false
	n, err := s.Update(ctx, inbox.Change{Unread: &no, Tag: []string{"seen"}}, ids[2], ids[0], ids[2], ids[3], "nonsense")
	if n != 2 || err != nil {
		t.Errorf("Update = %d, %v; want 2", n, err)
	}
	wantStats(t, s, 3, 1)
	finds(t, s, ids, "tag:seen", 0, 2)
	finds(t, s, ids, "is:unread", 1)
	if n, err := s.Update(ctx, inbox.Change{Unread: &no}); n != 0 || err != nil {
		t.Errorf("Update of none = %d, %v", n, err)
	}
}

// Tags and inboxes are counted as the messages are now.
func testCounts(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	counts := func(what string, count func(context.Context) ([]inbox.Count, error), want ...inbox.Count) {
		t.Helper()
		if got, err := count(ctx); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s = %+v, %v; want %+v", what, got, err, want)
		}
	}
	counts("Tags of none", s.Tags)
	counts("Inboxes of none", s.Inboxes)
	var ids []string
	for _, name := range []string{"shop", "", "shop", "Ärzte"} {
		a := arrival()
		a.Inbox = name
		ids = append(ids, add(t, s, a, strings.NewReader("x")))
	}
	no := false
	for _, c := range []struct {
		change inbox.Change
		ids    []string
	}{
		{inbox.Change{Tag: []string{"Billing"}}, ids[:3]}, {inbox.Change{Tag: []string{"all", "BILLING"}}, ids}, {inbox.Change{Unread: &no}, ids[2:3]},
	} {
		if _, err := s.Update(ctx, c.change, c.ids...); err != nil {
			t.Fatal(err)
		}
	}
	counts("Tags", s.Tags, inbox.Count{Name: "all", Messages: 4, Unread: 3}, inbox.Count{Name: "billing", Messages: 4, Unread: 3})
	counts("Inboxes", s.Inboxes, inbox.Count{Messages: 1, Unread: 1}, inbox.Count{Name: "shop", Messages: 2, Unread: 1}, inbox.Count{Name: "Ärzte", Messages: 1, Unread: 1})
	if _, err := s.Delete(ctx, ids[1], ids[3]); err != nil {
		t.Fatal(err)
	}
	counts("Tags, two deleted", s.Tags, inbox.Count{Name: "all", Messages: 2, Unread: 1}, inbox.Count{Name: "billing", Messages: 2, Unread: 1})
	counts("Inboxes, two deleted", s.Inboxes, inbox.Count{Name: "shop", Messages: 2, Unread: 1})
}

// Deleting twice, unknown ids, and messages of both kinds.
func testDelete(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	ids := adds(t, s, 4)
	large := add(t, s, arrival(), bytes.NewReader(noise(2<<20)))
	no := false
	if _, err := s.Update(ctx, inbox.Change{Unread: &no}, ids[0]); err != nil {
		t.Fatal(err)
	}
	n, err := s.Delete(ctx, ids[0], large, ids[0], "nonsense")
	if err != nil || n != 2 {
		t.Errorf("Delete = %d, %v; want 2", n, err)
	}
	if n, err := s.Delete(ctx, ids[0]); err != nil || n != 0 {
		t.Errorf("Delete again = %d, %v; want 0", n, err)
	}
	for _, id := range []string{ids[0], large} {
		if _, err := s.Open(ctx, id); !errors.Is(err, inbox.ErrNotFound) {
			t.Errorf("Open of a deleted message: %v", err)
		}
	}
	if got, _ := list(t, s, inbox.Query{}); !slices.Equal(got, reversed(ids[1:])) {
		t.Errorf("left are %v, want %v", got, reversed(ids[1:]))
	}
	wantStats(t, s, 3, 3)
	// The last ones, of which the words go too, whichever is the newest.
	var words []inbox.Indexed
	for _, id := range ids[1:] {
		words = append(words, inbox.Indexed{ID: id, Words: inbox.Words{Subject: "kumquat"}})
	}
	if err := s.Index(ctx, words); err != nil {
		t.Fatal(err)
	}
	finds(t, s, ids, "kumquat", 1, 2, 3)
	for _, id := range []string{ids[3], ids[1], ids[2]} {
		if n, err := s.Delete(ctx, id); err != nil || n != 1 {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
	}
	finds(t, s, ids, "kumquat")
	wantStats(t, s, 0, 0)
}

// Emptied, and used again: ids go on ascending.
func testDeleteAll(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	ids := adds(t, s, 5)
	add(t, s, arrival(), bytes.NewReader(noise(2<<20)))
	indexAll(t, s, ids, func(int) string { return "x" })
	if n, err := s.DeleteAll(ctx); err != nil || n != 6 {
		t.Errorf("DeleteAll = %d, %v; want 6", n, err)
	}
	wantStats(t, s, 0, 0)
	if n, err := s.DeleteAll(ctx); err != nil || n != 0 {
		t.Errorf("DeleteAll of nothing = %d, %v", n, err)
	}
	if next := add(t, s, arrival(), strings.NewReader("x")); next <= ids[4] {
		t.Errorf("the next id is %s, not greater than %s", next, ids[4])
	}
	wantStats(t, s, 1, 1)
}

// Who is reading a message is not cut off by its deletion.
func testOpenDeleted(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	for _, size := range []int{1000, 2 << 20} {
		want := noise(size)
		id := add(t, s, arrival(), bytes.NewReader(want))
		b, err := s.Open(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d octets, deleted while open: %d octets, %v", size, len(got), err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// Whatever an id holds, it names no message and nothing else either.
func testUnknown(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	id := adds(t, s, 1)[0]
	no := false
	for _, id := range []string{
		"", "x", "../../etc/passwd", id + "0", id[:25], "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
		"00000000000000000000000000", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "' OR 1=1 -- aaaaaaaaaaaaaaa",
	} {
		_, err1 := s.Entry(ctx, id)
		_, err2 := s.Open(ctx, id)
		for i, err := range []error{err1, err2} {
			if !errors.Is(err, inbox.ErrNotFound) {
				t.Errorf("id %q, call %d: %v, want ErrNotFound", id, i, err)
			}
		}
		if n, err := s.Update(ctx, inbox.Change{Unread: &no}, id); n != 0 || err != nil {
			t.Errorf("id %q: Update = %d, %v; want 0", id, n, err)
		}
	}
	wantStats(t, s, 1, 1)
}
