package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	engine "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/postrider/postrider/inbox"
)

// Connections. Reading goes through database/sql's pool. The writer holds a
// connection of the driver's own: its statements stay prepared, and an insert
// costs neither the pool's locks nor its conversions.

// busyTimeout is for how many milliseconds a connection waits for another.
const busyTimeout = "10000"

// connector returns what opens the database at path.
func connector(path, query string) (driver.Connector, error) {
	uri, err := address(path, query)
	if err != nil {
		return nil, err
	}
	return engine.NewConnector(uri)
}

// address returns the URI of the database at path, because a plain path would end at
// its first question mark. The path is made absolute, so that a process that changes
// its directory still opens the same file later.
func address(path, query string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	slashed := filepath.ToSlash(abs)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/mail becomes file:///C:/mail
	}
	u := url.URL{Scheme: "file", Path: slashed, RawQuery: query}
	return u.String(), nil
}

// readerIdle is how long a connection may read nothing before it is closed, and its
// memory with it.
const readerIdle = 30 * time.Second

// readers returns the pool for reading. Four at once is more than two cores can
// serve, and each has a page cache of its own, a small one: the system's is behind it. It is told query_only, so that a
// mistake in a query is an error and not a second writer. The index of words is
// there as search.
func readers(path, search string) (*sql.DB, error) {
	c, err := connector(path, "_pragma=busy_timeout("+busyTimeout+")&_pragma=cache_size(-2000)")
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(attaching{c, search})
	pool.SetMaxOpenConns(4)
	pool.SetMaxIdleConns(4)
	pool.SetConnMaxIdleTime(readerIdle)
	return pool, nil
}

// attaching opens connections that see a second database.
type attaching struct {
	driver.Connector
	search string
}

// Connect implements driver.Connector.
func (a attaching) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := a.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	err = (&conn{c}).exec("ATTACH DATABASE '" + strings.ReplaceAll(a.search, "'", "''") + "' AS search; PRAGMA query_only=1")
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// moment lends a connection of those that read to fn, which sees with it what the database
// was at one moment.
func (d *DB) moment(ctx context.Context, fn func(c *conn) error) error {
	open, err := d.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer open.Close()
	return open.Raw(func(driven any) error {
		c := &conn{driven.(driver.Conn)}
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		return errors.Join(fn(c), c.exec("ROLLBACK")) // nothing was written
	})
}

// A conn is a connection that one goroutine uses. It has no lock: whoever made it
// hands it over and does not touch it again before that goroutine has ended.
type conn struct{ driver.Conn }

// connect opens a connection for one goroutine. Two of them write, the writer and
// the checkpointer; where they meet, one waits for the other.
func connect(ctx context.Context, path string) (*conn, error) {
	open, err := connector(path, "_pragma=busy_timeout("+busyTimeout+")")
	if err != nil {
		return nil, err
	}
	c, err := open.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c}, nil
}

// exec runs one or several statements. They are never cancelled: half of a
// commit is of no use to anybody. After an error some of them may have run.
func (c *conn) exec(statements string) error { return c.until(context.Background(), statements) }

// until is exec for what takes long: the end of ctx ends it, which is an error then.
func (c *conn) until(ctx context.Context, statements string) error {
	_, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, statements, nil)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

// integers returns the first row of a query, whose columns are n integers. Where a
// column is no integer it is 0, and so is all of it when there is no row.
func (c *conn) integers(query string, n int) ([]int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	row := make([]driver.Value, n)
	if _, err := s.query(func([]driver.Value) error { return nil }, row); err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for i, v := range row {
		out[i], _ = v.(int64)
	}
	return out, nil
}

// integer returns the first column of the first row; 0 if it is not a number.
func (c *conn) integer(query string) (int64, error) {
	row, err := c.integers(query, 1)
	if err != nil {
		return 0, err
	}
	return row[0], nil
}

// A stmt is a prepared statement with room for its arguments, so that running
// it again allocates nothing of ours. It belongs to the goroutine of its
// connection; the arguments stay set until they are set anew.
type stmt struct {
	driver.Stmt
	args []driver.NamedValue
}

// prepare makes a statement ready. Our queries have no question mark but those of
// their arguments, so that counting them is enough.
func (c *conn) prepare(query string) (*stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	args := make([]driver.NamedValue, strings.Count(query, "?"))
	for i := range args {
		args[i].Ordinal = i + 1
	}
	return &stmt{s, args}, nil
}

// set puts the arguments in their places: int64, string, []byte or nil.
func (s *stmt) set(values ...driver.Value) *stmt {
	for i, v := range values {
		s.args[i].Value = v
	}
	return s
}

// exec runs the statement and returns how many rows it changed.
func (s *stmt) exec() (int64, error) {
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query runs the statement and hands each row to fn; row has room for the
// columns and keeps the last one. It returns how many there were. The values are
// those of one row: fn copies what it wants to keep. An error of fn ends it.
func (s *stmt) query(fn func(row []driver.Value) error, row []driver.Value) (n int, err error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(context.Background(), s.args)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		switch err := rows.Next(row); {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
		n++
		if err := fn(row); err != nil {
			return n, err
		}
	}
}

// named gives an error of the database the name that the inbox knows it by. That
// the disk is full is the one that a client is told differently, because it passes
// (RFC 5321, 4.2.3: 452), and because somebody has to make room.
func named(err error) error {
	if err == nil || errors.Is(err, inbox.ErrFull) {
		return err
	}
	full := diskFull(err)
	if e, ok := errors.AsType[*engine.Error](err); ok {
		// The index of the write-ahead log is a file too, and lies in memory:
		// that it could not be made longer has a code of its own.
		full = e.Code()&0xff == code.SQLITE_FULL || e.Code() == code.SQLITE_IOERR_SHMSIZE
	}
	if full {
		return fmt.Errorf("%w (%w)", inbox.ErrFull, err)
	}
	return err
}
