package sqlite

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Checkpoints: moving what has been committed from the log into the database.
//
// SQLite would do that inside a commit, and everybody in that commit would wait
// for it. So a second connection does it, while the writer goes on. It can never
// catch up with a writer that does not pause, and as long as one page is missing
// the log only grows; when the log has become long, the writer moves the little
// that is left itself, between two commits, and the log begins anew.
//
// Nothing here decides whether a message is kept: it is in the synced log before
// any of this happens, and what a crash interrupts is done again from there.

const (
	pageSize  = 8192
	ckptAfter = 8 << 20             // octets of log until a checkpoint is worth its two syncs
	longLog   = 24 << 20 / pageSize // pages of log that the writer does not let grow further
	// A commit writes the last page of each table and index that it adds to, and a
	// few that lead there, however little is added.
	commitPages = 6
	// quietAfter is how long nothing has to have been written for the log to be put
	// away and memory to be given back.
	quietAfter = time.Second
)

// A checkpointer has two sides. What the writer calls is start, stop and committed;
// running and long are how run answers without a lock. conn is run's alone until
// stop has seen it end.
type checkpointer struct {
	grown   int64 // about how much log has been written since the last checkpoint; the writer's
	conn    *conn
	ask     chan struct{}
	ended   chan struct{}
	running atomic.Bool
	work    sync.WaitGroup // as running, to wait for
	long    atomic.Bool    // the log is long and the rest of it is the writer's
}

// start opens the second connection and begins to wait for work.
func (c *checkpointer) start(ctx context.Context, path string) error {
	open, err := connect(ctx, path)
	if err != nil {
		return err
	}
	// Its syncs are what makes it safe to begin the log anew.
	if err := open.exec("PRAGMA synchronous=full; PRAGMA fullfsync=1; PRAGMA checkpoint_fullfsync=1"); err != nil {
		return err
	}
	c.conn, c.ask, c.ended = open, make(chan struct{}, 1), make(chan struct{})
	go c.run()
	return nil
}

// stop waits for a checkpoint that is under way: one that is cut short would only
// have to be done again by the next process. The writer must have ended, since it
// would otherwise ask a channel that is closed.
func (c *checkpointer) stop() error {
	close(c.ask)
	<-c.ended
	return c.conn.Close()
}

// committed is called by the writer after each commit, when nobody waits.
func (c *checkpointer) committed(w *conn) {
	// Two checkpoints at once would only wait for each other.
	if c.running.Load() {
		return
	}
	if c.long.Load() {
		// Most of it has been moved by now; what is left is short, and this is the one
		// moment at which nobody adds to it.
		c.long.Store(false)
		checkpoint(w)
		c.grown = 0
	}
	if c.grown >= ckptAfter {
		c.grown = 0
		// Set before it is asked, not by run: the next commit may come first.
		c.begin()
	}
}

// begin has run move what is in the log, and wait waits for it to have done so.
func (c *checkpointer) begin() {
	c.running.Store(true)
	c.work.Add(1)
	c.ask <- struct{}{}
}

func (c *checkpointer) wait() { c.work.Wait() }

// settle puts the log away while nobody writes: first the second connection moves
// what is in it, then the writer, for whom nothing is left to be moved, cuts it to
// nothing. It reports whether it has to be called again.
func (c *checkpointer) settle(w *conn) (more bool) {
	if c.running.Load() {
		return true
	}
	if c.grown > 0 {
		c.grown = 0
		c.begin()
		return true
	}
	c.long.Store(false)
	truncate(w)
	return false
}

// truncate moves what is left in the log, cuts it, and gives back the pages that
// the connection keeps in memory. It waits for nobody: who reads has the log stay
// for another time, which is no loss.
func truncate(c *conn) {
	// One by one: after an error the others of a list would not be run.
	for _, pragma := range []string{"busy_timeout=0", "wal_checkpoint(TRUNCATE)", "shrink_memory", "busy_timeout=" + busyTimeout} {
		_ = c.exec("PRAGMA " + pragma)
	}
}

// run is the goroutine of the second connection; it ends with the channel.
func (c *checkpointer) run() {
	defer close(c.ended)
	for range c.ask {
		c.long.Store(checkpoint(c.conn) > longLog)
		c.running.Store(false)
		c.work.Done()
	}
}

// checkpoint moves what it can without waiting for anybody and returns how many
// pages the log has. That it fails is no loss: everything is in the log, which
// grows until it succeeds; if the disk is full, the next commit says so.
func checkpoint(c *conn) (pages int64) {
	row, err := c.integers("PRAGMA wal_checkpoint(PASSIVE)", 3)
	if err != nil {
		return 0
	}
	// The columns are busy, pages in the log, pages moved.
	return row[1]
}

// Shortening: pages that deleted messages have left are given back to the file
// system, a few at a time, while nobody waits for the writer. Some are kept, since
// new mail will want them.
const (
	spareFew  = 16 << 20 / pageSize // pages that are never worth it
	spareStep = 256                 // pages at a time: a few milliseconds
)

// shorten gives some pages back, and reports whether there may be more.
func (w *writer) shorten() bool {
	if !w.freed {
		return false
	}
	free, err := w.conn.integer("PRAGMA freelist_count")
	pages, pagesErr := w.conn.integer("PRAGMA page_count")
	if err != nil || pagesErr != nil || free < spareFew || free < pages/4 {
		w.freed = false
		return false
	}
	// That it fails is no loss: the pages are used again by what arrives.
	w.freed = w.vacuum(spareStep)
	w.ckpt.committed(w.conn)
	return true
}

// vacuum gives back so many pages, without waiting for the disk.
func (w *writer) vacuum(pages int64) bool {
	w.ckpt.grown += 2 * pages * pageSize
	return w.synchronous(true) == nil && w.conn.exec("PRAGMA incremental_vacuum("+strconv.FormatInt(pages, 10)+")") == nil
}
