package smtp

import (
	"errors"
	"slices"
	"time"
)

// A delivery is one transaction of a Send: what it says, and what the replies make of
// it. One goroutine says, the Client's reads; what both touch is guarded by the Client's
// mu.
type delivery struct {
	*sending
	results []Result      // of the sending
	all     []int         // recipients of this transaction
	wake    chan struct{} // told when no reply is owed any more
	owes    int           // replies
	open    []int         // recipients that RCPT accepted, or may have
	refused error         // MAIL's, DATA's or BDAT's refusal: everybody's
	go354   bool          // DATA was answered 354
	final   bool          // from here the message may be delivered
	judged  bool          // the server has begun to say what became of it
	taken   bool          // somebody was accepted
	begun   bool          // something has been said
	whole   bool          // all has been said
	gone    bool          // the Send has returned
}

// What an owed reply answers besides a recipient.
const (
	theCommand = -1
	theMessage = -2 // its end
)

// errNobody ends the writing of a message that no recipient is left for.
var errNobody = errors.New("smtp: no recipient was accepted")

// apart calls run and returns what it does, or at once when ctx ends. Then run is left
// behind with what it waits for: the server, or the message's own source.
func (d *delivery) apart(run func() error) error {
	if d.ctx.Done() == nil {
		return run()
	}
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-d.ctx.Done():
		return temporary("cancelled", d.ctx.Err())
	}
}

// run says the transaction and waits for its end.
func (d *delivery) run() error {
	w := newPayload(d)
	err := w.fill()
	if err == nil && !d.begun {
		err = d.begin(!d.c.has("CHUNKING") || !d.c.has("PIPELINING"))
	}
	switch {
	case err == errNobody:
		err = d.leave()
	case err == nil:
		err = d.finish(w)
	}
	if err == nil || d.begun && d.c.hurrying() {
		// After a failure of the connection too: the server may have said why.
		if e := d.await(); err == nil {
			err = e
		}
	}
	if err == nil {
		w.free()
	}
	return err
}

// begin takes the turn and says the envelope, with DATA unless the message comes in
// chunks. With wait it waits for the replies, and returns errNobody if nobody is left.
func (d *delivery) begin(wait bool) error {
	if err := d.c.take(d.ctx); err != nil {
		return err
	}
	if !wait {
		// The message goes out with its envelope: this is the last moment.
		if err := d.commit(); err != nil {
			d.c.give()
			return err
		}
	}
	reset, err := d.enter()
	if err != nil {
		d.c.give()
		return err
	}
	if reset {
		err = d.say("RSET", "RSET", theCommand)
	}
	if err == nil {
		err = d.say("MAIL", d.mail, theCommand)
	}
	for _, i := range d.all {
		if err == nil {
			err = d.say("RCPT", d.rcpts[i], i)
		}
	}
	if err == nil && !d.c.has("CHUNKING") {
		err = d.say("DATA", "DATA", theCommand)
	}
	if err != nil || !wait {
		return err
	}
	if err = d.c.push(); err == nil {
		err = d.await()
	}
	if err == nil && (d.nobody() || !d.go354 && !d.c.has("CHUNKING")) {
		err = errNobody
	}
	return err
}

// enter makes the connection this delivery's, and tells whether it has to be reset.
func (d *delivery) enter() (reset bool, err error) {
	c := d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case d.gone:
		return false, temporary("cancelled", d.ctx.Err())
	case c.err != nil:
		return false, c.unusable(c.err)
	case !c.reading && c.rd.Buffered() > 0:
		// Nothing is owed. What is there would be taken for the reply to MAIL.
		err := c.unusable(errors.New("the server spoke unasked"))
		c.stop(err)
		return false, err
	case c.limits.mails > 0 && c.mails >= c.limits.mails:
		return false, c.unusable(errors.New("the server takes no more transactions in a session"))
	}
	reset = c.open != nil
	c.open = d
	c.mails++
	c.live++
	d.begun = true
	return reset, nil
}

// say says a command. Without PIPELINING its reply is awaited, and the next is not said
// if it is of no use.
func (d *delivery) say(verb, line string, answers int) error {
	c := d.c
	c.mu.Lock()
	c.owe(owed{d, verb, answers})
	c.mu.Unlock()
	c.command(line)
	if c.has("PIPELINING") && len(c.out) < maxOut {
		return nil
	}
	if err := c.push(); err != nil || c.has("PIPELINING") {
		return err
	}
	if err := d.await(); err != nil {
		return err
	}
	if verb != "DATA" && d.nobody() {
		return errNobody // after DATA its reply counts too
	}
	return nil
}

// await waits until no reply is owed.
func (d *delivery) await() error {
	for {
		d.c.mu.Lock()
		owes, lost := d.owes, d.c.lost
		d.c.mu.Unlock()
		switch {
		case owes == 0:
			return nil
		case lost != nil:
			return lost
		}
		select {
		case <-d.wake:
		case <-d.c.dead:
		case <-d.ctx.Done():
			return temporary("cancelled", d.ctx.Err())
		}
	}
}

// nobody tells whether, of what is known, nobody wants the message.
func (d *delivery) nobody() bool {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return d.refused != nil || len(d.open) == 0
}

// leave ends a transaction that nobody is left for.
func (d *delivery) leave() error {
	c := d.c
	c.mu.Lock()
	d.whole = true
	if d.go354 && !c.has("CHUNKING") {
		// RFC 2920, 3.1: a server that wants the message of nobody gets an empty one,
		// and its reply means nothing.
		d.close(d.refused)
		c.open = nil
		c.owe(owed{d, "DATA", theMessage})
		c.command(".")
	}
	c.mu.Unlock()
	return d.pass()
}

// commit asks whether the message shall really go out. Whatever waits to be written
// does not wait for the answer.
func (d *delivery) commit() error {
	if d.c.dialer.Commit == nil {
		return nil
	}
	if err := d.c.push(); err != nil {
		return err
	}
	if err := d.c.dialer.Commit(d.ctx, d.env); err != nil {
		return temporary("not committed", err)
	}
	return nil
}

// finish sends what remains of the message, and its end.
func (d *delivery) finish(w *payload) error {
	if w.streaming || !d.c.has("CHUNKING") || !d.c.has("PIPELINING") {
		if err := d.commit(); err != nil {
			return err
		}
	}
	d.c.mu.Lock()
	if d.gone {
		d.c.mu.Unlock()
		return temporary("cancelled", d.ctx.Err())
	}
	// From here the message is the server's, unless it says otherwise.
	d.final = true
	d.c.mu.Unlock()
	err := w.finish()
	d.c.mu.Lock()
	d.whole, d.c.unwanted = true, false
	d.c.mu.Unlock()
	if err == nil {
		err = d.pass()
	}
	if err != nil { // the last octets have not gone out
		d.c.mu.Lock()
		d.whole, d.final = false, false
		d.c.mu.Unlock()
	}
	return err
}

// pass ends the turn. Without PIPELINING nobody may say more before the last reply is in.
func (d *delivery) pass() error {
	if !d.c.has("PIPELINING") {
		if err := d.c.push(); err != nil {
			return err
		}
		if err := d.await(); err != nil {
			return nil // all has been said; what became of it is asked for again
		}
	}
	return d.c.give()
}

// patience is how long the reply to verb may take.
func (d *delivery) patience(o owed) time.Duration {
	t := &d.c.dialer.Timeouts
	switch {
	case o.answers == theMessage && !d.final:
		return 0 // it is being written
	case o.verb == "DATA" && o.answers != theMessage:
		return t.data()
	case o.verb == "DATA" || o.verb == "BDAT":
		return t.end()
	case o.verb == "MAIL":
		return t.mail()
	case o.verb == "RCPT":
		return t.rcpt()
	}
	return t.command()
}

// paid notes that a reply has come.
func (d *delivery) paid() {
	if d.owes--; d.owes == 0 {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// got takes one reply. It tells whether another one answers the same, and an error
// after which the connection is of no more use.
func (d *delivery) got(o owed, r Reply) (more bool, err error) {
	want := 2
	if o.verb == "DATA" && o.answers != theMessage {
		want = 3
	}
	err = expect(r, o.verb, want)
	if err != nil && findError(err) == nil {
		return false, err // neither yes nor no: out of step
	}
	switch {
	case o.answers == theMessage:
		if err == nil && !d.final && len(d.open) > 0 {
			return false, temporary("the server took a message that it has not got", nil)
		}
		more = d.verdict(r, err)
		if err != nil && !d.whole {
			d.c.unwanted = true
			d.c.conn.SetWriteDeadline(time.Now().Add(lastWords))
		}
	case o.verb == "MAIL":
		d.refused = err
	case o.verb == "RCPT" && d.refused == nil:
		d.results[o.answers].Reply = r
		if d.results[o.answers].Err = err; err != nil {
			d.open = slices.DeleteFunc(d.open, func(i int) bool { return i == o.answers })
		}
	case o.verb == "DATA" || o.verb == "BDAT":
		d.go354 = err == nil
		if err != nil && d.refused == nil {
			d.refused = err
		}
	}
	if r.Code != 421 {
		err = nil // else the server closes, whatever is owed
	}
	return more, err
}

// verdict takes a reply to the end of the message: everybody's, or over LMTP the next
// recipient's (RFC 2033, 4.2).
func (d *delivery) verdict(r Reply, err error) (more bool) {
	d.judged = true
	theirs := d.open
	if d.c.dialer.LMTP && d.refused == nil && len(d.open) > 0 {
		theirs = d.open[:1]
	} else if err != nil {
		if d.refused == nil {
			d.refused = err
		}
		return false
	}
	d.open = d.open[len(theirs):]
	for _, i := range theirs {
		res := &d.results[i]
		if res.Reply, res.Err = r, err; err == nil {
			d.accept(i, r)
		}
	}
	if err == nil && d.c.open == d {
		d.c.open = nil // chunks; after DATA it is so anyway
	}
	return len(d.open) > 0 && d.c.dialer.LMTP
}

// accept notes that the server took the message for that recipient.
func (d *delivery) accept(i int, r Reply) {
	d.taken = true
	if d.gone {
		return // and the envelope is the caller's again
	}
	res := &d.results[i]
	res.ID = queueID(r.Text)
	to := &d.env.To[i].Options
	res.DSN = d.c.has("DSN") && (to.Notify != 0 || to.Original != "" || d.opts.Return != "" || d.opts.EnvelopeID != "")
}

// settle ends the delivery, which ended with err, and gives everyone whose fate is open
// theirs. It tells whether the server took the message for somebody and can have it
// again.
func (d *delivery) settle(err error) (again bool) {
	c := d.c
	c.mu.Lock()
	defer c.mu.Unlock()
	d.gone = true
	unfinished := !d.whole || d.owes > 0
	if d.begun {
		c.live--
		if unfinished {
			c.stop(err)
		} else if c.err != nil {
			c.stop(c.err)
		}
	}
	// Send returns, and what it returns is the caller's.
	if d.owes > 0 {
		d.results = slices.Clone(d.results) // what still comes changes nothing
	}
	if e := findError(c.lost); e != nil && err != nil && d.ctx.Err() == nil {
		err = c.lost // 421: what was owed after it is refused, and not lost
	}
	switch {
	case d.refused != nil:
		err = d.refused
	case err != nil && d.final && (d.judged || findError(err) == nil):
		err = &classError{ErrUnknown, "sent, but the reply was lost", errors.Unwrap(err)}
	case err == nil && len(d.open) > 0:
		err = temporary("the server gave no reply", nil)
	}
	d.close(err)
	return d.taken && !unfinished
}

// close gives everyone whose fate is open err.
func (d *delivery) close(err error) {
	for _, i := range d.open {
		res := &d.sending.results[i]
		res.Err = err
		if e := findError(err); e != nil {
			res.Reply = Reply{e.Code, e.Enhanced, e.Text}
		}
	}
	d.open = nil
}
