package smtp

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/address"
	"github.com/postrider/postrider/internal/wire"
)

// The parameters of MAIL and RCPT. One row serves both sides: how a server reads
// the parameter and which extension must have been offered, how a client writes
// it and what it does where the extension is missing. To add a parameter is to
// add a row and a field.
//
// A value is read strictly, as its RFC has it, and into a type that cannot hold anything
// else: what a Handler is given has been understood, and is written again in one form
// only. Two servers that read a value differently are how one gets past the other.

// A param is one parameter of the command whose options are O.
type param[O any] struct {
	keyword   string
	extension string
	must      func(o *O) bool // whether a client fails rather than leaves it out; nil: it leaves it out
	parse     func(o *O, value string) error
	format    func(o *O) (value string, said bool) // value "": the keyword alone
}

// errValue says no more, because the reply names the parameter and the client knows what
// it has said.
var errValue = errors.New("invalid value")

var mailParams = []param[MailOptions]{
	{ // RFC 1870, 6
		keyword: "SIZE", extension: "SIZE",
		// Digits alone (RFC 1870, 6): ParseInt would take a sign too.
		parse: func(o *MailOptions, v string) (err error) {
			if len(v) > 20 || strings.Trim(v, "0123456789") != "" {
				return errValue
			}
			o.Size, err = strconv.ParseInt(v, 10, 64)
			return err
		},
		format: func(o *MailOptions) (string, bool) { return strconv.FormatInt(o.Size, 10), o.Size > 0 },
	},
	{ // RFC 6152, 3; BINARYMIME is checked by body
		keyword: "BODY", extension: "8BITMIME",
		parse: func(o *MailOptions, v string) error {
			o.Body = Body(strings.ToUpper(v))
			if o.Body != Body7Bit && o.Body != Body8BitMIME && o.Body != BodyBinaryMIME {
				return errValue
			}
			return nil
		},
		format: func(o *MailOptions) (string, bool) { return string(o.Body), o.Body != "" },
	},
	{ // RFC 6531, 3.4
		keyword: "SMTPUTF8", extension: "SMTPUTF8", must: needed[MailOptions],
		parse:  func(o *MailOptions, v string) error { o.UTF8 = true; return bare(v) },
		format: func(o *MailOptions) (string, bool) { return "", o.UTF8 },
	},
	{ // RFC 8689, 2
		keyword: "REQUIRETLS", extension: "REQUIRETLS", must: needed[MailOptions],
		parse:  func(o *MailOptions, v string) error { o.RequireTLS = true; return bare(v) },
		format: func(o *MailOptions) (string, bool) { return "", o.RequireTLS },
	},
	{ // RFC 3461, 4.3
		keyword: "RET", extension: "DSN",
		parse: func(o *MailOptions, v string) error {
			o.Return = Return(strings.ToUpper(v))
			if o.Return != ReturnFull && o.Return != ReturnHeader {
				return errValue
			}
			return nil
		},
		format: func(o *MailOptions) (string, bool) { return string(o.Return), o.Return != "" },
	},
	{ // RFC 3461, 4.4
		keyword: "ENVID", extension: "DSN",
		parse: func(o *MailOptions, v string) (err error) {
			if v == "" || len(v) > 100 { // in its encoded form
				return errValue
			}
			o.EnvelopeID, err = wire.DecodeXtext(v)
			return err
		},
		format: func(o *MailOptions) (string, bool) { return wire.EncodeXtext(o.EnvelopeID), o.EnvelopeID != "" },
	},
	{ // RFC 4954, 5; who says it is believed or not by the Handler: see onward
		keyword: "AUTH", extension: "AUTH",
		parse: func(o *MailOptions, v string) (err error) {
			if o.Auth, err = wire.DecodeXtext(v); err != nil || o.Auth == "<>" {
				return err
			}
			return address.Check(o.Auth)
		},
		format: func(o *MailOptions) (string, bool) {
			if o.Auth == "<>" {
				return "<>", true
			}
			return wire.EncodeXtext(o.Auth), o.Auth != ""
		},
	},
	{ // draft-hall-prdr; a client asks for LMTP where it wants to know
		keyword: "PRDR", extension: "PRDR",
		parse:  func(o *MailOptions, v string) error { o.PRDR = true; return bare(v) },
		format: func(*MailOptions) (string, bool) { return "", false },
	},
	{ // RFC 2852, 4: what is to be returned in time must not go where nobody looks at the clock
		keyword: "BY", extension: "DELIVERBY", must: func(o *MailOptions) bool { return o.By.Mode == ByReturn },
		parse: func(o *MailOptions, v string) (err error) { o.By, err = parseBy(v); return err },
		format: func(o *MailOptions) (string, bool) {
			if o.By.Mode == "" {
				return "", false
			}
			return o.By.String(), true
		},
	},
	{ // RFC 4865, 3
		keyword: "HOLDFOR", extension: "FUTURERELEASE", must: needed[MailOptions],
		parse: func(o *MailOptions, v string) error {
			// One of the two, whichever is said first.
			n, err := parseSeconds(v)
			if err != nil || v[0] == '0' || !o.HoldUntil.IsZero() { // digits from 1 on, none of them idle
				return errValue
			}
			o.HoldFor = time.Duration(n) * time.Second
			return nil
		},
		format: func(o *MailOptions) (string, bool) {
			return strconv.FormatInt(int64(o.HoldFor/time.Second), 10), o.HoldFor > 0
		},
	},
	{ // RFC 4865, 3; the time is RFC 3339's
		keyword: "HOLDUNTIL", extension: "FUTURERELEASE", must: needed[MailOptions],
		parse: func(o *MailOptions, v string) error {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil || at.IsZero() || o.HoldFor > 0 {
				return errValue
			}
			o.HoldUntil = at.UTC()
			return nil
		},
		format: func(o *MailOptions) (string, bool) {
			if o.HoldUntil.IsZero() {
				return "", false
			}
			return o.HoldUntil.UTC().Format(time.RFC3339), true
		},
	},
	{ // RFC 6710, 7
		keyword: "MT-PRIORITY", extension: "MT-PRIORITY",
		// From -9 to 9; neither a plus sign nor a negative nothing is in the grammar.
		parse: func(o *MailOptions, v string) (err error) {
			digits := strings.TrimPrefix(v, "-")
			if len(digits) != 1 || digits[0] < '0' || digits[0] > '9' || v == "-0" {
				return errValue
			}
			o.Priority, err = strconv.Atoi(v)
			return err
		},
		format: func(o *MailOptions) (string, bool) { return strconv.Itoa(o.Priority), o.Priority != 0 },
	},
}

var rcptParams = []param[RcptOptions]{
	{ // RFC 3461, 4.1
		keyword: "NOTIFY", extension: "DSN",
		parse:  func(o *RcptOptions, v string) (err error) { o.Notify, err = parseNotify(v); return err },
		format: func(o *RcptOptions) (string, bool) { return o.Notify.String(), o.Notify != 0 },
	},
	{ // RFC 3461, 4.2
		keyword: "ORCPT", extension: "DSN",
		parse: func(o *RcptOptions, v string) error {
			// The kind is an atom and not encoded, the address behind it is xtext.
			kind, text, ok := strings.Cut(v, ";")
			text, err := wire.DecodeXtext(text)
			if !ok || !isAtom(kind) || text == "" || len(v) > 500 {
				return errValue
			}
			o.Original = kind + ";" + text
			return err
		},
		format: func(o *RcptOptions) (string, bool) {
			kind, text, _ := strings.Cut(o.Original, ";")
			return kind + ";" + wire.EncodeXtext(text), o.Original != ""
		},
	},
	{ // RFC 7293, 3.1; what a host does that cannot know is R, to refuse, unless C says to go on
		keyword: "RRVS", extension: "RRVS", must: func(o *RcptOptions) bool { return !o.Unchecked },
		parse: func(o *RcptOptions, v string) (err error) {
			v, action, given := strings.Cut(v, ";")
			action = strings.ToUpper(action)
			if o.ValidSince, err = time.Parse(time.RFC3339, v); err != nil || o.ValidSince.IsZero() || given && action != "C" && action != "R" {
				return errValue
			}
			o.ValidSince, o.Unchecked = o.ValidSince.UTC(), action == "C"
			return nil
		},
		format: func(o *RcptOptions) (string, bool) {
			value := o.ValidSince.UTC().Format(time.RFC3339)
			if o.Unchecked {
				value += ";C"
			}
			return value, !o.ValidSince.IsZero()
		},
	},
}

// isAtom tells whether s is one in ASCII (RFC 5322, 3.2.3), as registered kinds of
// addresses are: it stands in a report's field as it is.
func isAtom(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\".[]`, r)
	})
}

func needed[O any](*O) bool { return true }

// String returns d as BY has it: "120;RT".
func (d DeliverBy) String() string {
	s := strconv.FormatInt(int64(d.Within/time.Second), 10) + ";" + string(d.Mode)
	if d.Trace {
		s += "T"
	}
	return s
}

// parseBy reads BY (RFC 2852, 4). Time may have run out on the way, so that a negative one
// is in order, but only for who wants to be told: nothing can be returned before now.
func parseBy(v string) (d DeliverBy, err error) {
	digits, mode, ok := strings.Cut(v, ";")
	digits, negative := strings.CutPrefix(digits, "-")
	if !negative {
		digits = strings.TrimPrefix(digits, "+") // which the grammar has too
	}
	n, err := parseSeconds(digits)
	if err != nil || !ok {
		return d, errValue
	}
	if negative {
		n = -n
	}
	mode, d.Trace = strings.CutSuffix(strings.ToUpper(mode), "T")
	d.Within, d.Mode = time.Duration(n)*time.Second, ByMode(mode)
	if d.Mode != ByNotify && (d.Mode != ByReturn || n <= 0) {
		return d, errValue
	}
	return d, nil
}

// parseSeconds reads up to nine digits (RFC 2852, 4; RFC 4865, 3).
func parseSeconds(v string) (int64, error) {
	if len(v) < 1 || len(v) > 9 || strings.Trim(v, "0123456789") != "" {
		return 0, errValue
	}
	return strconv.ParseInt(v, 10, 64)
}

// notifyWords are in the order in which they are written.
var notifyWords = []struct {
	word string
	bit  Notify
}{{"NEVER", NotifyNever}, {"SUCCESS", NotifySuccess}, {"FAILURE", NotifyFailure}, {"DELAY", NotifyDelay}}

// String returns n as NOTIFY has it: "SUCCESS,FAILURE".
func (n Notify) String() string {
	var words []string
	for _, w := range notifyWords {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

func parseNotify(v string) (n Notify, err error) {
	for word := range strings.SplitSeq(v, ",") {
		known := false
		for _, w := range notifyWords {
			if strings.EqualFold(word, w.word) {
				n, known = n|w.bit, true
			}
		}
		if !known {
			return 0, errValue
		}
	}
	if n&NotifyNever != 0 && n != NotifyNever { // RFC 3461, 4.1: NEVER stands alone
		return 0, errValue
	}
	return n, nil
}

// bare refuses a value where the keyword stands alone.
func bare(v string) error {
	if v != "" {
		return errValue
	}
	return nil
}

// parseParams reads what follows a path into o: " SIZE=100 BODY=8BITMIME".
func parseParams[O any](o *O, s string, table []param[O], offered func(extension string) bool) *Error {
	if s != "" && s[0] != ' ' {
		return &Error{Code: 501, Enhanced: "5.5.4", Text: "a space must stand between the address and its parameters"}
	}
	// Each at most once, in any order. What is not known, or not offered, is refused and not
	// passed over: who asks for something must learn that it will not be done (RFC 5321,
	// 4.1.1.11).
	var seen uint
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' }) {
		keyword, value, _ := strings.Cut(word, "=")
		row := -1
		for i := range table {
			if strings.EqualFold(table[i].keyword, keyword) {
				row = i
			}
		}
		switch {
		case row < 0 || !offered(table[row].extension):
			return &Error{Code: 555, Enhanced: "5.5.4", Text: "parameter not recognized: " + keyword}
		case seen&(1<<row) != 0:
			return &Error{Code: 501, Enhanced: "5.5.4", Text: "parameter given twice: " + keyword}
		case table[row].parse(o, value) != nil:
			return &Error{Code: 501, Enhanced: "5.5.4", Text: "invalid value of parameter " + keyword}
		}
		seen |= 1 << row
	}
	return nil
}

// appendParams writes the parameters that o says and the server takes, and those in
// extra. It fails for one that the message cannot do without, and for a value that the
// parameter cannot have. o must be the caller's own: each value is read back into it.
func appendParams[O any](b []byte, o *O, extra string, table []param[O], offered func(extension string) bool) ([]byte, error) {
	for i := range table {
		row := &table[i]
		value, said := row.format(o)
		if !said {
			continue
		}
		if !offered(row.extension) {
			if row.must != nil && row.must(o) {
				return b, permanent(row.extension+" is needed", unsupported(row.extension))
			}
			continue
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return b, permanent("the value of "+row.keyword+" holds a space or a control character", nil)
		}
		// What we would not take we do not say: one grammar for both sides. It is read into o,
		// because some parameters exclude each other, and because anything else would be an
		// allocation for each envelope.
		if row.parse(o, value) != nil {
			return b, permanent(row.keyword+"="+value, errValue)
		}
		b = append(append(b, ' '), row.keyword...)
		if value != "" {
			b = append(append(b, '='), value...)
		}
	}
	for word := range strings.FieldsSeq(extra) {
		if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return b, permanent("a parameter holds a control character", nil)
		}
		b = append(append(b, ' '), word...)
	}
	return b, nil
}
