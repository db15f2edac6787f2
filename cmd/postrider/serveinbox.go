package main

import (
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
)

// What serve is told of its inbox: how long mail is kept, in which of several
// inboxes, where it may go on to, and how to misbehave. It only reads words into what
// package inbox has types for; what they do is decided there. The memory of a
// process that mostly waits is looked after here too, as no package may do that for
// whoever links it.

type inboxOptions struct {
	keep    []string
	inboxes string
	relay   string
	faults  []string
}

// flags adds what serve is told of its inbox. Each is also a key of mail.ini.
func (o *inboxOptions) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.keep, "keep", nil, "keep so many messages, for so long or so much, oldest first to go: `LIMITS` such as 10000,30d,2GB")
	f.StringVar(&o.inboxes, "inboxes", "", "part mail into inboxes by `RULE`: domain, plus, user or listener")
	f.StringVar(&o.relay, "relay", "", "`URL` of the server through which messages may be released and sent, or several with spaces; none leaves otherwise")
	f.StringArrayVar(&o.faults, "fault", nil, "misbehave by `RULE`, such as \"RCPT 30% 450 busy\"; may repeat, several in one with |")
}

// rules are the ways to part mail.
func rules() map[string]inbox.Rule {
	return map[string]inbox.Rule{"": nil, "domain": inbox.ByDomain, "plus": inbox.ByPlus, "user": inbox.ByUser, "listener": inbox.ByListener}
}

// apply sets up an inbox. The relay is opened, which connects nowhere yet, and is
// the caller's to close; nil if there is none.
func (o *inboxOptions) apply(in *inbox.Inbox) (smtp.SendCloser, error) {
	// Each kind of limit may be given once and all hold together; of two of one kind the last counts,
	// as of a flag.
	for _, limit := range o.keep {
		if err := keepLimit(&in.Keep, strings.TrimSpace(limit)); err != nil {
			return nil, err
		}
	}
	rule, ok := rules()[o.inboxes]
	if !ok {
		return nil, flagf(exitUsage, "inboxes", " %q: it is domain, plus, user or listener", o.inboxes)
	}
	in.Rule = rule
	// A flag may repeat, a key of a file may not: it has several rules with | between.
	var faults []inbox.Fault
	for _, list := range o.faults {
		for text := range strings.SplitSeq(list, "|") {
			f, err := inbox.ParseFault(text)
			if err != nil {
				return nil, flagf(exitUsage, "fault", " %q: %s", strings.TrimSpace(text), strings.TrimPrefix(err.Error(), "inbox: "))
			}
			faults = append(faults, f)
		}
	}
	// Faults go through the same door as those that a test sets while it runs.
	if err := in.SetFaults(faults); err != nil {
		return nil, flagf(exitUsage, "fault", ": %s", strings.TrimPrefix(err.Error(), "inbox: "))
	}
	relays := strings.Fields(o.relay) // as sendmail reads the same key
	if len(relays) == 0 {
		return nil, nil
	}
	relay, err := postrider.Open(relays[0], relays[1:]...)
	if err != nil {
		return nil, flagf(exitUsage, "relay", ": %w", err)
	}
	in.Relay = relay
	return relay, nil
}

// quietAfter is how long nothing has to have been done for memory to be given back.
const quietAfter = 2 * time.Second

// frugal returns what is to be called after each message and each request. When it has not
// been for a while memory is given back to the system: reading a burst of mail, or answering
// for a page, leaves behind about as much as the inbox needs, which the runtime would keep
// for the next time.
func frugal() (done func()) {
	quiet := time.AfterFunc(quietAfter, debug.FreeOSMemory) // what starting has left, too
	return func() { quiet.Reset(quietAfter) }
}

// spareHeap is memory that a server has and never touches, so that none is taken: the runtime
// lets as much garbage come together as there is heap, and of a small one would collect it
// for every 3 MB, in which each session is looked at and all pools are emptied.
const spareHeap = 16 << 20

// keepLimit reads one limit: a number of messages, a time or a size.
func keepLimit(r *inbox.Retention, text string) error {
	wrong := flagf(exitUsage, "keep", " %q: give messages as 10000, time as 30d or 12h, size as 500MB or 2GB", text)
	// 0 is refused in every form: one would read it as nothing, another as no limit.
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		r.Messages = n
		return nil
	}
	for i, unit := range []string{"kb", "mb", "gb", "tb"} {
		if number, ok := strings.CutSuffix(strings.ToLower(text), unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || !(n > 0 && n <= 1e6) { // so that NaN is out too
				return wrong
			}
			r.Bytes = int64(n * []float64{1e3, 1e6, 1e9, 1e12}[i])
			return nil
		}
	}
	// Go's durations end at hours, since days can have 23 of them; here a day has 24.
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 {
			r.Age = time.Duration(n) * 24 * time.Hour
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return wrong
	}
	r.Age = d
	return nil
}
