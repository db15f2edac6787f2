package inbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/smtp"
)

// Faults as they happen: which rule applies, and what it does.

// SetFaults replaces the rules; none switches them off. What was counted for
// limits and greylists is forgotten. An error says which rule cannot be carried
// out, and then nothing has changed. It may be called at any time.
func (in *Inbox) SetFaults(rules []Fault) error {
	if len(rules) > maxFaults {
		return fmt.Errorf("inbox: more than %d faults", maxFaults)
	}
	// A copy: the caller may go on changing its own.
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Verb = strings.ToUpper(rules[i].Verb) // verbs have no case (RFC 5321, 2.4)
		if err := rules[i].check(); err != nil {
			return err
		}
	}
	in.faults.mu.Lock()
	defer in.faults.mu.Unlock()
	in.faults.rules = make([]faultState, len(rules))
	for i, f := range rules {
		in.faults.rules[i].Fault = f
	}
	in.faults.set.Store(len(rules) > 0)
	return nil
}

// Faults returns the rules that are set.
func (in *Inbox) Faults() []Fault {
	in.faults.mu.Lock()
	defer in.faults.mu.Unlock()
	list := make([]Fault, len(in.faults.rules))
	for i := range list {
		list[i] = in.faults.rules[i].Fault
	}
	return list
}

// A faultSet is the rules with what has been counted of each.
type faultSet struct {
	mu       sync.Mutex
	rules    []faultState
	set      atomic.Bool // there are rules: else it is not worth finding out whom a command concerns
	happened atomic.Int64
}

// A faultState is a rule and what it has counted; mu of its set guards both.
type faultState struct {
	Fault
	since  time.Time // when the span of Per began
	passed int       // that have passed in it
	first  map[[sha256.Size]byte]time.Time
}

// An occasion is where a rule may happen.
type occasion struct {
	conn     *smtp.Conn // nil without a session
	verb     string
	sender   string   // of the transaction, from RCPT on
	subjects []string // what a pattern is compared with
	goesOn   bool     // it is a chunk that is not the first of its message
}

// meet carries out the first rule that applies. The error is what the server is to
// say; nil goes on.
func (s *faultSet) meet(ctx context.Context, o occasion) error {
	if f := s.find(o); f != nil {
		return f.happen(ctx, o.conn)
	}
	return nil
}

// refuses tells whether a rule ends what it happens to.
func (f *Fault) refuses() bool { return f.Reply.Code != 0 || f.Disconnect }

// happen carries out a rule.
func (f *Fault) happen(ctx context.Context, c *smtp.Conn) error {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e := &smtp.Error{Code: f.Reply.Code, Enhanced: f.Reply.Enhanced, Text: cmp.Or(f.Reply.Text, "fault injected")}
	switch {
	// A session that is closed under the server ends as if the network had failed, which
	// is what the client has to cope with. Without one, as in a test of a handler, it is
	// told as a refusal.
	case f.Disconnect:
		e.Code = 421 // heard by nobody, and ends the session
		if c != nil {
			c.Close()
		}
	case !f.refuses():
		return nil
	}
	return e
}

// find returns the first rule that applies.
func (s *faultSet) find(o occasion) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rules {
		f := &s.rules[i]
		// Who writes DATA means the message, whichever way the client sends it, and once.
		if f.Verb != o.verb && !(f.Verb == "DATA" && o.verb == "BDAT" && !o.goesOn) {
			continue
		}
		if f.Pattern != "" && !slices.ContainsFunc(o.subjects, func(s string) bool { return glob(strings.ToLower(f.Pattern), strings.ToLower(s)) }) {
			continue
		}
		if f.Probability != 0 && rand.Float64() >= f.Probability {
			continue
		}
		// Counted only here, so that a limit is on what the rest of the rule applies to.
		if f.within() || f.Greylist > 0 && f.known(strings.ToLower(addressOf(o.conn)+" "+o.sender+" "+strings.Join(o.subjects, " "))) {
			continue
		}
		s.happened.Add(1)
		// It stays as it is: new rules are new values, and this one may still be waiting.
		return &f.Fault
	}
	return nil
}

// within counts one, and tells whether it is within the limit.
func (f *faultState) within() bool {
	// Spans begin with what comes first in them: between two that follow each other a
	// client may pass twice as often, which is what servers that count so do.
	if now := time.Now(); now.Sub(f.since) >= f.Per {
		f.since, f.passed = now, 0
	}
	f.passed++
	return f.passed <= f.Limit
}

// known tells whether who was seen first as long ago as a greylist asks for.
func (f *faultState) known(who string) bool {
	// Recipients may be many, and their addresses long: what is remembered has one size.
	now, key := time.Now(), sha256.Sum256([]byte(who))
	first, seen := f.first[key]
	if !seen {
		// Whoever sends under ever other names makes it forget, and not grow.
		if f.first == nil || len(f.first) >= maxGreylisted {
			f.first = map[[sha256.Size]byte]time.Time{}
		}
		f.first[key] = now
		return false
	}
	return now.Sub(first) >= f.Greylist
}

// glob compares with a pattern in which * stands for any characters, in linear
// time for each of its pieces.
func glob(pattern, s string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == s
	}
	s, ok = strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	// Each piece at the first place it can be: what is left is then the longest, and no
	// other choice could match where this one does not.
	for {
		piece, more, another := strings.Cut(rest, "*")
		if !another {
			return strings.HasSuffix(s, piece)
		}
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(piece):], more
	}
}

// addressOf returns the client's address, "" where there is none.
func addressOf(c *smtp.Conn) string {
	if c == nil {
		return ""
	}
	if addr, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap().WithZone("").String()
	}
	return ""
}
