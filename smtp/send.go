package smtp

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/internal/address"
)

// One transaction in the fewest round trips: RSET if one is owed, MAIL, every RCPT
// and DATA go out in one write where the server takes PIPELINING (RFC 2920); with
// CHUNKING (RFC 3030) a small message goes with them. A server that takes fewer
// recipients at once gets several transactions.

// errNoRecipients is about a message that is for nobody: to say that it was sent
// would hide that it reached no one.
var errNoRecipients = permanent("an envelope without recipients", nil)

// Send implements Sender for this connection. Several goroutines may call it at once:
// their messages overlap. After an error that is no refusal the Client cannot be used
// again.
func (c *Client) Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error) {
	if len(env.To) == 0 {
		return nil, errNoRecipients
	}
	s := &sending{c: c, ctx: ctx, env: env, results: make([]Result, len(env.To))}
	if err := s.prepare(msg); err != nil {
		return failAll(env, c.host, err)
	}
	defer s.free()
	rest, err := s.spell()
	if err != nil {
		return failAll(env, c.host, err)
	}
	for len(rest) > 0 {
		var now []int
		if now, rest = s.next(rest); len(now) > 0 {
			rest = append(s.deliver(now), rest...)
		}
	}
	return outcome(s.results)
}

// A sending is one Send under way.
type sending struct {
	c       *Client
	ctx     context.Context
	env     *Envelope
	opts    MailOptions // the envelope's, completed
	to      RcptOptions // a recipient's, while its command is written
	msg     io.WriterTo
	spooled bool     // msg is ours
	mail    string   // the MAIL command
	rcpts   []string // the RCPT commands; "" for whom none can be said
	results []Result
}

// prepare freezes the message and chooses its form.
func (s *sending) prepare(msg io.WriterTo) (err error) {
	if s.msg, err = freeze(msg); err != nil {
		return err
	}
	s.opts = s.env.Options
	if a, ok := s.msg.(Adapter); ok {
		form, uses, err := a.Adapt(s.c.has)
		if err != nil {
			return permanent("the message", err)
		}
		s.msg = form
		for _, extension := range uses {
			switch extension {
			case "8BITMIME":
				s.opts.Body = Body8BitMIME
			case "BINARYMIME":
				s.opts.Body = BodyBinaryMIME
			case "SMTPUTF8":
				s.opts.UTF8 = true
			}
		}
	}
	if n := s.c.limits.rcpts; n > 0 && len(s.env.To) > n && !repeatable(s.msg) {
		if s.msg, err = Prepare(s.msg); err != nil {
			return err
		}
		s.spooled = true
	}
	size, known, err := sizeOf(s.msg)
	if err != nil {
		return temporary("the message", err)
	}
	if known {
		s.opts.Size = size
	}
	params, _ := s.c.Extension("SIZE")
	limit, _ := strconv.ParseInt(params, 10, 64)
	if limit > 0 && s.opts.Size > limit {
		return permanent(fmt.Sprintf("the message has %d octets, %s takes %d", s.opts.Size, s.c.name(), limit), nil)
	}
	return nil
}

func (s *sending) free() {
	if s.spooled {
		release(s.msg)
	}
}

// spell writes the commands of the envelope and returns the indexes of those
// recipients for whom there is one. The error is the sender's: everybody's.
func (s *sending) spell() (rest []int, err error) {
	s.rcpts = make([]string, len(s.env.To))
	rest = make([]int, 0, len(s.env.To))
	for i := range s.env.To {
		to := &s.env.To[i]
		s.results[i] = Result{Rcpt: to.Address, Host: s.c.host}
		s.to = to.Options
		line, err := s.c.rcptLine(to.Address, &s.to)
		if err != nil {
			s.results[i].Err = err
			continue
		}
		s.rcpts[i] = line
		rest = append(rest, i)
		s.opts.UTF8 = s.opts.UTF8 || !address.IsASCII(line) // the domain is written in ASCII if the local part is
	}
	local, _, _ := address.Split(s.env.From)
	s.opts.UTF8 = s.opts.UTF8 || !address.IsASCII(local)
	s.mail, err = s.c.mailLine(s.env.From, &s.opts)
	return rest, err
}

// deliver makes a transaction for those recipients and returns those who shall have
// another one.
func (s *sending) deliver(to []int) (again []int) {
	d := &delivery{sending: s, results: s.results, all: to, open: slices.Clone(to), wake: make(chan struct{}, 1)}
	if !d.settle(d.apart(d.run)) || !repeatable(s.msg) {
		return nil
	}
	// RFC 5321, 4.5.3.1.10: the server has had enough, not these recipients.
	for _, i := range to {
		if s.results[i].Err != nil && tooMany(s.results[i].Reply) {
			again = append(again, i)
		}
	}
	return again
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
