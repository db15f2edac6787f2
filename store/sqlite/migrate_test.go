package sqlite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/store/sqlite"
)

// A database of each older schema is copied and brought up to date with all that
// was in it.
func TestMigrate(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { testMigrate(t, version) })
	}
}

func testMigrate(t *testing.T, version int) {
	ctx, dir := t.Context(), t.TempDir()
	db := open(t, dir)
	const said = "a1\tESMTP\t\t1\n<0 220 ready\n>5 EHLO x"
	msg, large := []byte("Subject: older\r\n\r\nas it came\r\n"), bytes.Repeat([]byte("0123456789abcde\n"), 2<<16)
	var ids []string
	for _, m := range [][]byte{msg, {}, large} {
		a := arrival()
		if version > 1 {
			a.Session, a.Inbox = said, "shop"
		}
		id, err := db.Inbox().Add(ctx, a, bytes.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	tags := []string{"Old", "new"}
	if _, err := db.Inbox().Update(ctx, inbox.Change{Tags: &tags}, ids[0]); err != nil {
		t.Fatal(err)
	}
	db.Close()
	sqlite.Downgrade(t, dir, version)

	backup := filepath.Join(dir, fmt.Sprintf("postrider-schema%d.db", version))
	var told []sqlite.Migration
	db, err := sqlite.Config{OnMigrate: func(m sqlite.Migration) { told = append(told, m) }}.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if len(told) < 2 || told[0].From != version || told[0].To != 5 || told[0].Backup != backup || told[0].Copied != 0 || told[len(told)-1].Copied != told[0].Octets {
		t.Errorf("of the migration was told: %+v", told)
	}
	for i, want := range [][]byte{msg, {}, large} {
		if got := content(t, db, ids[i]); !bytes.Equal(got, want) {
			t.Errorf("message %d has %d octets, want the %d that it had: %.50q", i, len(got), len(want), got)
		}
	}
	e, err := db.Inbox().Entry(ctx, ids[0])
	if err != nil || !slices.Equal(e.Tags, tags) || !e.Unread || version > 1 && (e.Session != said || e.Inbox != "shop") {
		t.Errorf("after migrating: %+v, %v", e, err)
	}
	match, _ := inbox.ParseQuery("tag:old", time.Now())
	page, err := db.Inbox().List(ctx, inbox.Query{Match: match})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].ID != ids[0] || version > 1 && page.Entries[0].Session != "a1" {
		t.Errorf("tag:old finds %+v, %v", page, err)
	}
	more := add(t, db, 10)
	if more <= ids[2] {
		t.Errorf("the next id is %s, not greater than %s", more, ids[2])
	}
	info, err := os.Stat(backup)
	if err == nil && info.Size() != told[0].Octets {
		t.Errorf("the copy has %d octets, want the %d that were told", info.Size(), told[0].Octets)
	}
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Fatalf("the copy: %v, %v", info, err)
	}
	// The copy is a database of the older version, whole: it can be migrated again.
	db.Close()
	// At 64 in its header a database says that pages are given back when it is asked to.
	if b, err := os.ReadFile(filepath.Join(dir, "postrider.db")); err != nil || binary.BigEndian.Uint32(b[64:]) != 1 {
		t.Errorf("the database cannot give pages back (%v)", err)
	}
	if err := os.Rename(backup, filepath.Join(dir, "postrider.db")); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir)
	if s, err := db.Inbox().Stats(ctx); err != nil || s.Messages != 3 {
		t.Errorf("from the copy: %+v, %v; want 3 messages", s, err)
	}
	if got := content(t, db, ids[0]); !bytes.Equal(got, msg) {
		t.Errorf("from the copy: %q, want %q", got, msg)
	}
}

// older returns a directory with a database of an older version, of some megabytes.
func older(t *testing.T, version int) string {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir)
	for range 12 {
		if _, err := db.Inbox().Add(t.Context(), arrival(), bytes.NewReader(noise(800<<10))); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	sqlite.Downgrade(t, dir, version)
	return dir
}

// is fails the test unless the database is of a version, and no half copy is there.
func is(t *testing.T, dir string, version byte) {
	t.Helper()
	after, err := os.ReadFile(filepath.Join(dir, "postrider.db"))
	if err != nil || after[63] != version { // user_version, in the file's header
		t.Errorf("the database is of version %d (%v), want %d", after[63], err, version)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// If the copy cannot be made, the older database stays as it is.
func TestMigrateWithoutCopy(t *testing.T) {
	dir := older(t, 1)
	// A directory in the copy's place.
	part := filepath.Join(dir, "postrider-schema1.db.part")
	if err := os.MkdirAll(filepath.Join(part, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "copy of the older database") {
		t.Errorf("Open: %v, want one about the copy", err)
	}
	if err := os.RemoveAll(part); err != nil {
		t.Fatal(err)
	}
	is(t, dir, 1)
}

// When ctx ends, migrating does, wherever it is, and can be done again.
func TestMigrateCancelled(t *testing.T) {
	for _, version := range []int{1, 4} {
		dir := older(t, version)
		for _, c := range []struct {
			what string
			now  func(m sqlite.Migration) bool
		}{
			{"at once", func(m sqlite.Migration) bool { return true }},
			{"half-way", func(m sqlite.Migration) bool { return m.Copied > 0 && m.Copied < m.Octets }},
			{"with the copy", func(m sqlite.Migration) bool { return m.Copied == m.Octets }},
		} {
			ctx, end := context.WithCancel(t.Context())
			ended := false
			_, err := sqlite.Config{OnMigrate: func(m sqlite.Migration) {
				if ended = ended || c.now(m); ended {
					end()
				}
			}}.Open(ctx, dir)
			if !ended || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
				t.Errorf("from %d, ended %s (%v): got %v, want %v", version, c.what, ended, err, context.Canceled)
			}
			is(t, dir, byte(version))
		}
		db := open(t, dir)
		if s, err := db.Inbox().Stats(t.Context()); err != nil || s.Messages != 12 {
			t.Errorf("at last: %+v, %v; want 12 messages", s, err)
		}
	}
}
