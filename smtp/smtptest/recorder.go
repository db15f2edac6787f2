package smtptest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// A Recorder keeps messages in memory. It is an smtp.Sender, to be given to what
// sends, and an smtp.Handler. The zero Recorder accepts everything. It may be used
// from anywhere.
type Recorder struct {
	// OnRcpt decides on each recipient; nil accepts. Set it before the first message.
	OnRcpt func(rcpt string) error

	mu       sync.Mutex
	messages []*Message
	changed  chan struct{} // closed at the next message
}

var _ smtp.SendCloser = (*Recorder)(nil)

// A Message is one that was recorded.
type Message struct {
	Envelope smtp.Envelope // the recipients that were accepted
	Raw      []byte        // as it came, lines ending in CRLF
	Hello    string        // what the client called itself; "" of a Recorder that is a Sender
	User     string        // whom it had authenticated as; "" if it had not
	TLS      bool          // it came in TLS

	t testing.TB // whom assertions are told
}

// Mail returns the message parsed. Every call parses it anew.
func (m *Message) Mail() *mail.Message {
	parsed, err := mail.Parse(bytes.NewReader(m.Raw))
	if err != nil {
		parsed = &mail.Message{}
		if m.t != nil {
			m.t.Helper()
			m.t.Errorf("smtptest: the message cannot be parsed: %v\n%s", err, m.Raw)
		}
	}
	return parsed
}

func (r *Recorder) add(m *Message) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return strconv.Itoa(len(r.messages))
}

// Send implements smtp.Sender: it keeps the message for the recipients that
// OnRcpt accepts.
func (r *Recorder) Send(ctx context.Context, env *smtp.Envelope, msg io.WriterTo) ([]smtp.Result, error) {
	results := make([]smtp.Result, len(env.To))
	kept := smtp.Envelope{From: env.From, Options: env.Options}
	var refused error
	for i, to := range env.To {
		results[i].Rcpt = to.Address
		if r.OnRcpt != nil {
			results[i].Err = r.OnRcpt(to.Address)
		}
		if results[i].Err != nil {
			refused = &smtp.SendError{Results: results}
			continue
		}
		kept.To = append(kept.To, to)
	}
	if err := ctx.Err(); err != nil {
		return r.none(results, err)
	}
	if len(kept.To) == 0 {
		return results, refused
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return r.none(results, err)
	}
	id := r.add(&Message{Envelope: kept, Raw: raw.Bytes()})
	for i := range results {
		if results[i].Err == nil {
			results[i].ID, results[i].Reply = id, smtp.Reply{Code: 250, Enhanced: "2.0.0", Text: "ok: queued as " + id}
		}
	}
	return results, refused
}

// none gives all recipients that were not refused one error.
func (r *Recorder) none(results []smtp.Result, err error) ([]smtp.Result, error) {
	for i := range results {
		if results[i].Err == nil {
			results[i].Err = err
		}
	}
	return results, &smtp.SendError{Results: results}
}

// Close implements smtp.SendCloser and does nothing.
func (r *Recorder) Close() error { return nil }

// Mail implements smtp.Handler.
func (r *Recorder) Mail(_ context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	return &recording{r, &Message{
		Envelope: smtp.Envelope{From: from, Options: *opts}, Hello: c.Hello(), User: c.User(), TLS: c.TLS() != nil,
	}}, nil
}

// Offers implements smtp.Offerer: what a test wants to see arrive.
func (r *Recorder) Offers() []string {
	return []string{"DSN", "BINARYMIME", "REQUIRETLS", "DELIVERBY", "FUTURERELEASE 604800", "MT-PRIORITY"}
}

type recording struct {
	recorder *Recorder
	message  *Message
}

func (x *recording) Rcpt(_ context.Context, to string, opts *smtp.RcptOptions) error {
	if on := x.recorder.OnRcpt; on != nil {
		if err := on(to); err != nil {
			return err
		}
	}
	x.message.Envelope.To = append(x.message.Envelope.To, smtp.Recipient{Address: to, Options: *opts})
	return nil
}

func (x *recording) Data(_ context.Context, r io.Reader) (string, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	x.message.Raw = raw
	return x.recorder.add(x.message), nil
}

// Messages returns what has arrived so far, in order.
func (r *Recorder) Messages() []*Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Reset forgets what has arrived.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = nil
}

// patience is how long a message may take that a test waits for.
const patience = 10 * time.Second

// Wait waits for n messages and returns all that have arrived. If they do not
// within ten seconds the test ends.
func (r *Recorder) Wait(t testing.TB, n int) []*Message {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed, all := r.changed, slices.Clone(r.messages)
		r.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("smtptest: got %d messages in %v, want %d", len(all), patience, n)
		}
	}
}

// One waits for a message, and ends the test if it is not the only one. What is
// asserted of it is told to t.
func (r *Recorder) One(t testing.TB) *Message {
	t.Helper()
	all := r.Wait(t, 1)
	if len(all) > 1 {
		t.Fatalf("smtptest: got %d messages, want one", len(all))
	}
	m := *all[0]
	m.t = t
	return &m
}

// None fails the test if anything has arrived so far.
func (r *Recorder) None(t testing.TB) {
	t.Helper()
	for _, m := range r.Messages() {
		t.Errorf("smtptest: got a message from %q for %q, want none", m.Envelope.From, m.recipients())
	}
}

func (m *Message) recipients() []string {
	var all []string
	for _, to := range m.Envelope.To {
		all = append(all, to.Address)
	}
	return all
}

// The assertions tell the test that One was given, and return m: they may be
// strung together. Of a Message that is not from One they panic.

func (m *Message) want(ok bool, what string, got, want any) *Message {
	m.t.Helper()
	if !ok {
		m.t.Errorf("smtptest: %s: got %q, want %q", what, got, want)
	}
	return m
}

// HasSender fails the test unless MAIL said sender.
func (m *Message) HasSender(sender string) *Message {
	m.t.Helper()
	return m.want(m.Envelope.From == sender, "sender", m.Envelope.From, sender)
}

// HasRecipients fails the test unless the message was for these, in any order.
func (m *Message) HasRecipients(recipients ...string) *Message {
	m.t.Helper()
	got := m.recipients()
	return m.want(slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(recipients))), "recipients", got, recipients)
}

// HasFrom fails the test unless an author has the address.
func (m *Message) HasFrom(address string) *Message {
	m.t.Helper()
	return m.has("From", m.Mail().From, address)
}

// HasTo fails the test unless the To field has the address.
func (m *Message) HasTo(address string) *Message {
	m.t.Helper()
	return m.has("To", m.Mail().To, address)
}

// HasCc fails the test unless the Cc field has the address.
func (m *Message) HasCc(address string) *Message {
	m.t.Helper()
	return m.has("Cc", m.Mail().Cc, address)
}

func (m *Message) has(field string, got []mail.Address, address string) *Message {
	m.t.Helper()
	ok := slices.ContainsFunc(got, func(a mail.Address) bool { return a.Address == address })
	return m.want(ok, field, got, address)
}

// HasSubject fails the test unless the subject, decoded, is this.
func (m *Message) HasSubject(subject string) *Message {
	m.t.Helper()
	got := m.Mail().Subject
	return m.want(got == subject, "subject", got, subject)
}

// HasText fails the test unless the plain text holds part.
func (m *Message) HasText(part string) *Message {
	m.t.Helper()
	got := m.Mail().Text
	return m.want(strings.Contains(got, part), "text", got, part)
}

// HasHTML fails the test unless the HTML holds part.
func (m *Message) HasHTML(part string) *Message {
	m.t.Helper()
	got := m.Mail().HTML
	return m.want(strings.Contains(got, part), "HTML", got, part)
}

// HasField fails the test unless a field of the header has the value, decoded.
func (m *Message) HasField(name, value string) *Message {
	m.t.Helper()
	h := m.Mail().Header
	got := h.Text(name)
	return m.want(got == value, name, got, value)
}

// HasAttachment fails the test unless a file of that name is attached.
func (m *Message) HasAttachment(name string) *Message {
	m.t.Helper()
	var got []string
	for _, a := range m.Mail().Attachments {
		got = append(got, a.Name)
	}
	return m.want(slices.Contains(got, name), "attachments", got, name)
}
