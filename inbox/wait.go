package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
)

// Waiting: for one message, and for events as long as somebody listens.

const (
	waitTime    = 20 * time.Second
	maxWaitTime = 5 * time.Minute
	// heartbeat keeps proxies from closing a stream on which nothing happens, and
	// finds out who has gone.
	heartbeat   = 15 * time.Second
	maxStreams  = 256
	writeWindow = 10 * time.Second // what a client may take to read one event
)

// apiWait answers with the message that matches: the newest there is, or with
// after the first one after it, so that a test can step from one to the next.
// If there is none it waits.
func (in *Inbox) apiWait(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	q.Limit, q.OldestFirst = 1, q.After != ""
	timeout, err := timeoutOf(r.URL.Query().Get("timeout"))
	if err != nil {
		return err
	}
	// Listening begins before looking, so that nothing arrives in between.
	l := in.hub.listen()
	defer l.close()
	waiting, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	for match := q.Match; ; {
		newest := in.newestID()
		indexed := match.Op == Every || in.settle(r.Context())
		page, err := in.Store.List(r.Context(), q)
		if err != nil {
			return err
		}
		// Behind what is not indexed yet may be one that is newer; the next one after an id there
		// cannot be. On a full disk nobody knows for how long.
		if len(page.Entries) > 0 && (indexed || q.OldestFirst || in.full() || waiting.Err() != nil) {
			j, err := in.message(r.Context(), page.Entries[0].ID)
			if errors.Is(err, ErrNotFound) {
				continue // deleted since it was found: the next one is waited for
			}
			if err != nil {
				return err
			}
			answer(w, http.StatusOK, j)
			return nil
		}
		// Whatever was there need not be looked at again: many wait at a time, each looks at
		// every arrival, and the inbox may be large.
		if indexed {
			q.Match = since(match, newest)
		}
		// What is not indexed yet has had its event: it is looked for until it is.
		if waiting.Err() != nil || indexed && !l.next(waiting) {
			return refuse(http.StatusNotFound, "no message matched within %v", timeout)
		}
	}
}

// since narrows an expression, which holds of no message up to one, to what came with it
// or later. What may come to hold of an older one stays as it is.
func since(match Expr, id string) Expr {
	u, err := ulid.ParseStrict(id)
	if err != nil || changes(match) { // "" while none has arrived
		return match
	}
	return Expr{Op: And, Of: []Expr{match, {Op: Is, Term: Term{Field: "after", Time: ulid.Time(u.Time())}}}}
}

// changes tells whether an expression has a term that can hold later of what it does not
// hold of now.
func changes(e Expr) bool {
	return e.Op == Is && (e.Term.Field == "is" || e.Term.Field == "tag") || slices.ContainsFunc(e.Of, changes)
}

// next waits until it is worth looking again. Whatever else has happened by then
// is seen by the same look.
func (l *listener) next(ctx context.Context) bool {
	select {
	case <-l.events:
	case <-ctx.Done():
		return false
	}
	for len(l.events) > 0 {
		<-l.events // nobody else takes any
	}
	return true
}

// timeoutOf reads "20s", "1m30s" or a number of seconds.
func timeoutOf(text string) (time.Duration, error) {
	if text == "" {
		return waitTime, nil
	}
	d, err := time.ParseDuration(text)
	if n, atoiErr := strconv.Atoi(text); atoiErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxWaitTime {
		return 0, refuse(http.StatusBadRequest, "timeout is a duration such as 20s, of %.0f minutes at most", maxWaitTime.Minutes())
	}
	return d, nil
}

// apiEvents streams events until the client goes or the server stops. The id of
// an event is that of its message. Events are not kept: who comes back with
// Last-Event-ID is told to read the list again, and the stream begins with one.
func (in *Inbox) apiEvents(w http.ResponseWriter, r *http.Request) error {
	l := in.hub.listen()
	defer l.close()
	// Requests that wait for one message are none: they end.
	defer in.meter.streams.Add(-1)
	if in.meter.streams.Add(1) > maxStreams {
		return refuse(http.StatusServiceUnavailable, "more than %d streams of events are open", maxStreams)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would gather events until it has enough of them
	s := stream{w, http.NewResponseController(w)}
	hello := "retry: 1000\nid: 0\n\n" // before the first message, too, it is known who comes back
	if r.Header.Get("Last-Event-ID") != "" {
		hello += "event: reset\ndata: {}\n\n"
	}
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for err := s.send(hello); err == nil; {
		select {
		case e := <-l.events:
			err = s.event(r.Context(), in, e)
		case <-ticker.C:
			err = s.send(":\n\n")
		case <-r.Context().Done():
			return nil
		}
	}
	return nil // nobody is there to be told
}

// A stream is an answer that goes on.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// send writes and flushes. A client that does not read is given up after a while:
// its events would otherwise pile up in buffers that nobody counts.
func (s *stream) send(text string) error {
	// Not every ResponseWriter has deadlines; one that has none blocks no longer.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeWindow))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// event writes one event. A message comes with its summary, so that a listener
// need not ask for it; of the others the id says all.
func (s *stream) event(ctx context.Context, in *Inbox, e Event) error {
	data, id := []byte("{}"), ""
	switch {
	case e.Kind == EventMessage:
		entry, err := in.entry(ctx, e.ID)
		if errors.Is(err, ErrNotFound) {
			return nil // deleted meanwhile, and that is an event too
		}
		if entry == nil {
			return err
		}
		// One that cannot be read is told without its summary, as a list has it.
		if err != nil {
			in.logger().Error("message cannot be read", "id", e.ID, "err", err)
		}
		data, _ = json.Marshal(summaryOf(entry)) // strings and numbers only
		id = "id: " + e.ID + "\n"
	case e.ID != "":
		data, _ = json.Marshal(map[string]string{"id": e.ID})
	}
	return s.send(fmt.Sprintf("event: %s\n%sdata: %s\n\n", e.Kind, id, data))
}

// entry returns an entry with its summary, also of one that has not been indexed; one that
// cannot be read comes with the error.
func (in *Inbox) entry(ctx context.Context, id string) (*Entry, error) {
	e, err := in.Store.Entry(ctx, id)
	if err == nil && e.Summary == nil {
		e.Summary, err = in.summary(ctx, e)
	}
	return e, err
}
