package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/listen"
	"github.com/postrider/postrider/internal/wire"
	"github.com/postrider/postrider/sasl"
)

// A Server accepts sessions and hands their transactions to its Handler. Its
// zero value is valid and refuses all mail. Set the fields before the first call
// of Serve and leave them alone then. Its methods may be called at the same time.
//
// The limits, all of which have defaults:
//
//	MaxSize           50 MiB   octets of a message
//	MaxLine           64 KiB   octets of a line of a message, CRLF included
//	MaxRecipients     1000     recipients of a transaction
//	MaxHops           100      Received fields of a message (RFC 5321, 6.3)
//	MaxCommands       10,000   commands between two messages
//	MaxNoops          200      those of them that lead to nothing: NOOP, RSET, EHLO, VRFY, HELP …
//	MaxErrors         20       wrong commands in a session
//	MaxAuthErrors     5        failed AUTH in a session; they are answered after 1/4 s, 1/2 s, 1 s …
//	MaxConns          10,000   sessions at a time
//	MaxConnsPerHost   50       sessions of an IPv4 address or an IPv6 /64; loopback exempt
//	MaxSession        6 hours  life of a session
//	MaxMemory         64 MiB   buffers of messages on their way in; beyond it they come in slowly
//	Timeouts.TLS      1 min    a handshake
//	Timeouts.Command  5 min    a whole command line, however it trickles in
//	Timeouts.Block    3 min    each wait for more of a message, and each write
//	a command line    12,288 octets (RFC 4954, 4)
//	a reply line      512 octets (RFC 5321, 4.5.3.1.5)
//	after an error    what a message over a limit still brings is dropped up to MaxSize once more
//
// MaxConnsPerHost leaves out loopback and unix sockets. A message is never held in
// memory: what a Handler keeps of it is the Handler's to bound.
type Server struct {
	// Hostname is the name in the greeting and in Received fields; this host's
	// name if empty.
	Hostname string
	// Handler hears of all mail; nil refuses MAIL with 554.
	Handler Handler
	// TLSConfig has the certificates. nil: no STARTTLS, no implicit TLS.
	TLSConfig *tls.Config
	// OnConnect is called before the greeting. An error refuses the session: a 4yz
	// or 5yz instead of the greeting. ctx is the session's and ends with it:
	// context.AfterFunc is the place to clean up. nil accepts.
	OnConnect func(ctx context.Context, c *Conn) error
	// OnAuth decides whether password is user's; nil accepts. An *Error is told as
	// it is, sasl.ErrRefused as 535 5.7.8, anything else as 454 4.7.0. It stands
	// for SASL's Password: the mechanisms PLAIN and LOGIN. nil: they are not
	// offered, unless SASL has a Password.
	OnAuth func(ctx context.Context, c *Conn, user, password string) error
	// SASL is what the Server knows of its users: each of its functions makes
	// some mechanisms possible, and is given a context with the session in it
	// (ConnFrom). Its errors are told as OnAuth's. nil: OnAuth alone. If both
	// are nil AUTH is not offered.
	SASL *sasl.Verifier
	// AllowInsecureAuth offers AUTH outside TLS too: credentials can be read on
	// the way. Zero: only inside TLS.
	AllowInsecureAuth bool

	// OnVerify answers VRFY: with a mailbox, such as "Ann <ann@example.com>" or
	// "<ann@example.com>", or with "" for what cannot be told (252). An error refuses
	// as a Handler's does; RFC 5321, 3.5 has 550 for nobody and 553 for several. nil:
	// 252 for everything.
	OnVerify func(ctx context.Context, c *Conn, name string) (mailbox string, err error)
	// OnExpand answers EXPN with the mailboxes of a list. nil: EXPN is not offered.
	OnExpand func(ctx context.Context, c *Conn, list string) (mailboxes []string, err error)
	// OnCommand is called for each command that the state permits, before it is
	// carried out: verb is in upper case, arg what follows it, but nothing of what
	// follows the mechanism of AUTH. An error refuses the command, as a Handler's
	// does. nil permits all.
	OnCommand func(ctx context.Context, c *Conn, verb, arg string) error

	MaxSize         int64
	MaxLine         int
	MaxRecipients   int
	MaxHops         int
	MaxCommands     int
	MaxNoops        int
	MaxErrors       int
	MaxAuthErrors   int
	MaxConns        int
	MaxConnsPerHost int
	MaxSession      time.Duration
	MaxMemory       int64
	Timeouts        Timeouts

	// Logger is told what failed on this side, and of panics in the Handler; at
	// slog.LevelDebug of each session too: who has come, and why it ended. nil:
	// slog.Default().
	Logger *slog.Logger
	// Trace is called for every line, from the session's goroutine. nil: nothing.
	Trace func(Line)
	// BaseContext is what the contexts of a listener's sessions derive from; nil:
	// context.Background.
	BaseContext func(net.Listener) context.Context

	mu        sync.Mutex
	listeners []net.Listener // all that have been served
	conns     map[*Conn]struct{}
	hosts     map[netip.Prefix]int // sessions of each address, loopback left out
	buffers   *wire.Budget
	state     serverState
	name      string          // Hostname or what stands for it
	tls       *tls.Config     // TLSConfig, and what it shows is noted
	ctx       context.Context // cancelled by Close
	cancel    context.CancelFunc
	idle      chan struct{} // closed when the last session has ended after Shutdown began
}

type serverState uint8

const (
	serving  serverState = iota
	draining             // Shutdown: transactions under way may end
	closed
)

// ListenAndServe receives mail for h on addr, such as "127.0.0.1:2525", with the
// defaults of Server. It returns when the listener fails.
func ListenAndServe(addr string, h Handler) error {
	return (&Server{Handler: h}).ListenAndServe(addr)
}

// ListenAndServe listens on addr, HOST:PORT or unix: and a path, and serves; addr is
// ":25" if empty.
func (s *Server) ListenAndServe(addr string) error { return s.listen(addr, ":25", Policy{}) }

// ListenAndServeTLS listens on addr and serves with implicit TLS; addr is ":465"
// if empty.
func (s *Server) ListenAndServeTLS(addr string) error {
	return s.listen(addr, ":465", Policy{ImplicitTLS: true})
}

func (s *Server) listen(addr, standard string, p Policy) error {
	if addr == "" {
		addr = standard
	}
	l, err := listen.Open(addr)
	if err != nil {
		return err
	}
	return s.Serve(Listener{l, p})
}

// Serve accepts sessions on l until l fails or the server is shut down or
// closed, when it returns ErrServerClosed. It closes l. If l is a Listener its
// policy holds.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	policy := Policy{}
	if p, ok := l.(Listener); ok {
		policy = p.Policy
	}
	base, err := s.open(l)
	if err != nil {
		return err
	}
	var wait time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.stopped() {
				return ErrServerClosed
			}
			// Out of descriptors, or a peer that was gone at once: it passes.
			if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() {
				return err
			}
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.log().Warn("smtp: accept failed", "error", err, "retry", wait)
			time.Sleep(wait)
			continue
		}
		wait = 0
		go s.session(base, nc, policy)
	}
}

// ServeConn serves one session on nc, which it closes, and returns when the
// session has ended.
func (s *Server) ServeConn(nc net.Conn, p Policy) {
	base, err := s.open(nil)
	if err != nil {
		nc.Close()
		return
	}
	s.session(base, nc, p)
}

// open prepares for sessions of l, which may be nil, and returns what their contexts
// derive from: it ends with the server's.
func (s *Server) open(l net.Listener) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving {
		return nil, ErrServerClosed
	}
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.conns = make(map[*Conn]struct{})
		s.hosts = make(map[netip.Prefix]int)
		s.idle = make(chan struct{})
		s.buffers = wire.NewBudget(s.maxMemory())
		if s.name = s.Hostname; s.name == "" {
			s.name = localName()
		}
		if s.TLSConfig != nil {
			s.tls = noting(s.TLSConfig)
		}
	}
	if l != nil {
		s.listeners = append(s.listeners, l)
	}
	if l == nil || s.BaseContext == nil {
		return s.ctx, nil
	}
	base, cancel := context.WithCancel(s.BaseContext(l))
	context.AfterFunc(s.ctx, cancel)
	return base, nil
}

// session runs one session, unless there are too many.
func (s *Server) session(base context.Context, nc net.Conn, p Policy) {
	c := newConn(s, nc, p)
	if !c.proxied() {
		nc.Close()
		return
	}
	c.peer = c.remote
	refusal := s.admit(c)
	if refusal != nil && p.ImplicitTLS {
		nc.Close() // a handshake costs more than there is to spare
		return
	}
	ctx, cancel := context.WithCancel(context.WithValue(base, connKey{}, c))
	c.ctx = ctx
	// Debug, because what arrives is the Handler's to log: of a busy server's sessions
	// nobody wants two lines each. The id is that of all that is logged between.
	log := s.log()
	debug := log.Enabled(ctx, slog.LevelDebug)
	if debug {
		log.Debug("smtp: session begins", "session", c.id, "remote", c.remote, "local", c.local)
	}
	// However it ends: by a panic outside of the Handler too, as in a function of TLSConfig's,
	// and by runtime.Goexit, by which a test fails. The client would wait, and Shutdown too.
	defer func() {
		cancel()
		if refusal == nil {
			s.leave(c) // before it closes: who sees the end may come again
		}
		c.end()
	}()
	c.protect(func() error { c.serve(refusal); return nil })
	if debug {
		log.Debug("smtp: session ended", "session", c.id, "remote", c.RemoteAddr(), "hello", c.Hello(), "user", c.User(),
			"protocol", c.Protocol(), "messages", c.messages, "why", c.why)
	}
}

// growStack has the stack of a session made as large as a message will need, when the first begins: a session that
// waits keeps a small one. It would otherwise be doubled and copied two or three times, each time with more frames to
// move: a twentieth of what a session with one message costs.
//
//go:noinline
func growStack(i int) byte {
	var frame [4 << 10]byte
	return frame[i&(len(frame)-1)]
}

// finished tells Shutdown that no session is left. s.mu is held.
func (s *Server) finished() {
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

var errShuttingDown = &Error{Code: 421, Enhanced: "4.3.2", Text: "the server is shutting down"}

// stopped tells whether Shutdown or Close was called.
func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != serving
}

// Shutdown stops listening and ends the sessions: idle ones with 421 at once,
// others when their transaction has ended. It returns nil when all have, or
// ctx's error; Close then ends what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.stop(draining) {
		return nil
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops listening, cancels every transaction and closes every connection.
func (s *Server) Close() error {
	s.stop(closed)
	return nil
}

// stop begins to end; it reports whether there was ever anything to end.
func (s *Server) stop(to serverState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = max(s.state, to)
	if s.ctx == nil {
		return false
	}
	for _, l := range s.listeners {
		l.Close()
	}
	if to == closed {
		s.cancel()
	}
	for c := range s.conns {
		if to == closed {
			c.raw.Close()
		} else {
			c.wake()
		}
	}
	if len(s.conns) == 0 {
		s.finished()
	}
	return true
}

func (s *Server) log() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

// localName returns this host's name, "localhost" if it has none.
func localName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// offers tells whether the Handler honours an extension that not all do, and
// with which parameters it is announced.
func (s *Server) offers(extension string) (params string, ok bool) {
	o, ok := s.Handler.(Offerer)
	if !ok {
		return "", false
	}
	for _, offer := range o.Offers() {
		if name, params, _ := strings.Cut(offer, " "); name == extension {
			return params, true
		}
	}
	return "", false
}

// isTimeout tells whether a deadline passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
