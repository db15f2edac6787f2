package smtptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/smtp"
)

// What goes wrong with real servers, on request. A fault happens where its verb
// is carried out; the session goes on after it if its kind permits.
//
// A refusal is the server's own reply, said in its turn: pipelined commands behind it
// are answered too (RFC 2920, 3.2). The other kinds act on the connection below it, so
// that they look the same in clear and inside TLS.

// Places for a Fault that are no verbs.
const (
	Connect   = "CONNECT" // the greeting
	Handshake = "TLS"     // the beginning of TLS: it fails
	EndOfData = "."       // the reply to a whole message
)

// A Fault is what goes wrong at a verb. Of Reply, Stall, Reset and Truncate one is
// set; Throttle may be with any of them, or alone. A handshake fails whatever is set.
type Fault struct {
	Verb     string // "RCPT", or Connect, Handshake or EndOfData; "": any verb
	Times    int    // how often it happens; 0: always
	Reply    string // a refusal in place of what would be said: "450 4.2.1 not now"
	Stall    bool   // nothing is said until the client goes away
	Reset    bool   // the connection is reset
	Truncate bool   // half of the reply is said, then the connection ends
	Throttle int    // from here on so many octets a second are read; 0: no limit
}

// Fault adds a fault. The first one that fits a verb happens. At EndOfData a Reply
// means that the message is not kept; with the other kinds it was kept, and only
// the client does not hear of it. It may be called while clients are connected. It
// panics if the Fault is none: it says nothing, or several things, or its Reply
// refuses nothing.
func (s *Server) Fault(f Fault) {
	kinds := 0
	for _, set := range []bool{f.Reply != "", f.Stall, f.Reset, f.Truncate} {
		if set {
			kinds++
		}
	}
	f.Verb = strings.ToUpper(f.Verb) // as servers read it (RFC 5321, 2.4)
	switch {
	case f.Reply != "" && refusal(f.Reply) == nil:
		panic("smtptest: no refusal: " + f.Reply)
	case kinds > 1, kinds == 0 && f.Throttle == 0 && f.Verb != Handshake:
		panic(fmt.Sprintf("smtptest: a fault does one thing, and this does %d: %+v", kinds, f))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault returns the fault of a verb, if there is one, and counts it. One for any verb
// means what clients say: a place that is no verb has to be named, or every session
// would end before its first.
func (s *Server) fault(verb string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		special := verb == EndOfData || verb == Handshake || verb == Connect
		if f.Verb != verb && (f.Verb != "" || special) {
			continue
		}
		found := *f
		if f.Times--; f.Times == 0 { // one that was 0 never is again
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		}
		return &found
	}
	return nil
}

// fail lets the fault of a verb happen.
func (s *Server) fail(ctx context.Context, c *smtp.Conn, verb string) error {
	// What was said along with the verb whose reply is cut in half is not carried out: the
	// reply waits for it (RFC 2920, 3.2), but a server that ends does not.
	if nc := s.conn(c); nc != nil && nc.truncated() {
		return errFault
	}
	if f := s.fault(verb); f != nil {
		return s.apply(ctx, c, f)
	}
	return nil
}

// conn returns the connection of a session; nil if it has gone already.
func (s *Server) conn(c *smtp.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[c.RemoteAddr().String()]
}

// errFault is what the server is told where no reply shall come. Should one get out after
// all it is 451, as any other error that is no reply.
var errFault = errors.New("smtptest: a fault")

func (s *Server) apply(ctx context.Context, c *smtp.Conn, f *Fault) error {
	nc := s.conn(c)
	if nc == nil {
		return errFault
	}
	nc.set(f) // before anything is said: half of that reply is what shall come
	switch {
	case f.Reply != "":
		return refusal(f.Reply)
	case f.Stall:
		nc.stall(ctx)
		return errFault
	case f.Reset:
		nc.reset()
		return errFault
	}
	return nil
}

// failTLS lets a handshake fail. An error alone makes the server say so in an alert
// (RFC 8446, 6.2), which is what an unsuitable certificate looks like.
func (s *Server) failTLS(ctx context.Context, nc net.Conn) error {
	f := s.fault(Handshake)
	c, ok := nc.(*conn)
	switch {
	case f == nil:
		return nil
	case ok && f.Reset:
		c.reset()
	case ok && f.Stall:
		c.stall(ctx)
	}
	return errFault
}

// refusal reads "450 4.2.1 not now"; nil if it is none.
func refusal(reply string) *smtp.Error {
	code, text, _ := strings.Cut(reply, " ")
	n, err := strconv.Atoi(code)
	if err != nil || n < 400 || n > 599 {
		return nil
	}
	e := &smtp.Error{Code: n, Text: text}
	// RFC 3463, 2: the class is that of the code; "450 5.1.1" is a text with numbers in it.
	if word, rest, _ := strings.Cut(text, " "); strings.Count(word, ".") == 2 && strings.HasPrefix(word, code[:1]+".") {
		e.Enhanced, e.Text = smtp.EnhancedCode(word), rest
	}
	return e
}

// A listener hands out connections that faults can get at. The server does not show a
// Handler its connection, and should not for our sake: they find each other by the
// client's address, which is no other session's while this one lasts.
type listener struct {
	net.Listener
	server *Server
}

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: nc.(*net.TCPConn), gone: make(chan struct{})}
	c.forget = func() {
		l.server.mu.Lock()
		defer l.server.mu.Unlock()
		delete(l.server.conns, nc.RemoteAddr().String())
	}
	l.server.mu.Lock()
	l.server.conns[nc.RemoteAddr().String()] = c
	l.server.mu.Unlock()
	return c, nil
}

// conn is a connection with what is wrong with it. The session reads and writes it; what
// is wrong is set by the same goroutine or, of a handshake, before there is a session.
type conn struct {
	*net.TCPConn
	forget   func()
	once     sync.Once
	gone     chan struct{} // closed when nothing more comes
	mu       sync.Mutex
	truncate bool
	rate     int
}

func (c *conn) set(f *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.truncate, c.rate = f.Truncate, f.Throttle
}

// truncated tells whether the next that is said is said by half.
func (c *conn) truncated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.truncate
}

// Read reads slowly if it has to: a tenth of a second's octets at a time, so that a line
// comes in pieces and the client's own buffers fill up, as behind a slow network.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	rate := c.rate
	c.mu.Unlock()
	if rate > 0 {
		p = p[:min(len(p), max(1, rate/10))]
		select {
		case <-time.After(time.Duration(len(p)) * time.Second / time.Duration(rate)):
		case <-c.gone:
		}
	}
	n, err := c.TCPConn.Read(p)
	// A deadline that has passed is the server's, and the client still there.
	if timeout, ok := err.(net.Error); err != nil && (!ok || !timeout.Timeout()) {
		c.once.Do(func() { close(c.gone) })
	}
	return n, err
}

// Write says half of it if it has to: a server that was killed, or a middlebox that has
// lost its patience. The half may end within a code or a line.
func (c *conn) Write(p []byte) (int, error) {
	if !c.truncated() {
		return c.TCPConn.Write(p)
	}
	c.TCPConn.Write(p[:len(p)/2])
	return 0, errFault // the server ends the session
}

// stall waits until the client is gone. It may be so without a word that reaches us: then the end of the session, or of
// the test, ends it.
func (c *conn) stall(ctx context.Context) {
	select {
	case <-c.gone:
	case <-ctx.Done():
	}
}

func (c *conn) Close() error {
	c.forget()
	return c.TCPConn.Close()
}

// reset ends the connection without a word.
func (c *conn) reset() {
	c.SetLinger(0) // RST in place of FIN
	c.Close()
}
