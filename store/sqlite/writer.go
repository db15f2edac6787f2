package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"
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

// A request is one thing to be written. Exactly one of message and do is set.
type request struct {
	message *message
	do      func(t *transaction) error
	lazy    bool
	done    chan error // has room for the answer
}

// bytes is what a request adds to its batch.
func (r *request) bytes() int64 {
	if r.message != nil && r.message.body.file == "" {
		return r.message.body.size
	}
	return 0
}

// A writer owns the connection that writes.
type writer struct {
	db    *DB
	conn  *conn
	stmts statements
	ckpt  checkpointer

	mu     sync.Mutex
	line   []*request
	closed bool
	stats  stats         // as of the last commit
	wake   chan struct{} // has room for one
	ended  chan struct{} // closed when run has returned

	key  int64 // of the newest message
	lazy bool  // synchronous=NORMAL is set
}

// stats are kept here because counting 100,000 rows takes longer than showing
// fifty of them.
type stats struct{ messages, unread int }

// A transaction is what its requests share until it is committed.
type transaction struct {
	*writer
	stats             // what they change
	newFiles bool     // bodies/ has a name in it that must be durable
	remove   []string // files to remove once it is committed
}

func newWriter(ctx context.Context, d *DB, c *conn) (*writer, error) {
	w := &writer{db: d, conn: c, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	// Counted once, and kept up to date from then on.
	row, err := c.integers("SELECT count(*), coalesce(sum(unread),0), coalesce(max(key),0) FROM message", 3)
	if err != nil {
		return nil, err
	}
	w.stats, w.key = stats{int(row[0]), int(row[1])}, row[2]
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

// submit puts r in line. The answer comes on r.done, whatever happens.
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

// do submits a function and waits for its transaction to be committed.
func (w *writer) do(lazy bool, fn func(t *transaction) error) error {
	r := &request{do: fn, lazy: lazy, done: make(chan error, 1)}
	w.submit(r)
	return <-r.done
}

// counts returns how many messages are committed.
func (w *writer) counts() stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// close finishes what is in line and ends the goroutines.
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

func (w *writer) run() {
	defer close(w.ended)
	var batch []*request
	// One wake-up may stand for many requests, or for some that an earlier round has
	// already taken; only an empty line ends the round.
	for range w.wake {
		for {
			batch = w.next(batch)
			if len(batch) == 0 {
				break
			}
			err := w.commit(batch)
			for _, r := range batch {
				r.done <- err
			}
			clear(batch) // their makers use them again
			w.ckpt.committed(w.conn)
		}
	}
}

// next takes the requests of one transaction from the front of the line.
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
// it is on the disk.
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
	w.mu.Lock()
	w.stats.messages += t.messages
	w.stats.unread += t.unread
	w.mu.Unlock()
	for _, name := range t.remove {
		w.db.spool.remove(name)
	}
	return nil
}

func (w *writer) apply(t *transaction, batch []*request, lazy bool) error {
	if err := w.synchronous(lazy); err != nil {
		return err
	}
	if _, err := w.stmts.begin.exec(); err != nil {
		return err
	}
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
		w.ckpt.grown += 4096
	}
	if t.newFiles {
		if err := syncDir(w.db.spool.dir); err != nil {
			return err
		}
	}
	_, err := w.stmts.commit.exec()
	return err
}

// synchronous says whether the next commit waits for the disk.
func (w *writer) synchronous(lazy bool) error {
	if lazy == w.lazy {
		return nil
	}
	level := "full"
	if lazy {
		level = "normal"
	}
	w.lazy = lazy
	return w.conn.exec("PRAGMA synchronous=" + level)
}
