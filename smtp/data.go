package smtp

import (
	"context"
	"strconv"

	"github.com/postrider/postrider/internal/wire"
)

// A message on its way out, as the verbs DATA and BDAT have it. Its reply is owed as
// soon as the writing begins, as it is to a Send's: a server that refuses early, or hangs
// up, is heard while it is written to, and one that then reads no more blocks nobody for
// longer than lastWords.

// bodyBuffer is how much of a message is collected before it is written.
const bodyBuffer = 32 << 10

// hand begins the handing over of a message, or of a chunk of it, that verb announced, and
// that is answered by so many replies.
func (c *Client) hand(ctx context.Context, verb string, replies int) *delivery {
	s := &sending{c: c, ctx: ctx, env: &Envelope{To: make([]Recipient, replies)}, results: make([]Result, replies)}
	d := &delivery{sending: s, results: s.results, wake: make(chan struct{}, 1), begun: true}
	for i := range replies {
		d.open = append(d.open, i)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live++
	c.owe(owed{d, verb, theMessage})
	return d
}

// handed writes what remains, after which the server has time to answer, and returns what
// became of it.
func (d *delivery) handed(pieces ...[]byte) error {
	c := d.c
	c.mu.Lock()
	d.final = true
	c.mu.Unlock()
	err := c.push(pieces...)
	c.mu.Lock()
	d.whole, d.final, c.unwanted = err == nil, err == nil, false
	if err == nil && d.owes > 0 {
		c.hurry(c.dialer.Timeouts.end())
	}
	c.mu.Unlock()
	return d.end(err)
}

// end ends the handing over, which failed with err, and returns the first refusal, or why
// there was no answer. A connection that cannot be written to may have said why.
func (d *delivery) end(err error) error {
	if err == nil || d.c.hurrying() {
		if e := d.await(); err == nil {
			err = e
		}
	}
	if err != nil && d.ctx.Err() != nil {
		err = temporary("cancelled", d.ctx.Err())
	}
	d.settle(err)
	for _, r := range d.sending.results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// A DataWriter takes the message after DATA. Dots are stuffed, and a CR or LF
// that stands alone becomes CRLF. Close ends the message and reads the reply;
// Abort leaves it unfinished, which loses the connection.
type DataWriter struct {
	d       *delivery
	stuffer *wire.Stuffer
	total   int64
	end     func(*error) // what ends with the context
	err     error        // why no more is written
}

// Data says DATA. The message is then written to the DataWriter; ctx ends that
// too.
func (c *Client) Data(ctx context.Context) (*DataWriter, error) {
	if _, err := c.exchange(ctx, "DATA", "DATA", 3, c.dialer.Timeouts.data()); err != nil {
		return nil, err
	}
	end, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	w := &DataWriter{d: c.hand(ctx, "DATA", max(c.accepted, 1)), end: end}
	w.stuffer = wire.NewStuffer((*stuffed)(w))
	return w, nil
}

// Write implements io.Writer. It fails with the server's *Error if that refuses the message
// before its end, which loses the connection: it cannot be told what is left out.
func (w *DataWriter) Write(p []byte) (n int, err error) {
	if w.err == nil {
		n, w.err = w.stuffer.Write(p)
		if w.err != nil {
			w.err = w.d.end(w.err)
		}
	}
	return n, w.err
}

// stuffed is a DataWriter behind its filter.
type stuffed DataWriter

// Write collects p behind the commands that are to be written, or writes all.
func (w *stuffed) Write(p []byte) (int, error) {
	c := w.d.c
	w.total += int64(len(p))
	if w.d.final || len(c.out)+len(p) <= bodyBuffer {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	c.mu.Lock()
	refused := w.d.refused
	c.mu.Unlock()
	if refused != nil {
		return 0, refused
	}
	if err := c.push(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends the message and waits for the server to take it. The error is its
// refusal, which a Write may have told already, or ErrUnknown if its reply was lost.
func (w *DataWriter) Close() (err error) {
	defer func() { w.end(&err) }()
	if w.err != nil {
		return w.err
	}
	c := w.d.c
	c.mu.Lock()
	w.d.final = true // the end itself is collected, and goes out with what is left
	c.mu.Unlock()
	w.stuffer.Close()
	c.traceBody(w.total)
	err = w.d.handed()
	c.ended()
	c.accepted = 0
	return err
}

// Abort closes the connection before the end of the message: the server has to
// forget it.
func (w *DataWriter) Abort() error {
	err := error(temporary("the message was abandoned", nil))
	w.end(&err)
	return nil
}

// Replies returns what the server said to the end of the message: one reply,
// over LMTP one for each recipient that it accepted, in their order.
func (w *DataWriter) Replies() []Reply {
	var replies []Reply
	for _, r := range w.d.sending.results {
		if r.Reply.Code != 0 {
			replies = append(replies, r.Reply)
		}
	}
	return replies
}

// traceBody tells a trace that a message went by.
func (c *Client) traceBody(octets int64) {
	if c.dialer.Trace != nil {
		c.trace(true, "["+strconv.FormatInt(octets, 10)+" octets of the message]")
	}
}

// Bdat says BDAT with chunk, which goes out as it is (RFC 3030), and reads the
// reply; over LMTP, to the last one, the first of several.
func (c *Client) Bdat(ctx context.Context, chunk []byte, last bool) (r Reply, err error) {
	end, err := c.begin(ctx)
	if err != nil {
		return r, err
	}
	defer end(&err)
	replies := 1
	if last {
		replies = max(c.accepted, 1)
	}
	c.bdat(chunk, last)
	d := c.hand(ctx, "BDAT", replies)
	c.traceBody(int64(len(chunk)))
	d.handed(chunk)
	if last {
		c.ended()
		c.accepted = 0
	}
	return d.sending.results[0].Reply, d.sending.results[0].Err
}

// bdat queues the command of a chunk.
func (c *Client) bdat(chunk []byte, last bool) {
	line := "BDAT " + strconv.Itoa(len(chunk))
	if last {
		line += " LAST"
	}
	c.command(line)
}
