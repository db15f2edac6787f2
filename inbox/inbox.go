package inbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Accepting mail: what a session told is noted, the bytes go to the Store as
// they come, and what the Store's Add returns is the answer.

// An Inbox keeps mail in a Store and shows it. It is an smtp.Handler that
// accepts every recipient, and an http.Handler for the page and the JSON
// interface. Fields must not change once it is in use; its methods may be called
// at the same time.
type Inbox struct {
	// Store keeps the messages; it must be set. Closing it is its owner's affair.
	Store Store
	// Hosts are names, besides localhost and loopback addresses, by which the page
	// may be asked for. A request by any other name is refused, so that a site
	// whose name is made to point here cannot read mail (DNS rebinding).
	Hosts []string
	// Root is the path at which the page and the interface are for who asks, "/mail"
	// behind a proxy that has other things beside them; "": "/". Requests may come
	// with it or, where the proxy has cut it off, without.
	Root string
	// SMTP is the address that the empty page tells to send mail to; "": it tells
	// none.
	SMTP string
	// OnMail is called for each message once it has been indexed, in order of
	// arrival, by Run. nil: nothing.
	OnMail func(*Entry)
	// Keep says what is deleted by and by, by Run. The zero Retention: nothing.
	Keep Retention
	// Rule puts messages into one of several inboxes. nil: there is one.
	Rule Rule
	// Relay is what messages are released and sent through. nil: none can leave.
	Relay smtp.Sender
	// Offer are extensions that are announced for clients to be tried with, in the
	// words of smtp.Offerer. What they ask for is noted and shown, and nothing comes
	// of it: no report is sent and nothing is held back. nil: none.
	Offer []string
	// MaxUpload is how many octets POST takes; 64 MiB if zero.
	MaxUpload int64
	// Logger hears of each message that arrives and that is released, with its id and
	// its session's, and of what went wrong and could not be told to anybody; nil:
	// slog.Default().
	Logger *slog.Logger

	sessions recorder
	faults   faultSet
	meter    meter

	once  sync.Once // for setUp
	web   http.Handler
	wake  chan struct{} // tells Run that there is work; has room for one
	hurry chan struct{} // tells Run that a request waits for it; has room for one
	hub   hub

	mu     sync.Mutex
	newest string        // id of the newest message that was accepted
	known  string        // id up to which all messages are indexed
	stuck  error         // why it does not get on; nil if it does
	moved  chan struct{} // closed and made anew when known moves
}

// setUp makes what the zero Inbox lacks.
func (in *Inbox) setUp() {
	in.once.Do(func() {
		in.wake, in.hurry, in.moved = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
		in.web = in.routes()
	})
}

func (in *Inbox) logger() *slog.Logger {
	if in.Logger != nil {
		return in.Logger
	}
	return slog.Default()
}

// Offers implements smtp.Offerer.
func (in *Inbox) Offers() []string { return in.Offer }

// Mail implements smtp.Handler. c may be nil where mail does not come from a
// session.
func (in *Inbox) Mail(_ context.Context, c *smtp.Conn, from string, opts *smtp.MailOptions) (smtp.Transaction, error) {
	t := &transaction{inbox: in, conn: c}
	t.arrival.Envelope.From = from
	t.arrival.Envelope.Options = *opts
	if c == nil {
		return t, nil
	}
	t.arrival.Host, t.arrival.User, t.arrival.IP = c.Hello(), c.User(), addressOf(c)
	if addr := c.LocalAddr(); addr != nil && in.Rule != nil {
		t.arrival.Listener = addr.String()
	}
	if state := c.TLS(); state != nil {
		t.arrival.TLS = tls.VersionName(state.Version)
	}
	return t, nil
}

// A transaction is one message on its way in.
type transaction struct {
	inbox   *Inbox
	conn    *smtp.Conn // nil if it does not come from a session
	arrival Arrival
}

func (t *transaction) Rcpt(_ context.Context, to string, opts *smtp.RcptOptions) error {
	t.arrival.Envelope.To = append(t.arrival.Envelope.To, smtp.Recipient{Address: to, Options: *opts})
	return nil
}

func (t *transaction) Data(ctx context.Context, r io.Reader) (string, error) {
	a := &t.arrival
	if t.conn != nil {
		if r := t.inbox.sessions.of(t.conn.ID()); r != nil {
			a.Session = r.text()
		}
	}
	var fault *Fault
	if t.inbox.faults.set.Load() {
		fault = t.inbox.faults.find(occasion{conn: t.conn, verb: "END", sender: a.Envelope.From, subjects: a.recipients()})
	}
	if fault == nil {
		return t.inbox.keep(ctx, a, r)
	}
	if fault.refuses() {
		// The client has to have sent it all before it is told.
		_, err := io.Copy(io.Discard, r)
		return "", cmp.Or(err, fault.happen(ctx, t.conn))
	}
	id, err := t.inbox.keep(ctx, a, r)
	return id, cmp.Or(err, fault.happen(ctx, t.conn))
}

// keep stores a message and tells everybody who waits for it. A full disk is
// the one failure that the client is told of: it may try again elsewhere or
// later (RFC 3463, X.3.1); anything else is 451 and goes to the server's log.
func (in *Inbox) keep(ctx context.Context, a *Arrival, r io.Reader) (string, error) {
	began := time.Now()
	if a.Received.IsZero() {
		a.Received = began
	}
	if in.Rule != nil {
		a.Inbox = in.Rule(a)
	}
	counted := &counter{Reader: r}
	id, err := in.Store.Add(ctx, a, counted)
	if err != nil {
		if errors.Is(err, ErrFull) {
			in.meter.full.Add(1)
			in.logger().Error("message refused", "err", err)
			return "", &smtp.Error{Code: 452, Enhanced: "4.3.1", Text: "no room left to keep the message"}
		}
		in.meter.failed.Add(1)
		return "", err
	}
	// From here the message is ours.
	in.meter.received.Add(1)
	in.meter.octets.Add(counted.n)
	in.meter.kept.add(time.Since(began))
	in.arrived(id)
	return id, nil
}

// A counter counts what is read through it.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}
