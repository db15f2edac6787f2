package smtp

import (
	"io"
	"strconv"
	"sync"

	"github.com/postrider/postrider/internal/wire"
)

// The message of a delivery. It is collected before anything is said: a source that is
// slow, or fails, holds up nobody. If it is larger than one chunk the envelope is said,
// the replies to it are awaited (it would be a waste if nobody was accepted), and the
// rest streams through.
//
// So a message has one of two lives: small, where everything that can go wrong on this side
// has done so before the server hears of it; or streaming, where a source that fails leaves
// a transaction half said, which only closing the connection takes back. Writes from the
// message's own goroutine fail with w.err: what the connection said, never the message's.

const (
	chunkSize = 256 << 10
	// smallPiece is what is worth copying so that it shares a write.
	smallPiece = 32 << 10
)

var payloads = sync.Pool{New: func() any { return new([]byte) }}

// A payload is where the message writes itself to, line ends repaired, and dots stuffed
// unless it goes out in chunks.
type payload struct {
	d         *delivery
	out       io.Writer     // itself, or the filter before it
	filter    *wire.Stuffer // nil under BINARYMIME
	pool      *[]byte
	buf       []byte // collected
	total     int64
	streaming bool  // the envelope has been said
	ending    bool  // only the filter's last octets are still written
	err       error // of the connection or the server, not the message's
}

func newPayload(d *delivery) *payload {
	w := &payload{d: d, pool: payloads.Get().(*[]byte)}
	w.buf = (*w.pool)[:0]
	switch {
	case !d.c.has("CHUNKING"):
		w.filter = wire.NewStuffer(w)
	case d.opts.Body != BodyBinaryMIME:
		w.filter = wire.NewRepairer(w)
	default:
		w.out = w
		return w
	}
	w.out = w.filter
	return w
}

// free gives the buffer back. One that was left behind keeps it.
func (w *payload) free() {
	*w.pool = w.buf
	payloads.Put(w.pool)
}

// fill lets the message write itself.
func (w *payload) fill() error {
	_, err := w.d.msg.WriteTo(w.out)
	if w.err != nil {
		return w.err
	}
	if err != nil {
		return temporary("writing the message", err)
	}
	return nil
}

// Write implements io.Writer.
func (w *payload) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.ending || !w.streaming && len(w.buf)+len(p) <= chunkSize {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if !w.streaming {
		if w.err = w.stream(); w.err != nil {
			return 0, w.err
		}
	}
	done := 0
	for done < len(p) && w.err == nil {
		piece := p[done:min(len(p), done+chunkSize)]
		done += len(piece)
		if len(piece) <= smallPiece && len(w.buf)+len(piece) <= chunkSize {
			w.buf = append(w.buf, piece...)
			continue
		}
		w.err = w.send(piece)
	}
	return done, w.err
}

// stream says the envelope.
func (w *payload) stream() error {
	d := w.d
	if err := d.begin(true); err != nil {
		return err
	}
	w.streaming = true
	if !d.c.has("CHUNKING") {
		// The server may refuse the message before its end.
		d.c.mu.Lock()
		d.c.owe(owed{d, "DATA", theMessage})
		d.c.mu.Unlock()
	}
	return nil
}

// send sends what was collected and p.
func (w *payload) send(p []byte) error {
	d := w.d
	d.c.mu.Lock()
	refused, gone := d.refused, d.gone
	if d.c.has("CHUNKING") && refused == nil && !gone {
		d.c.owe(owed{d, "BDAT", theCommand})
	}
	d.c.mu.Unlock()
	switch {
	case gone:
		return temporary("cancelled", d.ctx.Err())
	case refused != nil && d.c.has("CHUNKING"):
		return errNobody // RFC 3030, 2: no more chunks
	case refused != nil:
		return refused
	}
	n := len(w.buf) + len(p)
	w.total += int64(n)
	if d.c.has("CHUNKING") {
		d.c.command("BDAT " + strconv.Itoa(n))
		d.c.traceBody(int64(n))
	}
	err := d.c.push(w.buf, p)
	w.buf = w.buf[:0]
	if err == nil && d.c.has("CHUNKING") && !d.c.has("PIPELINING") {
		err = d.await()
	}
	return err
}

// finish sends the rest and the end.
func (w *payload) finish() error {
	d, c := w.d, w.d.c
	w.ending = true
	if w.filter != nil {
		w.filter.Close() // w.ending: it cannot fail
	}
	w.total += int64(len(w.buf))
	verb := "DATA"
	if c.has("CHUNKING") {
		verb = "BDAT"
		c.command("BDAT " + strconv.Itoa(len(w.buf)) + " LAST")
		w.total = int64(len(w.buf))
	}
	c.traceBody(w.total)
	c.mu.Lock()
	if verb == "DATA" {
		c.open = nil // after the end of data there is no transaction
	}
	if verb == "BDAT" || !w.streaming {
		c.owe(owed{d, verb, theMessage})
	} else if c.first < len(c.owed) && c.owed[c.first].d == d {
		c.hurry(c.dialer.Timeouts.end())
	}
	c.mu.Unlock()
	if len(c.out)+len(w.buf) <= maxOut {
		c.out = append(c.out, w.buf...)
		return nil
	}
	return c.push(w.buf)
}
