package smtp

import "time"

// The envelope: whom a message is from and for, apart from what its header
// says (RFC 5321, 2.3.1). Options are the parameters of MAIL and RCPT; how they
// are spelt on the wire is param.go's knowledge.

// An Envelope is the sender and the recipients of one transaction. Addresses
// are bare, without angle brackets and with their quoting: `ann@example.com`,
// `"ann b"@example.com`.
type Envelope struct {
	From    string // "" is the null sender of reports (RFC 5321, 4.5.5)
	Options MailOptions
	To      []Recipient
}

// A Recipient is one address of an Envelope with its options.
type Recipient struct {
	Address string
	Options RcptOptions
}

// NewEnvelope returns the envelope of a message without options.
func NewEnvelope(from string, to ...string) *Envelope {
	env := &Envelope{From: from, To: make([]Recipient, len(to))}
	for i, a := range to {
		env.To[i].Address = a
	}
	return env
}

// only returns env with the recipients whose indexes are given.
func (env *Envelope) only(index []int) *Envelope {
	out := &Envelope{From: env.From, Options: env.Options, To: make([]Recipient, len(index))}
	for i, n := range index {
		out.To[i] = env.To[n]
	}
	return out
}

// MailOptions are the parameters of MAIL.
type MailOptions struct {
	Size       int64         // octets of the message (RFC 1870); 0: not told
	Body       Body          // RFC 6152; "": not told, which means 7BIT
	UTF8       bool          // the message needs SMTPUTF8 (RFC 6531)
	RequireTLS bool          // TLS all the way or not at all (RFC 8689): said inside TLS, to a server that is verified
	Return     Return        // what a report gives back (RFC 3461, 4.3); "": not told
	EnvelopeID string        // goes into reports (RFC 3461, 4.4), at most 100 octets; "": none
	Auth       string        // who submitted it (RFC 4954, 5); "": not told, "<>": unknown
	By         DeliverBy     // until when (RFC 2852)
	HoldFor    time.Duration // not to be sent on before this has passed (RFC 4865): 1 to 999,999,999 whole seconds; 0: at once
	HoldUntil  time.Time     // the same as a time; zero: at once. Only one of them may be set, By must be later, and a report is never held.
	Priority   int           // -9 to 9 (RFC 6710); 0: not told, which means normal
	// Extra are further parameters as they are written, such as "XCLASS=A XSECRET": a
	// Client says them unseen. A Server refuses what it does not know.
	Extra string
	PRDR  bool // the client takes a reply for each recipient (draft-hall-prdr); a Client never asks
}

// DeliverBy says until when a message is to be delivered and what else shall happen
// (RFC 2852, 4). One that is to be returned fails where DELIVERBY is not offered, or with
// a least time that is longer.
type DeliverBy struct {
	Within time.Duration // up to 999,999,999 whole seconds; with ByNotify it may be over already, with ByReturn not
	Mode   ByMode        // "": no time is told
	Trace  bool          // reports are wanted of what is relayed too
}

// A ByMode is what becomes of a message that is late.
type ByMode string

const (
	ByReturn ByMode = "R" // it is given up
	ByNotify ByMode = "N" // it is reported, and delivered later
)

// A Body is the kind of octets that a message holds.
type Body string

const (
	Body7Bit       Body = "7BIT"
	Body8BitMIME   Body = "8BITMIME"
	BodyBinaryMIME Body = "BINARYMIME" // RFC 3030; only with BDAT
)

// Return is how much of the message a failure report gives back.
type Return string

const (
	ReturnFull   Return = "FULL"
	ReturnHeader Return = "HDRS"
)

// RcptOptions are the parameters of RCPT.
type RcptOptions struct {
	Notify   Notify // when to report (RFC 3461, 4.1); 0: not told, the server decides
	Original string // original recipient, "rfc822;ann@example.com" (RFC 3461, 4.2); "": none
	// ValidSince is when the address was known to be this recipient's: one that has had
	// another owner since is to be refused (RFC 7293). Zero: not told.
	ValidSince time.Time
	// Unchecked lets a host have the message that does not offer RRVS and cannot look at
	// ValidSince. False: such a recipient is refused.
	Unchecked bool
	Extra     string // further parameters, as in MailOptions
}

// Notify is a set of the occasions for a report; NotifyNever stands alone.
type Notify uint8

const (
	NotifySuccess Notify = 1 << iota
	NotifyFailure
	NotifyDelay
	NotifyNever
)

// A Result is the fate of one recipient.
type Result struct {
	Rcpt  string // the address as the Envelope has it
	Host  string // the server that decided; "" if none was reached
	ID    string // what the server queued the message as, if it said so
	Reply Reply  // its last word on this recipient
	DSN   bool   // the next hop took over the reports asked for (RFC 3461, 5.2.1)
	Err   error  // nil: accepted. ErrTemporary, ErrPermanent or ErrUnknown otherwise
}

// Timeouts bound each phase of a session (RFC 5321, 4.5.3.2). Zero fields have
// the defaults given here.
type Timeouts struct {
	Dial     time.Duration // to connect, all addresses together; 1 minute
	TLS      time.Duration // for a handshake; 1 minute
	Greeting time.Duration // for the 220; 5 minutes
	Command  time.Duration // for a reply, or on a server for the next command; 5 minutes
	Mail     time.Duration // for the reply to MAIL; Command's if zero
	Rcpt     time.Duration // for the reply to RCPT; Command's if zero
	Data     time.Duration // for the 354; 2 minutes
	Block    time.Duration // for each read or write of the message; 3 minutes
	End      time.Duration // for the reply to the end of the data; 10 minutes
}

// or returns d, or the default if d is zero.
func or(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

func (t Timeouts) dial() time.Duration     { return or(t.Dial, time.Minute) }
func (t Timeouts) tls() time.Duration      { return or(t.TLS, time.Minute) }
func (t Timeouts) greeting() time.Duration { return or(t.Greeting, 5*time.Minute) }
func (t Timeouts) command() time.Duration  { return or(t.Command, 5*time.Minute) }
func (t Timeouts) mail() time.Duration     { return or(t.Mail, t.command()) }
func (t Timeouts) rcpt() time.Duration     { return or(t.Rcpt, t.command()) }
func (t Timeouts) data() time.Duration     { return or(t.Data, 2*time.Minute) }
func (t Timeouts) block() time.Duration    { return or(t.Block, 3*time.Minute) }
func (t Timeouts) end() time.Duration      { return or(t.End, 10*time.Minute) }
