package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
)

// What a store says of its messages: their order, its pages, and what the index
// makes them found by.

// Ids ascend, also within a millisecond, and lists follow them.
func testOrder(t *testing.T, s inbox.Store) {
	ids := adds(t, s, 300)
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("ids do not ascend: %v", ids)
	}
	for _, id := range ids[:1] {
		if len(id) != 26 || strings.ToUpper(id) != id {
			t.Errorf("%q is no ULID", id)
		}
	}
	got, page := list(t, s, inbox.Query{Limit: 1000})
	if want := reversed(ids); !slices.Equal(got, want) {
		t.Errorf("List gives %v, want %v", got, want)
	}
	if page.More || page.Total != 300 {
		t.Errorf("all of them: More %v, Total %d", page.More, page.Total)
	}
}

// Every combination of bounds, order and limit, and whether there is more.
func testPages(t *testing.T, s inbox.Store) {
	ids := adds(t, s, 120)
	down := reversed(ids)
	for _, c := range []struct {
		q    inbox.Query
		want []string
		more bool
	}{
		{inbox.Query{}, down[:inbox.DefaultLimit], true},
		{inbox.Query{Limit: 10}, down[:10], true},
		{inbox.Query{Limit: 120}, down, false},
		{inbox.Query{Limit: 10, Before: ids[100]}, reversed(ids[90:100]), true},
		{inbox.Query{Limit: 10, Before: ids[10]}, reversed(ids[:10]), false},
		{inbox.Query{Before: ids[0]}, nil, false},
		{inbox.Query{Limit: 10, Before: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, reversed(ids[len(ids)-10:]), true},
		{inbox.Query{After: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, nil, false},
		{inbox.Query{After: "00000000000000000000000000", OldestFirst: true, Limit: 10}, ids[:10], true},
		{inbox.Query{After: ids[115]}, reversed(ids[116:]), false},
		{inbox.Query{After: ids[115], OldestFirst: true}, ids[116:], false},
		{inbox.Query{After: ids[10], OldestFirst: true, Limit: 3}, ids[11:14], true},
		{inbox.Query{After: ids[10], Before: ids[13]}, reversed(ids[11:13]), false},
		{inbox.Query{OldestFirst: true, Limit: 2}, ids[:2], true},
	} {
		got, page := list(t, s, c.q)
		if !slices.Equal(got, c.want) || page.More != c.more || page.Total != len(ids) {
			t.Errorf("List(%+v) = %v, more %v, total %d; want %v, more %v, total %d",
				c.q, got, page.More, page.Total, c.want, c.more, len(ids))
		}
	}
	if _, err := s.List(context.Background(), inbox.Query{Before: "no id"}); err == nil {
		t.Error("List before something that is no id: no error")
	}
	// A bound may be the id of a message that is gone.
	if _, err := s.Delete(context.Background(), ids[50]); err != nil {
		t.Fatal(err)
	}
	if got, _ := list(t, s, inbox.Query{Before: ids[50], Limit: 1}); !slices.Equal(got, ids[49:50]) {
		t.Errorf("before a deleted message: %v, want %v", got, ids[49:50])
	}
}

// summary returns one that has everything.
func summary(subject string) inbox.Summary {
	return inbox.Summary{
		From:    []mail.Address{{Name: "Änn", Address: "ann@example.com"}},
		To:      []mail.Address{{Address: "bob@example.net"}, {Name: "C", Address: "c@example.net"}},
		Subject: subject, Date: time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", -5*3600)),
		Attachments: 3, Preview: "Dear Bob",
	}
}

// indexAll gives messages their summaries in one call.
func indexAll(t testing.TB, s inbox.Store, ids []string, subject func(i int) string) {
	t.Helper()
	var list []inbox.Indexed
	for i, id := range ids {
		list = append(list, inbox.Indexed{ID: id, Summary: summary(subject(i))})
	}
	if err := s.Index(context.Background(), list); err != nil {
		t.Fatalf("Index: %v", err)
	}
}

// What has no summary is listed in order; what is deleted stays deleted.
func testIndex(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	unindexed := func(limit int, want []string) {
		t.Helper()
		entries, err := s.Unindexed(ctx, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Unindexed(%d) = %v, want %v", limit, got, want)
		}
		if stats, err := s.Stats(ctx); err != nil || limit > len(want) && stats.Unindexed != len(want) {
			t.Errorf("Stats: %+v, %v; want %d unindexed", stats, err, len(want))
		}
	}
	unindexed(10, nil)
	ids := adds(t, s, 10)
	unindexed(3, ids[:3])
	unindexed(100, ids)
	if _, err := s.Delete(ctx, ids[1]); err != nil {
		t.Fatal(err)
	}
	indexAll(t, s, ids[:4], func(i int) string { return fmt.Sprint("Number ", i) })
	unindexed(100, ids[4:])
	e, err := s.Entry(ctx, ids[2])
	if err != nil || e.Summary == nil {
		t.Fatalf("Entry = %+v, %v; want a summary", e, err)
	}
	want := summary("Number 2")
	if !e.Summary.Date.Equal(want.Date) || e.Summary.Date.Format(time.RFC3339) != want.Date.Format(time.RFC3339) {
		t.Errorf("date is %v, want %v", e.Summary.Date, want.Date)
	}
	e.Summary.Date = want.Date
	if !reflect.DeepEqual(*e.Summary, want) {
		t.Errorf("summary is\n%+v, want\n%+v", *e.Summary, want)
	}
	if _, err := s.Entry(ctx, ids[1]); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("a deleted message that was indexed: %v", err)
	}
	if err := s.Index(ctx, []inbox.Indexed{{ID: ids[4]}}); err != nil {
		t.Fatalf("Index, empty summary: %v", err)
	}
	if e, err := s.Entry(ctx, ids[4]); err != nil || e.Summary == nil || !e.Summary.Date.IsZero() || e.Summary.From != nil {
		t.Errorf("an empty summary came back as %+v, %v", e, err)
	}
	wantStats(t, s, 9, 9)
}
