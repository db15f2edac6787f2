package sqlite

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/disk"
)

// Group commit. Whoever wants something written puts a request in line and
// waits. One goroutine takes all that are in line, applies them in one
// transaction, commits, and answers them together. While it waits for the disk
// the next ones gather, so that the slower the disk is, the more of them share
// a sync: there is no delay to tune.
//
// All of a transaction succeeds or all of it fails. A request that must be
// durable makes the whole transaction durable (synchronous=FULL: the commit is
// in the log and the log is synced). One of only lazy requests is written
// without a sync; the next durable one syncs it too, since there is one log.

const (
	maxBatch      = 512     // requests in one transaction
	maxBatchBytes = 8 << 20 // of messages, so that a batch of large ones does not keep small ones waiting
)

// A request is one thing to be written. Exactly one of message and do is set. do
// runs in the writer's goroutine, inside the transaction; it may be undone after
// it has returned nil, so that what it tells counts only when done says nil.
type request struct {
	message *message
	do      func(t *transaction) error
	lazy    bool
	done    chan error // has room for the answer
}

// bytes is what a request adds to its batch. A body in a file adds nothing: it has
// been written and synced before it came in line.
func (r *request) bytes() int64 {
	if r.message != nil {
		return int64(len(r.message.body.data))
	}
	return 0
}

// A writer owns the connection that writes. conn, stmts, room, key and lazy are run's
// alone; mu guards what others look at too.
type writer struct {
	db    *DB
	conn  *conn
	stmts statements
	room  []byte // to pack in
	ckpt  checkpointer

	mu     sync.Mutex
	line   []*request
	closed bool
	stats  stats         // as of the last commit
	wake   chan struct{} // has room for one
	ended  chan struct{} // closed when run has returned

	key   int64 // of the newest message
	lazy  bool  // synchronous=NORMAL is set
	freed bool  // something was deleted, and the file may have become too long
}

// stats are kept here because counting 100,000 rows takes longer than showing
// fifty of them.
type stats struct {
	messages, unread int
	bytes            int64
}

// A transaction is what its requests share until it is committed. If that fails
// it is dropped with all that it has counted.
type transaction struct {
	*writer
	stats             // what they change
	newFiles bool     // bodies/ has a name in it that must be durable
	remove   []string // files to remove once it is committed
	notes    []note   // for the roll, once it is committed
}

// note tells the roll of a change.
func (t *transaction) note(key int64, set string, in bool) {
	t.notes = append(t.notes, note{key, set, in})
}

// newWriter starts the goroutine that writes. If it returns an error, the
// connection is still the caller's.
func newWriter(ctx context.Context, d *DB, c *conn) (*writer, error) {
	w := &writer{db: d, conn: c, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	// Counted once, and kept up to date from then on.
	var err error
	if d.roll, w.stats, err = d.call(c); err != nil {
		return nil, err
	}
	if n := len(d.roll.keys); n > 0 {
		w.key = d.roll.keys[n-1]
	}
	if err := w.stmts.prepare(c); err != nil {
		return nil, err
	}
	if err := w.ckpt.start(ctx, d.file()); err != nil {
		return nil, err
	}
	// From here the connection and the statements belong to run.
	go w.run()
	return w, nil
}

// submit puts r in line. The answer comes on r.done, whatever happens. It never
// blocks: each session and each request of the page has one thing in line at the most.
func (w *writer) submit(r *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		r.done <- ErrClosed
		return
	}
	w.line = append(w.line, r)
	select {
	case w.wake <- struct{}{}:
	default: // it is awake, and will look once more before it sleeps
	}
}

// do submits a function and waits for its transaction to be committed. The error
// may be another request's: one that fails takes its batch along, and whoever gets
// it may try again.
func (w *writer) do(lazy bool, fn func(t *transaction) error) error {
	r := &request{do: fn, lazy: lazy, done: make(chan error, 1)}
	w.submit(r)
	return <-r.done
}

// counts returns how many messages are committed. It never tells of one that a
// crash could still take away, other than by a lazy change.
func (w *writer) counts() stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// close finishes what is in line and ends the goroutines. Whoever comes later is
// answered by submit. It must be called once.
func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	close(w.wake)
	w.mu.Unlock()
	<-w.ended
	w.stmts.close()
	// The last connection that closes puts the log into the database.
	return errors.Join(w.ckpt.stop(), w.conn.Close())
}

// run is the goroutine that writes. Nobody else begins a transaction that
// changes anything, so that no commit has to be tried twice.
func (w *writer) run() {
	defer close(w.ended)
	quiet := time.NewTimer(quietAfter)
	defer quiet.Stop()
	for {
		select {
		case _, open := <-w.wake:
			if !open {
				w.work()
				return
			}
			w.work()
			quiet.Reset(quietAfter)
		case <-quiet.C:
			if w.ckpt.settle(w.conn) {
				quiet.Reset(quietAfter)
			} else {
				w.db.search.settle()
			}
		}
	}
}

// work commits what is in line until nothing is. One wake-up may stand for many
// requests, or for some that an earlier round has already taken.
func (w *writer) work() {
	var batch []*request
	for {
		w.gather()
		batch = w.next(batch)
		if len(batch) == 0 && !w.shorten() {
			return
		}
		if batch = w.fitting(batch); len(batch) == 0 {
			continue // somebody may have come meanwhile
		}
		err := w.commit(batch)
		for _, r := range batch {
			// Whoever waits with a message answers 250 if this is nil.
			r.done <- err
		}
		clear(batch) // their makers use them again
		w.ckpt.committed(w.conn)
	}
}

// gather lets those go first who are about to come in line: as long as it grows by
// that, each of them makes the commit cheaper for all. Where nobody else is ready to
// run it takes no time.
func (w *writer) gather() {
	for before := -1; ; {
		w.mu.Lock()
		n := len(w.line)
		w.mu.Unlock()
		if n <= before || n >= maxBatch {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// next takes the requests of one transaction from the front of the line. The first
// goes in however large it is. Memory of the line is used again, and what has left
// it is forgotten, so that no message is kept alive by it.
func (w *writer) next(batch []*request) []*request {
	batch = batch[:0]
	w.mu.Lock()
	defer w.mu.Unlock()
	size := int64(0)
	for _, r := range w.line {
		if size += r.bytes(); len(batch) == maxBatch || len(batch) > 0 && size > maxBatchBytes {
			break
		}
		batch = append(batch, r)
	}
	rest := copy(w.line, w.line[len(batch):])
	clear(w.line[rest:])
	w.line = w.line[:rest]
	return batch
}

// commit applies a batch in one transaction. When it returns nil everything in
// it is on the disk, unless all of it was lazy. When it does not, nothing is, and
// the keys that were given are free again.
func (w *writer) commit(batch []*request) error {
	t := transaction{writer: w}
	lazy, before := true, w.key
	for _, r := range batch {
		lazy = lazy && r.lazy
	}
	err := w.apply(&t, batch, lazy)
	if err != nil {
		// Most errors have rolled back already; then this one says so, and that
		// is of no interest.
		_ = w.conn.exec("ROLLBACK")
		w.key = before
		return named(err)
	}
	w.db.roll.follow(t.notes)
	w.mu.Lock()
	w.stats.messages += t.messages
	w.stats.unread += t.unread
	w.stats.bytes += t.bytes
	w.mu.Unlock()
	// Files go after the row is gone for good. A crash in between leaves files
	// without rows, which sweep finds; the other order would leave rows without
	// their bytes.
	for _, name := range t.remove {
		w.db.spool.remove(name)
	}
	w.freed = w.freed || t.messages < 0
	return nil
}

// apply does everything up to the commit. The order is what makes a message safe:
// its file is synced, then its name, then the row that refers to it.
func (w *writer) apply(t *transaction, batch []*request, lazy bool) error {
	if err := w.synchronous(lazy); err != nil {
		return err
	}
	if _, err := w.stmts.begin.exec(); err != nil {
		return err
	}
	w.ckpt.grown += commitPages * pageSize
	// Two messages of one millisecond differ in the lower 16 bits of their keys;
	// keys ascend even when the clock is set back.
	w.key = max(w.key, time.Now().UnixMilli()<<keyShift-1)
	for _, r := range batch {
		if r.message != nil {
			if err := t.add(r.message); err != nil {
				return err
			}
			w.ckpt.grown += r.bytes() + 512
			continue
		}
		if err := r.do(t); err != nil {
			return err
		}
		// A change writes a page or so, wherever it is; a guess is enough here.
		w.ckpt.grown += pageSize
	}
	if t.newFiles {
		if err := disk.SyncDir(w.db.spool.dir); err != nil {
			return err
		}
	}
	_, err := w.stmts.commit.exec()
	return err
}

// synchronous says whether the next commit waits for the disk. SQLite takes the
// pragma between transactions only, which is why it comes before BEGIN.
func (w *writer) synchronous(lazy bool) error {
	if lazy == w.lazy {
		return nil
	}
	level := "full"
	if lazy {
		level = "normal"
	}
	// Noted when it is so: a transaction that could not be ended refuses it.
	err := w.conn.exec("PRAGMA synchronous=" + level)
	if err == nil {
		w.lazy = lazy
	}
	return err
}
