package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/address"
)

// Mail that comes in and goes out again. Two ways, because a Handler is asked
// twice, at RCPT and at the end of the data: Relay accepts recipients unseen and
// answers for all of them at the end; a Transport passes each verb through as it
// comes, so that refusals are given where they arise.
//
// Both add a Received field (RFC 5321, 4.4), and pass on of the options what is
// still true. Neither answers 250 before the other side has: until then the message is
// the client's, and what it says of its own is passed on to it or, where that cannot be
// one reply, made into one that has it try again.

// Relay returns a Handler that passes all mail on to s, which must take a message
// for all of its recipients or for none, as a queue does. A mixed outcome is
// answered 451, so that the client tries again: rather twice than lost.
func Relay(s Sender) Handler { return relay{s} }

type relay struct{ sender Sender }

// Offers implements Offerer: what an Envelope carries is honoured by whom it is
// sent to.
func (relay) Offers() []string { return []string{"DSN", "REQUIRETLS", "PRDR"} }

// Mail asks nobody: the Sender hears of the message when there is one.
func (h relay) Mail(_ context.Context, c *Conn, from string, opts *MailOptions) (Transaction, error) {
	return &relayed{h.sender, c, Envelope{From: from, Options: onward(c, opts)}}, nil
}

type relayed struct {
	sender Sender
	conn   *Conn
	env    Envelope
}

func (t *relayed) Rcpt(_ context.Context, to string, opts *RcptOptions) error {
	t.env.To = append(t.env.To, Recipient{to, *opts})
	return nil
}

func (t *relayed) Data(ctx context.Context, r io.Reader) (string, error) {
	// The body is read as the Sender writes it, and held by nobody here.
	id := t.conn.transaction()
	msg := &incoming{trace: t.conn.Received(id, t.env.To...), body: r}
	results, err := outcome(fates(ctx, t.sender, &t.env, msg))
	switch {
	case err == nil:
		if results[0].ID != "" {
			id = results[0].ID
		}
		return id, nil
	case t.conn.policy.LMTP, t.env.Options.PRDR:
		return id, eachRefused(results)
	}
	return "", oneForAll(results, err)
}

// eachRefused returns the refusals of a mixed outcome, joined.
func eachRefused(results []Result) error {
	var errs []error
	for _, r := range results {
		if r.Err != nil {
			errs = append(errs, &RcptError{r.Rcpt, tellable(r.Err)})
		}
	}
	return errors.Join(errs...)
}

// oneForAll returns the refusal that everybody got alike, or an error that
// becomes 451.
func oneForAll(results []Result, err error) error {
	var errs []*RcptError
	for _, r := range results {
		if r.Err == nil {
			return fmt.Errorf("smtp: relay: some recipients were accepted and some not: %v", err)
		}
		errs = append(errs, &RcptError{r.Rcpt, tellable(r.Err)})
	}
	if e := sharedRefusal(errs); e != nil {
		return e
	}
	return tellable(err)
}

// tellable returns an error that may become a reply: what the host behind cannot
// do will not change by trying again. Anything else stays ours, and is 451.
func tellable(err error) error {
	lacking, ok := errors.AsType[unsupported](err)
	if !ok {
		return err
	}
	e := &Error{Code: 554, Enhanced: "5.3.3", Text: "the next host lacks what this message needs: " + string(lacking)}
	switch lacking {
	case "REQUIRETLS": // RFC 8689, 7
		e.Code, e.Enhanced = 550, "5.7.30"
	case "SMTPUTF8": // RFC 6531, 3.5
		e.Code, e.Enhanced = 550, "5.6.7"
	case "BINARYMIME": // RFC 3463, 3.7
		e.Enhanced = "5.6.3"
	}
	return e
}

// incoming is a message from a session with its new Received field. It can be
// written once.
type incoming struct {
	trace string
	body  io.Reader
}

func (m *incoming) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, m.trace)
	if err != nil {
		return int64(n), err
	}
	k, err := io.Copy(w, m.body)
	return int64(n) + k, err
}

// onward returns what is passed on of a client's options. The size changes, and
// who an unauthenticated client says has submitted a message is worth nothing
// (RFC 4954, 5).
func onward(c *Conn, opts *MailOptions) MailOptions {
	out := *opts
	out.Size = 0
	if c.User() == "" {
		out.Auth = ""
	}
	return out
}

// transaction returns the id of the open transaction: the session's, by which the log can
// be searched, with a number.
func (c *Conn) transaction() string { return fmt.Sprintf("%s-%d", c.id, c.serial) }

// Received returns the Received field (RFC 5321, 4.4) that whoever passes a
// message on puts before it, for use within Transaction.Data: from whom, by whom,
// how, as what, with which priority if the client has told one, and when; its lines end in CRLF. id is what the message is known
// as here. A single recipient is named; of several none is, since they need not
// know of each other. What the client said stands in it only where it can do no
// harm: no word of it begins a clause or a field.
func (c *Conn) Received(id string, to ...Recipient) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Received: from %s (%s)\r\n", heloWord(c.Hello()), literal(c.RemoteAddr()))
	fmt.Fprintf(&b, "\tby %s with %s id %s", c.hostname, c.Protocol(), id)
	// RFC 5321, 7.6 and 4.4: several would tell each of the others, Bcc among them. One in
	// UTF-8 would make a field of it that not all may have (RFC 6531, 3.7.3).
	if len(to) == 1 && address.IsASCII(to[0].Address) {
		fmt.Fprintf(&b, "\r\n\tfor <%s>", to[0].Address)
	}
	if state := c.TLS(); state != nil { // RFC 8314, 4.3
		fmt.Fprintf(&b, "\r\n\ttls %s", tls.CipherSuiteName(state.CipherSuite))
	}
	if c.txn != nil && c.txn.opts.Priority != 0 { // RFC 6710
		fmt.Fprintf(&b, "\r\n\tpriority %d", c.txn.opts.Priority)
	}
	fmt.Fprintf(&b, ";\r\n\t%s\r\n", time.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	return b.String()
}

// heloWord returns what the client called itself, if that can stand in a field: a domain
// or a literal, and no word of a text that only looks like a name.
func heloWord(name string) string {
	if checkHello(name) != nil {
		return "unknown"
	}
	return name
}

// literal returns an address as RFC 5321, 4.1.3 writes it.
func literal(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return "local"
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

// Offers implements Offerer.
func (t *Transport) Offers() []string { return []string{"DSN", "REQUIRETLS"} }

// Mail implements Handler: it says MAIL to the server.
func (t *Transport) Mail(ctx context.Context, c *Conn, from string, opts *MailOptions) (Transaction, error) {
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	for fresh := false; ; fresh = true {
		l := &lease{alone: true, fresh: fresh}
		p, err := t.get(ctx, l)
		if err != nil {
			t.begun.Done()
			return nil, err
		}
		x := &proxied{transport: t, pooled: p, conn: c}
		out := onward(c, opts)
		if p.dirty() {
			_, err = p.Reset(ctx)
		}
		if err == nil {
			_, err = p.Client.Mail(ctx, from, &out)
		}
		if err == nil {
			context.AfterFunc(ctx, x.release)
			return x, nil
		}
		again := l.kept && !fresh && p.broken() != nil && ctx.Err() == nil
		t.put(p)
		if !again {
			t.begun.Done()
			return nil, tellable(err)
		}
	}
}

// proxied is a transaction that is open on the server behind too.
type proxied struct {
	transport *Transport
	pooled    *pooled
	conn      *Conn
	to        []Recipient
	mu        sync.Mutex
	released  bool
}

// release gives the connection back, once, when no verb is under way.
func (x *proxied) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.released {
		x.released = true
		x.transport.put(x.pooled)
		x.transport.begun.Done()
	}
}

var errEnded = errors.New("smtp: the transaction has ended")

func (x *proxied) Rcpt(ctx context.Context, to string, opts *RcptOptions) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.released {
		return errEnded
	}
	_, err := x.pooled.Rcpt(ctx, to, opts)
	if err == nil {
		x.to = append(x.to, Recipient{to, *opts})
	}
	return tellable(err)
}

func (x *proxied) Data(ctx context.Context, r io.Reader) (string, error) {
	defer x.release()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.released {
		return "", errEnded
	}
	w, err := x.pooled.Client.Data(ctx)
	if err != nil {
		return "", err
	}
	id := x.conn.transaction()
	msg := &incoming{trace: x.conn.Received(id, x.to...), body: r}
	if _, err := msg.WriteTo(w); err != nil {
		w.Abort()
		return "", err
	}
	err = w.Close()
	for _, r := range w.Replies() {
		if queued := queueID(r.Text); queued != "" {
			id = queued
		}
	}
	return id, x.verdict(w.Replies(), err)
}

// verdict turns the replies to the end of the data into the Handler's answer:
// over LMTP there is one for each recipient.
func (x *proxied) verdict(replies []Reply, err error) error {
	if len(replies) != len(x.to) || !x.transport.dialer().LMTP {
		return err
	}
	var errs []error
	for i, r := range replies {
		if r.Code/100 != 2 {
			errs = append(errs, &RcptError{x.to[i].Address, r.err("DATA")})
		}
	}
	return errors.Join(errs...)
}
