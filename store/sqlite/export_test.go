package sqlite

import (
	"context"
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

// Downgrade makes the database in dir what the first version of this program made.
func Downgrade(t *testing.T, dir string) {
	t.Helper()
	c, err := connect(context.Background(), filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.exec(`DROP TABLE tag; DROP INDEX message_unread; ALTER TABLE message DROP COLUMN session; ALTER TABLE message DROP COLUMN inbox;
		ALTER TABLE summary ADD COLUMN search TEXT NOT NULL DEFAULT ''; PRAGMA user_version=1; PRAGMA journal_mode=delete`); err != nil {
		t.Fatal(err)
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
