package mail

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/postrider/postrider/internal/address"
)

// Addresses as they are kept and written. Reading them is in addressparse.go. The addr-spec is kept as it was written,
// with its quoting, because "a b"@c and a b@c must stay two things all the way (RFC 5322, 3.4.1; RFC 6532, 3.2).
//
// What is written is stricter than what is read: no comments, no obsolete forms, no raw 8-bit text that is not
// UTF-8. A relay that meets one of those may cut the address elsewhere than we do, and then the mail goes to
// somebody else.

// An Address is a mailbox: a name for people, which may be empty, and an addr-spec. It has the fields of net/mail's
// Address, so that the two convert into each other.
// The zero Address is nobody: it is left out where an address is optional, and refused where one is needed. An
// Address is a value; copies have nothing in common, and any number of goroutines may read one.
type Address struct {
	Name    string // decoded; written as a phrase, a quoted string or encoded words, as it needs
	Address string // "local@domain" as written, quoting kept
}

// List makes a list of addresses from strings that each hold one address or several, for literals. What cannot be
// parsed is kept as it is, and refused with an error when the message is written.
// So a literal of a Message needs no error handling of its own: there is one place where a mistake shows, and
// it is before anything is sent. Without arguments the list is empty, not nil.
func List(s ...string) []Address {
	list := make([]Address, 0, len(s))
	for _, one := range s {
		more, err := ParseAddressList(one)
		if err != nil {
			list = append(list, Address{Address: one})
			continue
		}
		list = append(list, more...)
	}
	return list
}

// String gives the address as people read and write it, in UTF-8: "Ann Example <ann@example.com>". The name is quoted
// where it needs to be.
// It is meant for people and logs. Fields are not made with it: a name may need encoded words there (RFC 2047),
// which nobody wants to read. It never fails; an address that cannot be written is shown as it is.
func (a Address) String() string {
	if a.Name == "" {
		return a.Address
	}
	name := a.Name
	if !isPhrase(name) {
		name = string(appendQuoted(nil, name))
	}
	return name + " <" + a.Address + ">"
}

// Local gives what is before the last @, with its quoting.
// Without an @ it is all of the address. Its case is kept, because only the host that owns the domain may say
// whether case matters (RFC 5321, 2.4).
func (a Address) Local() string {
	local, _ := cutAddress(a.Address)
	return local
}

// Domain gives what is behind the last @; "" if there is none.
// It is given in the form in which it was written, U-labels or A-labels, in either case.
func (a Address) Domain() string {
	_, domain := cutAddress(a.Address)
	return domain
}

// ASCII gives the address with its domain in A-labels (RFC 5890), which any server takes: bücher.example becomes
// xn--bcher-kva.example. The error names an address that only SMTPUTF8 can carry, because its local part is not ASCII, and a
// domain that is none.
func (a Address) ASCII() (Address, error) {
	spec, utf8Local, err := toASCII(a.Address)
	if err != nil {
		return Address{}, fmt.Errorf("mail: %w", err)
	}
	if utf8Local {
		return Address{}, errNeedsUTF8(a.Address)
	}
	return Address{a.Name, spec}, nil
}

// Unicode gives the address with its domain in U-labels, as people read it: the reverse of ASCII. Labels that are no A-labels
// stay as they are. Different labels may look alike: what is compared or decided upon is ASCII.
func (a Address) Unicode() Address {
	local, domain := cutAddress(a.Address)
	if !containsFold(domain, "xn--") {
		return a
	}
	labels := strings.Split(domain, ".")
	for i, label := range labels {
		if u, err := idna.Display.ToUnicode(label); err == nil {
			labels[i] = u
		}
	}
	return Address{a.Name, local + "@" + strings.Join(labels, ".")}
}

// cutAddress cuts at the last @. Without one, all of s is the local part, as local mail has it.
func cutAddress(s string) (local, domain string) {
	// The last @ is the right one: a quoted local part may hold others, a domain none.
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// Validate checks that the address can be written: an addr-spec without comments or obsolete forms, and a name that
// holds no line break or NUL.
// Nil says that a message with this address can be composed, not that anybody lives there. The error begins
// with "mail:" and shows at most 80 octets of the address. Nothing is looked up.
func (a Address) Validate() error {
	if err := validSpec(a.Address); err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if i := badByte(a.Name); i >= 0 {
		return fmt.Errorf("mail: the name of %s holds %s", a.Address, controlName(a.Name[i]))
	}
	return nil
}

// maxSpec is the longest addr-spec that is written: a local part of 64 octets, "@", and a domain of 255 (RFC 5321,
// 4.5.3.1).
const maxSpec = 64 + 1 + 255

// An addressError tells which address is wrong, and why.
type addressError struct{ address, why string }

// Error shows at most 80 octets of the address: it may have come from outside and be of any length.
func (e *addressError) Error() string {
	shown := e.address
	if len(shown) > 80 {
		shown = shown[:80] + "…"
	}
	return fmt.Sprintf("address %q %s", shown, e.why)
}

// validSpec checks an addr-spec for writing: dot-atom or quoted string, "@", dot-atom or domain literal, all of which
// may hold UTF-8 (RFC 6532, 3.2).
// The checks are in the order in which their texts help people most: "has no @" is worth more than "needs
// quotes".
func validSpec(s string) error {
	if plainSpec(s) {
		return nil
	}
	wrong := func(why string) error { return &addressError{s, why} }
	switch {
	case s == "":
		return wrong("is empty")
	case len(s) > maxSpec:
		return wrong(fmt.Sprintf("is longer than %d octets", maxSpec))
	case !utf8.ValidString(s):
		return wrong("is not UTF-8")
	}
	if i := badByte(s); i >= 0 {
		return wrong("holds " + controlName(s[i]))
	}
	local, domain := cutAddress(s)
	switch {
	case !strings.Contains(s, "@"):
		return wrong("has no @")
	case local == "":
		return wrong("has nothing before its @")
	case domain == "":
		return wrong("has nothing behind its @")
	}
	// A name for people or a route cannot hide in here: < and > are neither atext nor allowed in a domain.
	if local[0] == '"' {
		if !isQuotedString(local) {
			return wrong("has a local part that is not quoted properly")
		}
	} else if !isDotAtom(local) {
		return wrong("has a local part that needs quotes")
	}
	if domain[0] == '[' {
		if address.CheckDomain(domain) != nil {
			return wrong("has a domain literal that is none")
		}
	} else if !isDomain(domain) {
		return wrong("has a domain that is none")
	}
	return nil
}

// plainSpec is the quick way for nearly every address: ASCII dot-atoms of ordinary length.
func plainSpec(s string) bool {
	at, last := -1, byte('.')
	// RFC 5321, 4.5.3.1.3: a path has 256 octets, of which two are the angle brackets. What is longer takes the
	// slow way, which knows why to refuse it.
	if len(s) > 254 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.' || c == '@':
			if last == '.' || last == '@' || at >= 0 && (c == '@' || last == '-') {
				return false
			}
			if c == '@' {
				at = i
			}
		case c >= utf8.RuneSelf || !isAtext(c):
			return false
		// QUIRK: underscores are no letters of host names (RFC 1123, 2.1), but Windows networks and services
		// such as _dmarc have them, and mail is sent from there.
		case at >= 0 && !isLetterDigit(c) && c != '_' && (c != '-' || last == '.' || last == '@'):
			return false
		}
		last = c
	}
	return at > 0 && last != '.' && last != '@' && last != '-'
}

// toASCII gives the addr-spec with its domain in A-labels (RFC 5890). utf8Local says that the local part is not ASCII,
// so that only SMTPUTF8 can carry it.
// The local part is never converted: no rule says what it would be in ASCII, and a guess is
// somebody else's mailbox.
func toASCII(spec string) (ascii string, utf8Local bool, err error) {
	if isASCII(spec) {
		return spec, false, nil
	}
	local, domain := cutAddress(spec)
	if !isASCII(domain) {
		a, err := address.ToASCII(domain)
		if err != nil {
			return "", false, &addressError{spec, "has a domain that is none: " + err.Error()}
		}
		domain = a
	}
	return local + "@" + domain, !isASCII(local), nil
}

// isDotAtom: RFC 5322, 3.2.3, and any UTF-8 beyond ASCII (RFC 6532, 3.2).
func isDotAtom(s string) bool {
	last := byte('.')
	for i := range len(s) {
		c := s[i]
		if c == '.' && last == '.' || c != '.' && !isAtext(c) {
			return false
		}
		last = c
	}
	return last != '.'
}

// isDomain takes what the DNS can hold and what is in use: letters, digits, hyphens inside, underscores, UTF-8. RFC 5322
// allows any atom; no host has a name like that (RFC 1123, 2.1).
func isDomain(s string) bool {
	last := byte('.')
	for i := range len(s) {
		c := s[i]
		switch {
		case (c == '.' || c == '-') && last == '.' || c == '.' && last == '-':
			return false
		case c != '.' && c != '-' && c != '_' && c < utf8.RuneSelf && !isLetterDigit(c):
			return false
		}
		last = c
	}
	// RFC 1035, 2.3.4: a name has 255 octets at the most. The 63 of a label are left to the DNS: a label in
	// UTF-8 has another length there.
	return last != '.' && last != '-' && len(s) <= 255
}

// isDtext says that s is a domain literal as RFC 5322, 3.4.1 and 4.4 have it, whatever it means.
// It is for reading, where the literal is only kept; what is written must be one that a server understands (RFC 5321,
// 4.1.3).
func isDtext(s string) bool {
	for i := 1; i < len(s)-1; i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[' || c == ']' || c < ' ' && c != '\t' || c == 0x7f:
			return false
		}
	}
	return len(s) > 2
}

// isQuotedString: RFC 5322, 3.2.4, without folding.
func isQuotedString(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s)-1 {
				return false
			}
			c = s[i]
		} else if c == '"' {
			return false
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isPhrase says that a name can be written without quotes: atoms with single spaces between them.
// Two spaces in a row would be read as one (RFC 5322, 3.2.2), and a dot is allowed in the obsolete phrase alone
// (RFC 5322, 4.1): both go into quotes.
func isPhrase(s string) bool {
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c == ' ' && last == ' ' || c != ' ' && !isAtext(c) {
			return false
		}
		last = c
	}
	return last != ' '
}

// appendQuoted appends s as a quoted string.
// Only the quote and the backslash need one before them (RFC 5322, 3.2.4); more would be legal and ugly.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
