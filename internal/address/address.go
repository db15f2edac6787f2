// Package address reads mailboxes as the commands of SMTP spell them, and tells
// whether one may be said on the wire at all.
//
// What it lets through holds no control characters and no syntax beyond the
// mailbox, so that it can be put into a command, a header field or a log as it
// is. Quoting is kept: <"x@evil"@good> and <x@evil@good> stay distinguishable.
// RFC 5321 (4.1.2, 4.5.3.1), RFC 6531 (3.3).
package address

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The grammar is that of RFC 5321, 4.1.2 and 4.1.3, widened to UTF-8 by RFC 6531,
// 3.3. It is read strictly: what passes here is copied into commands, fields and
// logs by callers who check nothing more, so that a mistake here is an injection
// there. Where the wild is let in against the grammar, it says QUIRK.

const (
	// maxPath is the limit of a path without its brackets (RFC 5321, 4.5.3.1.3).
	// The limit of 64 octets for the local part is not held: return paths that
	// encode another address in it are often longer.
	maxPath   = 254
	maxDomain = 253 // RFC 1035, 2.3.4, in its text form
	maxLabel  = 63  // the same, for what stands between two dots
)

// ErrSyntax is an address that is none; every error of this package but those of
// ToASCII is one, by errors.Is. Their texts never repeat the address, so that a
// server may say them to the client who sent it.
var ErrSyntax = errors.New("not a valid address")

// A syntaxError is a constant, so that refusing costs no memory: it is what those
// who try addresses by the thousand get.
type syntaxError string

func (e syntaxError) Error() string        { return string(e) }
func (e syntaxError) Is(target error) bool { return target == ErrSyntax }

// ParsePath reads a path, "<ann@example.com>", from the front of s and returns
// the address within it without the brackets and without a source route, and
// what follows the path. "<>" gives "", with no error: it is the null sender, and
// only the caller knows whether the verb allows it. "<Postmaster>" comes back
// without a domain, as it was spelt. After an error both strings mean nothing.
func ParsePath(s string) (address, rest string, err error) {
	if s == "" || s[0] != '<' {
		return "", "", syntaxError("the address must stand in angle brackets")
	}
	body := s[1:]
	if body != "" && body[0] == '@' {
		if body, err = skipRoute(body); err != nil {
			return "", "", err
		}
	}
	end := pathEnd(body)
	if end < 0 {
		return "", "", syntaxError("the closing angle bracket is missing")
	}
	address, rest = body[:end], body[end+1:]
	// A route leads to somebody; the null sender is nobody.
	if address == "" && len(body) != len(s)-1 {
		return "", "", syntaxError("a route without an address")
	}
	if address == "" || strings.EqualFold(address, "postmaster") {
		return address, rest, nil // RFC 5321, 4.5.1: postmaster needs no domain
	}
	return address, rest, Check(address)
}

// Bracket puts a path that the wild has spelt into the form that ParsePath
// reads: spaces before it are dropped, and brackets that are missing added.
// QUIRK: printers, scanners and scripts say "RCPT TO: <x>" and "RCPT TO:x".
func Bracket(s string) string {
	s = strings.TrimLeft(s, " ")
	if s == "" || s[0] == '<' {
		return s
	}
	end := 0
	if s[0] == '"' {
		end = max(quotedEnd(s), 0)
	}
	if i := strings.IndexByte(s[end:], ' '); i >= 0 {
		end += i
	} else {
		end = len(s)
	}
	return "<" + s[:end] + ">" + s[end:]
}

// pathEnd returns the index of the bracket that closes the path, -1 if none
// does. Within quotes a bracket is text (RFC 5321, 4.1.2: Quoted-string), and
// who cut at the first one would read "<\"a>b\"@example.com>" as somebody else's.
func pathEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// skipRoute drops "@a,@b:" (RFC 5321, appendix C: accepted and ignored). The hops
// are checked all the same: what is refused elsewhere does not pass in a route.
func skipRoute(s string) (string, error) {
	route, rest, ok := strings.Cut(s, ":")
	if !ok {
		return "", syntaxError("a source route must end in a colon")
	}
	for hop := range strings.SplitSeq(route, ",") {
		domain, ok := strings.CutPrefix(hop, "@")
		if !ok {
			return "", syntaxError("malformed source route")
		}
		if err := checkDomain(domain); err != nil {
			return "", err
		}
	}
	return rest, nil
}

// Check tells whether a is a mailbox: a local part, an at sign and a domain or
// an address literal; nil if it is one. It may hold UTF-8 (RFC 6531, 3.3); see
// IsASCII. Neither "" nor a postmaster without a domain is one. That the domain
// exists is not asked. It may be called from anywhere at once.
func Check(a string) error {
	if len(a) > maxPath {
		return syntaxError("the address is longer than 254 octets")
	}
	local, domain, err := Split(a)
	if err != nil {
		return err
	}
	// Split returns no empty local part, and a quoted one with both its quotes.
	if local[0] == '"' {
		err = checkQuoted(local[1 : len(local)-1])
	} else {
		err = checkDotString(local)
	}
	if err != nil {
		return err
	}
	return checkDomain(domain)
}

// Split parts an address at the at sign that ends its local part; neither part
// is empty unless there is an error. It checks no characters: that is Check's.
// Without quotes the last at sign counts; the other ones then stand in the local
// part, where Check refuses them.
func Split(a string) (local, domain string, err error) {
	at := strings.LastIndexByte(a, '@')
	if a != "" && a[0] == '"' {
		// The local part is what the quotes enclose, whatever follows.
		end := quotedEnd(a)
		if end < 0 {
			return "", "", syntaxError("the closing quote is missing")
		}
		if at = end + 1; at >= len(a) || a[at] != '@' {
			return "", "", syntaxError("an at sign must follow the quoted local part")
		}
	}
	switch {
	case at < 0:
		return "", "", syntaxError("the address has no domain")
	case at == 0:
		return "", "", syntaxError("the address has no local part")
	case at == len(a)-1:
		return "", "", syntaxError("the domain is empty")
	}
	return a[:at], a[at+1:], nil
}

// quotedEnd returns the index of the quote that closes the one at 0, -1 if none
// does. A backslash takes the next octet with it, whatever that is.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// checkDotString checks atoms joined by single dots (RFC 5321, 4.1.2).
func checkDotString(s string) error {
	// Two dots in a row are refused, although a few providers gave out such addresses:
	// RFC 5321, 4.1.2 has them in quotes, and so may their owners.
	if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return syntaxError("a dot in the local part must stand between two atoms")
	}
	for _, r := range s {
		if r != '.' && !isAtext(r) {
			return syntaxError("a character in the local part needs quoting or is not allowed")
		}
	}
	return checkUTF8(s)
}

// isAtext reports what an atom is made of (RFC 5322, 3.2.3), with the UTF-8 that
// RFC 6531, 3.3 adds to it.
func isAtext(r rune) bool {
	switch {
	case r >= utf8.RuneSelf:
		return isText(r)
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// isText refuses what is invisible or breaks lines beyond ASCII: U+0085 and
// U+2028 among them.
func isText(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }

// checkQuoted checks what stands between the quotes (RFC 5321, 4.1.2:
// QcontentSMTP). Control characters are refused escaped too: a line end in an
// address would end the command that it is put in.
func checkQuoted(s string) error {
	escaped := false
	for _, r := range s {
		switch {
		// First of all, since an escape must not carry one past.
		case r < ' ' || r == 0x7f || r >= utf8.RuneSelf && !isText(r):
			return syntaxError("the local part holds a control character")
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			return syntaxError("a quote in the local part must be escaped")
		}
	}
	if escaped {
		return syntaxError("the local part ends within an escape")
	}
	return checkUTF8(s)
}

// checkUTF8 refuses what ranging over a string hides: a broken sequence looks like
// a replacement character there, which somebody may also have written.
func checkUTF8(s string) error {
	if !utf8.ValidString(s) {
		return syntaxError("the address is not valid UTF-8")
	}
	return nil
}

// CheckDomain tells whether d is a domain name or an address literal: what EHLO
// may say too (RFC 5321, 4.1.1.1). nil if it is; "" is none. A name of one label
// passes, as "localhost" must; a dot at the end does not, because the grammar has
// none (RFC 5321, 4.1.2).
func CheckDomain(d string) error { return checkDomain(d) }

func checkDomain(d string) error {
	if d == "" {
		return syntaxError("the domain is empty")
	}
	if d[0] == '[' {
		return checkLiteral(d)
	}
	if len(d) > maxDomain {
		return syntaxError("the domain is longer than 253 octets")
	}
	for label := range strings.SplitSeq(d, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return checkUTF8(d)
}

// QUIRK: an underscore is not allowed in a host name, but hosts of container
// networks have it (Docker Compose made such names), and it can do no harm here.
func checkLabel(label string) error {
	if label == "" || len(label) > maxLabel {
		return syntaxError("each label of the domain must have 1 to 63 octets")
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return syntaxError("a label of the domain begins or ends with a hyphen")
	}
	for _, r := range label {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		if !ok && (r < utf8.RuneSelf || !isText(r)) {
			return syntaxError("the domain holds a character that is not allowed")
		}
	}
	return nil
}

// checkLiteral checks "[192.0.2.1]" and "[IPv6:2001:db8::1]" (RFC 5321, 4.1.3).
// The general form with a registered tag is refused: none but IPv6 is registered.
func checkLiteral(d string) error {
	inner, ok := strings.CutSuffix(d[1:], "]")
	if !ok {
		return syntaxError("the closing bracket of the address literal is missing")
	}
	want6 := len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:")
	if want6 {
		inner = inner[5:]
	}
	// A zone names an interface of the machine that wrote it and means nothing here.
	ip, err := netip.ParseAddr(inner)
	if err != nil || ip.Zone() != "" || want6 != ip.Is6() {
		return syntaxError("the address literal is neither IPv4 nor IPv6")
	}
	return nil
}

// IsASCII tells whether s can be said without SMTPUTF8 (RFC 6531, 3.4). It looks
// at octets only and says nothing of control characters; "" can be said.
func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// errNoLabels is a domain that has no form in A-labels.
var errNoLabels = errors.New("the domain cannot be written in A-labels")

// ToASCII writes a domain in A-labels (RFC 5890, 2.3.2.1), as DNS and servers
// without SMTPUTF8 know it. One that is ASCII already comes back as it is, address
// literals among them. An error means that there is no such form: the address can
// only be said with SMTPUTF8, or not at all. It is no ErrSyntax.
func ToASCII(domain string) (string, error) {
	if IsASCII(domain) {
		return domain, nil
	}
	// Broken UTF-8 would be read as U+FFFD and come out as a name that is another's.
	if !utf8.ValidString(domain) {
		return "", errNoLabels
	}
	// The profile for looking up also refuses labels that only look like a domain, so that we never send to a name that the
	// registries would not have sold.
	name, err := idna.Lookup.ToASCII(domain)
	// RFC 5890, 2.3.2.1: an A-label is one of DNS, with its limits, and longer than what it stands for.
	if err == nil && checkDomain(name) != nil {
		err = errNoLabels
	}
	return name, err
}
