package mail

import (
	"fmt"
	"slices"
	"strings"
)

// What is known about fields by their names: which ones Message has, and how the values of the others are written
// (RFC 5322, 3.6; RFC 2045; the registry of RFC 4021).
//
// A field that is not known here is unstructured, which is what RFC 5322, 3.6.8 says of optional fields. That
// is the safe way round for text and the wrong one for structure, hence the long list: an encoded word is only
// allowed where text, comments or phrases are (RFC 2047, 5).

// A fieldKind is a field that Message has.
type fieldKind uint8

// In the order in which they are written.
const (
	fieldNone fieldKind = iota
	fieldDate
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldSubject
	fieldMessageID
	fieldInReplyTo
	fieldReferences
	fieldMIMEVersion
	fieldContent // Content-Type and Content-Transfer-Encoding, which come from the body
	fieldKinds
)

// knownField tells which field of Message a name is. The first letter decides quickly against most others.
// It is asked for each field of each message that is read, most of which are Received, DKIM-Signature and
// X-something: those are let go after one comparison of numbers.
func knownField(name string) fieldKind {
	if name == "" {
		return fieldNone
	}
	is := func(want string, k fieldKind) fieldKind {
		if equalFold(name, want) {
			return k
		}
		return fieldNone
	}
	// No two of these names have both in common, so one full comparison settles it.
	switch len(name)<<8 | int(lower(name[0])) {
	case 4<<8 | 'd':
		return is("Date", fieldDate)
	case 4<<8 | 'f':
		return is("From", fieldFrom)
	case 6<<8 | 's':
		return is("Sender", fieldSender)
	case 8<<8 | 'r':
		return is("Reply-To", fieldReplyTo)
	case 2<<8 | 't':
		return is("To", fieldTo)
	case 2<<8 | 'c':
		return is("Cc", fieldCc)
	case 3<<8 | 'b':
		return is("Bcc", fieldBcc)
	case 7<<8 | 's':
		return is("Subject", fieldSubject)
	case 10<<8 | 'm':
		return is("Message-ID", fieldMessageID)
	case 11<<8 | 'i':
		return is("In-Reply-To", fieldInReplyTo)
	case 10<<8 | 'r':
		return is("References", fieldReferences)
	case 12<<8 | 'm':
		return is("MIME-Version", fieldMIMEVersion)
	case 12<<8 | 'c':
		return is("Content-Type", fieldContent)
	case 25<<8 | 'c':
		return is("Content-Transfer-Encoding", fieldContent)
	}
	return fieldNone
}

// A syntax says how the value of a field is written.
// It is about writing alone. Reading finds encoded words wherever they are, for senders do not keep to the
// rules.
type syntax uint8

const (
	syntaxText      syntax = iota // unstructured: encoded words where needed
	syntaxExact                   // structured: ASCII, never encoded
	syntaxAddresses               // a list of addresses
	syntaxParams                  // a value and parameters (RFC 2231)
)

// Structured fields. Encoded words in them would not be decoded by who reads them: a List-Unsubscribe, for one, would
// no longer work (RFC 8058).
// Both lists are sorted, for they are searched by halves. They hold the registry's fields (RFC 4021) and those
// that large hosts act upon: Feedback-ID, Precedence, X-Priority.
var structuredFields = []string{
	"accept-language", "archived-at", "authentication-results", "auto-submitted", "autocrypt", "autoforwarded", "autosubmitted",
	"content-base", "content-duration", "content-features", "content-id", "content-language", "content-location", "content-md5",
	"content-transfer-encoding", "date", "delivery-date", "disposition-notification-options", "dkim-signature", "dl-expansion-history",
	"domainkey-signature", "encrypted", "expires", "expiry-date", "feedback-id", "importance", "in-reply-to", "jabber-id",
	"message-id", "mime-version", "mt-priority", "original-encoded-information-types", "original-message-id", "precedence", "priority",
	"received", "received-spf", "references", "reply-by", "require-recipient-valid-since", "resent-date", "resent-message-id",
	"return-path", "sensitivity", "tls-report-domain", "tls-report-submitter", "tls-required", "x-mailer-id", "x-priority",
}

// QUIRK: Errors-To, Return-Receipt-To, Mail-Followup-To and Mail-Reply-To are in no standard; mailing lists and
// readers go by them, and their names for people may need encoding as any others.
var addressFields = []string{
	"bcc", "cc", "disposition-notification-to", "errors-to", "from", "mail-followup-to", "mail-reply-to", "reply-to", "resent-bcc",
	"resent-cc", "resent-from", "resent-reply-to", "resent-sender", "resent-to", "return-receipt-to", "sender", "to",
}

// syntaxOf finds how a field's value is written, by its name.
// The parameters' two come first, because all messages have them.
func syntaxOf(name string) syntax {
	name = toLower(name)
	if name == "content-type" || name == "content-disposition" {
		return syntaxParams
	}
	if _, ok := slices.BinarySearch(addressFields, name); ok {
		return syntaxAddresses
	}
	if _, ok := slices.BinarySearch(structuredFields, name); ok {
		return syntaxExact
	}
	// RFC 2369, 2 and RFC 2919, 3: the list fields hold URLs and identifiers in angle brackets. What is in ARC
	// fields is signed as it is written.
	for _, prefix := range []string{"list-", "arc-", "downgraded-"} {
		if strings.HasPrefix(name, prefix) {
			return syntaxExact
		}
	}
	return syntaxText
}

// isTrace says that a field belongs to those that each host puts on top of the others (RFC 5321, 4.4; RFC 5322, 3.6.7).
// They tell the way of a message from the top down, so nothing that we write may come between them. QUIRK:
// Delivered-To, from Postfix and qmail, is theirs against loops, and X-Google-DKIM-Signature is Google's beside
// its DKIM-Signature.
func isTrace(name string) bool {
	name = toLower(name)
	switch name {
	case "received", "return-path", "dkim-signature", "authentication-results", "received-spf", "delivered-to":
		return true
	}
	return strings.HasPrefix(name, "arc-") || strings.HasPrefix(name, "resent-") || strings.HasPrefix(name, "x-google-dkim")
}

// appendField appends a field that was made from a name and a value. The error says what is wrong with which of them.
func appendField(b []byte, name, value string) ([]byte, error) {
	f := folder{b: b}
	if err := f.field(name, value); err != nil {
		return b, fmt.Errorf("mail: %s: %w", name, err)
	}
	return f.b, nil
}

// field appends one whole field. On an error part of it may have been appended: the caller cuts it off.
func (f *folder) field(name, value string) error {
	// A longer one leaves no room in its line for a first word, and no line can be folded inside a name.
	if len(name) > maxName {
		return fmt.Errorf("a name of %d octets is too long", len(name))
	}
	if i := badByte(value); i >= 0 {
		return fmt.Errorf("the value holds %s, at octet %d", controlName(value[i]), i)
	}
	kind := syntaxOf(name)
	f.start(name)
	switch kind {
	case syntaxText:
		f.text(value)
	// What is given as a string is parsed strictly and written anew, so that a value from a web form can add no
	// field and no recipient that is not seen by Validate.
	case syntaxAddresses:
		// An empty group, or another that keeps its name, is written as it is.
		if strings.Contains(value, ":") && isASCII(value) {
			if _, err := ParseAddressList(value); err != nil {
				return err
			}
			if err := f.structured(value); err != nil {
				return err
			}
			break
		}
		list, err := ParseAddressList(value)
		if err != nil {
			return err
		}
		for i, a := range list {
			if _, err := f.address(a, i == len(list)-1); err != nil {
				return err
			}
		}
	case syntaxParams:
		l := madeParams(value)
		if equalFold(name, "Content-Type") && !strings.Contains(l.value, "/") {
			return fmt.Errorf("%.40q is no media type", value)
		}
		if err := f.params(l.value, l.params); err != nil {
			return err
		}
	// Refusing is better than encoding here: an encoded Message-ID or Received is another one, and nobody would
	// notice.
	case syntaxExact:
		for i := range len(value) {
			if c := value[i]; c >= 0x7f || c < ' ' && c != '\t' {
				return fmt.Errorf("a structured field cannot hold %q", value[i:min(len(value), i+4)])
			}
		}
		if err := f.structured(value); err != nil {
			return err
		}
	}
	f.end()
	return nil
}

// params appends a value with parameters. ASCII ones are tokens or quoted strings, others are written as RFC 2231 does,
// in pieces where they are long.
// Names are checked here and not where they come from, because they may come from a literal, or from a message
// that was read, where anything can be one.
func (f *folder) params(value string, params []param) error {
	for i := range len(value) {
		if c := value[i]; !isToken(c) && c != '/' {
			return fmt.Errorf("%.40q holds a character that it must not", value)
		}
	}
	if value == "" {
		return fmt.Errorf("the value is empty")
	}
	f.stick(" ")
	f.stick(value)
	for _, p := range params {
		if !validParam(p.name) {
			return fmt.Errorf("%.40q cannot be the name of a parameter", p.name)
		}
		if i := badByte(p.value); i >= 0 {
			return fmt.Errorf("the parameter %s holds %s", p.name, controlName(p.value[i]))
		}
		f.stick(";")
		f.param(p)
	}
	return nil
}

// validParam says whether a parameter can have that name (RFC 2045, 5.1; RFC 2231, 7).
func validParam(name string) bool {
	return isTokenString(name) && len(name) <= 40 && !strings.ContainsAny(name, "*'%")
}

// param appends one parameter, on a line of its own where this one has no room.
// RFC 2231 is taken for what quotes cannot hold: characters beyond ASCII, controls, and values longer than a
// line.
func (f *folder) param(p param) {
	// The plain form is wanted wherever it will do: everything that reads mail understands it.
	plain := len(p.name)+f.width(p.value)+6 <= maxLine && f.plain(p.value)
	if plain && !strings.Contains(p.value, "=?") {
		var room [2*maxLine + 8]byte
		b := append(append(room[:0], p.name...), '=')
		if isTokenString(p.value) {
			b = append(b, p.value...)
		} else {
			b = appendQuoted(b, p.value)
		}
		s := stringOf(b)
		f.gap(" ", f.width(s)+1)
		f.stick(s)
		return
	}
	// RFC 2231, 4.1: pieces, each marked as encoded; the first one tells the charset.
	s := strings.ToValidUTF8(p.value, "\ufffd")
	f.beyond = f.beyond || !isASCII(s)
	// One piece needs no number (RFC 2231, 4), and more readers know that form than the one in pieces.
	whole := len(p.name)+len("*=utf-8''")+percentLen(s) < maxLine
	for n := 0; s != "" || n == 0; n++ {
		var room [2 * maxLine]byte
		b := fmt.Appendf(room[:0], "%s*%d*=", p.name, n)
		if whole {
			b = append(append(room[:0], p.name...), "*="...)
		}
		if n == 0 {
			b = append(b, "utf-8''"...)
		}
		// A character may be cut between two pieces: RFC 2231, 4.1 has them joined before the charset is looked
		// at.
		for s != "" && (whole || len(b) < maxLine-3) {
			c := s[0]
			if classes[c]&class2231 != 0 {
				b = append(b, c)
			} else {
				const hex = "0123456789ABCDEF"
				b = append(b, '%', hex[c>>4], hex[c&15])
			}
			s = s[1:]
		}
		if n > 0 {
			f.stick(";")
		}
		f.gap(" ", len(b)+1)
		f.b = append(f.b, b...)
		f.col += len(b)
	}
}

// percentLen is the length of s in the encoding of RFC 2231, 4.
func percentLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if classes[s[i]]&class2231 == 0 {
			n += 2
		}
	}
	return n
}
