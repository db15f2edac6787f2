package mail

import (
	"fmt"
	"strings"
)

// Reading addresses (RFC 5322, 3.4 and 4.4; RFC 6532). One pass cuts the text into tokens, an entry of the list at a
// time; what an entry means is decided from its tokens; only then are the encoded words in its name decoded. So an
// address can never come out of encoded text. Every search that fails is remembered, which keeps the work linear.
//
// Strict reading takes the grammar, its obsolete forms included. Lenient reading takes what is left as well and never
// fails: what it cannot make sense of it keeps as it is, for writing refuses it anyway.

// ParseAddress reads one address strictly: RFC 5322 with its obsolete forms, and UTF-8 (RFC 6532).
// A name before it is decoded. The error, prefixed "mail:", says at which octet of s the grammar was left;
// nothing, or more than one address, is an error too. Any number of goroutines may call it.
func ParseAddress(s string) (Address, error) {
	list, err := ParseAddressList(s)
	if err != nil {
		return Address{}, err
	}
	if len(list) != 1 {
		return Address{}, fmt.Errorf("mail: there are %d addresses where one belongs", len(list))
	}
	return list[0], nil
}

// ParseAddressList reads a list of addresses strictly. The members of groups are members of the list; an empty group
// is an empty list.
// The error is the first that was found, and then the list is nil: half a list of recipients is worse than
// none. An empty s is an error; a list of nothing but an empty group is not.
func ParseAddressList(s string) ([]Address, error) {
	r := addressReader{s: s, strict: true}
	r.read()
	if r.err != nil {
		return nil, r.err
	}
	return r.out, nil
}

// ExtractAddresses finds the bare addresses in a field's value or any other text of that kind, leniently: what has no @
// is left out. It never takes an address out of encoded words, quoted names or comments.
// It is for envelopes that are made from headers, where an address out of somebody's display name would send
// mail to whomever the author of that name chose. The result is nil if there is none. It may be called at once
// from anywhere.
func ExtractAddresses(s string) []string {
	list, _ := new(Parser).Addresses(s)
	var out []string
	for _, a := range list {
		if strings.Contains(a.Address, "@") {
			out = append(out, a.Address)
		}
	}
	return out
}

// Addresses reads a list of addresses leniently, as [Parser.Parse] reads those of a message. It takes unquoted commas
// in names, semicolons between addresses, addresses without brackets behind a name, and more. The offsets of the
// defects count from the beginning of s.
// A nil Parser is the zero one. There is no error: the list may be empty, and an address in it may be one that
// [Address.Validate] refuses.
func (p *Parser) Addresses(s string) ([]Address, []Defect) {
	var d defects
	r := addressReader{s: p.repair(s), p: p, defects: &d}
	r.read()
	return r.out, d.list
}

// A token is a piece of an address list. Its kind is '"' for a quoted string, '(' for a comment, '<' for what is in
// angle brackets, '[' for a domain literal, 'a' for an atom, 'w' for an encoded word, else the character itself.
// Tokens are offsets and not strings: most text is never copied, and an entry that has to be kept as it is can
// be cut out whole.
type token struct {
	kind       byte
	space      bool // there was white space before it
	start, end int  // with the delimiters
}

// An addressReader reads one list.
type addressReader struct {
	s       string
	p       *Parser // for charsets; may be nil
	strict  bool
	defects *defects
	out     []Address
	err     error // the first; strict reading stops at it

	pos     int
	toks    []token
	inGroup bool
	// What is not known yet when an entry ends waits here for the next entry.
	pendingName string // the comment that was with pending
	pending     string // an entry without an address, which may be the "Doe" of "Doe, John <j@x>"
	closed      uint8  // bits for the searches that have failed: there is no further end for them
}

const (
	noQuote = 1 << iota
	noComment
	noAngle
	noLiteral
)

// reset makes the reader ready for another list, with the memory of the one before.
func (r *addressReader) reset(s string, p *Parser, d *defects) {
	*r = addressReader{s: s, p: p, defects: d, toks: r.toks[:0]}
}

// fail tells of something that the grammar does not have: an error in strict reading, a defect in lenient reading, which
// goes on.
func (r *addressReader) fail(at int, text string) {
	if r.strict && r.err == nil {
		fault, _, _ := strings.Cut(text, ", ") // behind it is how lenient reading takes it
		r.err = fmt.Errorf("mail: address list, octet %d: %s", at, fault)
	}
	r.defects.add(DefectAddress, int64(at), text)
}

// read reads the whole list into out. In strict reading it stops at the first error; in lenient reading it goes to the
// end, whatever there is.
func (r *addressReader) read() {
	if r.toks == nil {
		r.toks = make([]token, 0, 16) // enough for most entries
	}
	// A list of nothing but commas must not make us allocate 32 octets for each of its own.
	if n := strings.Count(r.s, ","); n < 1000 {
		r.out = make([]Address, 0, n+1)
	}
	if r.strict {
		r.folds()
	}
	for r.pos < len(r.s) && r.err == nil {
		r.token()
	}
	r.entry(len(r.s))
	if r.pending != "" {
		r.keepPending()
	}
	if r.inGroup {
		r.fail(len(r.s), "a group is not closed")
	}
	if r.strict && trimSpace(r.s) == "" {
		r.fail(0, "there is no address")
	}
}

// folds checks that line ends are folds: CRLF with white space behind it (RFC 5322, 3.2.2).
// A line end that is none is where the next field begins for some other reader, so a strict reader must not
// step over it.
func (r *addressReader) folds() {
	for i := 0; i < len(r.s); i++ {
		switch c := r.s[i]; {
		case c == '\r' && i+2 < len(r.s) && r.s[i+1] == '\n' && (r.s[i+2] == ' ' || r.s[i+2] == '\t'):
			i += 2
		case c == '\r' || c == '\n':
			r.fail(i, "a line end that is no fold")
			return
		}
	}
}

// afterAt says that the last token but for comments is the @, so that a [ begins a domain literal.
func (r *addressReader) afterAt() bool {
	i := len(r.toks) - 1
	for i >= 0 && r.toks[i].kind == '(' {
		i--
	}
	return i >= 0 && r.toks[i].kind == '@'
}

// token reads one token, or the end of an entry.
func (r *addressReader) token() {
	i, space := r.pos, false
	for i < len(r.s) && isSpace(r.s[i]) {
		i, space = i+1, true
	}
	if i == len(r.s) {
		r.pos = i
		return
	}
	t := token{kind: r.s[i], space: space, start: i, end: i + 1}
	switch c := r.s[i]; {
	case c == ',':
		r.pos = i + 1
		r.entry(i)
		return
	// QUIRK: Outlook shows semicolons between addresses, and people copy them from there into web forms.
	case c == ';':
		r.pos = i + 1
		r.entry(i)
		if !r.inGroup {
			r.fail(i, "a semicolon outside of a group, read as a comma")
		}
		r.inGroup = false
		return
	// RFC 5322, 3.4: a group is a name, a colon, addresses and a semicolon. "undisclosed-recipients:;" is the
	// one that is seen daily.
	case c == ':' && r.groupStart(i):
		r.pos = i + 1
		return
	case c == '"' && r.closed&noQuote == 0:
		t.end = r.until(i, noQuote, '"', 0)
	case c == '(' && r.closed&noComment == 0:
		t.end = r.until(i, noComment, ')', '(')
	case c == '<':
		t.end = r.angle(i)
	// QUIRK: [EXTERNAL] and [ticket 12] in names without quotes, from gateways and help desks: a bracket is a
	// domain literal behind an @ alone.
	case c == '[' && r.closed&noLiteral == 0 && r.afterAt():
		t.end = r.until(i, noLiteral, ']', 0)
	// QUIRK: encoded words that hold commas, brackets and @ as they are, from programs that encode nothing but
	// letters beyond ASCII. RFC 2047, 5, rule 3 forbids these octets in a phrase; to a strict reader the word
	// is atoms, or an error.
	case c == '=' && encodedWordLen(r.s[i:]) > 0 && !r.strict:
		t.kind, t.end = 'w', i+encodedWordLen(r.s[i:])
	case isAtext(c):
		t.kind = 'a'
		for t.end < len(r.s) && isAtext(r.s[t.end]) {
			t.end++
		}
	case c == '@' || c == '.':
	default:
		r.fail(i, "a character that does not belong there, read as a letter")
		t.kind = 'x'
	}
	if t.end < 0 { // the search for its end has failed
		r.fail(i, "something begins with "+string(r.s[i])+" and does not end, read as a letter")
		t.kind, t.end = 'x', i+1
	}
	r.toks, r.pos = append(r.toks, t), t.end
}

// until finds the end of what begins at i, behind its closing character; -1 if there is none. Characters behind a
// backslash do not count (RFC 5322, 3.2.1). open, if not 0, nests.
// A search that has failed once is not made again: from any later beginning it would go over the same octets to
// the same end, and n openings would cost n² steps.
func (r *addressReader) until(i int, kind uint8, shut, open byte) int {
	depth := 1
	for j := i + 1; j < len(r.s); j++ {
		switch c := r.s[j]; {
		case c == '\\':
			j++
		case c == shut:
			if depth--; depth == 0 {
				return j + 1
			}
		case c == open && open != 0:
			depth++
		}
	}
	r.closed |= kind
	return -1
}

// angle finds the end of what begins with the < at i. Without a > it goes to the end of the entry.
// Quoted strings inside are stepped over whole, for "a>b"@c is an address (RFC 5322, 3.2.4).
func (r *addressReader) angle(i int) int {
	j := i + 1
	if r.closed&noAngle == 0 {
		for j < len(r.s) && r.s[j] != '>' {
			if r.s[j] == '"' && r.closed&noQuote == 0 {
				if end := r.until(j, noQuote, '"', 0); end > 0 {
					j = end - 1
				}
			}
			j++
		}
		for !r.strict && j+1 < len(r.s) && r.s[j+1] == '>' {
			j++ // QUIRK: <<a@b>>, from web forms that add brackets of their own
		}
		if j < len(r.s) {
			return j + 1
		}
		r.closed |= noAngle
	}
	// QUIRK: headers that were cut at 256 or 1,000 octets by databases and spam filters end inside an address.
	r.fail(i, "a < without its >, read up to the next comma")
	for j = i + 1; j < len(r.s) && r.s[j] != ',' && r.s[j] != ';'; j++ {
	}
	return j
}

// groupStart takes the colon at i as the one behind a group's name, if it can be that (RFC 5322, 3.4).
func (r *addressReader) groupStart(i int) bool {
	for _, t := range r.toks {
		if t.kind == '@' || t.kind == '<' {
			return false
		}
	}
	if r.inGroup || len(r.toks) == 0 {
		r.fail(i, "a colon that begins no group")
	}
	if r.pending != "" {
		r.keepPending()
	}
	r.inGroup, r.toks = true, r.toks[:0]
	return true
}

// entry settles the tokens of one entry, which ends at the offset end.
// Angle brackets decide first, then an @: a name may hold an @, but an address in brackets is always the
// address.
func (r *addressReader) entry(end int) {
	toks := r.toks
	r.toks = r.toks[:0]
	if len(toks) == 0 || r.err != nil {
		// RFC 5322, 4.4: null members of a list are an obsolete form that must be accepted.
		return
	}
	for i, t := range toks {
		if t.kind == '<' {
			r.nameAddr(toks, i)
			return
		}
	}
	for _, t := range toks {
		if t.kind == '@' {
			r.bare(toks)
			return
		}
	}
	// RFC 5322, 4.4: an obsolete list may have comments where its members are missing.
	if onlyComments(toks) {
		return
	}
	if r.strict {
		r.fail(toks[0].start, "an entry without an address")
		return
	}
	if r.pending != "" {
		r.keepPending()
	}
	// It has neither brackets nor an @, so it is a name that was cut at its comma, or a local mailbox. The next
	// entry tells.
	r.pendingName = r.comment(toks)
	toks = withoutComments(toks)
	r.pending = r.s[toks[0].start:toks[len(toks)-1].end]
}

// nameAddr settles an entry with angle brackets, which are the token at index i.
// An @ in the name is a defect worth telling: "ceo@bank.example" <x@evil.example> is how people are fooled, and
// without quotes not even the grammar allows it.
func (r *addressReader) nameAddr(toks []token, i int) {
	a := Address{Name: r.phrase(toks[:i])}
	for _, t := range toks[:i] {
		if t.kind == '@' {
			r.fail(t.start, "an @ in a name that is not quoted")
			break
		}
	}
	t := toks[i]
	if in := r.s[t.start+1 : t.end]; in != "" && in[len(in)-1] == '>' && plainSpec(in[:len(in)-1]) {
		a.Address = in[:len(in)-1]
	} else {
		if strings.HasPrefix(in, "<") || strings.HasSuffix(in, ">>") {
			r.fail(t.start, "angle brackets in angle brackets, read as one pair")
		}
		a.Address = r.route(strings.TrimRight(in, ">"), t.start+1)
	}
	// QUIRK: <a@b> Ann Example, the wrong way round, from scripts that join the two by hand.
	if !onlyComments(toks[i+1:]) {
		r.fail(toks[i+1].start, "something behind the >, taken as the name if there is none")
		if behind := toks[i+1:]; a.Name == "" && behind[0].kind != '<' {
			a.Name = r.phrase(behind)
		}
	}
	if a.Name == "" {
		a.Name = r.comment(toks)
	}
	if r.pending != "" {
		// QUIRK: Outlook and old gateways write names with a comma and without quotes: Doe, John <j@x>.
		if i > 0 && !strings.Contains(a.Name, ",") {
			r.fail(toks[0].start, "a name with an unquoted comma, read as one name")
			a.Name = cleanLine(r.p.words(unfold(r.pending))) + ", " + a.Name
		} else {
			r.keepPending()
		}
		r.pending = ""
	}
	// RFC 5322, 4.4 has no empty address; "<>" belongs to envelopes (RFC 5321, 4.5.5), where programs copy it
	// from.
	if a.Address == "" {
		r.fail(t.start, "an address that is empty")
		if a.Name == "" {
			return
		}
	}
	r.out = append(r.out, a)
}

// bare settles an entry without angle brackets that has an @.
// The address is what grows from the first @ to both sides without white space; what is left of it can only be
// a name. QUIRK: Ann Example ann@example.com, from old mailing-list software and people who type.
func (r *addressReader) bare(toks []token) {
	if r.pending != "" {
		r.keepPending()
	}
	name := r.comment(toks)
	toks = withoutComments(toks)
	at := 0
	for toks[at].kind != '@' {
		at++
	}
	// White space may be around the dots and the @ (RFC 5322, 4.4, obs-local-part); elsewhere it ends the address.
	joined := func(i int) bool {
		a, b := toks[i].kind, toks[i+1].kind
		return !toks[i+1].space || a == '.' || a == '@' || b == '.' || b == '@'
	}
	from, to := at, at
	for from > 0 && joined(from-1) {
		from--
	}
	for to < len(toks)-1 && joined(to) {
		to++
	}
	a := Address{Name: r.phrase(toks[:from]), Address: r.spec(toks[from : to+1])}
	if from > 0 {
		r.fail(toks[from].start, "a name before an address without brackets")
	}
	if to < len(toks)-1 {
		r.fail(toks[to].end, "something behind an address, dropped")
	}
	if a.Name == "" {
		a.Name = name
	}
	r.out = append(r.out, a)
}

// keepPending gives up on finding the rest of an entry without an address. It is kept as an address without a domain,
// for local mail has such; an encoded word can only be a name.
// Dropping it would be quieter, but then a reply to all would lose somebody without a word.
func (r *addressReader) keepPending() {
	s := r.pending
	r.pending = ""
	r.fail(0, "an entry without an @, kept as it is")
	if strings.Contains(s, "=?") {
		r.out = append(r.out, Address{Name: cleanLine(r.p.words(unfold(s)))})
		return
	}
	r.out = append(r.out, Address{Name: r.pendingName, Address: unfold(s)})
}
