package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/postrider/postrider/sasl"
)

// What went wrong, and what a caller may do about it.
//
// A caller asks one question first: may I try again? errors.Is with
// ErrTemporary, ErrPermanent or ErrUnknown answers it. The details are an
// *Error, by errors.AsType: what the other side said, never text of ours.

var (
	// ErrTemporary says that the same may succeed later: a 4yz reply, or a
	// connection that failed before the end of the data.
	ErrTemporary = errors.New("smtp: temporary failure")
	// ErrPermanent says that the same will fail again: a 5yz reply, or a
	// request that cannot be expressed.
	ErrPermanent = errors.New("smtp: permanent failure")
	// ErrUnknown says that the message was sent and its reply was lost: it may
	// have been delivered. It is neither temporary nor permanent.
	ErrUnknown = errors.New("smtp: sent, but the reply was lost")
	// ErrUnsupported says that the server lacks an extension that is needed.
	ErrUnsupported = errors.New("smtp: not supported by the server")
	// ErrNoMechanism says that none of the server's authentication mechanisms
	// can be used with the credential at hand; it is package sasl's.
	ErrNoMechanism = sasl.ErrNoMechanism
	// ErrServerClosed is what a Server's Serve returns after Shutdown or Close.
	ErrServerClosed = errors.New("smtp: server closed")
)

// An EnhancedCode is an enhanced status code (RFC 3463) such as "5.1.1"; it is
// empty if there is none.
type EnhancedCode string

// parseEnhanced splits an enhanced code off the front of a reply's text. It is
// taken only if its class agrees with the code (RFC 2034, 4), else it is text.
func parseEnhanced(code int, text string) (EnhancedCode, string) {
	head, rest, _ := strings.Cut(text, " ")
	if len(head) < 5 || len(head) > 9 || int(head[0]-'0') != code/100 || head[1] != '.' {
		return "", text
	}
	subject, detail, ok := strings.Cut(head[2:], ".")
	if !ok || !shortNumber(subject) || !shortNumber(detail) {
		return "", text
	}
	return EnhancedCode(head), rest
}

// shortNumber tells whether s is one to three digits (RFC 3463, 2).
func shortNumber(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// A Reply is what a server says to a command (RFC 5321, 4.2). The lines of a
// long one are joined by "\n" in Text, each without its enhanced code.
type Reply struct {
	Code     int          // three digits, 200 to 599
	Enhanced EnhancedCode // "" if the server gave none
	Text     string
}

// String returns the reply on one line, as in "250 2.1.5 recipient ok".
func (r Reply) String() string {
	return strings.ReplaceAll(joinReply(r.Code, r.Enhanced, r.Text), "\n", " / ")
}

// err returns the reply as an error of verb.
func (r Reply) err(verb string) *Error {
	return &Error{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text, Verb: verb}
}

func joinReply(code int, enhanced EnhancedCode, text string) string {
	s := strconv.Itoa(code)
	if enhanced != "" {
		s += " " + string(enhanced)
	}
	if text != "" {
		s += " " + text
	}
	return s
}

// An Error is a refusal: a 4yz or 5yz reply. A Client returns what the server
// said; a Handler returns what the server shall say.
type Error struct {
	Code     int          // 400 to 599
	Enhanced EnhancedCode // "" lets a Server choose the general one of the class
	Text     string       // lines are separated by "\n"
	Verb     string       // the command that was refused; a Server does not look at it
}

// Errorf returns an *Error with that code, enhanced code and formatted text.
// The text is told to the peer: put nothing into it that is not meant for it.
func Errorf(code int, enhanced EnhancedCode, format string, args ...any) error {
	return &Error{Code: code, Enhanced: enhanced, Text: fmt.Sprintf(format, args...)}
}

// Error returns the refusal on one line, as in
// "smtp: RCPT: 550 5.1.1 no such user".
func (e *Error) Error() string {
	s := Reply{e.Code, e.Enhanced, e.Text}.String()
	if e.Verb != "" {
		s = e.Verb + ": " + s
	}
	return "smtp: " + s
}

// Is makes a 4yz reply an ErrTemporary and a 5yz reply an ErrPermanent.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrTemporary:
		return e.Code/100 == 4
	case ErrPermanent:
		return e.Code/100 == 5
	}
	return false
}

// A classError is an error of this side with the class that it belongs to.
type classError struct {
	class error // ErrTemporary, ErrPermanent or ErrUnknown
	what  string
	err   error
}

func (e *classError) Error() string {
	if e.err == nil {
		return "smtp: " + e.what
	}
	return "smtp: " + e.what + ": " + strings.TrimPrefix(e.err.Error(), "smtp: ")
}

func (e *classError) Is(target error) bool { return target == e.class }
func (e *classError) Unwrap() error        { return e.err }

// temporary wraps a failure of the connection or of the message's source.
func temporary(what string, err error) error {
	return &classError{ErrTemporary, what, err}
}

// permanent wraps a request that will not become possible by trying again.
func permanent(what string, err error) error {
	return &classError{ErrPermanent, what, err}
}

// An unsupported is an ErrUnsupported that names the extension.
type unsupported string

func (unsupported) Error() string        { return ErrUnsupported.Error() }
func (unsupported) Is(target error) bool { return target == ErrUnsupported }

// A RcptError is a Transaction's refusal of one recipient at the end of the
// data. Several are joined with errors.Join; over LMTP each becomes a reply of
// its own (RFC 2033, 4.2).
type RcptError struct {
	Rcpt string // the address as Transaction.Rcpt was given it
	Err  error
}

func (e *RcptError) Error() string { return e.Rcpt + ": " + e.Err.Error() }
func (e *RcptError) Unwrap() error { return e.Err }

// A SendError is what Send returns unless every recipient was accepted.
type SendError struct {
	Results []Result // all of them, those of accepted recipients too
}

// Error tells how many recipients failed and why the first of them did.
func (e *SendError) Error() string {
	failed := 0
	var first Result
	for _, r := range e.Results {
		if r.Err != nil {
			if failed == 0 {
				first = r
			}
			failed++
		}
	}
	if failed == 0 {
		return "smtp: send: no recipients"
	}
	text := strings.TrimPrefix(first.Err.Error(), "smtp: ")
	if len(e.Results) == 1 {
		return "smtp: <" + first.Rcpt + ">: " + text
	}
	return fmt.Sprintf("smtp: %d of %d recipients not accepted; <%s>: %s", failed, len(e.Results), first.Rcpt, text)
}

// Is classifies so that a naive retry cannot deliver twice and nobody is given
// up by mistake: ErrTemporary only if every recipient was deferred, ErrPermanent
// only if no recipient is worth another try, ErrUnknown if any fate is unknown.
func (e *SendError) Is(target error) bool {
	all := len(e.Results) > 0
	for _, r := range e.Results {
		unknown := errors.Is(r.Err, ErrUnknown)
		switch target {
		case ErrTemporary:
			all = all && !unknown && errors.Is(r.Err, ErrTemporary)
		case ErrPermanent:
			all = all && (r.Err == nil || errors.Is(r.Err, ErrPermanent))
		case ErrUnknown:
			if unknown {
				return true
			}
		}
	}
	return all && (target == ErrTemporary || target == ErrPermanent)
}

// Unwrap returns the error that all recipients share, as when the connection
// could not be made; nil if their fates differ.
func (e *SendError) Unwrap() error {
	if len(e.Results) == 0 {
		return nil
	}
	for _, r := range e.Results[1:] {
		if r.Err != e.Results[0].Err {
			return nil
		}
	}
	return e.Results[0].Err
}
