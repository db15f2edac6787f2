package inbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Leaving: the one way on which mail goes out of an inbox. It is asked for, one
// message at a time, and goes through Relay alone; without one nothing leaves.

// A fate is one recipient's, as the JSON interface tells it.
type fate struct {
	Recipient string `json:"recipient"`
	Fate      string `json:"fate"` // accepted, refused, deferred or unknown
	Host      string `json:"host"`
	ID        string `json:"id"` // "queued as"
	Code      int    `json:"code"`
	Enhanced  string `json:"enhanced"`
	Text      string `json:"text"`
}

// fates tells what has become of a message.
func fates(results []smtp.Result) []fate {
	list := []fate{}
	for _, r := range results {
		f := fate{Recipient: r.Rcpt, Fate: "accepted", Host: r.Host, ID: r.ID,
			Code: r.Reply.Code, Enhanced: string(r.Reply.Enhanced), Text: r.Reply.Text}
		if r.Err != nil {
			f.Fate = "refused"
			// Told apart so that nobody sends it once more without knowing: it may have been
			// delivered.
			if errors.Is(r.Err, smtp.ErrUnknown) {
				f.Fate = "unknown"
			} else if errors.Is(r.Err, smtp.ErrTemporary) {
				f.Fate = "deferred"
			}
			// The connection failed, say: then what was last said is no reply to the message, and
			// the error is all that is known.
			f.Code, f.Enhanced, f.Text = 0, "", r.Err.Error()
			if e, ok := errors.AsType[*smtp.Error](r.Err); ok {
				f.Code, f.Enhanced, f.Text = e.Code, string(e.Enhanced), cmp.Or(e.Text, f.Text)
			}
		}
		list = append(list, f)
	}
	return list
}

// Release sends a message that is in the inbox through Relay, to the recipients of
// its envelope or, if to is not empty, to those in it; sender "" is the envelope's.
// The bytes are those that arrived, but for what may not go further: Bcc, and what
// an earlier delivery noted above it, as Return-Path and Delivered-To. If one of the recipients was accepted the message has the tag "released"
// from then on. It returns as Relay's Send does; without a Relay and for an id that is
// not there it fails without results.
func (in *Inbox) Release(ctx context.Context, id, sender string, to ...string) ([]smtp.Result, error) {
	return in.sendOn(ctx, id, sender, to, nil)
}

// Resend is Release with a block of Resent fields above what arrived (RFC 5322,
// 3.6.6), from whoever sends it on and for to or, if that is empty, for the
// recipients of the envelope. The envelope's sender is from too: it gets the report
// if the message cannot be delivered.
func (in *Inbox) Resend(ctx context.Context, id string, from mail.Address, to ...string) ([]smtp.Result, error) {
	if err := from.Validate(); err != nil {
		return nil, refuse(http.StatusBadRequest, "resent_from: %v", err)
	}
	return in.sendOn(ctx, id, from.Address, to, &from)
}

// sendOn sends a message on; resent nil adds nothing to it.
func (in *Inbox) sendOn(ctx context.Context, id, sender string, to []string, resent *mail.Address) ([]smtp.Result, error) {
	if in.Relay == nil {
		return nil, errNoRelay
	}
	e, err := in.Store.Entry(ctx, id)
	if err != nil {
		return nil, err
	}
	env := e.Envelope
	// What the client asked of us for its delivery, other hosts were not asked. That
	// the message travels by TLS alone was asked of all (RFC 8689, 4.2.1). That there may
	// be octets beyond ASCII in it is true of every message, and many do not say so.
	env.Options = smtp.MailOptions{UTF8: env.Options.UTF8, Body: cmp.Or(env.Options.Body, smtp.Body8BitMIME), RequireTLS: env.Options.RequireTLS}
	// "" stays the envelope's: the null sender of a report is kept by saying nothing.
	if sender != "" {
		env.From = sender
	}
	if len(to) == 0 {
		to = e.recipients()
	}
	env.To = smtp.NewEnvelope("", to...).To
	if len(env.To) == 0 {
		return nil, refuse(http.StatusBadRequest, "the message has no recipients: name some")
	}
	// Open until Relay has it: a Delete meanwhile does not take it away.
	b, err := in.Store.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	head, err := resentBlock(resent, env.To)
	if err != nil {
		return nil, err
	}
	arrived, err := io.ReadAll(io.NewSectionReader(b, 0, maxHead))
	if err != nil {
		return nil, err
	}
	header, length, err := outgoing(arrived)
	if err != nil {
		return nil, err
	}
	results, err := in.Relay.Send(ctx, &env, bodyWriter{head + header, b, length})
	session, _ := ParseSession(e.Session) // "" has an empty one
	log := in.logger().With("id", id)
	if session != nil {
		log = log.With("session", session.ID)
	}
	left(log, "message released", results)
	in.released(ctx, e.ID, results)
	return results, err
}

// tagReleased is put on messages that somebody has got by Relay.
const tagReleased = "released"

// released tags a message that has left, so that the list tells it from those that have not.
func (in *Inbox) released(ctx context.Context, id string, results []smtp.Result) {
	if !slices.ContainsFunc(results, func(r smtp.Result) bool { return r.Err == nil }) {
		return
	}
	// It has left, whatever becomes of the tag; and who asked may have gone.
	if _, err := in.Store.Update(context.WithoutCancel(ctx), Change{Tag: []string{tagReleased}}, id); err != nil {
		in.logger().Error("a message that was released cannot be tagged", "id", id, "err", err)
		return
	}
	in.hub.publish(Event{Kind: EventUpdate, ID: id})
}

// left logs what has become of a message that has left.
func left(log *slog.Logger, how string, results []smtp.Result) {
	for _, f := range fates(results) {
		log.Info(how, "recipient", f.Recipient, "fate", f.Fate, "host", f.Host, "code", f.Code, "text", f.Text, "queued", f.ID)
	}
}

var errNoRelay = refuse(http.StatusConflict, "nothing may leave: start the server with --relay URL")

// resentBlock gives the fields that Resend adds. They are all that is written of
// the message that mail makes: what arrived follows as it is, its signatures unharmed.
func resentBlock(from *mail.Address, to []smtp.Recipient) (string, error) {
	if from == nil {
		return "", nil
	}
	var list []mail.Address
	for _, r := range to {
		list = append(list, mail.Address{Address: r.Address})
	}
	block := new(mail.Message).Resend(*from, list...).Header
	if err := block.Validate(); err != nil {
		return "", refuse(http.StatusBadRequest, "%s", inWords(err))
	}
	var b strings.Builder
	_, err := block.WriteTo(&b)
	return b.String(), err
}

// outgoing returns the header at the beginning of a message as it may leave, and how
// long it was: nobody may see Bcc (RFC 5322, 3.6.3 and 3.6.6), and Return-Path is for
// whoever delivers it in the end (RFC 5321, 4.4). So is what a delivery before has put
// above it: it names those who were hidden, and the host that delivers it next takes one of
// them for a loop. Else it keeps its octets, as a signature wants (RFC 6376, 3.7).
func outgoing(head []byte) (header string, length int64, err error) {
	var kept strings.Builder
	for f := range mail.ParseHeader(string(head)).All() {
		length += int64(len(f.Raw()))
		switch strings.ToLower(f.Name()) {
		case "bcc", "resent-bcc", "return-path", "delivered-to", "x-original-to", "x-postrider-kept":
		default:
			kept.WriteString(f.Raw())
		}
	}
	// What could not be looked at might name somebody.
	if length == maxHead {
		return "", 0, refuse(http.StatusBadRequest, "the message's header is longer than %d KiB", maxHead>>10)
	}
	return kept.String(), length, nil
}

// A bodyWriter writes a header and a Body from an octet on; as often as it is asked to.
type bodyWriter struct {
	head string
	body Body
	from int64
}

func (b bodyWriter) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.MultiReader(strings.NewReader(b.head), io.NewSectionReader(b.body, b.from, b.body.Size()-b.from)))
}

// Repeatable implements smtp.Repeatable.
func (bodyWriter) Repeatable() bool { return true }

// Size implements smtp.Sizer, so that a server which takes none so large says so at
// MAIL. Line ends may be repaired on the way: RFC 1870, 6 lets it be an estimate.
func (b bodyWriter) Size() (int64, error) {
	return int64(len(b.head)) + b.body.Size() - b.from, nil
}

// apiRelease sends a message on.
func (in *Inbox) apiRelease(w http.ResponseWriter, r *http.Request) error {
	var to struct {
		Sender     string   `json:"sender"`
		Recipients []string `json:"recipients"`
		ResentFrom string   `json:"resent_from"`
	}
	// Without a body it goes as its envelope says, which is what is mostly wanted.
	if r.ContentLength != 0 {
		if err := decode(w, r, &to, "sender and resent_from (strings) and recipients (a list of strings)"); err != nil {
			return err
		}
	}
	if to.ResentFrom == "" {
		results, err := in.Release(r.Context(), r.PathValue("id"), to.Sender, to.Recipients...)
		return in.answerFates(w, results, err)
	}
	from, err := mail.ParseAddress(to.ResentFrom)
	if err != nil || to.Sender != "" {
		return refuse(http.StatusBadRequest, "resent_from is one address, and the sender")
	}
	results, err := in.Resend(r.Context(), r.PathValue("id"), from, to.Recipients...)
	return in.answerFates(w, results, err)
}

// apiSend sends a message through Relay that is in no inbox.
func (in *Inbox) apiSend(w http.ResponseWriter, r *http.Request) error {
	if in.Relay == nil {
		return errNoRelay
	}
	u, err := in.upload(w, r)
	if err != nil {
		return err
	}
	defer u.Close()
	if len(u.Envelope.To) == 0 {
		return refuse(http.StatusBadRequest, "the message has no recipients")
	}
	// What is composed has no such fields, and knows by itself which octets it has.
	if u.head != nil {
		header, length, err := outgoing(u.head)
		if err != nil {
			return err
		}
		u.msg = readerWriter{io.MultiReader(strings.NewReader(header), bytes.NewReader(u.head[length:]), u.rest)}
		u.Envelope.Options.Body = smtp.Body8BitMIME
	}
	results, err := in.Relay.Send(r.Context(), &u.Envelope, u.msg)
	left(in.logger().With("sender", u.Envelope.From), "message sent", results)
	return in.answerFates(w, results, err)
}

// A readerWriter writes what a reader has, once: Relay keeps it if it has to.
type readerWriter struct{ io.Reader }

func (r readerWriter) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, r.Reader) }

// answerFates tells what has become of a message: 200 if all recipients were
// accepted, else 502, with the same body.
func (in *Inbox) answerFates(w http.ResponseWriter, results []smtp.Result, err error) error {
	// By recipient, as one message may be accepted for some.
	for _, r := range results {
		in.meter.released.Add(1)
		if r.Err == nil {
			in.meter.accepted.Add(1)
		}
	}
	if len(results) == 0 && err != nil {
		return err // it was not tried: that has a status of its own
	}
	status, text := http.StatusOK, ""
	if err != nil {
		status, text = http.StatusBadGateway, "not all recipients were accepted"
	}
	answer(w, status, struct {
		Results []fate `json:"results"`
		Error   string `json:"error,omitempty"`
	}{fates(results), text})
	return nil
}
