package sqlite_test

import (
	"bytes"
	"encoding/binary"
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

	db = open(t, dir)
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
	backup := filepath.Join(dir, fmt.Sprintf("postrider-schema%d.db", version))
	info, err := os.Stat(backup)
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

// If the copy cannot be made, the older database stays as it is.
func TestMigrateWithoutCopy(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	add(t, db, 100)
	db.Close()
	sqlite.Downgrade(t, dir, 1)
	// A directory in the copy's place.
	if err := os.MkdirAll(filepath.Join(dir, "postrider-schema1.db.part", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "copy of the older database") {
		t.Errorf("Open: %v, want one about the copy", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "postrider.db"))
	if err != nil || after[63] != 1 { // user_version, in the file's header
		t.Errorf("the database is of version %d (%v), want 1", after[63], err)
	}
}
