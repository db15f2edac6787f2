package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/wire"
)

// One session on a server. All of it runs on one goroutine: it reads a command,
// checks that the state permits it, lets command.go carry it out, and writes the
// replies when it would have to wait for more input, so that a pipelined batch is
// answered in one write (RFC 2920, 3.2).
//
// Three rules hold it together. What the client waits for is written before we wait for
// the client (beforeRead), or both would wait. A reply is queued in one place (say), so
// that nothing which a Handler or a client has said can end a line. And a session ends
// by setting done, never in the middle: the reply that says why is still to go out.

// A Conn is one session of a Server, for its Handler to look at. Its methods may
// be called from anywhere while the session lasts.
type Conn struct {
	server   *Server
	raw      net.Conn     // the connection
	nc       net.Conn     // the same, or TLS over it: for this goroutine alone
	peer     net.Addr     // who is trusted or not: has connected, or is spoken for by PROXY or XCLIENT
	host     netip.Prefix // what it is counted as
	quick    *quickConn
	policy   Policy
	id       string
	hostname string
	ctx      context.Context // of the session; cancelled by Server.Close
	rd       *wire.Reader
	out      []byte    // replies not written yet
	over     time.Time // when the session ends at the latest
	lineBy   time.Time // when the command under way must have arrived; zero: none is

	// What the client has said. The Handler may look at it from elsewhere, and Shutdown
	// wakes from elsewhere; all the rest is the session's own and needs no lock.
	mu            sync.Mutex
	hello         string
	remote, local net.Addr          // XCLIENT changes them
	xhello        string            // what XCLIENT says in place of EHLO
	forward       map[string]string // what XFORWARD said, for one transaction
	esmtp         bool              // said EHLO or LHLO
	user          string
	tls           *tls.ConnectionState
	shown         *x509.Certificate // ours, as the client has seen it; nil: none

	txn        *transaction // nil: none is open
	space      transaction  // for txn, one after the other
	serial     int          // counts transactions
	commands   int          // since the last message
	noops      int          // those of them that lead to nothing
	errors     int          // wrong commands so far
	authErrors int          // failed AUTH so far
	pending    string       // a command that was read where a chunk was expected
	secrets    bool         // the last command was AUTH: see traceCommand
	inData     bool         // reading a message
	text       wire.Data    // that of DATA
	rcptOpts   RcptOptions  // of the RCPT under way
	done       bool         // the session ends after the reply
	unheard    error        // why a reply could not be written: no other one will be
	messages   int          // that were accepted
	why        string       // it ends, for the log
	watch      watch
}

// A transaction is what MAIL opened.
type transaction struct {
	Transaction
	life  *lifetime
	opts  MailOptions // the Handler sees them; what counts later is kept apart
	body  Body
	utf8  bool
	rcpts []string // accepted ones

	beheaded bool // its first chunk was refused: what follows in chunks is no message
}

func newConn(s *Server, nc net.Conn, p Policy) *Conn {
	// Everything that a session needs while it waits is made here, and is small: ten
	// thousand of them wait most of the time.
	c := &Conn{server: s, policy: p, id: newID(), hostname: s.name}
	c.nc, c.quick = quick(nc, c.flush)
	c.raw, c.remote, c.local = c.nc, nc.RemoteAddr(), nc.LocalAddr()
	c.over = time.Now().Add(or(s.MaxSession, 6*time.Hour))
	c.out = make([]byte, 0, 512) // the reply to EHLO needs most of it
	c.rd = wire.NewReader(c.nc, c.beforeRead)
	c.rd.Budget = s.buffers
	return c
}

// ID returns the session's id, as it appears in logs and traces.
func (c *Conn) ID() string { return c.id }

// RemoteAddr returns the client's address, or what a trusted proxy says it is.
func (c *Conn) RemoteAddr() net.Addr { c.mu.Lock(); defer c.mu.Unlock(); return c.remote }

// LocalAddr returns the address that the client connected to, or what a trusted
// proxy says it is.
func (c *Conn) LocalAddr() net.Addr { c.mu.Lock(); defer c.mu.Unlock(); return c.local }

// Hello returns what the client called itself in EHLO, HELO or LHLO.
func (c *Conn) Hello() string { c.mu.Lock(); defer c.mu.Unlock(); return c.hello }

// User returns the name that the client authenticated as, "" if it did not.
func (c *Conn) User() string { c.mu.Lock(); defer c.mu.Unlock(); return c.user }

// TLS returns the state of the TLS connection, nil outside TLS.
func (c *Conn) TLS() *tls.ConnectionState { c.mu.Lock(); defer c.mu.Unlock(); return c.tls }

// Close ends the session at once, without a reply: a disconnect, as the client
// sees it. What its Handler is doing is cancelled.
func (c *Conn) Close() error { return c.raw.Close() }

// Protocol returns the name of what is spoken as Received fields have it:
// SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, LMTP and so on (RFC 3848).
func (c *Conn) Protocol() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := "SMTP"
	switch {
	case c.policy.LMTP:
		name = "LMTP"
	case c.esmtp || c.tls != nil || c.user != "":
		name = "ESMTP"
	}
	if c.tls != nil {
		name += "S"
	}
	if c.user != "" {
		name += "A"
	}
	return name
}

// serve runs the session; if refusal is not nil it only says that.
func (c *Conn) serve(refusal *Error) {
	// A client that has chosen the TLS port hears nothing in clear, not even a refusal.
	if c.policy.ImplicitTLS && !c.handshake() {
		c.why = "the TLS handshake failed"
		return
	}
	if refusal == nil && c.server.OnConnect != nil {
		refusal = c.handlerError(c.call(func() error { return c.server.OnConnect(c.ctx, c) }))
	}
	// RFC 5321, 3.1 has a refused client wait for QUIT; it would hold what it is refused.
	if refusal != nil {
		c.refuse(refusal)
		c.why = refusal.Text
		c.flush()
		return
	}
	if c.policy.RefuseEarly && c.quick.early() {
		c.tooEarly()
		return
	}
	c.greeting()
	for !c.done {
		if line, err := c.readCommand(); err == nil {
			c.command(line)
		} else {
			c.readFailed(err)
		}
	}
	c.flush()
}

// greeting says who is there, and neither by which program nor in which version: it is
// nobody's concern (RFC 5321, 4.3.1 and 7.5), and a list of targets otherwise.
func (c *Conn) greeting() {
	kind := " ESMTP ready"
	if c.policy.LMTP {
		kind = " LMTP ready"
	}
	c.say(220, "", c.hostname+kind)
}

// tooEarly ends the session of a client that does not wait for replies: 554 in place of
// the greeting, or of the reply to EHLO, is that there is no service for it (RFC 5321,
// 3.1).
func (c *Conn) tooEarly() {
	c.giveUp(&Error{Code: 554, Enhanced: "5.5.0", Text: "you must wait for the server's reply"})
}

// end ends the transaction and the connection. Through TLS it says so (close_notify), by
// which the client knows that nothing was cut off (RFC 8446, 6.1).
func (c *Conn) end() {
	c.reset()
	c.rd.Free()
	c.nc.Close()
}

// maxHeld is for how many octets replies may wait for each other.
const maxHeld = 4 << 10

// maxCommand is the limit of a command line, which AUTH sets (RFC 4954, 4).
const maxCommand = 12288

// readCommand returns the next line. One that a message in chunks has met comes first: it
// has been read and traced, and is not a second line.
func (c *Conn) readCommand() (string, error) {
	if c.pending != "" {
		line := c.pending
		c.pending = ""
		return line, nil
	}
	line, err := c.readLine()
	if err != nil {
		return "", err
	}
	s := string(line)
	if c.server.Trace != nil {
		c.traceCommand(s)
	}
	return s, nil
}

// readLine returns a line of which nothing has been waited for yet: the time that it
// has begins with the first wait.
func (c *Conn) readLine() ([]byte, error) {
	c.rd.Release()
	c.lineBy = time.Time{}
	return c.rd.ReadLine(maxCommand)
}

// readFailed says what there is to say when no command could be read, and ends
// the session unless the next line is a command again.
func (c *Conn) readFailed(err error) {
	// Of a line that is too long the end has been found: the next one is a command. After
	// any other error it is not known where commands begin, or nobody is there to say them.
	c.done = !errors.Is(err, wire.ErrTooLong)
	switch {
	case !c.done:
		c.wrong(500, "5.5.2", "line too long")
	case c.unheard != nil:
		c.why = "no reply could be written: " + c.unheard.Error()
	case c.ctx.Err() != nil:
		c.why = "the server was closed"
	case errors.Is(err, wire.ErrLineEnd):
		c.giveUp(&Error{Code: 500, Enhanced: "5.5.2", Text: wire.ErrLineEnd.Error()})
	// A deadline in the past is how wake interrupts a read, so that it is looked at first.
	case isTimeout(err) && c.server.stopped(), errors.Is(err, errStopping):
		c.refuse(errShuttingDown)
	case isTimeout(err) && time.Until(c.over) <= 0:
		c.refuse(&Error{Code: 421, Enhanced: "4.4.2", Text: "the session has lasted too long"})
	case isTimeout(err):
		c.refuse(&Error{Code: 421, Enhanced: "4.4.2", Text: "nothing heard for too long"})
	case errors.Is(err, io.EOF):
		c.why = "the client has closed the connection"
	default:
		c.why = err.Error()
	}
}

// wrong refuses a command that should not have been said here or in this form,
// and ends the session when there were too many: whoever speaks another protocol
// at us, or guesses, gets no further.
func (c *Conn) wrong(code int, enhanced EnhancedCode, text string) {
	c.refuse(&Error{Code: code, Enhanced: enhanced, Text: text})
	if c.errors++; c.errors >= orInt(c.server.MaxErrors, 20) && !c.done {
		c.giveUp(&Error{Code: 421, Enhanced: "4.7.0", Text: "too many errors"})
	}
}

// beforeRead is called when the client has to say something: what it waits for
// is written, and the time that it has begins.
func (c *Conn) beforeRead() error {
	// A quickConn writes it when it finds nothing to read; of a client that goes on talking,
	// who need not listen meanwhile, not more than this is held back.
	if !c.quick.is(c.nc) || len(c.out) > maxHeld {
		if err := c.flush(); err != nil {
			return err
		}
	}
	if c.watch.active {
		return nil // the watcher waits as long as the Handler works
	}
	// RFC 5321, 4.5.3.2.7: five minutes for a command at least. Within a message each wait
	// has its time, because a message may be long; the session's end bounds both.
	deadline := c.lineBy
	switch now := time.Now(); {
	case c.inData:
		deadline = now.Add(c.server.Timeouts.block())
	case deadline.IsZero():
		// It is set once: a line that trickles in gets no more time for each octet.
		c.lineBy = now.Add(c.server.Timeouts.command())
		deadline = c.lineBy
	}
	if c.over.Before(deadline) {
		deadline = c.over
	}
	// Under one lock with wake: either it finds us idle and moves the deadline behind our
	// back, or we find that it has been here.
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.idle = c.txn == nil
	if c.watch.idle && c.watch.waking {
		return errStopping
	}
	return c.nc.SetReadDeadline(deadline)
}

var errStopping = errors.New("smtp: the server is stopping")

// reading says whether what is read is a message.
func (c *Conn) reading(message bool) {
	c.inData = message
	c.quick.attentive(message)
}

// wake makes an idle session end, and any other when it is idle again. It is
// called from elsewhere.
func (c *Conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.waking = true
	if c.watch.idle {
		c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// flush writes the replies that are waiting. Who has not heard one in its time gets
// no more of it for another.
//
// No reply is written by itself: what has been said since the last wait goes out in one
// piece, which is one system call and mostly one segment.
func (c *Conn) flush() error {
	if len(c.out) == 0 || c.unheard != nil {
		return c.unheard
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.server.Timeouts.block()))
	_, c.unheard = c.nc.Write(c.out)
	c.out = c.out[:0]
	return c.unheard
}

// say queues a reply. Each line of text becomes a line of the reply; what could
// break a line is left out, and a long line is cut (RFC 5321, 4.5.3.1.5).
func (c *Conn) say(code int, enhanced EnhancedCode, text string) {
	for more := true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		start := len(c.out)
		c.out = strconv.AppendInt(c.out, int64(code), 10)
		if more {
			c.out = append(c.out, '-')
		} else {
			c.out = append(c.out, ' ')
		}
		if enhanced != "" {
			c.out = append(append(c.out, enhanced...), ' ')
		}
		// A Handler's text may be of anybody's making. A CR in it would begin another reply.
		for i := 0; i < len(line) && len(c.out)-start < 510; i++ {
			if b := line[i]; b >= ' ' && b != 0x7f || b == '\t' {
				c.out = append(c.out, b)
			}
		}
		if c.server.Trace != nil {
			c.trace(false, string(c.out[start:]))
		}
		c.out = append(c.out, '\r', '\n')
	}
}

// refuse queues a refusal; without an enhanced code, or with one that is none, it gets the
// general one of its class, as RFC 2034, 4 wants one in each.
func (c *Conn) refuse(e *Error) {
	enhanced := e.Enhanced
	if enhanced == "" || len(enhanced) > 9 || strings.Trim(string(enhanced), "0123456789.") != "" {
		enhanced = EnhancedCode(strconv.Itoa(e.Code/100) + ".0.0")
	}
	c.say(e.Code, enhanced, e.Text)
	if e.Code == 421 {
		c.done, c.why = true, e.Text // RFC 5321, 3.8
	}
}

func (c *Conn) trace(fromClient bool, text string) {
	c.server.Trace(Line{c.id, time.Now(), fromClient, text})
}

// linger ends the session, where input is or may be left unread, so that the client gets to read the last reply: what
// it still sends is taken and dropped for a while, because closing with input
// unread would reset the connection and the reply with it.
func (c *Conn) linger() {
	c.done = true
	if c.flush() != nil {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	// Bounded both ways: a client that never stops gets its reset after all.
	c.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	io.CopyN(io.Discard, c.nc, 4<<20)
}

// reset ends the open transaction, if there is one.
func (c *Conn) reset() {
	if c.txn != nil {
		c.txn.life.cancel()
		// What the Handler made is held no longer; the room for recipients is for the next.
		c.txn, c.space = nil, transaction{rcpts: room(c.space.rcpts)}
	}
	if c.forward != nil {
		c.mu.Lock()
		c.forward = nil
		c.mu.Unlock()
	}
}

// room returns the memory of a list for another one, unless it has become large.
func room(list []string) []string {
	if cap(list) > 16 {
		return nil
	}
	clear(list)
	return list[:0]
}

// handlerError turns what a Handler returned into what the peer is told, nil if
// it accepted, and logs what the peer is not told.
func (c *Conn) handlerError(err error) *Error {
	if err == nil {
		return nil
	}
	e, log := refusal(err)
	if log {
		c.server.log().Error("smtp: handler failed", "session", c.id, "error", err)
	}
	return e
}

// protect calls a Handler's function and turns a panic into an error. One message must not
// end the sessions of all others, and whoever has sent it gets 451 and may try again: it
// is a fault of ours (RFC 5321, 4.2.1).
func (c *Conn) protect(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.server.log().Error("smtp: handler panicked", "session", c.id, "panic", v, "stack", string(debug.Stack()))
			err = errLocal
		}
	}()
	return fn()
}
