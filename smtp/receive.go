package smtp

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/postrider/postrider/internal/wire"
)

// A message on its way in, by DATA or by BDAT. Both hand the Handler a reader
// whose io.EOF means that the whole message has been read; whatever else happens
// to the octets, they are never taken for commands.

// source is what a message is read from: wire.Data or chunks.
type source interface {
	io.Reader
	io.WriterTo
	// Err is how the reading ended: nil if it has not, io.EOF if it is complete.
	Err() error
	// Drain reads on to the end, bounded, and drops what it reads.
	Drain(bound int64) error
}

// body is the reader that a Handler gets. It dies with the call of Data, and when
// the message can no longer be read it cancels the transaction.
type body struct {
	src  source
	txn  *transaction
	dead atomic.Bool
}

var errDead = errors.New("smtp: the message was read after Data had returned")

func (b *body) Read(p []byte) (int, error) {
	if b.dead.Load() {
		return 0, errDead
	}
	n, err := b.src.Read(p)
	b.check(err)
	return n, err
}

// WriteTo implements io.WriterTo, for io.Copy without a copy in between.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if b.dead.Load() {
		return 0, errDead
	}
	n, err := b.src.WriteTo(w)
	b.check(b.src.Err())
	return n, err
}

func (b *body) check(err error) {
	if err != nil && err != io.EOF {
		b.txn.cancel()
	}
}

func (c *Conn) data(string) {
	if c.txn.body == BodyBinaryMIME {
		c.wrong(503, "5.5.1", "BINARYMIME needs BDAT") // RFC 3030, 3
		return
	}
	c.say(354, "", "go ahead")
	c.text.Start(c.rd, c.server.maxSize(), orInt(c.server.MaxLine, 64<<10))
	c.receive(&c.text)
}

// receive lets the Handler read the message from src and answers for it.
func (c *Conn) receive(src source) {
	txn := c.txn
	c.reading(true)
	b := &body{src: src, txn: txn}
	var id string
	err := c.protect(func() (err error) {
		id, err = txn.Data(txn.ctx, b)
		return err
	})
	b.dead.Store(true)
	defer func() {
		c.reading(false)
		c.commands = 0
		c.reset()
	}()
	if src.Err() == nil { // the Handler stopped reading before the end
		if err == nil {
			err = &Error{Code: 451, Enhanced: "4.3.0", Text: "the message was not read to its end"}
		}
		src.Drain(c.server.maxSize())
	}
	switch end := src.Err(); {
	case end == io.EOF:
		c.answer(id, err, c.answered(src, txn.rcpts))
	case errors.Is(end, errAborted):
		// The next command is already there, and is answered.
	case errors.Is(end, wire.ErrLineEnd):
		c.giveUp(&Error{Code: 554, Enhanced: "5.6.0", Text: wire.ErrLineEnd.Error()})
	case errors.Is(end, wire.ErrTooBig):
		src.Drain(c.server.maxSize())
		c.giveUp(&Error{Code: 552, Enhanced: "5.3.4", Text: "the message is too big"})
	case errors.Is(end, wire.ErrTooLong):
		src.Drain(c.server.maxSize())
		c.giveUp(&Error{Code: 554, Enhanced: "5.6.0", Text: "a line of the message is too long"})
	case isTimeout(end):
		c.giveUp(&Error{Code: 421, Enhanced: "4.4.2", Text: "the message did not arrive in time"})
	default:
		c.done = true // the connection is gone
	}
}

// giveUp refuses what was said and ends the session, because the octets that
// follow cannot be trusted or are not wanted.
func (c *Conn) giveUp(e *Error) {
	c.refuse(e)
	c.linger()
}

// answered returns the recipients that get a reply each, nil if one reply is for
// all: over LMTP at the end of the data (RFC 2033, 4.2), not before it.
func (c *Conn) answered(src source, rcpts []string) []string {
	if k, ok := src.(*chunks); !c.policy.LMTP || ok && !k.last {
		return nil
	}
	return rcpts
}

// answer says what became of a message that was read to its end: once, or for
// each of the recipients in each.
func (c *Conn) answer(id string, err error, each []string) {
	text := "ok"
	if id != "" {
		text = "ok: queued as " + id
	}
	refused := rcptErrors(err)
	if each == nil {
		switch {
		case err == nil:
			c.say(250, "2.0.0", text)
		case refused == nil:
			c.refuse(c.handlerError(err))
		default:
			c.refuse(c.oneRefusal(refused))
		}
		return
	}
	for _, rcpt := range each {
		e := err
		if refused != nil {
			e = refusalOf(rcpt, refused)
		}
		if e == nil {
			c.say(250, "2.0.0", text)
		} else {
			c.refuse(c.handlerError(e))
		}
	}
}

// refusalOf returns what refused says of rcpt, nil if it accepts it.
func refusalOf(rcpt string, refused []*RcptError) error {
	for _, r := range refused {
		if r.Rcpt == rcpt {
			return r.Err
		}
	}
	return nil
}

// oneRefusal makes one reply of the refusals of several recipients: the one that
// holds for all of them alike, else one that makes the client try again, rather
// twice than lost.
func (c *Conn) oneRefusal(refused []*RcptError) *Error {
	for _, rcpt := range c.txn.rcpts {
		if refusalOf(rcpt, refused) == nil {
			refused = nil
		}
	}
	if e := sharedRefusal(refused); e != nil {
		return e
	}
	return &Error{Code: 451, Enhanced: "4.3.0", Text: "not accepted for all recipients alike"}
}

// bdat carries out BDAT (RFC 3030, 2). Its octets are taken whatever the state,
// because what follows them is the next command.
func (c *Conn) bdat(arg string) {
	size, last, ok := parseBdat(arg)
	if !ok {
		// How many octets follow is not known, so nothing that follows is a command.
		c.giveUp(&Error{Code: 501, Enhanced: "5.5.4", Text: "expected BDAT size [LAST]"})
		return
	}
	chunks := &chunks{conn: c, left: size, last: last, limit: c.server.maxSize()}
	if c.txn == nil || len(c.txn.rcpts) == 0 {
		c.reading(true)
		chunks.skipChunk(c.server.maxSize())
		c.reading(false)
		switch {
		case chunks.err != nil:
			c.giveUp(&Error{Code: 503, Enhanced: "5.5.1", Text: "say MAIL and RCPT first"})
		case c.txn == nil:
			c.wrong(503, "5.5.1", "say MAIL first")
		default:
			c.wrong(554, "5.5.1", "no valid recipients")
		}
		return
	}
	chunks.binary = c.txn.body == BodyBinaryMIME
	c.receive(chunks)
}

func parseBdat(arg string) (size int64, last, ok bool) {
	digits, word, more := strings.Cut(arg, " ")
	if digits == "" || len(digits) > 18 || strings.Trim(digits, "0123456789") != "" {
		return 0, false, false
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	return size, more, err == nil && (!more || strings.EqualFold(word, "LAST"))
}

// chunks reads a message from one BDAT after the other. Between two it answers
// the first and reads the next command itself; a command that is neither BDAT nor
// NOOP ends the message unfinished and is left to the session.
type chunks struct {
	conn   *Conn
	left   int64 // octets of the chunk to come
	last   bool  // it is the last one
	binary bool  // line ends are not checked
	ends   wire.LineEnds
	size   int64
	limit  int64
	err    error
}

func (k *chunks) Err() error { return k.err }

// next returns the next octets, in the buffer; at most max.
func (k *chunks) next(max int) ([]byte, error) {
	for k.err == nil && k.left == 0 {
		if k.last {
			k.err = io.EOF
			if !k.binary && k.ends.Close() != nil {
				k.err = wire.ErrLineEnd
			}
		} else {
			k.nextChunk()
		}
	}
	if k.err != nil {
		return nil, k.err
	}
	b, err := k.take(max)
	if err != nil {
		return nil, err
	}
	if k.size += int64(len(b)); k.size > k.limit {
		k.err = wire.ErrTooBig
	} else if !k.binary {
		k.err = k.ends.Check(b)
	}
	return b, k.err
}

// take returns octets of the chunk.
func (k *chunks) take(max int) ([]byte, error) {
	rd := k.conn.rd
	if rd.Buffered() == 0 {
		if err := rd.Fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			k.err = err
			return nil, err
		}
	}
	b := rd.Peek()
	b = b[:min(int64(len(b)), k.left, int64(max))]
	rd.Discard(len(b))
	k.left -= int64(len(b))
	return b, nil
}

// nextChunk answers a chunk that was read and reads the command that follows.
func (k *chunks) nextChunk() {
	c := k.conn
	c.say(250, "2.0.0", fmt.Sprintf("%d octets received", k.size))
	for {
		c.reading(false)
		line, err := c.readCommand()
		c.reading(true)
		if err != nil {
			k.err = err
			if err == io.EOF {
				k.err = io.ErrUnexpectedEOF
			}
			return
		}
		name, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(name) {
		case "NOOP":
			c.noop("")
		case "BDAT":
			var ok bool
			if k.left, k.last, ok = parseBdat(strings.TrimRight(arg, " ")); !ok {
				c.pending, k.err = line, errAborted
			}
			return
		default:
			c.pending, k.err = line, errAborted
			return
		}
	}
}

const wholeBuffer = 1 << 30

func (k *chunks) Read(p []byte) (int, error) {
	b, err := k.next(len(p))
	if err != nil {
		return 0, err
	}
	return copy(p, b), nil
}

func (k *chunks) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		b, err := k.next(wholeBuffer)
		if err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		if total += int64(n); err != nil {
			return total, err
		}
	}
}

// Drain takes the octets that are still to come of this chunk; the transaction
// has ended, so the chunks after it are refused one by one. The chunk stands for
// the message: if it was taken whole, the session is in step.
func (k *chunks) Drain(bound int64) error {
	k.err = nil
	if k.skipChunk(bound); k.err == nil {
		k.err = io.EOF
	}
	return k.err
}

// skipChunk reads to the end of the chunk, at most bound octets.
func (k *chunks) skipChunk(bound int64) {
	if k.left > bound {
		k.err = wire.ErrTooBig
		return
	}
	for k.left > 0 && k.err == nil {
		k.take(wholeBuffer)
	}
}
