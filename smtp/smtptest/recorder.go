package smtptest

import (
	"bytes"
	"context"
	"fmt"
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

// What has arrived. A Recorder stands at both ends of package smtp: it is a Sender, for
// code that sends through one and needs no network in its tests, and a Handler, for what
// speaks SMTP. Either way a message is kept when it has arrived whole, and not before
// (RFC 5321, 4.1.1.4), so that a test that has seen it may look at all of it.

// A Recorder keeps messages in memory. It is an smtp.Sender, to be given to what
// sends, and an smtp.Handler. The zero Recorder accepts everything. It may be used
// from anywhere.
type Recorder struct {
	// OnRcpt decides on each recipient; nil accepts. Set it before the first message.
	OnRcpt func(rcpt string) error
	// Patience is how long Wait and One wait; 30 seconds if zero. They never outlast
	// the time that go test has: then it would say where it was and not what is missing.
	Patience time.Duration

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
	parsed, _ := mail.Parse(bytes.NewReader(m.Raw)) // an error would be the reader's, which has none
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
	// A context that has ended is looked at last before the message, as a network would:
	// who was refused was refused all the same.
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

// none gives all recipients that were not refused one error: Send's contract wants a
// result for each, whatever happened (smtp.Sender).
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

// Mail implements smtp.Handler. What the session knows is noted now: it may be another
// user's by the next message, or none's.
func (r *Recorder) Mail(_ context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	return &recording{r, &Message{
		Envelope: smtp.Envelope{From: from, Options: *opts}, Hello: c.Hello(), User: c.User(), TLS: c.TLS() != nil,
	}}, nil
}

// Offers implements smtp.Offerer: what a test wants to see arrive. Nothing is honoured of
// it beyond that it is recorded, which no client can tell.
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

// Wait waits for n messages and returns all that have arrived, in order. If they do not
// within Patience the test ends, and is told what has. What is asserted of them is told
// to t.
func (r *Recorder) Wait(t testing.TB, n int) []*Message {
	t.Helper()
	patience := r.patience(t)
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed, all := r.changed, slices.Clone(r.messages)
		r.mu.Unlock()
		if len(all) >= n {
			for i, m := range all {
				told := *m // a copy: another test may be told of the same message
				told.t = t
				all[i] = &told
			}
			return all
		}
		select {
		case <-changed:
		case <-timeout:
			var what strings.Builder
			for _, m := range all {
				fmt.Fprintf(&what, "\n%s", m)
			}
			t.Fatalf("smtptest: got %d messages in %v, want %d%s", len(all), patience.Round(time.Millisecond), n, what.String())
		}
	}
}

// patience returns how long a message may take. When go test's own time is over it
// ends the process, and no test gets to say anything: so we end a second before.
func (r *Recorder) patience(t testing.TB) time.Duration {
	patience := r.Patience
	if patience == 0 {
		patience = 30 * time.Second
	}
	// Benchmarks and fuzz targets have no deadline to ask for. In a bubble of testing/synctest, whose clock begins in the
	// year 2000, to ask is a panic: and time stands still there while anybody works.
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok && time.Now().Year() >= 2020 {
		if deadline, ok := d.Deadline(); ok {
			patience = min(patience, max(0, time.Until(deadline)-time.Second))
		}
	}
	return patience
}

// One waits for a message, and ends the test if it is not the only one.
func (r *Recorder) One(t testing.TB) *Message {
	t.Helper()
	all := r.Wait(t, 1)
	if len(all) > 1 {
		t.Fatalf("smtptest: got %d messages, want one; the second is %s", len(all), all[1])
	}
	return all[0]
}

// None fails the test if anything has arrived so far.
func (r *Recorder) None(t testing.TB) {
	t.Helper()
	for _, m := range r.Messages() {
		t.Errorf("smtptest: got %s, want none", m)
	}
}

// String tells which message it is: its sender, its recipients and its subject.
func (m *Message) String() string {
	return fmt.Sprintf("a message from %s for %s, %q", m.Envelope.From, m.recipients(), m.Mail().Subject)
}

func (m *Message) recipients() []string {
	var all []string
	for _, to := range m.Envelope.To {
		all = append(all, to.Address)
	}
	return all
}

// The assertions tell the test that One or Wait was given, and return m: they may be
// strung together. Of a Message that has come otherwise they panic.

// want is the one place where a failure is put into words: what it is about, what came
// and what should have.
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
