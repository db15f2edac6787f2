package mail

import (
	"slices"
	"strings"
)

// The structure of Content-Type and Content-Disposition (RFC 2045, 5.1; RFC 2183; RFC 2231): a value, then parameters.
//
// File names are what this is about in practice, and senders write them in each way there is: RFC 2231, encoded
// words, raw UTF-8, raw anything else. All are read; only RFC 2231 is written. The value and names are in lower
// case, because case means nothing in them (RFC 2045, 5.1); the values of parameters keep theirs.

// A param is one parameter, decoded, its name in lower case.
type param struct{ name, value string }

// A paramList is a field of that structure, read.
type paramList struct {
	value  string // in lower case, without comments
	params []param
}

// get gives the parameter of that name, which is in lower case; "" if there is none.
// If there are two the first counts, and readers differ about a second one, which is how attachments were hidden
// from filters.
func (l *paramList) get(name string) string {
	for _, p := range l.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// maxParams bounds the pieces of parameters of one field: a long name in pieces of 60 octets needs few.
// Without a bound a field of a megabyte would be half a million parameters to sort.
const maxParams = 1000

// params reads the body of a field leniently: unquoted values with spaces, missing and doubled semicolons, quotes that
// do not close.
func (p *Parser) params(s string, d *defects) paramList {
	return p.readParams(paramReader{s: p.repair(s)}, d)
}

// find reads a field of that structure for its value and two parameters, without making a list of all.
// An index asks each part for two parameters, and most fields have no more than those.
func (p *Parser) find(s string, names [2]string, values *[2]string, d *defects) string {
	s = p.repair(s)
	c := paramReader{s: s}
	value := toLower(c.head())
	var seen [2]bool
	for n := 0; c.pos < len(s); n++ {
		name, v, ok := c.next()
		if !ok {
			continue
		}
		if n == maxParams || strings.IndexByte(name, '*') >= 0 {
			// Pieces have to be put together: the long way.
			l := p.params(s, d)
			values[0], values[1] = l.get(names[0]), l.get(names[1])
			return value
		}
		for i := range names {
			if name == names[i] && !seen[i] {
				values[i], seen[i] = p.words(v), true
			}
		}
	}
	return value
}

// madeParams reads a value that was not read from a message but made: nothing in it is encoded.
// An author who writes a name with "=?" in it means just that.
func madeParams(s string) paramList {
	return new(Parser).readParams(paramReader{s: s, made: true}, nil)
}

// readParams does the reading for params and madeParams.
// Pieces are put aside until all have been seen, for they may come in any order.
func (p *Parser) readParams(c paramReader, d *defects) paramList {
	var l paramList
	l.value = toLower(c.head())
	for n := 0; c.pos < len(c.s); n++ {
		if n == maxParams {
			d.add(DefectLimit, int64(c.pos), "more parameters than the limit, dropped")
			break
		}
		name, value, ok := c.next()
		if !ok {
			continue
		}
		if strings.IndexByte(name, '*') >= 0 {
			c.pieces = append(c.pieces, newPiece(name, value))
			continue
		}
		if strings.Contains(value, "=?") && !c.made {
			// QUIRK: RFC 2047, 5 forbids encoded words in parameters; most programs of the time wrote file names so.
			value = p.words(value)
		}
		l.params = append(l.params, param{name, value})
	}
	if len(c.pieces) > 0 {
		l.params = p.join(l.params, c.pieces)
	}
	return l
}

// A paramReader cuts a field's body into its pieces.
// It never fails and always moves on, so that any text comes to its end.
type paramReader struct {
	s      string
	pos    int
	pieces []piece
	made   bool // not read from a message
}

// skip passes white space and comments.
// Comments may stand between any two tokens (RFC 2045, 5.1), and they nest (RFC 5322, 3.2.2).
func (c *paramReader) skip() {
	for c.pos < len(c.s) {
		switch {
		case isSpace(c.s[c.pos]):
			c.pos++
		case c.s[c.pos] == '(':
			depth := 0
			for c.pos < len(c.s) {
				switch c.s[c.pos] {
				case '\\':
					c.pos++
				case '(':
					depth++
				case ')':
					depth--
				}
				c.pos++
				if depth == 0 {
					break
				}
			}
			c.pos = min(c.pos, len(c.s))
		default:
			return
		}
	}
}

// head reads what is before the first semicolon: "text/plain", "attachment".
// QUIRK: "text/plain charset=utf-8", from PHP scripts that forget the semicolon, and "text / plain", which the
// obsolete syntax allows.
func (c *paramReader) head() string {
	var b []byte
	start, clean := -1, true
	for {
		before := c.pos
		c.skip()
		if start >= 0 && c.pos > before {
			clean = false
		}
		if c.pos == len(c.s) || c.s[c.pos] == ';' {
			break
		}
		if start < 0 {
			start = c.pos
		}
		i := c.pos
		for c.pos < len(c.s) && !isSpace(c.s[c.pos]) && c.s[c.pos] != ';' && c.s[c.pos] != '(' {
			c.pos++
		}
		if !clean || b != nil {
			// Words with white space between them: "text / plain" is one value, "text/plain charset=x" lacks a semicolon.
			if strings.IndexByte(c.s[i:c.pos], '=') > 0 {
				c.pos = i
				break
			}
		}
		if clean && b == nil && (c.pos == len(c.s) || c.s[c.pos] == ';') {
			return c.s[start:c.pos]
		}
		b = append(b, c.s[i:c.pos]...)
	}
	return string(b)
}

// next reads one parameter; ok is false if there was none.
// QUIRK: Content-Type: text/plain; charset="x";; name=a b.pdf has an empty parameter, from programs that join parameters by
// hand, and a value with a space in it and no quotes, which nearly everyone has written once.
func (c *paramReader) next() (name, value string, ok bool) {
	for c.skip(); c.pos < len(c.s) && c.s[c.pos] == ';'; c.skip() {
		c.pos++
	}
	start := c.pos
	for c.pos < len(c.s) && c.s[c.pos] != '=' && c.s[c.pos] != ';' && !isSpace(c.s[c.pos]) {
		c.pos++
	}
	name = toLower(c.s[start:c.pos])
	c.skip()
	if c.pos == len(c.s) || c.s[c.pos] != '=' {
		return "", "", false
	}
	c.pos++
	c.skip()
	if c.pos < len(c.s) && c.s[c.pos] == '"' {
		return name, c.quoted(), name != ""
	}
	start = c.pos
	for c.pos < len(c.s) && c.s[c.pos] != ';' {
		if isSpace(c.s[c.pos]) && c.newName() {
			break
		}
		c.pos++
	}
	value = c.s[start:c.pos]
	// Without white space before it a parenthesis belongs to the name: report(1).pdf is what browsers make.
	if i := strings.IndexByte(value, '('); i > 0 && strings.IndexByte(value[i:], ')') > 0 && isSpace(value[i-1]) {
		value = value[:i] // a comment behind a token
	}
	return name, collapse(trimSpace(value)), name != ""
}

// newName says whether the white space at pos is followed by name=, that is: a semicolon is missing.
// It must look like a whole name, so that "a b=c.pdf" is the only kind of file name that is read wrongly.
func (c *paramReader) newName() bool {
	i := c.pos
	for i < len(c.s) && isSpace(c.s[i]) {
		i++
	}
	start := i
	for i < len(c.s) && (isToken(c.s[i])) {
		i++
	}
	return i > start && i < len(c.s) && c.s[i] == '='
}

// quoted reads a quoted string; one that does not close goes to the end.
// Giving up where the quote does not close would lose the file's name, and with it what people know the file
// by.
func (c *paramReader) quoted() string {
	start := c.pos + 1
	for i := start; i < len(c.s); i++ {
		switch c.s[i] {
		case '\\':
			i++
		case '"':
			c.pos = i + 1
			if c.made {
				return unescape(c.s[start:i])
			}
			return unescapeParam(unfold(c.s[start:i]))
		}
	}
	c.pos = len(c.s)
	return unescapeParam(unfold(trimSpace(c.s[start:])))
}

// unescapeParam is unescape, but for the backslashes of Windows paths, which old programs did not double.
// QUIRK: Internet Explorer gave web forms the whole path, C:\docs\a.txt, and mail from them has it so.
func unescapeParam(s string) string {
	if len(s) > 2 && s[1] == ':' && s[2] == '\\' && !strings.Contains(s, `\\`) && !strings.Contains(s, `\"`) {
		return s
	}
	return unescape(s)
}

// A piece is a part of a parameter that was written in pieces or with a charset (RFC 2231, 3 and 4).
// The index says where it belongs; encoded says that it is in percent encoding (RFC 2231, 4).
type piece struct {
	name    string
	index   int
	encoded bool
	value   string
}

// newPiece reads name*, name*0, name*0*.
// RFC 2231, 3 counts from 0 without leading zeros; they are read all the same, and six digits are more than any
// sender has pieces.
func newPiece(name, value string) piece {
	base, rest, _ := strings.Cut(name, "*")
	p := piece{name: base, value: value}
	if rest == "" {
		p.encoded = true
		return p
	}
	rest, p.encoded = strings.CutSuffix(rest, "*")
	for i := range len(rest) {
		if rest[i] < '0' || rest[i] > '9' || i == 6 {
			p.index = maxParams // out of order: to the end
			return p
		}
		p.index = p.index*10 + int(rest[i]-'0')
	}
	return p
}

// join puts the pieces together and in front of the plain parameters of the same names: a program that writes both
// means the plain one for those that cannot read this.
// Pieces may come in any order (RFC 2231, 3), and pieces that are encoded may be mixed with others (RFC 2231,
// 4.1). A piece that is missing is not waited for: the others still make most of a name.
func (p *Parser) join(plain []param, pieces []piece) []param {
	slices.SortStableFunc(pieces, func(a, b piece) int {
		if a.name != b.name {
			return strings.Compare(a.name, b.name)
		}
		return a.index - b.index
	})
	var out []param
	for i := 0; i < len(pieces); {
		first, label := pieces[i], ""
		var raw []byte
		for j := i; i < len(pieces) && pieces[i].name == first.name; i++ {
			if i > j && pieces[i].index == pieces[i-1].index {
				continue // the same piece twice: the first one counts
			}
			value := pieces[i].value
			if i == j && first.encoded {
				// RFC 2231, 4: charset'language'text in the first piece. The second quote may be missing, or both.
				if charset, rest, ok := strings.Cut(value, "'"); ok {
					if _, text, ok := strings.Cut(rest, "'"); ok {
						rest = text
					}
					label, value = charset, rest
				}
			}
			if pieces[i].encoded {
				raw = appendPercent(raw, value)
			} else {
				raw = append(raw, value...)
			}
		}
		// Only now, when all octets are there: a character may lie across two pieces.
		s, _ := p.convert(label, raw)
		if !first.encoded && strings.Contains(s, "=?") {
			s = p.words(s) // QUIRK: an encoded word, in pieces
		}
		out = append(out, param{first.name, cleanLine(s)})
	}
	return append(out, plain...)
}

// appendPercent decodes the percent encoding of RFC 2231, 4; a percent sign that begins no escape stands for itself.
// QUIRK: names that were percent-encoded by half, as "100%.pdf", from scripts that escape nothing but letters.
func appendPercent(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			b = append(b, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}
