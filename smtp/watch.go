package smtp

import (
	"sync"
	"time"
)

// While a Handler decides, its session reads nothing, and would not notice that
// the client has gone. A call that takes long is therefore watched: replies that
// wait are written, and a goroutine reads ahead, so that a disconnect cancels the
// transaction. Most calls end before any of this begins. They do not even pay for
// a timer: one that was set for a call runs on, and when it fires and finds another
// call under way gives that its time.
//
// What is read ahead stays in the reader's buffer and is the session's when the call has
// ended: the watcher decides nothing about it, and reads no more than the buffer holds.

// watchAfter is how long a call may take unwatched, at least; at most twice that.
const watchAfter = 20 * time.Millisecond

type watch struct {
	timer *time.Timer
	mu    sync.Mutex // held while the watcher starts and stops
	calls int        // so far
	over  bool       // the last of them has ended
	set   int        // the call that the timer was set for; 0: it is not set
	ended chan struct{}

	active bool // a watcher reads; set before it does and cleared after
	idle   bool // the session waits for a command outside a transaction (Conn.mu)
	waking bool // Shutdown wants the session to end (Conn.mu)
}

// call calls a Handler's function, watched if it takes long, and turns a panic
// into an error. A client that has said more already is not watched: it is there,
// and while it lets the replies wait (RFC 2920) so may we.
func (c *Conn) call(fn func() error) error {
	if c.rd.Buffered() > 0 {
		return c.protect(fn)
	}
	w := &c.watch
	w.mu.Lock()
	w.calls++
	w.over, w.ended = false, nil
	if w.set == 0 {
		c.watchLater()
	}
	w.mu.Unlock()
	defer c.called() // after runtime.Goexit too
	return c.protect(fn)
}

// called ends what call has begun.
func (c *Conn) called() {
	w := &c.watch
	w.mu.Lock()
	w.over = true
	ended := w.ended
	w.mu.Unlock()
	if ended != nil {
		// The watcher has the connection until it says that it has let go.
		c.nc.SetReadDeadline(time.Unix(1, 0))
		<-ended
		w.active = false
	}
}

// watchLater sets the timer for the call under way. watch.mu is held.
func (c *Conn) watchLater() {
	w := &c.watch
	w.set = w.calls
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, c.watchPeer)
	} else {
		w.timer.Reset(watchAfter)
	}
}

// watchPeer is the watcher: it runs on the timer's goroutine.
func (c *Conn) watchPeer() {
	w := &c.watch
	w.mu.Lock()
	switch set := w.set; {
	case w.over:
		w.set = 0
		w.mu.Unlock()
		return
	case set != w.calls:
		c.watchLater()
		w.mu.Unlock()
		return
	}
	// From here the session waits for us before it reads, in call.
	w.set = 0
	w.ended = make(chan struct{})
	defer close(w.ended)
	w.active = true
	c.nc.SetReadDeadline(time.Time{})
	w.mu.Unlock()
	// Before it reads it writes the replies that wait (beforeRead): whoever waits for them
	// must not wait for the Handler too.
	if err := c.rd.Fill(); err != nil && !isTimeout(err) {
		c.gone()
	}
}

// gone cancels what belongs to a client that is no longer there. The session itself finds
// out when it reads.
func (c *Conn) gone() {
	if c.txn != nil {
		c.txn.life.cancel()
	}
}
