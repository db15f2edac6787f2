package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/wire"
)

// One connection of a client, verb by verb. What several Sends do with it at once
// is pipeline.go's. The first failure of the connection or of the protocol ends it:
// what is in flight can no longer be told apart.

// A Client is one connection to a server. Its methods are not for use from several
// goroutines at once, but for Send: Sends overlap, as many as there are. Each method
// takes the context that ends it: a Client whose method was cancelled or failed in
// any way but by a refusal cannot be used again.
//
// Methods named after a verb return the server's reply; a 4yz or 5yz reply is
// also returned as an *Error.
type Client struct {
	conn       net.Conn // the connection, or TLS over it
	dialer     *Dialer  // how to behave; never nil
	host       string   // the server as it was dialled
	session    string
	rd         *wire.Reader
	out        []byte // commands not written yet
	greeting   Reply
	extensions map[string]string
	limits     limits
	tls        *tls.ConnectionState
	anybody    bool // TLS was made with whoever answered
	accepted   int  // recipients of the transaction that is open verb by verb, over LMTP
	pipeline
}

// NewClient returns a Client over conn on which nothing has been said yet:
// begin with Greeting. It takes conn over.
func NewClient(conn net.Conn) *Client { return newClient(new(Dialer), conn, "") }

func newClient(d *Dialer, conn net.Conn, host string) *Client {
	c := &Client{conn: conn, dialer: d, host: host, pipeline: newPipeline()}
	if d.Trace != nil {
		c.session = newID()
	}
	c.rd = wire.NewReader(conn, c.beforeRead)
	return c
}

// flush writes what is queued.
func (c *Client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	return c.write()
}

// write writes what is queued and pieces, in one system call where it can be.
func (c *Client) write(pieces ...[]byte) (err error) {
	c.mu.Lock()
	wait := c.dialer.Timeouts.block()
	if c.unwanted {
		wait = lastWords
	}
	c.conn.SetWriteDeadline(time.Now().Add(wait))
	c.mu.Unlock()
	if len(pieces) == 0 {
		_, err = c.conn.Write(c.out)
	} else {
		all := append(net.Buffers{c.out}, pieces...)
		_, err = all.WriteTo(c.conn)
	}
	if cap(c.out) > maxOut {
		c.out = nil
	}
	c.out = c.out[:0]
	return err
}

// begin starts something that ctx may end; the function it returns ends it and
// gives the error its class and its reason.
func (c *Client) begin(ctx context.Context) (func(*error), error) {
	if err := c.broken(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, temporary("not begun", err)
	}
	if ctx.Done() == nil {
		return c.failed, nil
	}
	// A deadline can be moved again by a phase that begins just then; closing
	// cannot be undone, and what was under way is lost anyway.
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return func(err *error) {
		if !stop() {
			cancelled := temporary("cancelled", ctx.Err())
			if findError(*err) == nil && *err != nil && !errors.Is(*err, ErrUnknown) {
				*err = cancelled
			}
			c.lose(cancelled)
		}
		c.failed(err)
	}, nil
}

// failed ends the Client's life if err is anything but a refusal.
func (c *Client) failed(err *error) {
	if *err == nil {
		return
	}
	if e := findError(*err); e != nil && e.Code != 421 || c.broken() == nil && errors.Is(*err, ErrPermanent) {
		return // refused, there or here: the connection is in step
	}
	c.lose(*err)
}

// command queues a command.
func (c *Client) command(line string) {
	c.out = append(append(c.out, line...), '\r', '\n')
	if c.dialer.Trace != nil {
		c.trace(true, line)
	}
}

// trace tells a line that passed. Lines of both directions come from goroutines of
// their own; whoever gets them gets one at a time.
func (c *Client) trace(fromClient bool, text string) {
	c.tracing.Lock()
	defer c.tracing.Unlock()
	c.dialer.Trace(Line{c.session, time.Now(), fromClient, text})
}

// reply writes what is queued and reads the reply that is due.
func (c *Client) reply(wait time.Duration) (Reply, error) {
	if err := c.flush(); err != nil {
		return Reply{}, c.failure(err)
	}
	return c.next(wait)
}

// next reads the next reply, for which the server has the time wait; 0: as long as
// it likes, until hurry.
func (c *Client) next(wait time.Duration) (Reply, error) {
	c.expectWithin(wait)
	var line func(string)
	if c.dialer.Trace != nil {
		line = func(line string) { c.trace(false, line) }
	}
	r, err := readReply(c.rd, line)
	if err != nil {
		return r, c.failure(err)
	}
	return r, nil
}

// failure is an error of the connection.
func (c *Client) failure(err error) error { return temporary("the connection to "+c.name(), err) }

func (c *Client) name() string {
	if c.host != "" {
		return c.host
	}
	return "the server"
}

// exchange says one command and returns its reply, which must be of class want
// (2 or 3), or else is an *Error of verb.
func (c *Client) exchange(ctx context.Context, verb, line string, want int, wait time.Duration) (r Reply, err error) {
	end, err := c.begin(ctx)
	if err != nil {
		return r, err
	}
	defer end(&err)
	if strings.ContainsAny(line, "\r\n\x00") {
		return r, permanent(verb+" with a line end in it", nil)
	}
	if line != "" {
		c.command(line)
	}
	if r, err = c.reply(wait); err == nil {
		err = expect(r, verb, want)
	}
	return r, err
}

// Greeting reads the server's greeting; once read it is returned again.
func (c *Client) Greeting(ctx context.Context) (Reply, error) {
	if c.greeting.Code != 0 {
		return c.greeting, nil
	}
	r, err := c.exchange(ctx, "greeting", "", 2, c.dialer.Timeouts.greeting())
	if err == nil {
		c.greeting = r
	}
	return r, err
}

// Hello says EHLO (LHLO if the Dialer is for LMTP) with name, and HELO to a
// server that does not know EHLO. What it offers is in Extension afterwards.
func (c *Client) Hello(ctx context.Context, name string) (Reply, error) {
	if err := checkHello(name); err != nil {
		return Reply{}, permanent("EHLO name", err)
	}
	verb := "EHLO"
	if c.dialer.LMTP {
		verb = "LHLO"
	}
	r, err := c.exchange(ctx, verb, verb+" "+name, 2, c.dialer.Timeouts.command())
	if err == nil {
		c.learn(r)
		return r, nil
	}
	if (r.Code == 500 || r.Code == 502) && !c.dialer.LMTP { // RFC 5321, 3.2
		c.extensions, c.limits = map[string]string{}, limits{}
		return c.exchange(ctx, "HELO", "HELO "+name, 2, c.dialer.Timeouts.command())
	}
	return r, err
}

// learn keeps what EHLO announced; what was known before is forgotten.
func (c *Client) learn(r Reply) {
	c.extensions = make(map[string]string)
	c.ended() // RFC 5321, 4.1.4: EHLO is a RSET too
	for i, line := range strings.Split(r.Text, "\n") {
		if i == 0 {
			continue
		}
		name, params, _ := strings.Cut(line, " ")
		c.extensions[strings.ToUpper(name)] = params
	}
	// QUIRK: "AUTH=LOGIN" of old servers.
	for name := range c.extensions {
		if old, ok := strings.CutPrefix(name, "AUTH="); ok && c.extensions["AUTH"] == "" {
			c.extensions["AUTH"] = strings.TrimSpace(old + " " + c.extensions[name])
		}
	}
	for _, name := range c.dialer.Without {
		delete(c.extensions, strings.ToUpper(name))
	}
	c.limits = parseLimits(c.extensions["LIMITS"])
}

// Extension tells whether the server offers an extension, named in upper case,
// and with which parameters. What the Dialer is Without is not offered.
func (c *Client) Extension(name string) (params string, ok bool) {
	params, ok = c.extensions[name]
	return params, ok
}

// has tells whether the server offers an extension.
func (c *Client) has(name string) bool { _, ok := c.extensions[name]; return ok }

// Extensions ranges over what the server offers.
func (c *Client) Extensions() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, params := range c.extensions {
			if !yield(name, params) {
				return
			}
		}
	}
}

// TLS returns the state of the TLS connection, nil outside TLS.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// StartTLS says STARTTLS and does the handshake (RFC 3207). What was known of
// the server is forgotten: say Hello again. nil is a configuration that verifies
// the name that was dialled.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) (Reply, error) {
	r, err := c.exchange(ctx, "STARTTLS", "STARTTLS", 2, c.dialer.Timeouts.command())
	if err != nil {
		return r, err
	}
	// What comes in clear now, somebody between us and the server may have put there to be
	// read as the first reply inside TLS. It may also come a moment later, as no record.
	early := c.rd.Buffered() > 0
	if !early {
		err = c.handshake(ctx, config)
		_, early = errors.AsType[tls.RecordHeaderError](err)
	}
	if early {
		err = temporary("STARTTLS: the server said more before the handshake", err)
		c.lose(err)
	}
	return r, err
}

// handshake begins TLS.
func (c *Client) handshake(ctx context.Context, config *tls.Config) (err error) {
	end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end(&err)
	c.conn.SetDeadline(time.Now().Add(c.dialer.Timeouts.tls()))
	wrap := c.dialer.WrapTLS
	if wrap == nil {
		wrap = func(ctx context.Context, conn net.Conn) (net.Conn, error) {
			return startTLS(ctx, conn, config, c.host)
		}
	}
	conn, err := wrap(ctx, c.conn)
	if err != nil {
		return temporary("TLS with "+c.name(), err)
	}
	conn.SetDeadline(time.Time{})
	state := tls.ConnectionState{}
	if t, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state = t.ConnectionState()
	}
	c.conn, c.tls, c.extensions, c.limits = conn, &state, nil, limits{}
	c.rd.Reset(conn)
	return nil
}

// Mail says MAIL. nil options are none. Options whose extension the server does
// not offer are left out, but for those that the message cannot do without
// (SMTPUTF8, REQUIRETLS): ErrUnsupported.
func (c *Client) Mail(ctx context.Context, from string, opts *MailOptions) (Reply, error) {
	var own MailOptions
	if opts != nil {
		own = *opts
	}
	line, err := c.mailLine(from, &own)
	if err != nil {
		return Reply{}, err
	}
	c.began(foreign)
	c.accepted = 0
	return c.exchange(ctx, "MAIL", line, 2, c.dialer.Timeouts.mail())
}

// Rcpt says RCPT. nil options are none.
func (c *Client) Rcpt(ctx context.Context, to string, opts *RcptOptions) (Reply, error) {
	var own RcptOptions
	if opts != nil {
		own = *opts
	}
	line, err := c.rcptLine(to, &own)
	if err != nil {
		return Reply{}, err
	}
	r, err := c.exchange(ctx, "RCPT", line, 2, c.dialer.Timeouts.rcpt())
	if err == nil && c.dialer.LMTP {
		c.accepted++
	}
	return r, err
}

// mailLine writes a MAIL command; opts are the caller's own (appendParams).
func (c *Client) mailLine(from string, opts *MailOptions) (string, error) {
	from, err := c.spell(from, true)
	if err != nil {
		return "", err
	}
	if opts.Body == BodyBinaryMIME && !c.has("BINARYMIME") {
		return "", permanent("BINARYMIME is needed", unsupported("BINARYMIME"))
	}
	// RFC 8689, 4.2.1: TLS with somebody whose certificate was looked at.
	if opts.RequireTLS && c.tls == nil {
		return "", permanent("REQUIRETLS outside TLS", unsupported("REQUIRETLS"))
	}
	if opts.RequireTLS && c.anybody {
		return "", permanent("REQUIRETLS, but nobody has verified who the server is", unsupported("REQUIRETLS"))
	}
	if from == "" && (opts.HoldFor > 0 || !opts.HoldUntil.IsZero()) { // RFC 4865, 5.1.1
		return "", permanent("a report is not to be held", nil)
	}
	if e := beyond(opts, c.Extension); e != nil {
		return "", e
	}
	var room [256]byte // of the stack: what is longer is rare
	line := append(append(append(room[:0], "MAIL FROM:<"...), from...), '>')
	line, err = appendParams(line, opts, opts.Extra, mailParams, c.has)
	return string(line), err
}

// rcptLine writes a RCPT command; opts are the caller's own (appendParams).
func (c *Client) rcptLine(to string, opts *RcptOptions) (string, error) {
	to, err := c.spell(to, false)
	if err != nil {
		return "", err
	}
	var room [256]byte
	line := append(append(append(room[:0], "RCPT TO:<"...), to...), '>')
	line, err = appendParams(line, opts, opts.Extra, rcptParams, c.has)
	return string(line), err
}

// spell checks an address and writes it as the server can take it: a domain that
// is not ASCII as A-labels (RFC 5890), unless the local part needs UTF-8 anyway.
func (c *Client) spell(a string, mayBeEmpty bool) (string, error) {
	if a == "" && mayBeEmpty || strings.EqualFold(a, "postmaster") {
		return a, nil
	}
	if err := address.Check(a); err != nil {
		return "", &Error{Code: 501, Enhanced: "5.1.3", Text: fmt.Sprintf("address %q: %v", a, err)}
	}
	if address.IsASCII(a) {
		return a, nil
	}
	local, domain, _ := address.Split(a)
	if !address.IsASCII(local) {
		if c.has("SMTPUTF8") {
			return a, nil
		}
		return "", permanent("the address "+a+" needs SMTPUTF8", unsupported("SMTPUTF8"))
	}
	ascii, err := address.ToASCII(domain)
	if err != nil {
		return "", permanent("the domain of "+a, err)
	}
	return local + "@" + ascii, nil
}

// Reset says RSET: the open transaction is forgotten.
func (c *Client) Reset(ctx context.Context) (Reply, error) {
	r, err := c.exchange(ctx, "RSET", "RSET", 2, c.dialer.Timeouts.command())
	if err == nil {
		c.ended()
	}
	return r, err
}

// Noop says NOOP.
func (c *Client) Noop(ctx context.Context) (Reply, error) {
	return c.exchange(ctx, "NOOP", "NOOP", 2, c.dialer.Timeouts.command())
}

// Verify says VRFY: 250 or 251 is yes, 252 neither yes nor no.
func (c *Client) Verify(ctx context.Context, name string) (Reply, error) {
	return c.ask(ctx, "VRFY", name)
}

// Expand says EXPN: the members of a list are the lines of the reply.
func (c *Client) Expand(ctx context.Context, list string) (Reply, error) {
	return c.ask(ctx, "EXPN", list)
}

// ask says VRFY or EXPN. A name beyond ASCII is only for who offers SMTPUTF8, and is told
// to be one (RFC 6531, 3.7.4.2).
func (c *Client) ask(ctx context.Context, verb, name string) (Reply, error) {
	line := verb + " " + name
	if !address.IsASCII(name) {
		if !c.has("SMTPUTF8") {
			return Reply{}, permanent(verb+" of "+name+" needs SMTPUTF8", unsupported("SMTPUTF8"))
		}
		line += " SMTPUTF8"
	}
	return c.exchange(ctx, verb, line, 2, c.dialer.Timeouts.command())
}

// Help says HELP; topic may be "".
func (c *Client) Help(ctx context.Context, topic string) (Reply, error) {
	return c.exchange(ctx, "HELP", strings.TrimRight("HELP "+topic, " "), 2, c.dialer.Timeouts.command())
}

// Command says line as it is, which is one command without CRLF, and returns the
// reply. What needs more than one reply has a method of its own.
func (c *Client) Command(ctx context.Context, line string) (Reply, error) {
	verb, _, _ := strings.Cut(line, " ")
	return c.exchange(ctx, verb, line, 2, c.dialer.Timeouts.command())
}

// Quit says QUIT and closes the connection, which is closed whatever the server
// says.
func (c *Client) Quit(ctx context.Context) (Reply, error) {
	r, err := c.exchange(ctx, "QUIT", "QUIT", 2, c.dialer.Timeouts.command())
	c.Close()
	return r, err
}

// Close closes the connection without a word. It may be called while another
// method waits, to end it; not while StartTLS does.
func (c *Client) Close() error { return c.conn.Close() }
