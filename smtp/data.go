package smtp

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/wire"
)

// A message on its way out, as the verbs DATA and BDAT have it.

const bodyBuffer = 32 << 10

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}

// A bodyWriter writes a message to the connection in large pieces. It shares
// nothing with its Client but the connection, so that one that was abandoned
// while a source was stuck can be left behind.
type bodyWriter struct {
	conn  net.Conn
	block time.Duration
	buf   *[bodyBuffer]byte
	n     int
	total int64
	err   error // the connection's, not the message's
}

func newBodyWriter(c *Client) *bodyWriter {
	return &bodyWriter{conn: c.conn, block: c.dialer.Timeouts.block(), buf: bodyBuffers.Get().(*[bodyBuffer]byte)}
}

func (w *bodyWriter) Write(p []byte) (int, error) {
	if w.n+len(p) <= len(w.buf) {
		w.n += copy(w.buf[w.n:], p)
		return len(p), nil
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// send writes what is buffered and p, in one system call where it can be.
func (w *bodyWriter) send(p []byte) error {
	if w.err != nil {
		return w.err
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.block))
	pieces := net.Buffers{w.buf[:w.n], p}
	n, err := pieces.WriteTo(w.conn)
	w.n, w.err = 0, err
	w.total += n
	return err
}

// flush writes what is buffered.
func (w *bodyWriter) flush() error { return w.send(nil) }

// free gives the buffer back.
func (w *bodyWriter) free() {
	bodyBuffers.Put(w.buf)
	w.buf = nil
}

// A DataWriter takes the message after DATA. Dots are stuffed, and a CR or LF
// that stands alone becomes CRLF. Close ends the message and reads the reply;
// Abort leaves it unfinished, which loses the connection.
type DataWriter struct {
	c       *Client
	body    *bodyWriter
	stuffer *wire.Stuffer
	end     func(*error)
	replies []Reply
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
	w := &DataWriter{c: c, body: newBodyWriter(c), end: end}
	w.stuffer = wire.NewStuffer(w.body)
	return w, nil
}

// Write implements io.Writer.
func (w *DataWriter) Write(p []byte) (int, error) {
	n, err := w.stuffer.Write(p)
	if err != nil {
		return n, temporary("writing the message", err)
	}
	return n, nil
}

// Close ends the message and waits for the server to take it. The error is its
// refusal, or ErrUnknown if its reply was lost.
func (w *DataWriter) Close() (err error) {
	defer func() { w.end(&err) }()
	defer w.body.free()
	if err = w.stuffer.Close(); err == nil {
		err = w.body.flush()
	}
	if err != nil {
		return &classError{ErrUnknown, "the end of the message", err}
	}
	w.c.traceBody(w.body.total)
	for range max(w.c.accepted, 1) {
		r, e := w.c.reply(w.c.dialer.Timeouts.end())
		if e != nil {
			return &classError{ErrUnknown, "after the end of the message", e}
		}
		w.replies = append(w.replies, r)
		if e = expect(r, "DATA", 2); err == nil {
			err = e
		}
	}
	w.c.ended()
	w.c.accepted = 0
	return err
}

// Abort closes the connection before the end of the message: the server has to
// forget it.
func (w *DataWriter) Abort() error {
	err := error(temporary("the message was abandoned", nil))
	w.end(&err)
	w.body.free()
	return nil
}

// Replies returns what the server said to the end of the message: one reply,
// over LMTP one for each recipient that it accepted, in their order.
func (w *DataWriter) Replies() []Reply { return w.replies }

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
	c.bdat(chunk, last)
	if err = c.write(chunk); err != nil {
		return r, temporary("writing a chunk", err)
	}
	c.traceBody(int64(len(chunk)))
	for range max(c.accepted, 1) {
		next, e := c.reply(c.dialer.Timeouts.end())
		if e != nil {
			return r, e
		}
		if r.Code == 0 {
			r = next
		}
		if !last {
			break
		}
	}
	if last {
		c.ended()
		c.accepted = 0
	}
	return r, expect(r, "BDAT", 2)
}

// bdat queues the command of a chunk.
func (c *Client) bdat(chunk []byte, last bool) {
	line := "BDAT " + strconv.Itoa(len(chunk))
	if last {
		line += " LAST"
	}
	c.command(line)
}
