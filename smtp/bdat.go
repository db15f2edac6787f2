package smtp

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/postrider/postrider/internal/wire"
)

// Messages that come in chunks (RFC 3030). How many octets follow a BDAT is known
// before anything else is, and they are taken whatever the state. There is no end to be
// looked for, no dot is stuffed, and nothing in a chunk can end it: what could be
// smuggled by DATA cannot be here, if only the size is read as the client means it.
//
// A Handler reads one message, whatever it was cut into. So its reader speaks SMTP when
// a chunk is at its end: it answers, reads the next command, and goes on if that is BDAT.
// RSET and what else ends a transaction ends the message for the Handler, with an error,
// and is then carried out by the session as if it had been read there.

// bdat carries out BDAT (RFC 3030, 2). Its octets are taken whatever the state,
// because what follows them is the next command.
func (c *Conn) bdat(arg string) {
	size, last, ok := parseBdat(arg)
	if !ok {
		// How many octets follow is not known, so nothing that follows is a command.
		c.giveUp(&Error{Code: 501, Enhanced: "5.5.4", Text: "expected BDAT size [LAST]"})
		return
	}
	// RFC 3030, 4.2: a client that pipelines has sent the chunk before it knows that its
	// recipients were refused.
	if c.txn == nil || len(c.txn.rcpts) == 0 || c.txn.beheaded {
		switch {
		case !c.skip(size):
			c.giveUp(&Error{Code: 503, Enhanced: "5.5.1", Text: "say MAIL and RCPT first"})
		case c.txn == nil:
			c.wrong(503, "5.5.1", "say MAIL first")
		case c.txn.beheaded: // RFC 3030, 2: it has to be begun anew
			c.wrong(503, "5.5.1", "the first chunk was refused: say RSET")
		default:
			c.wrong(554, "5.5.1", "no valid recipients")
		}
		return
	}
	// It would be read only to be dropped. To hear it out would cost more than a new
	// connection does.
	if size > c.server.maxSize() {
		c.giveUp(&Error{Code: 552, Enhanced: "5.3.4", Text: "the message is too big"})
		return
	}
	chunks := &chunks{conn: c, left: size, last: last, limit: c.server.maxSize()}
	// Line ends are text in a binary message (RFC 3030, 3); elsewhere a bare one is refused
	// though it ends nothing here, because further on it may (RFC 5321, 2.3.8).
	chunks.loose = c.txn.body == BodyBinaryMIME || c.policy.Profile == Normalize
	c.receive(chunks)
}

// skip takes a chunk that nobody wants, and reports whether that could be done.
func (c *Conn) skip(size int64) bool {
	k := &chunks{conn: c, left: size}
	c.reading(true)
	k.skipChunk(c.server.maxSize())
	c.reading(false)
	return k.err == nil
}

// parseBdat reads digits and nothing else: a sign, a blank or a base that one side reads
// and the other does not is how they come to disagree about what is a command. Eighteen
// digits fit into 64 bits, so that no size can turn out negative.
func parseBdat(arg string) (size int64, last, ok bool) {
	digits, word, more := strings.Cut(arg, " ")
	if digits == "" || len(digits) > 18 || strings.Trim(digits, "0123456789") != "" {
		return 0, false, false
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	return size, more, err == nil && (!more || strings.EqualFold(word, "LAST"))
}

// chunks reads a message from one BDAT after the other. Between two it answers
// the first and reads the next command itself; one that ends the
// transaction ends the message unfinished and is left to the session.
type chunks struct {
	conn  *Conn
	left  int64 // octets of the chunk to come
	last  bool  // it is the last one
	loose bool  // line ends are not checked
	ends  wire.LineEnds
	size  int64
	limit int64
	err   error
}

func (k *chunks) Err() error { return k.err }

// Next implements source.
func (k *chunks) Next() ([]byte, error) {
	for k.err == nil && k.left == 0 {
		if k.last {
			k.err = io.EOF
			if !k.loose && k.ends.Close() != nil {
				k.err = wire.ErrLineEnd
			}
		} else {
			k.nextChunk()
		}
	}
	if k.err != nil {
		return nil, k.err
	}
	b := k.take()
	if k.size += int64(len(b)); k.size > k.limit {
		k.err = wire.ErrTooBig
	} else if k.err == nil && !k.loose {
		k.err = k.ends.Check(b)
	}
	if k.err != nil {
		return nil, k.err
	}
	return b, nil
}

// take returns octets of the chunk, as many as there are: they are handed out where the
// network has put them, without a copy.
func (k *chunks) take() []byte {
	rd := k.conn.rd
	if rd.Buffered() == 0 {
		if k.err = rd.Fill(); k.err != nil {
			if k.err == io.EOF {
				k.err = io.ErrUnexpectedEOF
			}
			return nil
		}
	}
	b := rd.Peek()
	b = b[:min(int64(len(b)), k.left)]
	rd.Discard(len(b))
	k.left -= int64(len(b))
	return b
}

// nextChunk answers a chunk that was read and reads the command that follows.
func (k *chunks) nextChunk() {
	c := k.conn
	c.say(250, "2.0.0", fmt.Sprintf("%d octets received", k.size))
	for {
		// What is waited for is a command, with a command's time.
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
		if !k.between(line) {
			return
		}
	}
}

// tinyChunk is what a chunk must have not to be counted as a command. An honest client
// has reason to send its chunks as they become ready, but none to make them of a few
// octets each.
const tinyChunk = 1 << 10

// between carries out a command that was said between two chunks, and reports
// whether another one may follow. What ends a transaction ends the message; any
// other verb but NOOP is out of its order here (RFC 3030, 2), and the message waits.
func (k *chunks) between(line string) (more bool) {
	c := k.conn
	name, arg, _ := strings.Cut(line, " ")
	arg = strings.TrimRight(arg, " ")
	switch name = strings.ToUpper(name); name {
	case "BDAT":
		size, last, ok := parseBdat(arg)
		if ok && !c.agreed(name, arg) { // its octets have been taken, and are missing now
			k.err = errAborted
			return false
		}
		if k.left, k.last = size, last; ok {
			// Chunks of nothing lead to nothing, and tiny ones to more replies than message.
			if k.left == 0 && !k.last && !c.countIdle() || k.left < tinyChunk && !k.last && !c.count() {
				k.err = errAborted
			}
			if k.left > k.limit-k.size {
				k.err = wire.ErrTooBig // it is known before it is read
			}
			return false
		}
		fallthrough // the session says what is wrong with it, and ends
	case "RSET", "QUIT", "EHLO", "HELO", "LHLO":
		c.pending, k.err = line, errAborted
		return false
	case "NOOP":
		if c.count() && c.countIdle() && c.agreed(name, arg) {
			c.noop("")
		}
	default:
		if notSMTP(name, arg) { // what the session ends for, between chunks as elsewhere
			c.pending, k.err = line, errAborted
			return false
		}
		if c.count() {
			c.wrong(503, "5.5.1", "a message is under way, say BDAT or RSET")
		}
	}
	if c.done {
		k.err = errAborted
	}
	return !c.done
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
		k.take()
	}
}
