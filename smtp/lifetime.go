package smtp

import (
	"context"
	"sync"
)

// A lifetime is the context of a transaction. Most transactions are over before anybody
// has asked whether they are: so it makes a context of its own, which the session's would
// have to know of, only for who waits for its end or derives another from it. Until then
// it is a word in memory.
type lifetime struct {
	context.Context // the session's, whose values it has and with which it ends

	mu    sync.Mutex
	ended bool
	inner context.Context // that of who waits; nil: nobody does
	end   context.CancelFunc
}

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner == nil {
		l.inner, l.end = context.WithCancel(l.Context)
		if l.ended {
			l.end()
		}
	}
	return l.inner.Done()
}

// Err implements context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.inner != nil:
		return l.inner.Err()
	case l.ended:
		return context.Canceled
	}
	return l.Context.Err()
}

// Value implements context.Context. Package context finds by a value of its own what it
// can hang a derived context on: that is the inner one, whose Done is ours.
func (l *lifetime) Value(key any) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inner != nil {
		return l.inner.Value(key)
	}
	return l.Context.Value(key)
}

// cancel ends it. It may be called from anywhere, and more than once.
func (l *lifetime) cancel() {
	l.mu.Lock()
	l.ended = true
	end := l.end
	l.mu.Unlock()
	if end != nil {
		end() // outside the lock: what is derived may look at us
	}
}
