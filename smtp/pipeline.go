package smtp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// What is under way on a connection. Sends take turns to write, in the order in which
// they came. What one leaves unwritten goes out with what the next one says, so that
// an envelope travels behind the body before it (RFC 2920, 3.1) and small messages
// share a write. Replies come in the order of the commands: a queue knows whose each
// one is, and a goroutine reads for as long as one is owed, so that neither side waits
// for the other to read.
//
// A connection ends in two steps. Once it is stopped nothing more is said, and only
// replies owed to Sends that have written are awaited. Once it is lost, nothing is.

const (
	// maxOut is how much is collected before it is written, whoever waits.
	maxOut = 64 << 10
	// lastWords is how long a server that takes no more may take to say why.
	lastWords = time.Second
)

// A pipeline is the state of a Client that its Sends share.
type pipeline struct {
	turn    chan struct{} // full while somebody writes: whoever filled it
	stopped chan struct{} // closed when err is set
	dead    chan struct{} // closed when lost is set
	tracing sync.Mutex

	mu      sync.Mutex
	waiting int    // Sends that wait for their turn
	owed    []owed // replies that are owed, in order; those before first are in
	first   int
	reading bool            // a goroutine reads them
	live    int             // Sends that have said something and whose fate is open
	open    *delivery       // whose transaction may be open on the server; nil: nobody's
	mails   int             // transactions so far
	domains map[string]bool // of recipients so far, where their number is limited
	err     error           // why nothing more may be said
	lost    error           // why nothing more will be heard
	wait    time.Duration
	until   time.Time // when the reply that is being read must be there
	hurried bool      // until holds for whatever may still come
	// unwanted is set while a message is written that the server has refused: one that
	// reads no more of it will not do so later either.
	unwanted bool
}

// An owed reply: of that delivery, to verb.
type owed struct {
	d       *delivery
	verb    string
	answers int // a recipient, theCommand or theMessage
}

// foreign is whose a transaction is that was opened verb by verb.
var foreign = new(delivery)

func newPipeline() pipeline {
	return pipeline{turn: make(chan struct{}, 1), stopped: make(chan struct{}), dead: make(chan struct{})}
}

// take waits for the turn to write.
func (c *Client) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	default:
	}
	c.mu.Lock()
	c.waiting++
	c.mu.Unlock()
	var err error
	select {
	case c.turn <- struct{}{}:
	case <-c.stopped:
		err = c.unusable(c.broken())
	case <-ctx.Done():
		err = temporary("waiting to be sent", ctx.Err())
	}
	c.mu.Lock()
	c.waiting--
	idle := false
	if err != nil {
		// The one before may have left something to write to whom it saw waiting.
		select {
		case c.turn <- struct{}{}:
			idle = true
		default:
		}
	}
	c.mu.Unlock()
	if idle {
		c.give()
	}
	return err
}

// give ends the turn. What is not written yet is left to the next one, or written if
// nobody waits.
func (c *Client) give() error {
	c.mu.Lock()
	if c.waiting == 0 && c.live > 1 {
		// One read often ends several Sends, whose callers are about to say more.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	if c.waiting > 0 && len(c.out) < maxOut {
		<-c.turn
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	err := c.push()
	<-c.turn
	return err
}

// push writes what is queued and pieces. After a failure the server may still have said
// why; nothing more is said.
func (c *Client) push(pieces ...[]byte) error {
	if len(c.out) == 0 && len(pieces) == 0 {
		return nil
	}
	err := c.write(pieces...)
	if err == nil {
		return nil
	}
	err = c.failure(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop(err)
	c.hurry(lastWords)
	c.hurried = true
	return err
}

// owe notes that the next reply after those owed already is o's. The caller has the
// turn and holds mu.
func (c *Client) owe(o owed) {
	c.owed = append(c.owed, o)
	o.d.owes++
	if !c.reading && c.lost == nil {
		c.reading = true
		go c.listen()
	}
}

// listen reads the replies that are owed, until none is.
func (c *Client) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.lost == nil && c.first < len(c.owed) {
		next := c.owed[c.first]
		wait := next.d.patience(next)
		c.mu.Unlock()
		r, err := c.next(wait)
		c.mu.Lock()
		if c.lost != nil {
			break
		}
		more := false
		if err == nil {
			more, err = next.d.got(next, r)
		}
		if err != nil {
			c.loseLocked(err)
		} else if !more {
			c.first++
			next.d.paid()
		}
		if c.first == len(c.owed) || c.first > 1000 {
			n := copy(c.owed, c.owed[c.first:])
			clear(c.owed[n:])
			c.owed, c.first = c.owed[:n], 0
		}
	}
	c.reading = false
}

// expectWithin gives the server the time wait for the next reply.
func (c *Client) expectWithin(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait = wait; !c.hurried {
		c.until = time.Time{}
	}
}

// beforeRead sets the time that the server has. It is the whole reply's, however
// many reads it takes.
func (c *Client) beforeRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() && c.wait > 0 {
		c.until = time.Now().Add(c.wait)
	}
	return c.conn.SetReadDeadline(c.until)
}

// hurry gives the server the time d from now for the reply that is being read.
func (c *Client) hurry(d time.Duration) {
	c.until = time.Now().Add(d)
	c.conn.SetReadDeadline(c.until)
}

// hurrying tells whether nothing more can be said, and something may be heard yet.
func (c *Client) hurrying() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hurried
}

// broken returns why nothing more may be said; nil: it may.
func (c *Client) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// unusable is what a Send is told that came too late, and err why. The reason is
// another's, which must not pass for its own: a context that was cancelled, above all.
func (c *Client) unusable(err error) error {
	return temporary(fmt.Sprintf("the connection to %s is used no more (%v)", c.name(), err), errUnsaid)
}

// errUnsaid is within an error after which nothing has been said to the server: another
// connection may serve.
var errUnsaid = errors.New("nothing was sent")

// stop ends the saying. The connection is closed once nobody's fate is open.
func (c *Client) stop(err error) {
	if c.err == nil {
		c.err = err
		close(c.stopped)
	}
	if c.live == 0 {
		c.loseLocked(err)
	}
}

// lose ends the connection.
func (c *Client) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loseLocked(err)
}

func (c *Client) loseLocked(err error) {
	if c.err == nil {
		c.err = err
		close(c.stopped)
	}
	if c.lost == nil {
		c.lost = err
		close(c.dead)
		c.conn.Close()
	}
}

// began notes that d may have a transaction open on the server, which the next one has
// to reset.
func (c *Client) began(d *delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mails++
	c.open = d
}

// ended notes that no transaction is open.
func (c *Client) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = nil
}

// dirty tells whether a transaction may be open.
func (c *Client) dirty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open != nil
}
