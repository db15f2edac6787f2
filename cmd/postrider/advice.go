package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/postrider/postrider/smtp"
)

// What can be done about an error, in the words of the flags. It goes by types and
// codes, never by text, which is the server's and may be in any language. Where
// nothing better is known nothing is said.

// explain adds what can be done about err.
func (o *connectOptions) explain(err error) error {
	if err == nil {
		return nil
	}
	// Several fates: those who may be tried again come first, then the first refusal.
	cause := err
	if sent, ok := errors.AsType[*smtp.SendError](err); ok {
		if advice := remaining(sent); advice != "" {
			return fmt.Errorf("%w (%s)", err, advice)
		}
		for _, r := range sent.Results {
			if r.Err != nil {
				cause = r.Err
				break
			}
		}
	}
	for _, advice := range []func(error) string{outcomeAdvice, tlsAdvice, o.replyAdvice, networkAdvice} {
		if text := advice(cause); text != "" {
			return fmt.Errorf("%w (%s)", err, text)
		}
	}
	return err
}

// remaining is for a message that some have and others may still get: sent again
// as it was it would reach the first ones twice.
func remaining(sent *smtp.SendError) string {
	// Those whose fate is unknown are left out, though trying again might help: they may have it.
	var again []string
	accepted := 0
	for _, r := range sent.Results {
		switch {
		case r.Err == nil:
			accepted++
		case errors.Is(r.Err, smtp.ErrTemporary) && !errors.Is(r.Err, smtp.ErrUnknown):
			again = append(again, r.Rcpt)
		}
	}
	if accepted == 0 || len(again) == 0 {
		return ""
	}
	return "try again later for these alone: " + strings.Join(again, ",")
}

// outcomeAdvice is about what is not known, and comes first: who believes it was a
// refusal sends the message twice.
func outcomeAdvice(err error) string {
	switch {
	case errors.Is(err, smtp.ErrUnknown):
		return "it may have been delivered: do not send it again before you know; ask the recipient or the server's log"
	case errors.Is(err, smtp.ErrNoMechanism):
		return "the server takes none of the ways to authenticate that can be used; postrider check shows what it offers"
	}
	return ""
}

// tlsAdvice is about certificates and handshakes. It never
// advises to verify less: what looks like a wrong certificate may be somebody between.
func tlsAdvice(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "give the certificate that vouches for the server's with --ca-file"
	}
	// Often a server behind an alias: it is the right one, and its certificate has its other name.
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another name: give the server's name that it is for"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the server's certificate is out of date, or this machine's clock is wrong"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not begin with TLS: leave out --tls implicit, or write smtp:// for smtps://"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return "the two have no version or cipher of TLS in common; TLS 1.2 is the least that is used"
	}
	// What a server said itself has advice of its own (replyAdvice).
	if errors.Is(err, smtp.ErrUnsupported) {
		if _, refused := errors.AsType[*smtp.Error](err); !refused {
			return "the server cannot do it; if that is about TLS: --tls implicit for port 465, or --tls none, which sends in clear"
		}
	}
	return ""
}

// replyAdvice is about what a server said (RFC 5321, 4.2; RFC 4954, 6; RFC 3463).
func (o *connectOptions) replyAdvice(err error) string {
	// Codes come before enhanced codes where they are plain: half of the world's servers send no others.
	reply, ok := errors.AsType[*smtp.Error](err)
	if !ok {
		return ""
	}
	switch {
	// QUIRK: Gmail says 534 or 535 5.7.8 to the account's own password and wants one
	// made for the application; Microsoft says 535 5.7.139 where only OAuth works.
	case reply.Code == 535 && strings.HasPrefix(string(reply.Enhanced), "5.7.1"), reply.Code == 534:
		return "the server refuses this way to authenticate: use an application password, or a token with --auth XOAUTH2"
	case reply.Code == 535:
		return "user or password is wrong; large providers want an application password here, or a token with --auth XOAUTH2"
	case reply.Code == 530 && o.tls == "none" && o.user == "": // RFC 3207, 4 and RFC 4954, 6 have it alike
		return "the server wants TLS or credentials first: --tls starttls, or --user and --password-file"
	case reply.Code == 530 && o.tls == "none", reply.Code == 538:
		return "the server wants TLS first: --tls starttls"
	case reply.Code == 530, reply.Code == 550 && reply.Enhanced == "5.7.0" && o.user == "":
		return "the server wants credentials: give --user and --password-file"
	case reply.Code == 454 && reply.Verb == "AUTH":
		return "the server cannot check passwords just now: try again later"
	case reply.Code/100 == 5 && reply.Enhanced == "5.7.1" && reply.Verb == "RCPT" && o.user == "":
		return "the server does not pass on mail for you: authenticate with --user, or send to your provider's server"
	case reply.Code == 552, reply.Enhanced == "5.3.4":
		return "the message, or the mailbox, is too large: send less, or a link"
	case (reply.Code == 450 || reply.Code == 451) && reply.Verb == "RCPT":
		return "the server may take it at a second try: wait some minutes"
	case reply.Code/100 == 4:
		return "try again later"
	}
	return ""
}

// networkAdvice is about getting there.
func networkAdvice(err error) string {
	// Several of these hold of one error, as each layer wraps the one below; the order of the cases decides.
	dns, isDNS := errors.AsType[*net.DNSError](err)
	// What is looked up for a port that is a word is no host.
	isPort := isDNS && dns.Err == "unknown port"
	timeout, isNet := errors.AsType[net.Error](err)
	op, isOp := errors.AsType[*net.OpError](err)
	// The name comes before the connection, and why it failed before that it did: a
	// lookup that timed out is a time-out too.
	switch {
	case isPort:
		return "a port is a number: write HOST:PORT"
	case isDNS && dns.IsNotFound:
		return "there is no host of this name: check its spelling"
	case isDNS:
		return "the name cannot be looked up: check the network"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port, and that the server runs"
	case errors.Is(err, context.Canceled):
		return "" // by the user
	case isOp && op.Op == "dial" && op.Timeout():
		return "no answer: many networks block port 25; submission is port 587, or 465 with TLS from the beginning"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		return "the server says nothing: it is busy, or waits for TLS to begin, as on port 465: --tls implicit"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "the server hung up; if it is port 465, it wants TLS from the beginning: --tls implicit"
	}
	return ""
}
