package smtp

import (
	"io"
	"sync"

	"github.com/postrider/postrider/internal/wire"
)

// The message of a delivery by BDAT (RFC 3030). It is collected into chunks of up
// to 256 KiB. If one is enough it goes out with its envelope, in one write and one
// round trip; else the first waits until somebody has been accepted.

// chunked sends the message by BDAT.
func (d *delivery) chunked() error {
	ok, err := d.envelope()
	if !ok {
		return err
	}
	w := &chunkWriter{d: d}
	repair := wire.NewRepairer(w)
	var out io.Writer = repair
	if d.opts.Body == BodyBinaryMIME {
		out = w
	}
	if err := d.write(out); err != nil {
		cause := w.stop(err)
		if e := findError(cause); e != nil && e.Code != 421 {
			return nil // refused: nobody wants it, and no chunk is under way
		}
		if cause != nil {
			return cause
		}
		return err
	}
	if err := repair.Close(); err != nil {
		return err
	}
	if err := d.commit(); err != nil {
		return err
	}
	// From here the message is the server's, unless it says otherwise.
	d.final = true
	if err := w.chunk(true); err != nil {
		return err
	}
	if d.c.dialer.LMTP && d.refused == nil {
		err = d.await1()
	} else {
		err = d.await()
	}
	if err == nil {
		d.c.dirty = d.refused != nil
	}
	return err
}

// await1 reads all replies but the last one's, which over LMTP is one for each
// recipient.
func (d *delivery) await1() error {
	last := d.due[len(d.due)-1]
	d.due = d.due[:len(d.due)-1]
	if err := d.await(); err != nil || len(d.open) > 0 && d.refused == nil {
		if err == nil {
			err = d.verdicts()
		}
		return err
	}
	d.due = append(d.due, last)
	return d.await()
}

// A chunkWriter collects the message into chunks.
type chunkWriter struct {
	d   *delivery
	buf []byte
	mu  sync.Mutex
	err error // of the connection, or the server's refusal
}

// stop makes later writes fail with err, so that a message that was left behind
// touches nothing of ours, and returns why a write has failed before.
func (w *chunkWriter) stop(err error) (cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cause, w.err = w.err, err
	return cause
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	done := 0
	for len(w.buf)+len(p)-done > chunkSize {
		n := chunkSize - len(w.buf)
		w.buf = append(w.buf, p[done:done+n]...)
		done += n
		if w.err = w.chunk(false); w.err != nil {
			return done, w.err
		}
	}
	w.buf = append(w.buf, p[done:]...)
	return len(p), nil
}

// chunk sends what was collected. Before a chunk that is not the last the
// replies to what went before are read.
func (w *chunkWriter) chunk(last bool) error {
	d := w.d
	if !last {
		if err := d.await(); err != nil {
			return err
		}
		if d.refused != nil {
			return d.refused
		}
		if len(d.open) == 0 {
			return errNobody
		}
	}
	d.c.bdat(w.buf, last)
	d.due = append(d.due, due{verb: "BDAT"})
	err := d.c.writeChunk(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return temporary("the connection to "+d.c.name(), err)
	}
	return nil
}

// errNobody stops the writing of a message that no recipient was accepted for.
var errNobody = &Error{Code: 554, Enhanced: "5.5.1", Text: "no valid recipients", Verb: "BDAT"}
