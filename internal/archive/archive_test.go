package archive_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/archive"
)

// What is above a message is taken off again and is what it was, however often it was put there.
func TestCut(t *testing.T) {
	for _, n := range []archive.Note{
		{Received: time.UnixMilli(1_700_000_000_123).UTC()},
		{Sender: "ann@example.com", Recipients: []string{"postmaster", `"a>b"@example.net`, "jürgen@例え.jp"}, Received: time.Unix(0, 0).UTC(), Unread: true, Tags: []string{"ä", `"`}},
	} {
		for _, msg := range []string{"", "x", "Subject: x\r\n\r\ny", n.Fields()} {
			got, rest, ok := archive.Cut([]byte(n.Fields() + msg))
			if !ok || !reflect.DeepEqual(got, n) || string(rest) != msg {
				t.Errorf("of %q: got %+v, %q, %v; want %+v, %q", n.Fields()+msg, got, rest, ok, n, msg)
			}
		}
	}
	// An address cannot be more than one field.
	n := archive.Note{Sender: "a\r\nb", Recipients: []string{"c\nd"}}
	if got, _, ok := archive.Cut([]byte(n.Fields())); !ok || got.Sender != "ab" || len(got.Recipients) != 1 || got.Recipients[0] != "cd" {
		t.Errorf("of line ends in addresses: got %+v, %v", got, ok)
	}
}

// Whatever else there is stays.
func TestCutForeign(t *testing.T) {
	const last = "X-Postrider-Kept: {\"received\":\"2026-01-02T03:04:05Z\",\"unread\":true}\r\n"
	for _, head := range []string{
		"", "Subject: x\r\n\r\n", last, "Return-Path: <a@b.c>\r\nDelivered-To: d@e.f\r\n", "Return-Path: <a@b.c>\r\nDelivered-To: d@e.f\r\nReceived: x\r\n" + last,
		"Delivered-To: d@e.f\r\nReturn-Path: <a@b.c>\r\n" + last, "Return-Path: <a@b.c>\r\nReturn-Path: <a@b.c>\r\n" + last, "Return-Path: a@b.c\r\n" + last,
		"Return-Path: <a@b.c>\r\nDelivered-To: d\ne\r\n" + last, "Return-Path: <a@b.c>\n" + last, "Return-Path: <a@b.c>\r\nX-Postrider-Kept: 1\r\n", "Return-Path: <a@b.c>\r\n" + last[:40],
	} {
		if n, rest, ok := archive.Cut([]byte(head)); ok || string(rest) != head || !reflect.DeepEqual(n, archive.Note{}) {
			t.Errorf("of %q: got %+v, %q, %v; want it to stay", head, n, rest, ok)
		}
	}
}

// FuzzCut: what is taken off can be put there again.
func FuzzCut(f *testing.F) {
	f.Add([]byte(archive.Note{Sender: "a@b.c", Recipients: []string{"d@e.f"}, Tags: []string{"x"}}.Fields() + "Subject: x\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		n, rest, ok := archive.Cut(head)
		if !ok {
			if string(rest) != string(head) {
				t.Fatalf("of %q %q is left", head, rest)
			}
			return
		}
		again, more, ok := archive.Cut(append([]byte(n.Fields()), rest...))
		if !ok || again.Sender != n.Sender || len(again.Recipients) != len(n.Recipients) || !again.Received.Equal(n.Received) || string(more) != string(rest) {
			t.Fatalf("%+v and %q became %+v and %q, %v", n, rest, again, more, ok)
		}
	})
}
