package inbox

import "sync"

// Events: what the page and the JSON interface are told while they listen.

// An EventKind says what has happened.
type EventKind string

const (
	EventMessage EventKind = "message" // a message has arrived
	EventUpdate  EventKind = "update"  // unread or tags have changed
	EventDelete  EventKind = "delete"  // a message is gone
	EventReset   EventKind = "reset"   // much has changed, or events were lost: read the list again
)

// An Event is one thing that has happened.
type Event struct {
	Kind EventKind
	ID   string // "" for EventReset
}

// eventsBehind is how many events a listener may be behind before it is told to
// read the list again instead.
const eventsBehind = 256

// A hub hands events to whoever listens. The zero hub has no listeners.
type hub struct {
	mu        sync.Mutex
	listeners map[*listener]struct{}
}

// A listener gets events until it is closed.
type listener struct {
	hub    *hub
	events chan Event
}

func (h *hub) listen() *listener {
	// Its room is taken at once and never grows: what a listener costs is known.
	l := &listener{h, make(chan Event, eventsBehind)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = make(map[*listener]struct{})
	}
	h.listeners[l] = struct{}{}
	return l
}

func (l *listener) close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	delete(l.hub.listeners, l)
}

// publish tells everybody and waits for nobody. A listener that has fallen
// behind loses what it has not read and is told so.
func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		select {
		case l.events <- e:
			continue
		default:
		}
		// The listener may be reading at the same time, so that each may be gone.
		for len(l.events) > 0 {
			select {
			case <-l.events:
			default:
			}
		}
		l.events <- Event{Kind: EventReset} // only publish sends, so there is room
	}
}
