package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	engine "modernc.org/sqlite"

	"github.com/postrider/postrider/inbox"
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

// A Migration tells how far the database of an older version is on its way to the
// schema of this program.
type Migration struct {
	From, To int    // versions of the schema
	Backup   string // the file that the older database is copied to
	Octets   int64  // that are copied
	// Copied is how many of them have been. It begins at 0; when it has come to Octets,
	// the copy is whole and synced, and the database is brought up to date.
	Copied int64
}

// migrate brings a database of an older version up to date. Until the copy is whole
// nothing is changed, and what ctx ends after that is undone.
func (d *DB) migrate(ctx context.Context, c *conn, made int64) error {
	if made == version {
		return nil
	}
	pages, pagesErr := c.integer("PRAGMA page_count")
	size, err := c.integer("PRAGMA page_size")
	if err := errors.Join(pagesErr, err); err != nil {
		return err
	}
	m := Migration{From: int(made), To: version, Backup: d.backupName(made), Octets: pages * size}
	if err := d.backUp(ctx, c, m); err != nil {
		return fmt.Errorf("a copy of the older database, which is as it was, cannot be made: %w", named(err))
	}
	// The first version could not give pages back; a new arrangement of them can. It comes
	// first, as what has been brought up to date is not looked at again.
	if made == 1 {
		if err := c.until(ctx, "PRAGMA auto_vacuum=incremental; VACUUM"); err != nil {
			return fmt.Errorf("the older database cannot be arranged anew: %w", named(err))
		}
	}
	steps := strings.Join(migrations[made-1:], "\n")
	err = c.until(ctx, fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT", steps, version))
	if err != nil {
		// Half of it has been done in a transaction that must not stay open.
		_ = c.exec("ROLLBACK")
		return fmt.Errorf("the older database cannot be brought up to date, and is as it was: %w", named(err))
	}
	return nil
}

// backUp copies the database to a file, which has its name only once it is whole.
// Large bodies lie in files that no migration touches.
func (d *DB) backUp(ctx context.Context, c *conn, m Migration) (err error) {
	part := m.Backup + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Told before the disk has been filled for nothing.
	if free, _, err := disk.Free(d.dir); err == nil && free < m.Octets {
		return fmt.Errorf("%w: it takes %d octets, and %d are free", inbox.ErrFull, m.Octets, free)
	}
	// Made first, so that it is its owner's alone; an empty file may be written to.
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(d.copyPages(ctx, c, part, m), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, m.Backup)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := disk.SyncDir(d.dir); err != nil {
		return err
	}
	m.Copied = m.Octets
	d.tell(m)
	return nil
}

// copyStep is how many pages are copied between two looks at ctx: some milliseconds.
const copyStep = 256

// copyPages copies all pages to an empty file, some at a time.
func (d *DB) copyPages(ctx context.Context, c *conn, to string, m Migration) error {
	// Half of it is of no use to anybody, so that it needs neither a journal nor a sync
	// before it is whole.
	uri, err := address(to, "_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	b, err := c.Conn.(interface {
		NewBackup(uri string) (*engine.Backup, error)
	}).NewBackup(uri)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		d.tell(m)
		if err = ctx.Err(); err == nil {
			more, err = b.Step(copyStep)
		}
		if pages := int64(b.PageCount()); more && pages > 0 {
			m.Copied = m.Octets * (pages - int64(b.Remaining())) / pages
		}
	}
	// What went wrong it would say once more.
	return cmp.Or(err, b.Finish())
}
