// Package sqlite keeps mail in one SQLite database: the store that postrider
// uses unless it is told of another.
//
// A directory holds it all: postrider.db (in WAL mode, every commit synced),
// bodies/ with the messages that are too large for the database, and lock,
// which keeps a second process out. One goroutine writes. It takes everything
// that waits, commits it in one transaction and only then lets the waiting
// sessions answer 250, so that they share one sync of the disk.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	engine "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/disk"
)

// Opening and closing. A database that is not ours, that a newer program made
// or that is damaged is refused and left as it is: nothing is written before
// check has passed, and nothing is ever started afresh in its place.

var (
	// ErrLocked says that another process has the directory open.
	ErrLocked = errors.New("another process uses it")
	// ErrNewer says that a newer version of this program made the database.
	ErrNewer = errors.New("a newer version of postrider made it")
	// ErrForeign says that the database is another application's.
	ErrForeign = errors.New("it is not a postrider database")
	// ErrCorrupt says that the database cannot be read, or that it is gone while
	// the messages that belonged to it are there.
	ErrCorrupt = errors.New("it is damaged")
	// ErrClosed is what a closed DB returns.
	ErrClosed = errors.New("sqlite: the database is closed")
)

const (
	applicationID = 0x706f7374 // "post", at offset 68 of the file
	version       = 5          // of the schema; PRAGMA user_version

	fileName   = "postrider.db"
	lockName   = "lock"
	bodiesName = "bodies"
)

// The rows of message, body and summary that have one key are one message. All
// three grow at their right end only: keys ascend, and each row is inserted
// once. What changes (unread, tags) is short and lies in message. They are three
// because they are read apart: a list needs no bodies. What is written while
// senders wait has no index besides the keys but that of inboxes: what is unread and
// which tags there are is known in memory (roll.go), and words are in a file of their
// own (search.go).
const schema = `
CREATE TABLE setting (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE message (
	key INTEGER PRIMARY KEY,
	received INTEGER NOT NULL,  -- milliseconds since 1970
	ip TEXT NOT NULL, host TEXT NOT NULL, tls TEXT NOT NULL, user TEXT NOT NULL,
	sender TEXT NOT NULL,
	recipients TEXT NOT NULL,   -- one a line
	options TEXT NOT NULL,      -- JSON of the envelope's options; '' if there are none
	size INTEGER NOT NULL,
	file TEXT NOT NULL,         -- in bodies/; '' if the message is in the table body
	unread INTEGER NOT NULL,
	tags TEXT NOT NULL,         -- JSON; '' if there are none
	inbox TEXT NOT NULL DEFAULT '',
	session TEXT NOT NULL DEFAULT '' -- the first line of an inbox.Session as text, or all of it; '' if it came otherwise
) STRICT;
CREATE INDEX message_inbox ON message (inbox, unread) WHERE inbox<>'';
CREATE TABLE body (
	key INTEGER PRIMARY KEY,
	data BLOB NOT NULL,         -- packed: the other lines of the session, and the message if it is not in a file
	begins INTEGER NOT NULL DEFAULT -1 -- where the message begins in what was packed; -1: data is the message as it came
) STRICT;
CREATE TABLE summary (
	key INTEGER PRIMARY KEY,
	author TEXT NOT NULL,       -- JSON, as are addressees
	addressees TEXT NOT NULL,
	subject TEXT NOT NULL,
	date INTEGER,               -- seconds since 1970
	zone INTEGER,               -- of date, in seconds east
	attachments INTEGER NOT NULL,
	preview TEXT NOT NULL
) STRICT;
`

// A DB is an open database. Its methods may be called at the same time. It is made
// by Open; the zero DB is of no use.
type DB struct {
	dir    string
	tell   func(Migration)
	lock   *os.File
	node   uint64 // the part of an id that is this database's own
	read   *sql.DB
	body   *sql.Stmt // what openBody says: the index asks it for each message
	spool  *spool
	packer *packer
	search *search
	roll   *roll
	writer *writer
	closed atomic.Bool
}

// A Config says how a database is opened. The zero Config is that of Open.
type Config struct {
	// OnMigrate is told while the database of an older version is copied and brought up
	// to date, which takes a while if it is large: when it begins, after each few
	// megabytes, and when the copy is whole. Open waits for it. If it is nil, nobody is
	// told.
	OnMigrate func(Migration)
}

// Open is Open with a Config.
func (c Config) Open(ctx context.Context, dir string) (*DB, error) {
	d := &DB{dir: dir, tell: c.OnMigrate}
	if d.tell == nil {
		d.tell = func(Migration) {}
	}
	if err := d.open(ctx); err != nil {
		d.release()
		return nil, fmt.Errorf("sqlite: %s: %w", dir, err)
	}
	return d, nil
}

// Open opens the database in dir and makes the directory and the database if
// they are not there, for their owner alone. The error tells dir and what is wrong
// with it: ErrLocked, ErrNewer, ErrForeign, ErrCorrupt, inbox.ErrFull, ctx's or that of
// the file system; then there is no DB and nothing to close. A database of an older
// version is copied beside itself and brought up to date. ctx is for opening only: its
// end later does not close anything.
func Open(ctx context.Context, dir string) (*DB, error) { return Config{}.Open(ctx, dir) }

// Inbox returns the store of received messages. It is the same each time, and may
// be used at once by as many as want to, until Close.
func (d *DB) Inbox() inbox.Store { return (*inboxStore)(d) }

// Close finishes what has been handed in and closes the database. What is asked
// of it afterwards returns ErrClosed; closing it again does nothing and returns
// nil. An error means that something could not be closed, not that a message was
// lost: everything that was acknowledged was synced before.
func (d *DB) Close() error {
	if !d.closed.CompareAndSwap(false, true) {
		return nil
	}
	err := d.writer.close()
	return errors.Join(err, d.release())
}

// release lets go of what open has got so far. The lock goes last: until then
// nobody else may write to what is still open here.
func (d *DB) release() error {
	var errs []error
	if d.body != nil {
		errs = append(errs, d.body.Close())
	}
	if d.read != nil {
		errs = append(errs, d.read.Close())
	}
	if d.search != nil {
		errs = append(errs, d.search.close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// open does the work of Open. What it leaves in d when it fails is release's; the
// connection is its own until the writer has it.
func (d *DB) open(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(d.dir, bodiesName), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(d.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.lock = lock
	if err := lockFile(lock); err != nil {
		return ErrLocked
	}
	// From here no other process comes in between.
	if err := d.create(); err != nil {
		return err
	}
	if d.packer, err = newPacker(); err != nil {
		return err
	}
	c, err := connect(ctx, d.file())
	if err != nil {
		return damage(err)
	}
	if err := d.prepare(ctx, c); err != nil {
		return errors.Join(damage(err), c.Close())
	}
	if d.search, err = openSearch(ctx, d.dir); err != nil {
		return errors.Join(err, c.Close())
	}
	if d.read, err = readers(d.file(), filepath.Join(d.dir, searchName)); err != nil {
		return errors.Join(err, c.Close())
	}
	if d.body, err = d.read.PrepareContext(ctx, openBody); err != nil {
		return errors.Join(damage(err), c.Close())
	}
	if err := d.sweep(ctx); err != nil {
		return errors.Join(damage(err), c.Close())
	}
	d.writer, err = newWriter(ctx, d, c)
	if err != nil {
		return errors.Join(damage(err), c.Close())
	}
	return nil
}

func (d *DB) file() string { return filepath.Join(d.dir, fileName) }

// create makes an empty file for a database that is not there yet, readable by
// its owner alone. Messages without their database are not swept away by
// beginning anew: somebody has to look.
func (d *DB) create() error {
	d.spool = newSpool(filepath.Join(d.dir, bodiesName))
	info, err := os.Stat(d.file())
	if err == nil && info.Size() > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left, err := d.spool.files()
	if err != nil {
		return err
	}
	// The log may hold all that there is: a database file can be empty up to its
	// first checkpoint. The index of words is made after the database, whose messages
	// may all have been small.
	holds := func(name string) bool {
		info, err := os.Stat(filepath.Join(d.dir, name))
		return err == nil && info.Size() > 0
	}
	if len(left) > 0 || holds(fileName+"-wal") || holds(searchName) {
		return fmt.Errorf("%w: %s is missing or empty, but what belongs to it is there", ErrCorrupt, fileName)
	}
	f, err := os.OpenFile(d.file(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), disk.SyncDir(d.dir))
}

// prepare checks whose database it is, makes the tables of a new one and sets
// the connection up to write.
func (d *DB) prepare(ctx context.Context, c *conn) error {
	// Before any pragma that writes: journal_mode=wal changes the file.
	made, err := check(c)
	if err != nil {
		return err
	}
	// fullfsync makes macOS flush the disk's own cache too; elsewhere it is
	// without effect. Checkpoints are the writer's affair (writer.go).
	// What is deleted leaves pages that shorten gives back. Each page is two system
	// calls, so that larger ones cost less; those of 16 KiB cost no less than these.
	// Both stay as they were in a database that has tables.
	for _, pragma := range []string{"page_size=8192", "auto_vacuum=incremental", "journal_mode=wal", "synchronous=full", "fullfsync=1", "checkpoint_fullfsync=1",
		"wal_autocheckpoint=0", "cache_size=-4000", "temp_store=memory"} {
		if err := c.exec("PRAGMA " + pragma); err != nil {
			return err
		}
	}
	if made == 0 {
		return d.initialise(c)
	}
	if err := d.migrate(ctx, c, made); err != nil {
		return err
	}
	node, err := c.integer("SELECT value FROM setting WHERE name='node'")
	d.node = uint64(node)
	return err
}

// check refuses a database that this program must not write to. It returns the
// version of its schema, 0 if there is nothing in it yet: a file without an
// application's mark and without tables is one that create made, or that a crash
// left before the first transaction was committed.
func check(c *conn) (made int64, err error) {
	app, err := c.integer("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	made, err = c.integer("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	tables, err := c.integer("SELECT count(*) FROM sqlite_schema")
	switch {
	case err != nil:
		return 0, err
	case app == 0 && made == 0 && tables == 0:
		return 0, nil
	case app != applicationID:
		return 0, ErrForeign
	case made > version:
		return 0, fmt.Errorf("%w (schema %d; this one knows %d)", ErrNewer, made, version)
	case made < 1:
		return 0, fmt.Errorf("%w: schema %d was never released", ErrCorrupt, made)
	}
	return made, nil
}

// initialise makes the tables in one transaction, so that a crash leaves either
// an empty database or a whole one.
func (d *DB) initialise(c *conn) error {
	var random [8]byte
	rand.Read(random[:]) // never fails, by its documentation
	d.node = binary.BigEndian.Uint64(random[:])
	return c.exec(fmt.Sprintf("BEGIN IMMEDIATE; %s INSERT INTO setting VALUES ('node', %d); "+
		"PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", schema, int64(d.node), applicationID, version))
}

// sweep removes the files of messages that were never acknowledged: the process
// ended between writing the file and committing the row, or between deleting
// the row and removing the file.
func (d *DB) sweep(ctx context.Context) error {
	files, err := d.spool.files()
	if err != nil || len(files) == 0 {
		return err
	}
	rows, err := d.read.QueryContext(ctx, "SELECT file FROM message WHERE file<>''")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		delete(files, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for name := range files {
		d.spool.remove(name)
	}
	return nil
}

// damage names the errors by which SQLite says that a file is no database or a
// broken one.
func damage(err error) error {
	if e, ok := errors.AsType[*engine.Error](err); ok {
		switch e.Code() & 0xff {
		case code.SQLITE_NOTADB:
			return fmt.Errorf("%w: %s is no SQLite database", ErrForeign, fileName)
		case code.SQLITE_CORRUPT:
			return fmt.Errorf("%w: %s", ErrCorrupt, strings.TrimSpace(e.Error()))
		case code.SQLITE_CANTOPEN, code.SQLITE_READONLY, code.SQLITE_PERM:
			return fmt.Errorf("%s: %w", fileName, errors.Join(fs.ErrPermission, err))
		}
	}
	return err
}
