package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/wire"
)

// One transaction in the fewest round trips: RSET if one is owed, MAIL, every
// RCPT and DATA go out in one write where the server takes PIPELINING (RFC 2920);
// with CHUNKING (RFC 3030) a small message goes with them. Every reply is matched
// to its command, whatever order refusals come in.

const (
	// A message of up to one chunk goes out with its envelope. A larger one waits
	// for the replies to RCPT: it would be a waste if nobody was accepted.
	chunkSize = 256 << 10
	// maxDue is how many replies may be owed before they are read, so that
	// neither side waits for the other to read.
	maxDue = 100
)

// Send implements Sender for this connection. After an error that is no refusal
// the Client cannot be used again.
func (c *Client) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	d := &delivery{c: c, ctx: ctx, env: env}
	if len(env.To) == 0 {
		return nil, permanent("an envelope without recipients", nil)
	}
	if err := d.prepare(msg); err != nil {
		return failAll(env, c.host, err)
	}
	end, err := c.begin(ctx)
	if err != nil {
		return failAll(env, c.host, err)
	}
	if c.has("CHUNKING") {
		err = d.chunked()
	} else {
		err = d.dotted()
	}
	end(&err)
	d.settle(err)
	return outcome(d.results)
}

// A delivery is one Send under way.
type delivery struct {
	c       *Client
	ctx     context.Context
	env     *Envelope
	opts    MailOptions // the envelope's, completed
	msg     io.WriterTo
	results []Result
	open    []int // recipients that RCPT accepted, or may have
	due     []due // replies that are owed
	refused error // MAIL's, DATA's or BDAT's refusal: everybody's
	go354   bool  // DATA was answered 354
	final   bool  // from here the message may be delivered
}

// due is a reply that is owed: to RCPT of that recipient, or to one of the others.
type due struct {
	verb string
	rcpt int
}

// prepare freezes the message and chooses its form.
func (d *delivery) prepare(msg io.WriterTo) (err error) {
	if d.msg, err = freeze(msg); err != nil {
		return err
	}
	d.opts = d.env.Options
	if a, ok := d.msg.(Adapter); ok {
		form, uses, err := a.Adapt(d.c.has)
		if err != nil {
			return permanent("the message", err)
		}
		d.msg = form
		for _, extension := range uses {
			switch extension {
			case "8BITMIME":
				d.opts.Body = Body8BitMIME
			case "BINARYMIME":
				d.opts.Body = BodyBinaryMIME
			case "SMTPUTF8":
				d.opts.UTF8 = true
			}
		}
	}
	size, known, err := sizeOf(d.msg)
	if err != nil {
		return temporary("the message", err)
	}
	if known {
		d.opts.Size = size
	}
	params, _ := d.c.Extension("SIZE")
	limit, _ := strconv.ParseInt(params, 10, 64)
	if limit > 0 && d.opts.Size > limit {
		return permanent(fmt.Sprintf("the message has %d octets, %s takes %d", d.opts.Size, d.c.name(), limit), nil)
	}
	return nil
}

// envelope queues the commands before the message. It reports false if nobody is
// left to send to.
func (d *delivery) envelope() (bool, error) {
	d.results = make([]Result, len(d.env.To))
	for i := range d.env.To {
		d.results[i] = Result{Rcpt: d.env.To[i].Address, Host: d.c.host}
	}
	lines := make([]string, len(d.env.To))
	for i := range d.env.To {
		to := &d.env.To[i]
		spelt, err := d.c.rcptLine(to.Address, &to.Options)
		if err != nil {
			d.results[i].Err = err
			continue
		}
		lines[i] = spelt
		d.open = append(d.open, i)
		d.opts.UTF8 = d.opts.UTF8 || needsUTF8(spelt)
	}
	d.opts.UTF8 = d.opts.UTF8 || needsUTF8(d.env.From)
	mail, err := d.c.mailLine(d.env.From, &d.opts)
	if err != nil {
		d.refused = err
	}
	if d.refused != nil || len(d.open) == 0 {
		return false, nil
	}
	if d.c.dirty {
		d.queue("RSET", "RSET", 0)
	}
	d.c.dirty = true
	if err := d.queue("MAIL", mail, 0); err != nil {
		return false, err
	}
	for _, i := range append([]int(nil), d.open...) {
		if d.hopeless() {
			return false, nil
		}
		if err := d.queue("RCPT", lines[i], i); err != nil {
			return false, err
		}
	}
	return !d.hopeless(), nil
}

// hopeless tells whether every reply is in and nobody wants the message.
func (d *delivery) hopeless() bool {
	return len(d.due) == 0 && (d.refused != nil || len(d.open) == 0)
}

// needsUTF8 tells whether what goes on the wire is more than ASCII.
func needsUTF8(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			local, _, _ := strings.Cut(s, "@")
			return i < len(local)
		}
	}
	return false
}

// queue says a command; its reply is owed.
func (d *delivery) queue(verb, line string, rcpt int) error {
	d.c.command(line)
	d.due = append(d.due, due{verb, rcpt})
	if len(d.due) >= maxDue || !d.c.has("PIPELINING") {
		return d.await()
	}
	return nil
}

// await reads the replies that are owed.
func (d *delivery) await() error {
	t := &d.c.dialer.Timeouts
	for len(d.due) > 0 {
		wait := t.command()
		switch d.due[0].verb {
		case "DATA":
			wait = t.data()
		case "BDAT":
			wait = t.end()
		}
		r, err := d.c.reply(wait)
		if err != nil {
			return err
		}
		one := d.due[0]
		d.due = d.due[1:]
		if err := d.got(one, r); err != nil {
			return err
		}
	}
	return nil
}

// got takes one reply.
func (d *delivery) got(one due, r Reply) error {
	want := 2
	if one.verb == "DATA" {
		want = 3
	}
	err := expect(r, one.verb, want)
	if err != nil && findError(err) == nil {
		return err // neither yes nor no: out of step
	}
	switch one.verb {
	case "MAIL":
		d.refused = err
	case "RCPT":
		if d.refused == nil {
			d.results[one.rcpt].Reply = r
			if d.results[one.rcpt].Err = err; err != nil {
				d.drop(one.rcpt)
			}
		}
	case "DATA", "BDAT":
		d.go354 = err == nil
		if err != nil && d.refused == nil {
			d.refused = err
		}
		if one.verb == "BDAT" && err == nil && d.final && len(d.due) == 0 {
			d.accept(d.open, r)
		}
	}
	if r.Code == 421 {
		return err // the server closes, whatever else is owed
	}
	return nil
}

// drop takes a recipient out of those that RCPT accepted.
func (d *delivery) drop(rcpt int) {
	for n, i := range d.open {
		if i == rcpt {
			d.open = append(d.open[:n], d.open[n+1:]...)
			return
		}
	}
}

// accept records that the server took the message for those recipients.
func (d *delivery) accept(rcpts []int, r Reply) {
	for _, i := range rcpts {
		res := &d.results[i]
		res.Reply, res.ID = r, queueID(r.Text)
		to := &d.env.To[i].Options
		res.DSN = d.c.has("DSN") && (to.Notify != 0 || to.Original != "" || d.opts.Return != "" || d.opts.EnvelopeID != "")
	}
	d.open = nil
}

// dotted sends the message by DATA.
func (d *delivery) dotted() error {
	ok, err := d.envelope()
	if !ok {
		return err
	}
	if err = d.queue("DATA", "DATA", 0); err == nil {
		err = d.await()
	}
	if err != nil {
		return err
	}
	switch {
	case !d.go354:
		return nil // dirty: the next transaction begins with RSET
	case d.refused != nil || len(d.open) == 0:
		// RFC 2920, 3.1: a server that wants the message of nobody gets an empty
		// one, and its reply means nothing.
		d.c.command(".")
		_, err = d.c.reply(d.c.dialer.Timeouts.end())
		d.c.dirty = err != nil
		return err
	}
	return d.text()
}

// text sends what follows the 354.
func (d *delivery) text() error {
	w := newBodyWriter(d.c)
	stuffer := wire.NewStuffer(w)
	if err := d.write(stuffer); err != nil {
		if w.err != nil {
			return d.lastWord(w.err)
		}
		return err
	}
	defer w.free()
	if err := d.commit(); err != nil {
		return err
	}
	// From here the message is the server's, unless it says otherwise.
	d.final = true
	err := stuffer.Close()
	if err == nil {
		err = w.flush()
	}
	d.c.traceBody(w.total)
	if err == nil {
		err = d.verdicts()
	}
	return err
}

// verdicts reads the replies to the end of the message: one, over LMTP one for
// each recipient.
func (d *delivery) verdicts() error {
	each := [][]int{d.open}
	if d.c.dialer.LMTP {
		each = each[:0]
		for _, i := range d.open {
			each = append(each, []int{i})
		}
	}
	for n, rcpts := range each {
		r, err := d.c.reply(d.c.dialer.Timeouts.end())
		if err == nil {
			err = expect(r, "DATA", 2)
		}
		switch {
		case err == nil:
			d.accept(rcpts, r)
		case findError(err) == nil:
			return err
		default:
			for _, i := range rcpts {
				d.results[i].Reply, d.results[i].Err = r, err
			}
		}
		d.open = nil
		for _, rest := range each[n+1:] {
			d.open = append(d.open, rest...)
		}
		if r.Code == 421 {
			return err
		}
	}
	d.c.dirty = false
	return nil
}

// write lets the message write itself to w. It returns at once when ctx ends,
// even if the message is stuck in a source of its own: then w is left to it, with
// a connection that is closed.
func (d *delivery) write(w io.Writer) error {
	err := error(nil)
	if d.ctx.Done() == nil {
		_, err = d.msg.WriteTo(w)
	} else {
		done := make(chan error, 1)
		go func(msg io.WriterTo) {
			_, err := msg.WriteTo(w)
			done <- err
		}(d.msg)
		select {
		case err = <-done:
		case <-d.ctx.Done():
			return temporary("cancelled", d.ctx.Err())
		}
	}
	if err != nil {
		return temporary("writing the message", err)
	}
	return nil
}

// lastWord looks for the reason of a server that closed the connection while the
// message was being written.
func (d *delivery) lastWord(cause error) error {
	r, err := d.c.reply(time.Second)
	if err == nil && (r.Code/100 == 4 || r.Code/100 == 5) {
		d.refused = r.err("DATA")
	}
	return temporary("the connection to "+d.c.name(), cause)
}

// commit asks whether the message shall really go out.
func (d *delivery) commit() error {
	if d.c.dialer.Commit == nil {
		return nil
	}
	if err := d.c.dialer.Commit(d.ctx, d.env); err != nil {
		return temporary("not committed", err)
	}
	return nil
}

// settle gives everyone whose fate is open theirs, now that the transaction
// ended with err.
func (d *delivery) settle(err error) {
	if d.results == nil {
		d.results, _ = failAll(d.env, d.c.host, err)
		return
	}
	switch {
	case d.refused != nil:
		err = d.refused
	case err != nil && d.final:
		err = &classError{ErrUnknown, "sent, but the reply was lost", errors.Unwrap(err)}
	case err == nil && len(d.open) > 0:
		err = temporary("the server gave no reply", nil)
	}
	for _, i := range d.open {
		d.results[i].Err = err
		if e := findError(err); e != nil {
			d.results[i].Reply = Reply{e.Code, e.Enhanced, e.Text}
		}
	}
}

// queueID finds the id that a server says it queued a message as.
func queueID(text string) string {
	for _, mark := range []string{"queued as ", "id="} {
		if _, id, ok := strings.Cut(text, mark); ok {
			id, _, _ = strings.Cut(id, " ")
			return strings.TrimRight(id, ".,;)")
		}
	}
	return ""
}
