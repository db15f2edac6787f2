package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"
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
	unpackAll(t, c)
	statements := "ALTER TABLE body DROP COLUMN begins; DROP INDEX message_inbox;"
	if to == 1 {
		statements += `DROP TABLE tag; DROP INDEX message_unread; ALTER TABLE message DROP COLUMN session; ALTER TABLE message DROP COLUMN inbox;
			ALTER TABLE summary ADD COLUMN search TEXT NOT NULL DEFAULT '';`
	}
	if err := c.exec(statements + fmt.Sprintf("DELETE FROM body WHERE key IN (SELECT key FROM message WHERE file<>''); PRAGMA user_version=%d; PRAGMA journal_mode=delete", to)); err != nil {
		t.Fatal(err)
	}
}

// unpackAll has all messages lie in the database as they came.
func unpackAll(t *testing.T, c *conn) {
	t.Helper()
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	rows, err := c.prepare("SELECT key, data, begins FROM body")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	type row struct {
		key   int64
		lines string
		msg   []byte
	}
	var all []row
	if _, err := rows.query(func(r []driver.Value) error {
		data, _ := r[1].([]byte)
		begins, _ := r[2].(int64)
		lines, msg, err := p.unpack(data, begins)
		all = append(all, row{r[0].(int64), lines, bytes.Clone(msg)})
		return err
	}, make([]driver.Value, 3)); err != nil {
		t.Fatal(err)
	}
	set, err := c.prepare("UPDATE body SET data=? WHERE key=?")
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	say, err := c.prepare("UPDATE message SET session=session||?||? WHERE key=?")
	if err != nil {
		t.Fatal(err)
	}
	defer say.Close()
	for _, r := range all {
		if r.msg == nil {
			r.msg = []byte{}
		}
		_, err := set.set(r.msg, r.key).exec()
		if r.lines != "" && err == nil {
			_, err = say.set("\n", r.lines, r.key).exec()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// SetShardSize has the index begin a new shard after so few messages.
func (d *DB) SetShardSize(messages int) { d.search.size = messages }

// Shards returns how many there are.
func (d *DB) Shards() int {
	d.search.reading.RLock()
	defer d.search.reading.RUnlock()
	return len(d.search.shards)
}
