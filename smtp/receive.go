package smtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/postrider/postrider/internal/wire"
)

// A message on its way in, by DATA or by BDAT. Both hand the Handler a reader
// whose io.EOF means that the whole message has been read; whatever else happens
// to the octets, they are never taken for commands.
//
// After an error in the octets client and server may disagree where the message ends, and
// there is no way to find out. So it is read to the end that it may have, which tells a
// client that keeps to the rules why, and then the session ends (docs/decisions/010). A
// Handler's refusal is no such error: the octets were in order, and the session goes on.

// source is what a message is read from: wire.Data or chunks. How it has ended is asked of
// it and not of what a Handler has read last, which may have been another error, or none.
type source interface {
	// Next returns what comes next, where it lies: it is valid until the next call.
	// io.EOF comes only after a valid end.
	Next() ([]byte, error)
	// Err is how the reading ended: nil if it has not, io.EOF if it is complete.
	Err() error
	// Drain reads on to the end, bounded, and drops what it reads.
	Drain(bound int64) error
}

// body is the reader that a Handler gets. It dies with the call of Data, and when
// the message can no longer be read it cancels the transaction.
type body struct {
	src  source
	hops hops
	life *lifetime // the transaction's

	// mu is held while src is read. A Handler may read on another goroutine than its own,
	// and return while that waits for the client: two who read the same connection would
	// part what it says between them, and some of the message would be left for commands.
	mu   sync.Mutex
	rest []byte // of what was read last, not handed out yet
	dead atomic.Bool
}

var errDead = errors.New("smtp: the message was read after Data had returned")

// next returns what is to be handed out next. mu is held.
func (b *body) next() (piece []byte, err error) {
	switch {
	case b.dead.Load(): // a goroutine that outlives Data would else read the next command
		return nil, errDead
	case len(b.rest) > 0:
		piece, b.rest = b.rest, nil
		return piece, nil
	}
	piece, err = b.src.Next()
	if loop := b.hops.pass(piece); loop != nil {
		piece, err = nil, loop
	}
	// No more of the message can come: what a Handler has begun for it, perhaps elsewhere, is
	// in vain.
	if err != nil && err != io.EOF {
		b.life.cancel()
	}
	return piece, err
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	piece, err := b.next()
	n := copy(p, piece)
	b.rest = piece[n:]
	return n, err
}

// WriteTo implements io.WriterTo, for io.Copy without a copy in between. What w waits for
// is none of the session's business, which may end the body meanwhile.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	total := int64(0)
	for {
		b.mu.Lock()
		piece, err := b.next()
		b.mu.Unlock()
		if err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(piece)
		if total += int64(n); err != nil {
			b.mu.Lock()
			b.rest = piece[n:]
			b.mu.Unlock()
			return total, err
		}
	}
}

// end ends its life: whoever still reads has read when it returns, and reads no more.
func (b *body) end() {
	b.dead.Store(true) // first, or it could begin again and again before the lock is ours
	b.mu.Lock()
	defer b.mu.Unlock()
}

// repaired is a source whose bare CRs and LFs have become CRLF, so that nobody
// behind a normalizing listener has to know of them.
type repaired struct {
	source
	rest  []byte       // of the source, not repaired yet
	out   bytes.Buffer // repaired
	lines *wire.Stuffer
	over  bool // all has been handed out
}

// repairPiece is how much is repaired at a time, so that a long message is not held for the
// sake of its line ends.
const repairPiece = 4 << 10

func newRepaired(src source) *repaired {
	r := &repaired{source: src}
	r.lines = wire.NewRepairer(&r.out)
	return r
}

// Next implements source. A CR at the end of a piece may have its LF in the next: lines
// keeps it.
func (r *repaired) Next() (_ []byte, err error) {
	for r.out.Reset(); r.out.Len() == 0; {
		if len(r.rest) == 0 && r.source.Err() == nil {
			if r.rest, err = r.source.Next(); err == io.EOF {
				r.lines.Close()
				continue
			}
		}
		if err = r.source.Err(); err != nil && len(r.rest) == 0 {
			r.over = true
			return nil, err
		}
		n := min(len(r.rest), repairPiece)
		r.lines.Write(r.rest[:n])
		r.rest = r.rest[n:]
	}
	return r.out.Bytes(), nil
}

// Err is nil too while there is something left to read of a source that has ended.
func (r *repaired) Err() error {
	if err := r.source.Err(); err != io.EOF || r.over {
		return err
	}
	return nil
}

// Drain drops what was repaired too.
func (r *repaired) Drain(bound int64) error {
	r.rest, r.over = nil, true
	return r.source.Drain(bound)
}

// data carries out DATA (RFC 5321, 4.1.1.4). The 354 waits in the buffer until more is to
// be read: a client that may not pipeline has it then, one that does has the message
// already on its way.
func (c *Conn) data(string) {
	if c.txn.body == BodyBinaryMIME {
		c.wrong(503, "5.5.1", "BINARYMIME needs BDAT") // RFC 3030, 3
		return
	}
	c.say(354, "", "go ahead")
	c.text.Start(c.rd, c.server.maxSize(), orInt(c.server.MaxLine, 64<<10))
	if c.policy.Profile == Normalize {
		c.text.Loose()
	}
	c.receive(&c.text)
}

// receive lets the Handler read the message from src and answers for it.
func (c *Conn) receive(src source) {
	txn := c.txn
	said := src
	if c.policy.Profile == Normalize && txn.body != BodyBinaryMIME {
		src = newRepaired(src)
	}
	c.reading(true)
	// said is what the client has sent, src what is read of it.
	b := &body{src: src, hops: hops{most: orInt(c.server.MaxHops, 100)}, life: txn.life}
	var id string
	err := c.protect(func() (err error) {
		id, err = txn.Data(txn.life, b)
		return err
	})
	b.end()
	defer func() {
		c.reading(false)
		c.reset()
	}()
	if b.hops.looping() {
		err = errLoop // whatever the Handler has made of it
	}
	if src.Err() == nil { // the Handler stopped reading before the end
		if err == nil {
			err = &Error{Code: 451, Enhanced: "4.3.0", Text: "the message was not read to its end"}
		}
		src.Drain(c.server.maxSize())
	}
	switch end := src.Err(); {
	case end == io.EOF:
		if c.ended(said) { // one that was given up leads to nothing, like what went before it
			c.commands, c.noops = 0, 0
			if err == nil {
				c.messages++
			}
		}
		c.answer(id, err, c.answered(said, txn.rcpts))
	case errors.Is(end, errAborted):
		// The next command is already there, and is answered.
	case errors.Is(end, wire.ErrLineEnd):
		c.giveUp(&Error{Code: 554, Enhanced: "5.6.0", Text: wire.ErrLineEnd.Error()})
	case errors.Is(end, wire.ErrTooBig):
		// RFC 5321, 4.5.3.1.9: 552 when all has been heard; before, it would be no reply to
		// anything that the client waits for.
		src.Drain(c.server.maxSize())
		c.giveUp(&Error{Code: 552, Enhanced: "5.3.4", Text: "the message is too big"})
	case errors.Is(end, wire.ErrTooLong):
		src.Drain(c.server.maxSize())
		c.giveUp(&Error{Code: 554, Enhanced: "5.6.0", Text: "a line of the message is too long"})
	case isTimeout(end):
		c.giveUp(&Error{Code: 421, Enhanced: "4.4.2", Text: "the message did not arrive in time"})
	default:
		c.done, c.why = true, "the connection ended within a message" // and may be gone: RFC 5321, 4.1.1.4
	}
}

// giveUp refuses what was said and ends the session, because the octets that
// follow cannot be trusted or are not wanted.
func (c *Conn) giveUp(e *Error) {
	c.refuse(e)
	c.why = e.Text
	c.linger()
}

// answered returns the recipients that get a reply each, nil if one reply is for
// all: over LMTP at the end of the data (RFC 2033, 4.2), not before it.
func (c *Conn) answered(src source, rcpts []string) []string {
	if !c.policy.LMTP || !c.ended(src) {
		return nil
	}
	return rcpts
}

// ended tells whether what was read to its end is the message, and not a chunk of it
// that nobody wanted.
func (c *Conn) ended(src source) bool {
	k, ok := src.(*chunks)
	return !ok || k.last
}

// answer says what became of a message that was read to its end: once, or for
// each of the recipients in each. With PRDR it is both where recipients differ.
func (c *Conn) answer(id string, err error, each []string) {
	text := "ok"
	if id != "" {
		text = "ok: queued as " + id
	}
	refused := rcptErrors(err)
	if each != nil {
		c.answerEach(text, err, refused, each)
		return
	}
	if c.txn.opts.PRDR && refused != nil && len(refused) < len(c.txn.rcpts) {
		c.say(353, "", "the recipients differ")
		c.answerEach(text, nil, refused, c.txn.rcpts)
		err, refused = nil, nil
	}
	switch {
	case err == nil:
		c.say(250, "2.0.0", text)
	case refused == nil:
		c.refuse(c.handlerError(err))
	default:
		c.refuse(c.oneRefusal(refused))
	}
}

// answerEach gives each recipient what refused says of it, else err. The order is that of
// RCPT, and there are as many replies as accepted recipients, whatever has happened: a
// client counts them (RFC 2033, 4.2).
func (c *Conn) answerEach(text string, err error, refused []*RcptError, each []string) {
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
	// Was one of them accepted, no refusal holds for all.
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
