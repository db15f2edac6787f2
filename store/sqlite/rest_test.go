package sqlite

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
)

// What is deleted leaves no row behind, in any table.
func TestNothingLeft(t *testing.T) {
	ctx := context.Background()
	d, err := Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := d.Inbox()
	for name, remove := range map[string]func(ids []string) (int, error){
		"Delete":    func(ids []string) (int, error) { return s.Delete(ctx, ids...) },
		"DeleteAll": func([]string) (int, error) { return s.DeleteAll(ctx) },
	} {
		var ids []string
		var list []inbox.Indexed
		for range 3 {
			id, err := s.Add(ctx, &inbox.Arrival{Received: time.UnixMilli(1), Session: "a\n<1 b"}, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			ids, list = append(ids, id), append(list, inbox.Indexed{ID: id})
		}
		if _, err := s.Update(ctx, inbox.Change{Tag: []string{"a", "b"}}, ids...); err != nil {
			t.Fatal(err)
		}
		if err := s.Index(ctx, list); err != nil {
			t.Fatal(err)
		}
		if n, err := remove(ids); n != 3 || err != nil {
			t.Errorf("%s = %d, %v; want 3", name, n, err)
		}
		for _, table := range []string{"message", "body", "summary", "tag"} {
			n := 0
			if err := d.read.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
				t.Errorf("after %s the table %s has %d rows (%v), want none", name, table, n, err)
			}
		}
	}
}

// The lines of a session do not count towards what a message may have to lie in the
// database.
func TestSpoolLines(t *testing.T) {
	s := newSpool(t.TempDir())
	lines := strings.Repeat("l", maxLines)
	for size, inFile := range map[int]bool{0: false, 5000: false, inline: false, inline + 1: true} {
		msg := bytes.Repeat([]byte("m"), size)
		b, err := s.receive(lines, bytes.NewReader(msg), 0)
		if err != nil {
			t.Fatal(err)
		}
		if b.size != int64(size) || b.lines != len(lines) || (b.file != "") != inFile || !strings.HasPrefix(string(b.data), lines) {
			t.Errorf("%d octets: size %d, lines %d, file %q; want a file: %v", size, b.size, b.lines, b.file, inFile)
		}
		if !inFile && !bytes.Equal(b.data[b.lines:], msg) {
			t.Errorf("%d octets: others come behind the lines", size)
		}
		s.release(b)
	}
}

// Octets that are no UTF-8 part words, and characters that are words stand alone.
func TestSpaced(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "a\xffb": "a b", "a会議b": "a 会  議 b", "": ""} {
		if got := spaced(in); got != want {
			t.Errorf("spaced(%q) = %q, want %q", in, got, want)
		}
	}
}
