package smtp

import (
	"crypto/tls"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/address"
)

// The verbs of a session (RFC 5321, 4.1.1). Each row says in which state a verb
// is permitted; what it does is its function's business. The state is checked
// before anything of the argument is looked at.
//
// What has gone wrong in other servers went wrong between two verbs: what one had left
// behind was there for another. So a verb changes little, a transaction is one value that
// is dropped whole, and what permits a verb stands in this table and nowhere else. A new
// verb is a row here and a function; one that is only for some clients (XCLIENT) is
// unknown to all others.
//
// A wrong command is refused with the code that says what to do about it: 500 and 501 not
// to say that again, 503 to say it in its order, 530 and 538 to authenticate or to begin
// TLS (RFC 5321, 4.2.2; RFC 4954, 6). It counts (MaxErrors). A refusal by a Handler, or
// of what the server does not want now, is no error of the client's and does not.

// A state is what must be true before a verb, or must not be.
type state uint8

const (
	afterHello state = 1 << iota // EHLO, HELO or LHLO was said
	inMail                       // a transaction is open
	inRcpt                       // it has a recipient
	noMail                       // no transaction is open
	cleared                      // TLS and AUTH are there, where the listener asks for them
	noArgument                   // the verb stands alone
	argument                     // the verb needs an argument
	idle                         // the verb brings no message nearer
)

// A verb is a row of the table.
type verb struct {
	name string
	need state
	run  func(c *Conn, arg string)
}

// verbKey is a verb in upper case, up to eight letters: a quick map key.
type verbKey [8]byte

var verbs = verbTable(
	verb{"HELO", argument | idle, (*Conn).helo},
	verb{"EHLO", argument | idle, (*Conn).ehlo},
	verb{"LHLO", argument | idle, (*Conn).lhlo},
	verb{"MAIL", afterHello | noMail | cleared | argument, (*Conn).mail},
	verb{"RCPT", inMail | argument, (*Conn).rcpt},
	verb{"DATA", inRcpt | noArgument, (*Conn).data},
	verb{"BDAT", 0, (*Conn).bdat}, // checks its state itself: its octets follow
	verb{"RSET", noArgument | idle, (*Conn).rset},
	verb{"NOOP", idle, (*Conn).noop},
	verb{"VRFY", argument | cleared | idle, (*Conn).vrfy},
	verb{"EXPN", argument | cleared | idle, (*Conn).expn},
	verb{"HELP", idle, (*Conn).help},
	verb{"QUIT", noArgument, (*Conn).quit},
	verb{"STARTTLS", afterHello | noMail | noArgument, (*Conn).startTLS},
	verb{"AUTH", afterHello | noMail | argument, (*Conn).auth},
	verb{"XCLIENT", noMail, (*Conn).xclient},
	verb{"XFORWARD", afterHello | noMail, (*Conn).xforward},
)

func verbTable(rows ...verb) map[verbKey]*verb {
	table := make(map[verbKey]*verb, len(rows))
	for i := range rows {
		key, _ := keyOf(rows[i].name)
		table[key] = &rows[i]
	}
	return table
}

// keyOf makes a key of a word as it was said: in whatever case (RFC 5321, 2.4), without an
// allocation. A longer word than any verb is none.
func keyOf(name string) (key verbKey, ok bool) {
	if len(name) > len(key) {
		return key, false
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		key[i] = c
	}
	return key, true
}

// command carries out one line.
func (c *Conn) command(line string) {
	name, arg, _ := strings.Cut(line, " ")
	key, ok := keyOf(name)
	v := verbs[key]
	// Counted before anything else: a command that is refused is one too.
	if !c.count() {
		return
	}
	switch {
	case notSMTP(name, arg):
		c.giveUp(&Error{Code: 421, Enhanced: "5.7.0", Text: "this is a mail server"})
		return
	case hasControl(line):
		// No verb has a use for one, and what is done with the text further on, by a terminal
		// or in a log, is not ours to know.
		c.wrong(501, "5.5.2", "a command holds no control characters")
		return
	case !ok || v == nil:
		c.wrong(500, "5.5.1", "command not recognized")
		return
	}
	if v.need&idle != 0 && !c.countIdle() {
		return
	}
	// RFC 5321, 4.1.1: white space at the end of a command is tolerated.
	arg = strings.TrimRight(arg, " ")
	switch {
	case !c.permitted(v, arg):
	case c.agreed(v.name, arg):
		v.run(c, arg)
	case v.name == "BDAT" && c.txn != nil:
		c.txn.beheaded = true
	}
}

// agreed asks OnCommand, and says what it has against the command. The octets of
// a refused chunk follow all the same.
func (c *Conn) agreed(verb, arg string) bool {
	if c.server.OnCommand == nil {
		return true
	}
	if verb == "AUTH" { // an initial response is a password
		arg, _, _ = strings.Cut(arg, " ")
	}
	e := c.handlerError(c.call(func() error { return c.server.OnCommand(c.ctx, c, verb, arg) }))
	if e == nil {
		return true
	}
	if size, _, ok := parseBdat(arg); verb == "BDAT" && ok && !c.skip(size) {
		c.giveUp(e)
		return false
	}
	c.refuse(e)
	return false
}

// count counts a command, and ends the session when there were too many. A message sets
// it back: a client that sends mail may stay as long as it likes, and one that only talks
// may not. RFC 5321, 7.8 leaves the numbers to us.
func (c *Conn) count() bool {
	if c.commands++; c.commands <= orInt(c.server.MaxCommands, 10_000) {
		return true
	}
	c.giveUp(&Error{Code: 421, Enhanced: "4.7.0", Text: "too many commands without a message"})
	return false
}

// countIdle counts one that leads to nothing. Pools say NOOP or RSET between two messages,
// so that some of them are in order; nobody needs two hundred.
func (c *Conn) countIdle() bool {
	if c.noops++; c.noops <= orInt(c.server.MaxNoops, 200) {
		return true
	}
	c.giveUp(&Error{Code: 421, Enhanced: "4.7.0", Text: "too many commands that lead to nothing"})
	return false
}

// permitted checks the state that v needs, and says what is missing.
func (c *Conn) permitted(v *verb, arg string) bool {
	// The order is that in which a client would mend it.
	switch {
	case v.need&afterHello != 0 && c.hello == "":
		c.wrong(503, "5.5.1", "say "+c.helloVerb()+" first")
	case v.need&noMail != 0 && c.txn != nil:
		c.wrong(503, "5.5.1", "a transaction is open already")
	case v.need&(inMail|inRcpt) != 0 && c.txn == nil:
		c.wrong(503, "5.5.1", "say MAIL first")
	case v.need&inRcpt != 0 && len(c.txn.rcpts) == 0: // RFC 5321, 3.3: 503 or 554
		c.wrong(554, "5.5.1", "no valid recipients")
	case v.need&cleared != 0 && c.policy.RequireTLS && c.tls == nil:
		c.wrong(530, "5.7.0", "say STARTTLS first")
	case v.need&cleared != 0 && c.policy.RequireAuth && c.user == "":
		c.wrong(530, "5.7.0", "authentication required")
	case v.need&noArgument != 0 && arg != "":
		c.wrong(501, "5.5.4", v.name+" takes no argument")
	case v.need&argument != 0 && arg == "":
		c.wrong(501, "5.5.4", v.name+" needs an argument")
	default:
		return true
	}
	return false
}

// helloVerb is how a session begins here.
func (c *Conn) helloVerb() string {
	if c.policy.LMTP {
		return "LHLO"
	}
	return "EHLO"
}

func (c *Conn) helo(arg string) { c.greet(arg, !c.policy.LMTP, false) }
func (c *Conn) ehlo(arg string) { c.greet(arg, !c.policy.LMTP, true) }
func (c *Conn) lhlo(arg string) { c.greet(arg, c.policy.LMTP, true) }

// greet carries out EHLO, HELO and LHLO. It ends an open transaction as RSET
// does (RFC 5321, 4.1.4).
func (c *Conn) greet(name string, right, extended bool) {
	if !right {
		c.wrong(500, "5.5.1", "this server wants "+c.helloVerb()) // RFC 2033, 4.1
		return
	}
	// QUIRK: many clients say a name that is none ("my_pc", "localhost."); it is
	// only told on. What could break a line further on cannot be in it.
	if badHello(name) {
		c.wrong(501, "5.5.4", "malformed host name")
		return
	}
	// RFC 2920, 3.1: EHLO ends a batch, because only its reply permits one.
	if c.policy.RefuseEarly && c.rd.Buffered() > 0 {
		c.tooEarly()
		return
	}
	c.reset()
	c.mu.Lock()
	c.hello, c.esmtp = name, extended
	if c.xhello != "" {
		c.hello = c.xhello
	}
	c.mu.Unlock()
	text := make([]byte, 0, 512)
	text = append(text, c.hostname...)
	if extended {
		for i := range extensions {
			if params, ok := extensions[i].offer(c); ok {
				text = append(append(text, '\n'), extensions[i].name...)
				if params != "" {
					text = append(append(text, ' '), params...)
				}
			}
		}
	}
	c.say(250, "", string(text))
}

// hasControl tells what neither a command nor a name may hold (RFC 5321, 4.1.1 and 4.1.2).
// Each command passes here, so that it looks at octets and not at runes.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// badHello tells what no name in a greeting may be: what is more than one word, or could
// end a line or a field further on. RFC 5321, 4.1.4 forbids to refuse mail because a name
// is not that of the client's address; a domain has 255 octets at most (4.5.3.1.2).
func badHello(name string) bool {
	return strings.Contains(name, " ") || hasControl(name) || len(name) > 255
}

// path reads "FROM:<path> parameters" or "TO:<path> parameters". UTF-8 is
// allowed only where the transaction has said so (RFC 6531, 3.4); utf8 is asked
// after the parameters have been read.
//
// The path is read to its end before its parameters are looked for, and by the grammar:
// a bracket in quotes ends no path. A server that searches for the bracket takes part of
// an address for parameters (CVE-2025-59937).
func (c *Conn) path(arg, prefix string, params func(rest string) *Error, utf8 func() bool) (string, bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		c.wrong(501, "5.5.4", "expected "+prefix+"<address>")
		return "", false
	}
	arg = arg[len(prefix):]
	if c.policy.WildPaths {
		arg = address.Bracket(arg)
	}
	addr, rest, err := address.ParsePath(arg)
	if err != nil {
		c.wrong(501, "5.1.3", err.Error())
		return "", false
	}
	if e := params(rest); e != nil {
		c.wrong(e.Code, e.Enhanced, e.Text)
		return "", false
	}
	if !utf8() && !address.IsASCII(addr) {
		c.wrong(553, "5.6.7", "an address with non-ASCII characters needs SMTPUTF8")
		return "", false
	}
	return addr, true
}

// mail carries out MAIL (RFC 5321, 4.1.1.2): it opens the transaction, if the Handler does.
func (c *Conn) mail(arg string) {
	if c.serial == 0 {
		growStack(0)
	}
	// One after the other in the same place; what the one before has held is gone.
	t := &c.space
	*t = transaction{rcpts: t.rcpts[:0]}
	from, ok := c.path(arg, "FROM:",
		func(rest string) *Error { return parseParams(&t.opts, rest, mailParams, c.offered) },
		func() bool { return t.opts.UTF8 })
	if !ok {
		return
	}
	tooMuch := beyond(&t.opts, c.server.offers)
	switch {
	case t.opts.Size > c.server.maxSize():
		c.refuse(&Error{Code: 552, Enhanced: "5.3.4", Text: "the message is too big"}) // RFC 1870, 6.1
		return
	case t.opts.Body == BodyBinaryMIME && !c.offered("BINARYMIME"):
		c.wrong(501, "5.5.4", "BINARYMIME is not offered")
		return
	case tooMuch != nil:
		c.refuse(tooMuch)
		return
	case c.server.Handler == nil:
		c.refuse(&Error{Code: 554, Enhanced: "5.3.2", Text: "this server takes no mail"})
		return
	case c.server.stopped():
		c.refuse(errShuttingDown)
		return
	}
	t.life = &lifetime{Context: c.ctx}
	c.serial++
	c.txn = t // before the Handler is asked, so that a disconnect cancels it
	t.body, t.utf8 = t.opts.Body, t.opts.UTF8
	err := c.call(func() (err error) {
		t.Transaction, err = c.server.Handler.Mail(t.life, c, from, &t.opts)
		return err
	})
	if e := c.handlerError(err); e != nil {
		c.reset()
		c.refuse(e)
		return
	}
	if t.Transaction == nil { // a mistake in the Handler, to be told where it can be mended
		c.reset()
		c.refuse(errLocal)
		c.server.log().Error("smtp: Handler.Mail returned neither a Transaction nor an error", "session", c.id)
		return
	}
	c.say(250, "2.1.0", "sender ok")
}

// rcpt carries out RCPT (RFC 5321, 4.1.1.3). A recipient who is refused is refused alone:
// the transaction stays as it was.
func (c *Conn) rcpt(arg string) {
	c.rcptOpts = RcptOptions{}
	to, ok := c.path(arg, "TO:",
		func(rest string) *Error { return parseParams(&c.rcptOpts, rest, rcptParams, c.offered) },
		func() bool { return c.txn.utf8 })
	if !ok {
		return
	}
	switch {
	case to == "":
		c.wrong(501, "5.1.3", "a recipient must have an address")
		return
	case len(c.txn.rcpts) >= c.server.maxRecipients():
		c.refuse(&Error{Code: 452, Enhanced: "4.5.3", Text: "too many recipients"}) // RFC 5321, 4.5.3.1.10
		return
	}
	err := c.call(func() error { return c.txn.Rcpt(c.txn.life, to, &c.rcptOpts) })
	if e := c.handlerError(err); e != nil {
		c.refuse(e)
		return
	}
	c.txn.rcpts = append(c.txn.rcpts, to)
	c.say(250, "2.1.5", "recipient ok")
}

func (c *Conn) rset(string) {
	c.reset()
	c.say(250, "2.0.0", "ok")
}

func (c *Conn) quit(string) {
	c.reset()
	c.say(221, "2.0.0", "bye")
	c.done, c.why = true, "QUIT"
}

// notSMTP tells what no client of ours says, but who speaks HTTP or has lost count says: a
// request of HTTP, and a field of its header or of a message's. What follows may have been
// written by anybody into a form or a text, and a line of it could be a command, so that
// the session ends.
//
// QUIRK: a browser or a proxy can be made to send a request with commands in its body, and
// a request line that is too long to be read would get past if fields did not count.
func notSMTP(name, arg string) bool {
	return strings.HasSuffix(name, ":") || strings.HasPrefix(arg[strings.LastIndexByte(arg, ' ')+1:], "HTTP/")
}

// startTLS carries out STARTTLS (RFC 3207). What was said in clear is forgotten,
// and a client that has sent more before the handshake is cut off: anybody could
// have added it.
func (c *Conn) startTLS(string) {
	switch {
	case c.server.TLSConfig == nil:
		c.wrong(502, "5.5.1", "TLS is not available")
		return
	case c.tls != nil:
		c.wrong(503, "5.5.1", "this is TLS already")
		return
	case c.rd.Buffered() > 0:
		c.giveUp(&Error{Code: 421, Enhanced: "5.5.1", Text: "nothing may follow STARTTLS before the handshake"})
		return
	}
	c.say(220, "2.0.0", "ready to start TLS")
	if c.flush() != nil || !c.handshake() {
		c.done, c.why = true, "the TLS handshake failed"
		return
	}
	// RFC 3207, 4.2: the client begins anew, with EHLO. No transaction is open (noMail), but
	// what XFORWARD said of the next one is forgotten too.
	c.reset()
	c.mu.Lock()
	c.hello, c.esmtp, c.user = "", false, ""
	c.mu.Unlock()
}

// handshake begins TLS and reports whether it has succeeded.
func (c *Conn) handshake() bool {
	if c.server.TLSConfig == nil {
		c.server.log().Error("smtp: a listener with implicit TLS, but no TLSConfig", "session", c.id)
		return false
	}
	// The time is for all of the handshake: an octet now and then gets no more of it.
	conn := tls.Server(c.raw, c.server.tls)
	c.raw.SetDeadline(time.Now().Add(c.server.Timeouts.tls()))
	if err := conn.HandshakeContext(note(c.ctx, &c.shown)); err != nil {
		c.server.log().Info("smtp: TLS handshake failed", "session", c.id, "remote", c.RemoteAddr(), "error", err)
		return false
	}
	c.raw.SetDeadline(time.Time{})
	state := conn.ConnectionState()
	c.mu.Lock()
	c.tls, c.nc = &state, conn
	c.mu.Unlock()
	c.rd.Reset(conn) // nothing that came in clear is read inside TLS
	return true
}
