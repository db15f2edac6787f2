package mail

import (
	"net/netip"
	"strings"
	"time"
)

// The Received fields (RFC 5321, 4.4): what each host on the way tells of the one before it.
//
// The grammar is words that begin clauses, and comments, in which hosts tell what they know better than the words. Only the
// fields of one's own hosts can be believed; the others say what whoever sent the message wanted.

// A Received is what one Received field says. What it does not say is the zero value.
type Received struct {
	From  string     // the host that sent: as it called itself, or by its address' name; programs differ
	Hello string     // as it called itself, where that is told beside From
	IP    netip.Addr // its address
	By    string     // who received
	Via   string     // the network, "TCP" if it is told at all
	With  string     // the protocol as it is written: "ESMTPS" (RFC 3848), "Microsoft SMTPSVC"
	ID    string     // the message's name at By, for its logs
	For   string     // a recipient, bare
	Date  time.Time
}

// ParseReceived reads the value of a Received field leniently; there is no error. Fields of other shapes, as qmail's
// "(qmail 1 invoked by uid 2); DATE", give little but their Date.
func ParseReceived(value string) Received {
	r := receivedReader{}
	s := unfold(value)
	clauses := s
	// A comment may hold semicolons, a date none.
	if i := strings.LastIndexByte(s, ';'); i >= 0 {
		if t, ok := parseDate(s[i+1:]); ok {
			r.out.Date, clauses = t, s[:i]
		}
	}
	if r.out.Date.IsZero() {
		r.out.Date, _ = parseDate(s) // QUIRK: the semicolon is left out
	}
	// QUIRK: Sendmail writes "(from ann@localhost) by host" of what a program on its own host has handed over.
	if rest, ok := cutPrefixFold(trimSpace(clauses), "(from "); ok {
		clauses = "from " + rest
	}
	for len(clauses) > 0 {
		switch c := clauses[0]; {
		case isSpace(c) || c == ';':
			clauses = clauses[1:]
		case c == '(':
			n := commentLen(clauses)
			r.comment(clauses[1:n])
			clauses = clauses[n:]
		default:
			n := strings.IndexAny(clauses, " \t(")
			if n < 0 {
				n = len(clauses)
			}
			r.word(clauses[:n])
			clauses = clauses[n:]
		}
	}
	// What the host has found out comes before what it was told.
	r.address(r.named)
	return r.out
}

// commentLen gives the length of the comment that s begins with, all of s if it does not end.
func commentLen(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// A receivedReader reads one field.
type receivedReader struct {
	out    Received
	clause *string // where the next word goes; nil if it goes nowhere
	with   bool    // the words are a protocol's, which may have several
	from   bool    // no other clause has begun
	named  string  // what stands where the host's name belongs; it may be its address
}

// word takes a word: the beginning of a clause, or what it says. Each clause counts once: the first.
func (r *receivedReader) word(s string) {
	for _, one := range []struct {
		name string
		to   *string
	}{{"from", &r.out.From}, {"by", &r.out.By}, {"via", &r.out.Via}, {"with", &r.out.With}, {"id", &r.out.ID}, {"for", &r.out.For}} {
		// Names of hosts may be such words too: what a clause says is taken as it is, whatever it looks like.
		// QUIRK: "from (…) by": there is no name.
		if equalFold(s, one.name) && *one.to == "" && (r.clause == nil || r.clause == &r.out.From) {
			r.clause, r.with, r.from = one.to, one.to == &r.out.With, one.to == &r.out.From
			return
		}
	}
	switch {
	case r.clause != nil:
		*r.clause = trimID(strings.TrimRight(s, ",;)"))
		r.clause = nil
	// QUIRK: "with Microsoft SMTPSVC" is the one protocol of two words that is seen daily.
	case r.with:
		r.out.With += " " + s
		return
	}
	if r.from && r.named == "" {
		r.named = s
	} else if r.from {
		r.address(s) // QUIRK: the address behind the name, without a comment around it
	}
}

// comment takes a comment of the clause from: addresses and names that the host has found out.
func (r *receivedReader) comment(s string) {
	if !r.from {
		return
	}
	// QUIRK: "(HELO name)" is qmail's, "(helo=name)" Exim's, "(name [address])" Postfix's and Sendmail's.
	hello := false
	for word := range strings.FieldsFuncSeq(s, func(c rune) bool { return strings.ContainsRune(" \t(),=", c) }) {
		switch {
		case hello && r.out.Hello == "":
			r.out.Hello = word
		default:
			r.address(word)
		}
		hello = equalFold(word, "helo") || equalFold(word, "ehlo") || equalFold(word, "lhlo")
	}
}

// address takes a word that is an address, in brackets or not, with or without a port or a name right before it. The first
// one counts.
func (r *receivedReader) address(s string) {
	if i := strings.IndexByte(s, '['); i >= 0 {
		s, _, _ = strings.Cut(s[i+1:], "]")
	}
	// The longest address, with a port, has 47 characters: what is longer need not be looked at.
	if r.out.IP.IsValid() || len(s) > 60 {
		return
	}
	if v6, ok := cutPrefixFold(s, "IPv6:"); ok {
		s = v6
	}
	if a, err := netip.ParseAddr(s); err == nil {
		r.out.IP = a.WithZone("").Unmap()
	} else if ap, err := netip.ParseAddrPort(s); err == nil {
		r.out.IP = ap.Addr().WithZone("").Unmap()
	}
}
