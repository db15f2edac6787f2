package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/postrider/postrider/smtp"
)

// What serve logs of mail that did not arrive: whoever runs a server is asked about it, by people who have not read their
// bounces. Of what arrived the inbox tells. It stands before all other Handlers, so that it hears what any of them
// refuses; it changes nothing, and an answer does not wait for it longer than a line takes to be written.

// A refusals is an smtp.Handler that logs what Handler refuses, and with which reply. An error that is no reply is a fault
// of this side, which the server logs itself.
type refusals struct {
	smtp.Handler
	log *slog.Logger
}

// Offers implements smtp.Offerer: what the Handler offers.
func (r refusals) Offers() []string {
	if o, ok := r.Handler.(smtp.Offerer); ok {
		return o.Offers()
	}
	return nil
}

// Mail implements smtp.Handler.
func (r refusals) Mail(ctx context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	t, err := r.Handler.Mail(ctx, c, from, opts)
	refused := refusing{t, r.log, c, from}
	if err != nil {
		refused.tell("sender refused", err)
		return nil, err
	}
	return refused, nil
}

// A refusing is the Transaction of a message: it knows what a line must have for the sender to be found again.
type refusing struct {
	smtp.Transaction
	log    *slog.Logger
	conn   *smtp.Conn
	sender string
}

// Rcpt implements smtp.Transaction. Each recipient who is refused has a line: a message may still go to others.
func (t refusing) Rcpt(ctx context.Context, to string, opts *smtp.RcptOptions) error {
	err := t.Transaction.Rcpt(ctx, to, opts)
	t.tell("recipient refused", err, "recipient", to)
	return err
}

// Data implements smtp.Transaction.
func (t refusing) Data(ctx context.Context, r io.Reader) (string, error) {
	id, err := t.Transaction.Data(ctx, r)
	t.tell("message refused", err)
	return id, err
}

// tell logs an error that is a reply.
func (t refusing) tell(what string, err error, more ...any) {
	if e, ok := errors.AsType[*smtp.Error](err); ok {
		t.log.With("session", t.conn.ID(), "remote", t.conn.RemoteAddr(), "sender", t.sender).With(more...).Info(what, "error", e)
	}
}
