package inbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/archive"
	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Messages that come by HTTP: to be kept, or to be sent.

// An upload is the message of a request with an envelope for it.
type upload struct {
	Arrival
	msg    io.WriterTo
	fields mail.Header // as far as they were looked at; none if it was composed
	head   []byte      // up to maxHead of one that comes as it is, and behind it the rest
	rest   io.Reader
	open   []Body // the messages of which it takes something along
}

// Close lets go of what the message was made of. It must have been written.
func (u *upload) Close() {
	for _, b := range u.open {
		b.Close()
	}
}

// read hands what the message writes to fn, which need not read to its end.
func (u *upload) read(fn func(r io.Reader) error) error {
	if r, ok := u.msg.(io.Reader); ok {
		return fn(r) // as it came: nothing is copied
	}
	r, w := io.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() {
		_, err := u.msg.WriteTo(w)
		w.CloseWithError(err) // nil is io.EOF
	})
	defer writing.Wait() // what it is made of stays open for so long
	defer r.Close()
	return fn(r)
}

// apiInject keeps a message that did not come by SMTP: message/rfc822 as it is,
// or one composed from JSON.
func (in *Inbox) apiInject(w http.ResponseWriter, r *http.Request) error {
	u, err := in.upload(w, r)
	if err != nil {
		return err
	}
	defer u.Close()
	told := r.URL.Query().Get("received")
	if u.Received, err = receivedOf(told, u.fields, time.Now()); err != nil {
		return err
	}
	var note archive.Note
	archived := false
	if told != "" {
		note, archived = u.archived(time.Now())
	}
	var id string
	err = u.read(func(msg io.Reader) (err error) {
		// keep tells Run; the client may ask for the message at once.
		id, err = in.keep(r.Context(), &u.Arrival, msg)
		return err
	})
	if err != nil {
		return err
	}
	if archived && (!note.Unread || len(note.Tags) > 0) {
		// It is kept, whatever comes of this: an error would have it put in again.
		if _, err := in.Store.Update(r.Context(), Change{Unread: &note.Unread, Tags: &note.Tags}, id); err != nil {
			in.logger().Warn("a message is unread and has no tags, other than in its archive", "id", id, "err", err)
		}
		in.hub.publish(Event{Kind: EventUpdate, ID: id})
	}
	w.Header().Set("Location", in.at(apiPath+"messages/"+id))
	answer(w, http.StatusCreated, map[string]string{"id": id})
	return nil
}

// archived takes off what export has put above a message, and takes from it when the
// message arrived and its envelope. It tells whether there was anything that can be true.
func (u *upload) archived(now time.Time) (archive.Note, bool) {
	noTag := func(tag string) bool { return !isTag(tag) }
	note, msg, ok := archive.Cut(u.head)
	if ok = ok && !note.Received.After(now) && note.Received.Year() >= 1970 && !slices.ContainsFunc(note.Tags, noTag); ok {
		u.Received, u.Envelope = note.Received, *smtp.NewEnvelope(note.Sender, note.Recipients...)
		u.head, u.msg = msg, readerWriter{io.MultiReader(bytes.NewReader(msg), u.rest)}
	}
	return note, ok
}

// receivedOf returns when a message that is put in has arrived: zero, which is now,
// unless another time is told, or to take that of its fields, of which the Received
// field that was put on last is the nearest (RFC 5321, 4.4). What these say of the
// future is wrong, and so is what cannot be read; nobody else was told it.
func receivedOf(told string, fields mail.Header, now time.Time) (time.Time, error) {
	if told == "" {
		return time.Time{}, nil
	}
	if told != "message" {
		at, err := time.Parse(time.RFC3339, told)
		if err != nil || at.After(now) || at.Year() < 1970 {
			return at, refuse(http.StatusBadRequest, "received is a time as RFC 3339 has it, which is past, or the word message")
		}
		return at, nil
	}
	var dates []time.Time
	for f := range fields.Named("Received") {
		dates = append(dates, mail.ParseReceived(f.Value()).Date)
	}
	for f := range fields.Named("Date") {
		at, _ := mail.ParseDate(f.Value()) // zero if it is none
		dates = append(dates, at)
	}
	// The first that can be true: clocks that were wrong are common in old mail.
	for _, at := range dates {
		if !at.After(now) && at.Year() >= 1970 {
			return at, nil
		}
	}
	return time.Time{}, nil
}

// upload reads the message of a request. The upload has to be closed.
func (in *Inbox) upload(w http.ResponseWriter, r *http.Request) (*upload, error) {
	// Bounded before any of it is read. A browser sends these two types from another
	// site only after it has asked, and is told no.
	limit := in.MaxUpload
	if limit == 0 {
		limit = maxUpload
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	// A type that cannot be read is one of those that are not taken.
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	u := new(upload)
	err := refuse(http.StatusUnsupportedMediaType, "the body must be message/rfc822 or application/json")
	switch media {
	case "message/rfc822":
		err = u.raw(body)
	case "application/json":
		err = u.json(r.Context(), in, body)
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// raw takes the envelope from the fields at the beginning of a message.
func (u *upload) raw(body io.Reader) error {
	// Only as much as any header has is held in memory; the rest streams to the store.
	head, err := io.ReadAll(io.LimitReader(body, maxHead))
	if err != nil {
		return err
	}
	// Any octets are a message to the parser; none are surely a mistake.
	if len(head) == 0 {
		return refuse(http.StatusBadRequest, "the message is empty")
	}
	m, err := mail.Parse(bytes.NewReader(head))
	if err != nil {
		return err
	}
	u.Envelope, u.fields = delivered(m), m.Header
	u.head, u.rest = head, body
	u.msg = readerWriter{io.MultiReader(bytes.NewReader(head), body)}
	return nil
}

// json composes a message.
func (u *upload) json(ctx context.Context, in *Inbox, body io.Reader) error {
	j, err := mailjson.Read(body)
	if err != nil {
		if unread(err) {
			return err
		}
		return refuse(http.StatusBadRequest, "the body is the JSON of a message: %s", jsonProblem(err))
	}
	if err := u.takeAlong(ctx, in, j.Attachments); err != nil {
		return err
	}
	// Frozen, so that Date, Message-ID and boundaries are the same however often it is
	// written.
	m, err := j.Compose()
	if err == nil {
		u.msg, err = m.Freeze()
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", inWords(err))
	}
	u.Envelope = envelopeOf(m)
	// What the JSON says of the envelope comes before what its fields say: a test sends
	// to one what is addressed to another.
	e := cmp.Or(j.Envelope, &mailjson.Envelope{})
	if e.Sender != "" {
		u.Envelope.From = e.Sender
	}
	if len(e.Recipients) > 0 {
		u.Envelope.To = smtp.NewEnvelope("", e.Recipients...).To
	}
	return u.check()
}

// check refuses addresses of an envelope that no session could have brought.
func (u *upload) check() error {
	for _, address := range u.recipients() {
		if err := (mail.Address{Address: address}).Validate(); err != nil {
			return refuse(http.StatusBadRequest, "recipients: %s", inWords(err))
		}
	}
	if u.Envelope.From == "" {
		return nil // the null reverse-path (RFC 5321, 4.5.5)
	}
	if err := (mail.Address{Address: u.Envelope.From}).Validate(); err != nil {
		return refuse(http.StatusBadRequest, "sender: %s", inWords(err))
	}
	return nil
}

// takeAlong opens what the message takes along of others in the inbox. They are
// not read before it is written, however large they are.
func (u *upload) takeAlong(ctx context.Context, in *Inbox, list []mailjson.Attachment) error {
	found := map[string]*mail.Message{}
	// One message may give many parts: it is opened once, and closed with the upload.
	for i := range list {
		a := &list[i]
		if a.Message == "" {
			continue // it has its own content
		}
		m := found[a.Message]
		if m == nil {
			if len(u.open) == maxTaken {
				return refuse(http.StatusBadRequest, "the attachments are of more than %d messages", maxTaken)
			}
			b, err := in.Store.Open(ctx, a.Message)
			if errors.Is(err, ErrNotFound) {
				return refuse(http.StatusBadRequest, "attachment %d: there is no message %s", i+1, oneLine(a.Message, 50))
			}
			if err != nil {
				return err
			}
			u.open = append(u.open, b)
			if m, err = mail.ParseAt(b, b.Size()); err != nil {
				return err
			}
			found[a.Message] = m
		}
		if !take(a, m) {
			return refuse(http.StatusBadRequest, "attachment %d: the message has no part %s", i+1, oneLine(a.Part, 50))
		}
	}
	return nil
}

// take makes an attachment a part of m, or m itself, under the name and type that
// it has there unless the attachment has others.
func take(a *mailjson.Attachment, m *mail.Message) bool {
	var name, media string
	// Open reads when the message is written, from what takeAlong keeps open until then.
	if a.Part == "" {
		whole := m.Forward(mail.Address{}).Attachments[0]
		name, media, a.Open = whole.Name, whole.Type, whole.Open
	} else {
		part := m.Body.At(a.Part)
		if part == nil || part.IsMultipart() {
			return false
		}
		if media = mediaType(part); part.Name() != "" {
			name = safeName(part.Name(), a.Part, media)
		}
		a.Open = part.Reader
	}
	a.Name, a.Type = cmp.Or(a.Name, name), cmp.Or(a.Type, media)
	return true
}

// maxTaken is of how many messages one may take something along: each is kept
// open, and small ones are in memory.
const maxTaken = 20

// delivered takes an envelope from the fields that were put above a message when it
// was delivered (RFC 5321, 4.4), as export does; where there are none of these, from
// what it says of itself.
func delivered(m *mail.Message) smtp.Envelope {
	env := envelopeOf(m)
	var to []string
	for _, name := range []string{"Delivered-To", "X-Original-To"} {
		if len(to) > 0 {
			break // who it was for in the end; the other is from before aliases
		}
		for f := range m.Header.All() {
			if address, err := mail.ParseAddress(f.Text()); err == nil && strings.EqualFold(f.Name(), name) && !slices.Contains(to, address.Address) {
				to = append(to, address.Address)
			}
		}
	}
	if len(to) > 0 {
		env.To = smtp.NewEnvelope("", to...).To
	}
	for f := range m.Header.All() {
		if !strings.EqualFold(f.Name(), "Return-Path") {
			continue
		}
		// The last server's is the first one.
		if address, err := mail.ParseAddress(f.Text()); err == nil {
			env.From = address.Address
		} else if strings.TrimSpace(f.Text()) == "<>" {
			env.From = ""
		}
		break
	}
	return env
}

// envelopeOf takes an envelope from what a message says of itself, Bcc included.
func envelopeOf(m *mail.Message) smtp.Envelope {
	from := ""
	if len(m.From) > 0 {
		from = m.From[0].Address
	}
	return *smtp.NewEnvelope(from, m.Recipients()...)
}
