package inbox

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postrider/postrider/smtp"
)

// Faults: a server that misbehaves on purpose, so that a program can be seen to
// cope. Rules are looked at in their order and the first one that applies is
// carried out.

// A Fault is one rule. The zero Fault does nothing.
type Fault struct {
	// Verb is where it happens: a verb of SMTP, CONNECT before the greeting, or END
	// when the message has arrived. DATA means BDAT too, once for a message in chunks.
	Verb string
	// Pattern is whom it concerns; "*" stands for any characters, and case does not
	// count. At MAIL it is the sender, at RCPT the recipient, at DATA, BDAT and END
	// any recipient, at CONNECT the client's address, else the command's argument.
	// "" is everybody.
	Pattern string
	// Probability is how often it happens, from 0 to 1; always if zero.
	Probability float64
	// Limit and Per let so many pass in each span of time, and concern the rest.
	// Zero Limit: none passes.
	Limit int
	Per   time.Duration
	// Greylist concerns each client, sender and recipient until so long after they
	// were first seen; zero: for good.
	Greylist time.Duration

	// Delay is how long is waited first.
	Delay time.Duration
	// Disconnect ends the session without a reply.
	Disconnect bool
	// Reply is what is said, 4yz or 5yz. The zero Reply: nothing, and after Delay
	// all goes on.
	Reply smtp.Reply
}

const (
	maxFaults     = 100
	maxDelay      = 10 * time.Minute
	maxGreylisted = 10_000
)

// faultVerbs are where faults can happen.
var faultVerbs = []string{"CONNECT", "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "END", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT"}

// ParseFault reads a rule as people write it, in one line:
//
//	RCPT *@full.example 452 4.2.2 mailbox full
//	MAIL 30% 451 try again later
//	DATA delay=5s
//	END 10% disconnect
//	RCPT limit=10/1m 450 4.7.1 not so fast
//	RCPT greylist=5m 451 4.7.1 come back later
//
// First the verb, then what applies of pattern, probability and the rest, then the
// reply.
func ParseFault(text string) (Fault, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Fault{}, errors.New("inbox: a fault begins with a verb, as in RCPT 450 try again")
	}
	f := Fault{Verb: strings.ToUpper(words[0])}
	for i, word := range words[1:] {
		if code, err := strconv.Atoi(word); err == nil {
			f.Reply = smtp.Reply{Code: code}
			rest := words[i+2:]
			if len(rest) > 0 && enhanced(rest[0]) {
				f.Reply.Enhanced, rest = smtp.EnhancedCode(rest[0]), rest[1:]
			}
			f.Reply.Text = strings.Join(rest, " ")
			break
		}
		if err := f.word(word); err != nil {
			return Fault{}, err
		}
	}
	return f, f.check()
}

// enhanced tells a code of RFC 3463 from a text.
func enhanced(s string) bool {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 999 {
			return false
		}
	}
	return len(parts) == 3
}

// word reads what stands between the verb and the reply.
func (f *Fault) word(word string) (err error) {
	name, value, assigned := strings.Cut(word, "=")
	switch percent, ok := strings.CutSuffix(word, "%"); {
	case ok:
		// What is no number is 0. It is not divided: that would have other digits.
		n, _ := strconv.ParseFloat(percent+"e-2", 64)
		if !(n > 0 && n <= 1) {
			return fmt.Errorf("inbox: fault: %s: a probability is from 0%% to 100%%", word)
		}
		f.Probability = n
	case word == "disconnect":
		f.Disconnect = true
	case assigned && name == "delay":
		f.Delay, err = time.ParseDuration(value)
	case assigned && name == "greylist":
		// None would be a rule without a greylist, which refuses for good.
		if f.Greylist, err = time.ParseDuration(value); err == nil && f.Greylist <= 0 {
			return fmt.Errorf("inbox: fault: %s: let some time pass, if only 1ms", word)
		}
	case assigned && name == "limit":
		count, per, _ := strings.Cut(value, "/")
		var countErr error
		f.Limit, countErr = strconv.Atoi(count)
		f.Per, err = time.ParseDuration(per)
		err = errors.Join(countErr, err)
	case f.Pattern == "" && !assigned:
		f.Pattern = word
	default:
		return fmt.Errorf("inbox: fault: %q is not understood; there are a pattern, 30%%, delay=5s, disconnect, limit=10/1m, greylist=5m and a reply", word)
	}
	if err != nil {
		return fmt.Errorf("inbox: fault: %s is no duration or limit: write delay=5s, greylist=5m, limit=10/1m", word)
	}
	return nil
}

// String writes a rule so that ParseFault reads it.
func (f Fault) String() string {
	words := []string{f.Verb}
	add := func(set bool, text string) {
		if set {
			words = append(words, text)
		}
	}
	add(f.Pattern != "", f.Pattern)
	add(f.Probability != 0, inPercent(f.Probability))
	add(f.Limit != 0, fmt.Sprintf("limit=%d/%v", f.Limit, f.Per))
	add(f.Greylist != 0, "greylist="+f.Greylist.String())
	add(f.Delay != 0, "delay="+f.Delay.String())
	add(f.Disconnect, "disconnect")
	add(f.Reply.Code != 0, strconv.Itoa(f.Reply.Code))
	add(f.Reply.Enhanced != "", string(f.Reply.Enhanced))
	add(f.Reply.Text != "", f.Reply.Text)
	return strings.Join(words, " ")
}

// inPercent writes a probability with all its digits, and no others: what is read again
// is the same.
func inPercent(p float64) string {
	whole, part, _ := strings.Cut(strconv.FormatFloat(p, 'f', -1, 64), ".")
	part += "00"
	percent := cmp.Or(strings.TrimLeft(whole+part[:2], "0"), "0") + "." + part[2:]
	return strings.TrimRight(strings.TrimRight(percent, "0"), ".") + "%"
}

// check tells what is wrong with a rule.
func (f *Fault) check() error {
	problem := ""
	switch r := f.Reply; {
	case !slices.Contains(faultVerbs, f.Verb):
		problem = fmt.Sprintf("%q is no verb; there are %s", f.Verb, strings.Join(faultVerbs, ", "))
	case r.Code == 0 && f.Delay == 0 && !f.Disconnect:
		problem = "it does nothing: give a reply such as 451, delay=5s or disconnect"
	case r.Code != 0 && (r.Code < 400 || r.Code > 599):
		problem = fmt.Sprintf("%d is no refusal: a reply is from 400 to 599", r.Code)
	case r.Code != 0 && f.Disconnect:
		problem = "it cannot both reply and disconnect; 421 does the one and then the other"
	case r.Enhanced != "" && (!enhanced(string(r.Enhanced)) || r.Code == 0 || string(r.Enhanced)[0] != strconv.Itoa(r.Code)[0]):
		problem = fmt.Sprintf("the enhanced code %s does not go with the reply %d", r.Enhanced, r.Code)
	case len(r.Text) > 400 || strings.ContainsFunc(r.Text, unicode.IsControl) || r.Code == 0 && r.Text != "":
		problem = "the text of a reply has up to 400 octets and no control characters, and comes after a code"
	case len(f.Pattern) > 300 || strings.ContainsFunc(f.Pattern, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }):
		problem = "a pattern has no spaces"
	case !(f.Probability >= 0 && f.Probability <= 1): // nor NaN
		problem = "a probability is from 0 to 1"
	case f.Delay < 0 || f.Delay > maxDelay:
		problem = fmt.Sprintf("a delay is up to %v", maxDelay)
	case f.Limit < 0 || f.Greylist < 0 || f.Limit > 0 && f.Per <= 0:
		problem = "a limit is so many in a span of time, as in 10/1m"
	default:
		return nil
	}
	return fmt.Errorf("inbox: fault: %s: %s", f.Verb, problem)
}
