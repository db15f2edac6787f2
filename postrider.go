// Package postrider is the short way: [Send] sends one message, [Open] makes a Sender from a URL, [Serve] receives mail.
//
// Each is a few lines over the packages that do the work: mail composes and parses, smtp is both sides of the wire. Use
// those where more is to be said. RFC 5321 and 8314.
package postrider

import (
	"context"
	"errors"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Send sends one message over a connection of its own to the server that url names, as [Open] reads it, for the
// message's recipients. The results are those of smtp.Sender: one for each recipient, in the order of m.Recipients. They
// are nil only if nothing was tried, because the URL or the message is wrong. The error is nil only if every recipient was
// accepted. It may be called from anywhere at once; m must not be changed until it has returned. For more than one message
// Open is better, which keeps the connection.
func Send(ctx context.Context, url string, m *mail.Message) ([]smtp.Result, error) {
	s, err := Open(url)
	if err != nil {
		return nil, err
	}
	results, err := Deliver(ctx, s, m)
	// Whatever becomes of the connection now, the message's fate is known.
	s.Close()
	return results, err
}

// Deliver sends a message by s. The envelope is taken from it: the sender is Sender, or the first author; the recipients
// are those of To, Cc and Bcc, each once. Results and error are those of s; results are nil also when the message has no
// author or no recipients. It may be called at once where s may.
func Deliver(ctx context.Context, s smtp.Sender, m *mail.Message) ([]smtp.Result, error) {
	env, err := envelope(m)
	if err != nil {
		return nil, err
	}
	return s.Send(ctx, env, m)
}

// envelope takes the envelope from the fields, as RFC 5322, 3.6.2 means them: Sender is who transmits, From who wrote.
// With several authors the first is taken, since an envelope has one sender (RFC 5321, 3.3).
func envelope(m *mail.Message) (*smtp.Envelope, error) {
	from := m.Originator()
	if from == "" {
		return nil, errors.New("postrider: the message has no author: set From")
	}
	to := m.Recipients()
	if len(to) == 0 {
		return nil, errors.New("postrider: the message has no recipients: set To, Cc or Bcc")
	}
	// Bcc is in the envelope only; the message is written without it (RFC 5322, 3.6.3).
	return smtp.NewEnvelope(from, to...), nil
}
