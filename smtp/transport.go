package smtp

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A pool of connections to one server.

// A Transport sends to one server over connections that it keeps open between
// messages. It is a Sender, safe for concurrent use, and a Handler: behind a
// Server it is a proxy. Set the fields before it is used. Its zero value sends to
// port 25 of this host.
//
// A Send takes a connection that is idle, else a new one, else, when there are
// MaxConns, shares one: its envelope travels behind the message before it. To have
// many messages under way over one connection, call Send from as many goroutines.
//
// It tries a message again by itself only on a fresh connection, only once, and
// only when provably nobody was sent it: when a connection that it had kept open
// turned out to be dead before the end of the message.
type Transport struct {
	Addr        string        // "host:port", or the path of a unix socket; "localhost" if empty
	Dialer      *Dialer       // how to connect; nil: the zero Dialer
	MaxConns    int           // connections at a time; 10 if zero
	MaxPerConn  int           // messages sent over one connection; 0: as many as the server takes (RFC 9422)
	Window      int           // messages under way at a time on one connection; 4 if zero, 1 is one after the other
	IdleTimeout time.Duration // how long an unused connection is kept; 30 seconds if zero
	Rate        float64       // messages a second, over all connections; 0: no limit

	once    sync.Once
	limiter *rate.Limiter
	mu      sync.Mutex
	conns   []*pooled // all that are open, the one used last at the end
	dials   int       // connections that are being made
	queue   []*lease  // who waits for one, in order
	closed  bool      // nothing more begins
	begun   sync.WaitGroup
}

// pooled is a connection of the pool.
type pooled struct {
	*Client
	used   int         // messages so far
	users  int         // Sends that have it now
	alone  bool        // its user says one verb after the other: nobody shares it
	expiry *time.Timer // ends it when it is unused for too long
}

// A lease is the wish for a connection.
type lease struct {
	alone bool         // not shared
	fresh bool         // not used before
	kept  bool         // what was given had been used before
	given chan *pooled // told which one; nil: make one
}

func (t *Transport) dialer() *Dialer {
	if t.Dialer != nil {
		return t.Dialer
	}
	return new(Dialer)
}

func (t *Transport) addr() string {
	if t.Addr == "" {
		return "localhost"
	}
	return t.Addr
}

// Send implements Sender.
func (t *Transport) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	if len(env.To) == 0 {
		return nil, errNoRecipients
	}
	msg, err := Prepare(msg)
	if err != nil {
		return failAll(env, t.addr(), err)
	}
	defer release(msg)
	if err := t.begin(ctx); err != nil {
		return failAll(env, t.addr(), err)
	}
	defer t.begun.Done()
	results, again := t.try(ctx, env, msg, false)
	for idle := 0; len(again) > 0 && idle < maxIdleTries && ctx.Err() == nil; {
		some, more := t.try(ctx, env.only(again), msg, true)
		for n, i := range again {
			results[i] = some[n]
		}
		if len(more) == len(again) {
			idle++
		}
		for n, k := range more {
			more[n] = again[k]
		}
		again = more
	}
	return outcome(results)
}

// maxIdleTries is how often a connection may turn out to be of no use.
const maxIdleTries = 2

// try sends over one connection and tells who can be sent to over another one at once.
func (t *Transport) try(ctx context.Context, env *Envelope, msg io.WriterTo, fresh bool) (results []Result, again []int) {
	l := &lease{fresh: fresh}
	p, err := t.get(ctx, l)
	if err != nil {
		results, _ = failAll(env, t.addr(), err)
		return results, nil
	}
	results, _ = p.Send(ctx, env, msg)
	dead := p.broken() != nil
	t.put(p)
	for i := range results {
		if errors.Is(results[i].Err, errUnsaid) {
			again = append(again, i)
		}
	}
	if again == nil && l.kept && dead && untouched(results) {
		for i := range results {
			again = append(again, i)
		}
	}
	return results, again
}

// untouched tells whether provably nobody was sent the message: no recipient has a
// fate but that of a connection that ended, with 421 or without.
func untouched(results []Result) bool {
	for _, r := range results {
		if e := findError(r.Err); !errors.Is(r.Err, ErrTemporary) || e != nil && e.Code != 421 {
			return false
		}
	}
	return true
}

// begin lets a message in: not after Close, and not faster than Rate.
func (t *Transport) begin(ctx context.Context) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return permanent("the transport is closed", nil)
	}
	t.begun.Add(1)
	t.mu.Unlock()
	if t.Rate <= 0 {
		return nil
	}
	t.once.Do(func() { t.limiter = rate.NewLimiter(rate.Limit(t.Rate), 1) })
	if err := t.limiter.Wait(ctx); err != nil {
		t.begun.Done()
		return temporary("waiting for the rate limit of "+t.addr(), err)
	}
	return nil
}

// get returns a connection.
func (t *Transport) get(ctx context.Context, l *lease) (*pooled, error) {
	for {
		p, err := t.wait(ctx, l)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return t.dial(ctx, l)
		}
		if p.alive() {
			return p, nil
		}
		p.lose(temporary("the server has ended the connection", nil))
		t.put(p)
	}
}

// wait returns a connection of the pool; nil if one may be made.
func (t *Transport) wait(ctx context.Context, l *lease) (*pooled, error) {
	t.mu.Lock()
	if len(t.queue) == 0 {
		if p, ok := t.find(l); ok {
			t.mu.Unlock()
			return p, nil
		}
	}
	l.given = make(chan *pooled, 1)
	t.queue = append(t.queue, l)
	t.assign()
	t.mu.Unlock()
	select {
	case p := <-l.given:
		return p, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.queue, l); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	} else if p := <-l.given; p != nil { // it was given one just now
		t.release(p)
	} else {
		t.dials--
	}
	t.assign() // for those behind
	return nil, temporary("waiting for a connection to "+t.addr(), ctx.Err())
}

// assign gives connections to those who wait, in order, as far as there are any. The
// caller holds mu.
func (t *Transport) assign() {
	for len(t.queue) > 0 {
		p, ok := t.find(t.queue[0])
		if !ok {
			return
		}
		t.queue[0].given <- p
		t.queue = t.queue[1:]
	}
}

// find finds what a lease wants: a connection, or nil and true if one may be made.
func (t *Transport) find(l *lease) (*pooled, bool) {
	var idle, shared *pooled
	for _, p := range t.conns {
		switch {
		case p.users == 0:
			idle = p
		case p.alone || l.alone || l.fresh || p.users >= orInt(t.Window, 4) || t.spent(p):
		case shared == nil || p.users < shared.users:
			shared = p
		}
	}
	room := len(t.conns)+t.dials < orInt(t.MaxConns, 10)
	switch {
	case idle != nil && !l.fresh:
		return t.take(idle, l), true
	case idle != nil && !room:
		t.drop(idle)
		fallthrough
	case room:
		t.dials++
		return nil, true
	case shared != nil:
		return t.take(shared, l), true
	}
	return nil, false
}

func (t *Transport) take(p *pooled, l *lease) *pooled {
	if p.expiry != nil {
		p.expiry.Stop()
	}
	l.kept = p.used > 0
	p.users++
	p.used++
	p.alone = l.alone
	return p
}

// spent tells whether a connection has done what it may.
func (t *Transport) spent(p *pooled) bool {
	return t.MaxPerConn > 0 && p.used >= t.MaxPerConn || p.exhausted()
}

// dial makes a connection.
func (t *Transport) dial(ctx context.Context, l *lease) (*pooled, error) {
	c, err := t.dialer().Dial(ctx, t.addr())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dials--
	if err != nil {
		t.assign()
		return nil, err
	}
	p := t.take(&pooled{Client: c}, l)
	t.conns = append(t.conns, p)
	t.assign() // others may share it
	return p, nil
}

// put gives a connection back.
func (t *Transport) put(p *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(p)
	t.assign()
}

func (t *Transport) release(p *pooled) {
	p.users--
	p.alone = false
	i := slices.Index(t.conns, p)
	switch {
	case i < 0: // it has been dropped
	case p.broken() != nil:
		t.conns = slices.Delete(t.conns, i, i+1)
	case p.users > 0:
	case t.closed || t.spent(p):
		t.drop(p)
	default:
		t.conns = append(slices.Delete(t.conns, i, i+1), p)
		if wait := or(t.IdleTimeout, 30*time.Second); p.expiry == nil {
			p.expiry = time.AfterFunc(wait, func() { t.expire(p) })
		} else {
			p.expiry.Reset(wait)
		}
	}
}

// expire ends a connection that nobody has taken.
func (t *Transport) expire(p *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users == 0 {
		t.drop(p)
	}
}

// drop takes an unused connection out of the pool and ends it. Nothing waits for what
// the server says to that, but Close.
func (t *Transport) drop(p *pooled) {
	i := slices.Index(t.conns, p)
	if i < 0 {
		return
	}
	t.conns = slices.Delete(t.conns, i, i+1)
	t.begun.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		p.Quit(ctx)
	})
}

// Close waits for what is under way and closes the connections. Sends that begin
// afterwards fail.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	for _, p := range slices.Clone(t.conns) {
		if p.users == 0 {
			t.drop(p)
		}
	}
	t.mu.Unlock()
	t.begun.Wait()
	return nil
}
