package smtp

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// A pool of connections to one server.

// A Transport sends to one server over connections that it keeps open between
// messages. It is a Sender, safe for concurrent use, and a Handler: behind a
// Server it is a proxy. Set the fields before it is used. Its zero value sends to
// port 25 of this host.
//
// It tries a message again by itself only on a fresh connection, only once, and
// only when provably nobody was sent it: when a connection that it had kept open
// turned out to be dead before the end of the message.
type Transport struct {
	Addr        string        // "host:port", or the path of a unix socket; "localhost" if empty
	Dialer      *Dialer       // how to connect; nil: the zero Dialer
	MaxConns    int           // connections at a time; 10 if zero
	MaxPerConn  int           // messages sent over one connection; 0: no limit
	IdleTimeout time.Duration // how long an unused connection is kept; 30 seconds if zero

	once   sync.Once
	slots  chan struct{} // one for each connection that may exist
	mu     sync.Mutex
	idle   []*pooled // the one used last at the end
	closed bool
}

// pooled is a connection of the pool.
type pooled struct {
	*Client
	used   int         // messages so far
	since  time.Time   // unused since
	expiry *time.Timer // ends it when unused for too long
}

// aliveAfter is how long a connection may have been unused without being looked
// at before it is used again.
const aliveAfter = time.Second

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

// setUp makes what the zero Transport lacks.
func (t *Transport) setUp() {
	t.once.Do(func() { t.slots = make(chan struct{}, orInt(t.MaxConns, 10)) })
}

// Send implements Sender.
func (t *Transport) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	msg, err := Prepare(msg)
	if err != nil {
		return failAll(env, t.addr(), err)
	}
	defer release(msg)
	for fresh := false; ; fresh = true {
		p, err := t.get(ctx, fresh)
		if err != nil {
			return failAll(env, t.addr(), err)
		}
		again := p.used > 0 && !fresh
		results, err := p.Send(ctx, env, msg)
		lost := p.err != nil
		t.put(p)
		if !again || !lost || ctx.Err() != nil || !errors.Is(err, ErrTemporary) {
			return results, err
		}
	}
}

// get returns a connection; fresh asks for one that was not used before.
func (t *Transport) get(ctx context.Context, fresh bool) (*pooled, error) {
	t.setUp()
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, temporary("waiting for a connection to "+t.addr(), ctx.Err())
	}
	for !fresh {
		p := t.pop()
		if p == nil {
			break
		}
		if time.Since(p.since) < aliveAfter || p.alive() {
			return p, nil
		}
		p.Close()
	}
	if t.isClosed() {
		<-t.slots
		return nil, permanent("the transport is closed", nil)
	}
	c, err := t.dialer().Dial(ctx, t.addr())
	if err != nil {
		<-t.slots
		return nil, err
	}
	return &pooled{Client: c}, nil
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// pop takes the idle connection that was used last.
func (t *Transport) pop() *pooled {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.idle)
	if n == 0 || t.closed {
		return nil
	}
	p := t.idle[n-1]
	t.idle = t.idle[:n-1]
	p.expiry.Stop()
	return p
}

// alive looks whether the server has closed the connection or said something
// unasked, such as 421. Both mean that it is of no more use.
func (p *pooled) alive() bool {
	p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	var one [1]byte
	n, err := p.conn.Read(one[:])
	return n == 0 && isTimeout(err)
}

// put gives a connection back.
func (t *Transport) put(p *pooled) {
	defer func() { <-t.slots }()
	p.used++
	if p.err != nil {
		p.Close()
		return
	}
	t.mu.Lock()
	if t.closed || t.MaxPerConn > 0 && p.used >= t.MaxPerConn {
		t.mu.Unlock()
		p.leave()
		return
	}
	p.since = time.Now()
	p.expiry = time.AfterFunc(or(t.IdleTimeout, 30*time.Second), func() { t.expire(p) })
	t.idle = append(t.idle, p)
	t.mu.Unlock()
}

// expire ends a connection that nobody has taken.
func (t *Transport) expire(p *pooled) {
	t.mu.Lock()
	for i, q := range t.idle {
		if q == p {
			t.idle = append(t.idle[:i], t.idle[i+1:]...)
			t.mu.Unlock()
			p.leave()
			return
		}
	}
	t.mu.Unlock()
}

// leave says QUIT; nothing depends on the answer.
func (p *pooled) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.Quit(ctx)
}

// Close waits for what is under way and closes the connections. Sends that begin
// afterwards fail.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, p := range idle {
		p.expiry.Stop()
		p.leave()
	}
	t.setUp()
	for range cap(t.slots) {
		t.slots <- struct{}{}
	}
	for range cap(t.slots) {
		<-t.slots
	}
	return nil
}
