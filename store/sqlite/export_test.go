package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/postrider/postrider/inbox"
)

// Pages returns how many pages of the database are free, and how many there are.
func Pages(dir string) (free, pages int64, err error) {
	c, err := connect(context.Background(), filepath.Join(dir, fileName))
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if free, err = c.integer("PRAGMA freelist_count"); err != nil {
		return 0, 0, err
	}
	pages, err = c.integer("PRAGMA page_count")
	return free, pages, err
}

// Downgrade makes the database in dir what an older version of this program made.
func Downgrade(t *testing.T, dir string, to int) {
	t.Helper()
	c, err := connect(context.Background(), filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range packed(t, c, p) {
		if to == 4 {
			continue
		}
		if to == 3 {
			// It knew no other form than that of what is long.
			change(t, c, "UPDATE body SET data=? WHERE key=?", p.large.EncodeAll(append([]byte(b.lines), b.msg...), nil), b.key)
			continue
		}
		change(t, c, "UPDATE body SET data=? WHERE key=?", append([]byte{}, b.msg...), b.key)
		if b.lines != "" {
			change(t, c, "UPDATE message SET session=session||?||? WHERE key=?", "\n", b.lines, b.key)
		}
	}
	statements := `CREATE INDEX message_unread ON message (unread);
		CREATE TABLE tag (name TEXT NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (name, key)) STRICT, WITHOUT ROWID;`
	if to < 3 {
		statements += `ALTER TABLE body DROP COLUMN begins; DROP INDEX message_inbox;
			DELETE FROM body WHERE key IN (SELECT key FROM message WHERE file<>'');`
	}
	if to == 1 {
		statements += `DROP TABLE tag; DROP INDEX message_unread; ALTER TABLE message DROP COLUMN session; ALTER TABLE message DROP COLUMN inbox;
			ALTER TABLE summary ADD COLUMN search TEXT NOT NULL DEFAULT '';`
	}
	statements += fmt.Sprintf("PRAGMA user_version=%d; PRAGMA journal_mode=delete;", to)
	if to == 1 {
		statements += "PRAGMA auto_vacuum=none; VACUUM"
	}
	if err := c.exec(statements); err != nil {
		t.Fatal(err)
	}
}

// A packedBody is what a row of body holds.
type packedBody struct {
	key   int64
	lines string
	msg   []byte
}

// packed returns all that lies in the database.
func packed(t *testing.T, c *conn, p *packer) (all []packedBody) {
	t.Helper()
	rows, err := c.prepare("SELECT key, data, begins FROM body")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if _, err := rows.query(func(r []driver.Value) error {
		data, _ := r[1].([]byte)
		begins, _ := r[2].(int64)
		lines, msg, err := p.unpack(data, begins)
		all = append(all, packedBody{r[0].(int64), lines, bytes.Clone(msg)})
		return err
	}, make([]driver.Value, 3)); err != nil {
		t.Fatal(err)
	}
	return all
}

// change runs one statement.
func change(t *testing.T, c *conn, query string, args ...driver.Value) {
	t.Helper()
	s, err := c.prepare(query)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.set(args...).exec(); err != nil {
		t.Fatal(err)
	}
}

// Holds tells whether an expression holds of that of which is tells whether a term does.
func Holds(e inbox.Expr, is func(inbox.Term) bool) bool {
	of := func(x inbox.Expr) bool { return Holds(x, is) }
	switch e.Op {
	case inbox.Not:
		return !of(e.Of[0])
	case inbox.And:
		return !slices.ContainsFunc(e.Of, func(x inbox.Expr) bool { return !of(x) })
	case inbox.Or:
		return slices.ContainsFunc(e.Of, of)
	}
	return is(e.Term)
}

// SetShardSize has the index begin a new shard after so few messages.
func (d *DB) SetShardSize(messages int) { d.search.size = messages }

// Shards returns how many there are.
func (d *DB) Shards() int {
	d.search.reading.RLock()
	defer d.search.reading.RUnlock()
	return len(d.search.shards)
}
