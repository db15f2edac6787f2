package smtp

import (
	"context"
	"errors"
	"io"
)

// The receiving side of the mirror: what a Server hands mail to.

// A Handler receives mail. Its Mail is called for each MAIL command, on the
// goroutine of the session: sessions call it at the same time, one session never
// does.
//
// ctx belongs to the transaction. RSET, EHLO, QUIT or a disconnect cancels it,
// and so does the transaction's end: context.AfterFunc is the place to clean up.
// After the message has been read to its end only Server.Close cancels it. opts
// is never nil and valid during the call. from is a valid address without
// brackets, its quoting kept and source routes stripped; "" is the null sender.
type Handler interface {
	Mail(ctx context.Context, c *Conn, from string, opts *MailOptions) (Transaction, error)
}

// A Transaction is one message on its way in: MAIL made it, Rcpt is called for
// each recipient, Data once if any recipient was accepted.
//
// What an error becomes: an *Error is told to the peer as it is, through any
// wrapping but never out of a join. RcptErrors joined refuse recipients one by
// one: over LMTP each gets a reply of its own, over SMTP that reply is given if
// all were refused alike, else 451. Anything else is 451 4.3.0, and its text
// goes to the log, never to the peer. A panic is contained and counts as such.
type Transaction interface {
	// Rcpt decides on a recipient; nil accepts. opts is never nil and valid
	// during the call.
	Rcpt(ctx context.Context, to string, opts *RcptOptions) error

	// Data reads the message: lines end in CRLF, dots are unstuffed. r gives
	// io.EOF only after a valid end of the data, any other error means that the
	// message must be forgotten, and r is dead when Data has returned. To return
	// nil is to take responsibility for the message; returning nil before io.EOF
	// is answered 451. The id is told to the client ("queued as"); it may be "".
	Data(ctx context.Context, r io.Reader) (id string, err error)
}

// An Offerer is a Handler that honours more than every Handler must. Of these a
// Server announces those that Offers returns, with the parameters behind the name:
//
//	DSN                reports as they were asked for (RFC 3461)
//	DELIVERBY [60]     delivers or reports in time (RFC 2852); 60: no sooner than that
//	FUTURERELEASE 600  holds a message until then, for at most so many seconds (RFC 4865)
//	MT-PRIORITY [NAME] treats messages by priority (RFC 6710)
//	RRVS               refuses an address that has another owner by now (RFC 7293)
//	REQUIRETLS         TLS all the way (RFC 8689); announced inside TLS only
//	BINARYMIME         takes lines of any length and any octets (RFC 3030)
//	PRDR               returns RcptErrors: a reply for each recipient (draft-hall-prdr)
//
// It is asked for each session and must always answer alike. What goes beyond the
// parameters (HOLDFOR=601, BY=59;R) is refused before the Handler hears of it.
type Offerer interface {
	Offers() []string
}

// Hooks is a Handler made of functions. A nil function accepts.
type Hooks struct {
	// OnSender is called for MAIL.
	OnSender func(ctx context.Context, c *Conn, from string, opts *MailOptions) error
	// OnRcpt is called for each RCPT.
	OnRcpt func(ctx context.Context, c *Conn, to string, opts *RcptOptions) error
	// OnData is given the message with the envelope that was accepted. nil
	// leaves it to Next.
	OnData func(ctx context.Context, c *Conn, env *Envelope, r io.Reader) (id string, err error)
	// Next hears what the functions accepted. If it is nil and OnData is nil
	// too, messages are refused with 554.
	Next Handler
}

// Mail implements Handler.
func (h *Hooks) Mail(ctx context.Context, c *Conn, from string, opts *MailOptions) (Transaction, error) {
	if h.OnSender != nil {
		if err := h.OnSender(ctx, c, from, opts); err != nil {
			return nil, err
		}
	}
	t := &hooksTransaction{hooks: h, conn: c, env: Envelope{From: from, Options: *opts}}
	t.env.To = t.one[:0]
	if h.Next != nil {
		next, err := h.Next.Mail(ctx, c, from, opts)
		if err != nil {
			return nil, err
		}
		t.next = next
	}
	return t, nil
}

// Offers implements Offerer: what Next offers.
func (h *Hooks) Offers() []string {
	if o, ok := h.Next.(Offerer); ok {
		return o.Offers()
	}
	return nil
}

type hooksTransaction struct {
	hooks *Hooks
	conn  *Conn
	env   Envelope
	one   [1]Recipient // most messages have one recipient
	next  Transaction  // nil if there is no Next
}

func (t *hooksTransaction) Rcpt(ctx context.Context, to string, opts *RcptOptions) error {
	if t.hooks.OnRcpt != nil {
		if err := t.hooks.OnRcpt(ctx, t.conn, to, opts); err != nil {
			return err
		}
	}
	if t.next != nil {
		if err := t.next.Rcpt(ctx, to, opts); err != nil {
			return err
		}
	}
	t.env.To = append(t.env.To, Recipient{to, *opts})
	return nil
}

func (t *hooksTransaction) Data(ctx context.Context, r io.Reader) (string, error) {
	switch {
	case t.hooks.OnData != nil:
		return t.hooks.OnData(ctx, t.conn, &t.env, r)
	case t.next != nil:
		return t.next.Data(ctx, r)
	}
	return "", &Error{Code: 554, Enhanced: "5.3.2", Text: "this server keeps no mail"}
}

// connKey is the context key of the session.
type connKey struct{}

// ConnFrom returns the session that ctx belongs to: the one that a Handler was
// called for. It is nil for any other context.
func ConnFrom(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// refusal returns what the peer is told about a Handler's error, and whether
// the error itself has to go to the log because the reply does not tell it.
func refusal(err error) (reply *Error, log bool) {
	if e := findError(err); e != nil {
		return e, false
	}
	return errLocal, true
}

// errLocal is all that a peer is told of what went wrong on this side.
var errLocal = &Error{Code: 451, Enhanced: "4.3.0", Text: "local error in processing"}

// findError looks for an *Error through wrapping, but not through a join: which
// of several errors is meant for the peer, only their maker knows.
func findError(err error) *Error {
	for err != nil {
		switch e := err.(type) {
		case *Error:
			if e.Code < 400 || e.Code > 599 {
				return nil
			}
			return e
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return nil
		}
	}
	return nil
}

// rcptErrors collects the *RcptErrors that err is or joins; nil if err holds
// anything else.
func rcptErrors(err error) []*RcptError {
	switch e := err.(type) {
	case *RcptError:
		return []*RcptError{e}
	case interface{ Unwrap() []error }:
		var all []*RcptError
		for _, one := range e.Unwrap() {
			sub := rcptErrors(one)
			if sub == nil {
				return nil
			}
			all = append(all, sub...)
		}
		return all
	case interface{ Unwrap() error }:
		return rcptErrors(e.Unwrap())
	}
	return nil
}

// sharedRefusal returns the refusal that all of errs have in common, or nil.
func sharedRefusal(errs []*RcptError) *Error {
	var shared *Error
	for _, r := range errs {
		e := findError(r.Err)
		if e == nil || shared != nil && (e.Code != shared.Code || e.Enhanced != shared.Enhanced || e.Text != shared.Text) {
			return nil
		}
		shared = e
	}
	return shared
}

// errAborted is what the reader of a message returns when the client gave the
// transaction up (RSET between chunks).
var errAborted = errors.New("smtp: the client gave the message up")
