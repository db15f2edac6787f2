package main

import (
	"strings"

	"github.com/postrider/postrider/smtp"
)

// The command line of sendmail(8), which is older than any convention of flags: an
// option's argument is attached to it or follows it, options without one may share
// a hyphen, and programs pass many that mean something only where there is a queue.
// Those are taken with their arguments and nothing is done about them.

// sendmailOptions are what was said on the command line.
type sendmailOptions struct {
	fromHeader bool    // -t: the recipients are in the header
	dots       bool    // -i: a dot alone does not end the message
	smtp       bool    // -bs
	verbose    bool    // -v
	flush      bool    // -q: work through the queue, of which there is none
	name       string  // -F: the author's
	sender     *string // -f, -r; nil: the user
	envelope   smtp.MailOptions
	notify     smtp.Notify
	recipients []string
}

// How an option takes its argument.
type taking uint8

const (
	takesNone     taking = iota
	takesAttached        // what is attached to it, which may be nothing
	takesArgument        // what is attached, or else the next word
)

// sendmailTakes are the options of sendmail, Postfix, Exim and nullmailer that
// programs pass. The ones that we do something about are in set.
var sendmailTakes = map[byte]taking{
	'A': takesArgument, 'B': takesArgument, 'C': takesArgument, 'D': takesArgument, 'F': takesArgument, 'G': takesNone, 'L': takesArgument, 'N': takesArgument, 'O': takesArgument,
	'R': takesArgument, 'U': takesNone, 'V': takesArgument, 'X': takesArgument, 'b': takesArgument, 'd': takesAttached, 'e': takesAttached, 'f': takesArgument, 'h': takesArgument,
	'i': takesNone, 'm': takesNone, 'n': takesNone, 'o': takesArgument, 'p': takesArgument, 'q': takesAttached, 'r': takesArgument, 's': takesNone, 't': takesNone, 'v': takesNone, 'x': takesNone,
}

// parse reads the command line. What is behind -- or is no option is a recipient,
// and options may follow it: callers disagree about the order.
func (o *sendmailOptions) parse(args []string) error {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			o.recipients = append(o.recipients, args...)
			return nil
		}
		if len(word) < 2 || word[0] != '-' {
			o.recipients = append(o.recipients, word)
			continue
		}
		for rest := word[1:]; rest != ""; {
			letter := rest[0]
			rest = rest[1:]
			// Unknown ones are refused: whether the next word belongs to one, or is a recipient, cannot be known.
			how, known := sendmailTakes[letter]
			if !known {
				return usagef("sendmail: unknown option -%c; see postrider sendmail --help", letter)
			}
			value := ""
			if how != takesNone {
				value, rest = rest, ""
			}
			if how == takesArgument && value == "" {
				if len(args) == 0 {
					return usagef("sendmail: -%c needs an argument", letter)
				}
				value, args = args[0], args[1:]
			}
			if err := o.set(letter, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// set does what an option asks for.
func (o *sendmailOptions) set(letter byte, value string) error {
	switch letter {
	case 't':
		o.fromHeader = true
	case 'i':
		o.dots = true
	// -oi is the old way to say -i; the others of its kind set up a queue, a mode or a report that there is not.
	case 'o':
		o.dots = o.dots || value == "i"
	case 'v':
		o.verbose = true
	case 'q':
		o.flush = true
	case 'F':
		o.name = value
	case 'f', 'r':
		value = strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">") // <> is the null sender
		o.sender = &value
	case 'b':
		// m is what it does anyway. The others are about a queue, a daemon or aliases.
		if value != "m" && value != "s" {
			return usagef("sendmail: -b%s is not offered: only -bm and -bs; there is no queue and no daemon, see postrider serve", value)
		}
		o.smtp = value == "s"
	case 'R', 'N', 'V':
		return o.setDSN(letter, value)
	}
	return nil
}

// setDSN sets when and how a report is wanted (RFC 3461, 4).
func (o *sendmailOptions) setDSN(letter byte, value string) error {
	switch {
	case letter == 'V':
		o.envelope.EnvelopeID = value
		return nil
	case letter == 'R' && strings.EqualFold(value, "hdrs"):
		o.envelope.Return = smtp.ReturnHeader
		return nil
	case letter == 'R' && strings.EqualFold(value, "full"):
		o.envelope.Return = smtp.ReturnFull
		return nil
	case letter == 'R':
		return usagef("sendmail: -R %q: it is full or hdrs", value)
	}
	for word := range strings.SplitSeq(strings.ToLower(value), ",") {
		notify, ok := map[string]smtp.Notify{
			"never": smtp.NotifyNever, "success": smtp.NotifySuccess, "failure": smtp.NotifyFailure, "delay": smtp.NotifyDelay,
		}[strings.TrimSpace(word)]
		if !ok {
			return usagef("sendmail: -N %q: it is never, or some of success,failure,delay", value)
		}
		o.notify |= notify
	}
	if o.notify&smtp.NotifyNever != 0 && o.notify != smtp.NotifyNever {
		return usagef("sendmail: -N %q: never stands alone", value)
	}
	return nil
}
