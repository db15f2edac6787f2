package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postrider/postrider/internal/disk"
)

// Older databases. One is copied as it is, and then brought up to date in one
// transaction: whatever goes wrong, either the old one is still there, or both
// are.

// migrations lead from each version of the schema to the next; the first from 1.
var migrations = [version - 1]string{
	`ALTER TABLE message ADD COLUMN inbox TEXT NOT NULL DEFAULT '';
	ALTER TABLE message ADD COLUMN session TEXT NOT NULL DEFAULT '';
	CREATE INDEX message_unread ON message (unread);
	CREATE TABLE tag (name TEXT NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (name, key)) STRICT, WITHOUT ROWID;
	INSERT OR IGNORE INTO tag SELECT lower(j.value), m.key FROM message m, json_each(m.tags) j WHERE m.tags<>'';
	ALTER TABLE summary DROP COLUMN search;`,
	// Messages stay as they are; what is kept from now on is packed.
	`ALTER TABLE body ADD COLUMN begins INTEGER NOT NULL DEFAULT -1;
	CREATE INDEX message_inbox ON message (inbox, unread) WHERE inbox<>'';`,
	"", // what is short is packed otherwise from now on
	// The roll knows what these were for.
	`DROP INDEX message_unread; DROP TABLE tag;`,
}

// backupName is where the copy of a database of an older version lies.
func (d *DB) backupName(made int64) string {
	return filepath.Join(d.dir, fmt.Sprintf("postrider-schema%d.db", made))
}

// migrate brings a database of an older version up to date.
func (d *DB) migrate(c *conn, made int64) error {
	if made == version {
		return nil
	}
	if err := d.backUp(c, d.backupName(made)); err != nil {
		return fmt.Errorf("a copy of the older database cannot be made: %w", err)
	}
	steps := strings.Join(migrations[made-1:], "\n")
	err := c.exec(fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT", steps, version))
	if err != nil {
		// Half of it has been done in a transaction that must not stay open.
		_ = c.exec("ROLLBACK")
		return fmt.Errorf("the older database cannot be brought up to date, and is as it was: %w", err)
	}
	if made > 1 {
		return nil
	}
	// The first version could not give pages back; a new arrangement of them can.
	return c.exec("PRAGMA auto_vacuum=incremental; VACUUM")
}

// backUp copies the database to a file, which has its name only once it is whole.
// Large bodies lie in files that no migration touches.
func (d *DB) backUp(c *conn, name string) error {
	part := name + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Made first, so that it is its owner's alone; an empty file may be written to.
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(c.exec("VACUUM INTO '"+strings.ReplaceAll(part, "'", "''")+"'"), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, name); err != nil {
		return err
	}
	return disk.SyncDir(d.dir)
}
