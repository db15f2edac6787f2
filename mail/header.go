package mail

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// The header: fields in order, duplicates included. A field that was read keeps its bytes, so that a header that is
// read and written unchanged is the same to the octet, which signatures depend on (RFC 6376, 3.5). A field that was
// made is encoded and folded when it is written (RFC 5322, 2.2.3; RFC 2047).
//
// Nothing is lost in reading: a line that is no field is kept as a Field without a name, so that the octets
// before the body still add up. Fields are values, and lists of them are copied before they are changed, never
// written into.

// A Field is one field of a header: a name and a body.
// Fields come from a Header, whose methods make them; the zero Field is a line that is no field.
type Field struct {
	name string
	body string // as read: everything behind the colon but the last line end; as made: the value
	raw  string // as read: all of it, line end included; "" if the field was made
}

// Name gives the field's name as it was written; "" for a line that is no field.
// It keeps its case, though case means nothing in it (RFC 5322, 1.2.2).
func (f Field) Name() string { return f.name }

// Value gives the field's body without its folds and the white space around it; encoded words are left as they are.
func (f Field) Value() string {
	if f.raw == "" {
		return f.body
	}
	return trimSpace(unfold(f.body))
}

// Text gives the field's body as people read it: as Value does, with encoded words decoded (RFC 2047) and raw 8-bit
// text made UTF-8.
func (f Field) Text() string { return f.text(nil) }

// text is Text with the charsets of a Parser. What was read is decoded; line ends that come out of encoded words are
// dropped, for they would be new fields wherever the text is put.
func (f Field) text(p *Parser) string {
	if f.raw == "" {
		return f.body // it was made from text: what looks like an encoded word is none
	}
	return cleanLine(p.words(p.repair(f.Value())))
}

// Raw gives the field's bytes as they were read, line end included; "" for a field that was made.
func (f Field) Raw() string { return f.raw }

// A Header holds fields in order. The zero Header is empty and ready. Names are compared without regard to case.
// A copy of a Header shares its fields with the original until one of them is changed; then they part.
type Header struct {
	fields []Field
}

// Fields makes a header of names and values in turn, for literals: Fields("X-Mailer", "ours", "Precedence", "bulk").
// A name without a value gets an empty one. What cannot be written is refused by Validate and by writing.
// Values are text for people, and encoded as the field's syntax wants it when they are written.
func Fields(pairs ...string) Header {
	var h Header
	for i := 0; i < len(pairs); i += 2 {
		value := ""
		if i+1 < len(pairs) {
			value = pairs[i+1]
		}
		h.fields = append(h.fields, Field{name: pairs[i], body: value})
	}
	return h
}

// ParseHeader reads a header from the beginning of s, up to and without its empty line, or to the end. What is no field
// is kept, as a Field without a name; Validate tells.
func ParseHeader(s string) Header {
	h, _ := parseHeader(s, &limits{headerBytes: int64(len(s)), headerFields: len(s)}, nil)
	return h
}

// Len gives the number of fields.
func (h Header) Len() int { return len(h.fields) }

// All walks over the fields in order.
func (h Header) All() iter.Seq[Field] { return slices.Values(h.fields) }

// Named walks over the fields of one name in order.
func (h Header) Named(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.fields {
			if equalFold(f.name, name) && !yield(f) {
				return
			}
		}
	}
}

// Has says whether there is a field of that name.
func (h Header) Has(name string) bool { return h.index(name) >= 0 }

// Value gives the first field of that name as [Field.Value] does; "" if there is none.
func (h Header) Value(name string) string {
	if i := h.index(name); i >= 0 {
		return h.fields[i].Value()
	}
	return ""
}

// Text gives the first field of that name as [Field.Text] does; "" if there is none.
func (h Header) Text(name string) string {
	if i := h.index(name); i >= 0 {
		return h.fields[i].Text()
	}
	return ""
}

// Values gives the values of all fields of that name, in order.
func (h Header) Values(name string) []string {
	var out []string
	for f := range h.Named(name) {
		out = append(out, f.Value())
	}
	return out
}

// index finds the first field of a name; -1 if there is none. Headers are short and read in order: a map would cost more
// than it saves.
func (h *Header) index(name string) int {
	for i := range h.fields {
		if equalFold(h.fields[i].name, name) {
			return i
		}
	}
	return -1
}

// Append puts a field at the end.
// It does not look whether there is one already; Replace does. Methods that change a Header may not be called
// at once with any other of the same Header.
func (h *Header) Append(name, value string) { h.Insert(len(h.fields), name, value) }

// Prepend puts a field at the beginning, which is where trace fields belong (RFC 5321, 4.4).
func (h *Header) Prepend(name, value string) { h.Insert(0, name, value) }

// Insert puts a field before the one at index i; at the end if i is the number of fields or more.
func (h *Header) Insert(i int, name, value string) {
	i = max(0, min(i, len(h.fields)))
	h.fields = slices.Concat(h.fields[:i], []Field{{name: name, body: value}}, h.fields[i:])
}

// Replace gives the first field of that name a new value, in its place, and removes the others of that name. If there is
// none it appends one.
// The case of the name stays as it was in the first one.
func (h *Header) Replace(name, value string) {
	i := h.index(name)
	if i < 0 {
		h.Append(name, value)
		return
	}
	out := slices.Clone(h.fields[:i+1])
	out[i] = Field{name: h.fields[i].name, body: value}
	for _, f := range h.fields[i+1:] {
		if !equalFold(f.name, name) {
			out = append(out, f)
		}
	}
	h.fields = out
}

// Remove takes all fields of that name out and tells how many there were.
func (h *Header) Remove(name string) int {
	var out []Field
	for _, f := range h.fields {
		if !equalFold(f.name, name) {
			out = append(out, f)
		}
	}
	n := len(h.fields) - len(out)
	h.fields = out
	return n
}

// Join puts all fields of another header behind those of h.
func (h *Header) Join(other Header) { h.fields = slices.Concat(h.fields, other.fields) }

// Validate checks that the header can be written: names are of printable ASCII without a colon (RFC 5322, 3.6.8), no
// value holds a line break or NUL, structured fields hold what they can hold. The error names the field.
func (h Header) Validate() error {
	for i := range h.fields {
		if err := h.fields[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// validate checks one field. One that was read is taken as it is, if it is a field at all: whether it may be sent as it is
// is found out when it is written.
func (f *Field) validate() error {
	if f.raw != "" {
		if f.name == "" {
			return fmt.Errorf("mail: a line in the header is no field: %.40q", f.raw)
		}
		return nil
	}
	if !isName(f.name) {
		if i := badByte(f.name); i >= 0 {
			return fmt.Errorf("mail: the field name %.40q holds %s", f.name, controlName(f.name[i]))
		}
		return fmt.Errorf("mail: %.40q cannot be the name of a field", f.name)
	}
	// Writing is the only thorough check, and fields are short.
	_, err := appendField(nil, f.name, f.body)
	return err
}

// WriteTo writes the fields, without the empty line that ends a header: those that were read as they were, the others
// encoded, folded and ended by CRLF. A field that cannot be written is an error, and nothing is written.
func (h Header) WriteTo(w io.Writer) (int64, error) {
	var b []byte
	for i := range h.fields {
		f := &h.fields[i]
		if f.raw != "" {
			b = append(b, f.raw...)
			continue
		}
		if err := f.validate(); err != nil {
			return 0, err
		}
		b, _ = appendField(b, f.name, f.body)
	}
	n, err := w.Write(b)
	return int64(n), err
}

// String gives what WriteTo writes; fields that cannot be written are left out.
func (h Header) String() string {
	var b strings.Builder
	for _, f := range h.fields {
		one := Header{fields: []Field{f}}
		one.WriteTo(&b) // a Builder does not fail; what cannot be written is left out
	}
	return b.String()
}

// parseHeader reads the fields of a header block. It tells how many octets of s it used: all of the header and the empty
// line behind it, or less, where the body begins without one. base is added by the defects themselves.
// QUIRK: a header may end without an empty line, in mail from scripts that print fields and text by hand: the
// first line that can be no field then begins the body, rather than that the body is lost.
func parseHeader(s string, lim *limits, d *defects) (Header, int) {
	var h Header
	pos := 0
	// One place for each line that begins a field: of most headers half the lines are folds.
	head := s[:min(len(s), 8192)]
	lines := strings.Count(head, "\n") - strings.Count(head, "\n ") - strings.Count(head, "\n\t")
	h.fields = make([]Field, 0, min(lines+1, lim.headerFields))
	for pos < len(s) {
		end := lineEnd(s, pos)
		if isBlankLine(s[pos:end]) {
			return h, end
		}
		// RFC 5322, 2.2.3: a line that begins with white space continues the field before it.
		for end < len(s) && (s[end] == ' ' || s[end] == '\t') {
			end = lineEnd(s, end)
		}
		line := s[pos:end]
		f, ok := cutField(line)
		if !ok && !goesOn(s, pos, end, d) {
			return h, pos
		}
		if len(h.fields) == lim.headerFields {
			d.add(DefectLimit, int64(pos), "more fields than the limit, dropped")
			return h, skipHeader(s, pos)
		}
		h.fields = append(h.fields, f)
		pos = end
	}
	return h, pos
}

// goesOn says whether a line that is no field is something to step over, rather than the beginning of the body.
func goesOn(s string, pos, end int, d *defects) bool {
	line := s[pos:end]
	switch {
	case pos == 0 && (strings.HasPrefix(line, "From ") || strings.HasPrefix(line, ">From ")):
		d.add(DefectHeader, 0, "an mbox separator, passed over")
		return true
	case line[0] == ' ' || line[0] == '\t':
		d.add(DefectHeader, int64(pos), "a continuation of nothing, passed over")
		return true
	}
	// QUIRK: gateways that fold without white space leave lines without a name among the fields. If a field follows it
	// is one of those; if not, the empty line is missing and this is the body's first line.
	if end < len(s) {
		next := s[end:lineEnd(s, end)]
		if _, ok := cutField(next); ok && pos > 0 {
			d.add(DefectHeader, int64(pos), "a line that is no field, passed over")
			return true
		}
	}
	d.add(DefectHeader, int64(pos), "a line that is no field, read as the beginning of the body")
	return false
}

// skipHeader finds the end of a header of which no more is wanted.
func skipHeader(s string, pos int) int {
	for pos < len(s) {
		end := lineEnd(s, pos)
		if isBlankLine(s[pos:end]) {
			return end
		}
		pos = end
	}
	return pos
}

// cutField cuts a line into name and body. White space before the colon is an obsolete form (RFC 5322, 4.5).
// Octets beyond ASCII are taken in a name, which RFC 6532 does not allow either: QUIRK: spam and translated web
// forms have them, and the line is more a field than it is text.
func cutField(line string) (Field, bool) {
	i := 0
	for i < len(line) && (classes[line[i]]&classFtext != 0 || line[i] >= 0x80) {
		i++
	}
	j := i
	for j < len(line) && (line[j] == ' ' || line[j] == '\t') {
		j++
	}
	if i == 0 || j == len(line) || line[j] != ':' {
		return Field{raw: line}, false
	}
	return Field{name: line[:i], body: trimLine(line[j+1:]), raw: line}, true
}

// lineEnd gives the offset behind the line that begins at pos, its line feed included.
func lineEnd(s string, pos int) int {
	if i := strings.IndexByte(s[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(s)
}

// isBlankLine says that a line ends the header (RFC 5322, 2.1). White space alone does not: it is a fold.
func isBlankLine(line string) bool { return line == "\n" || line == "\r\n" || line == "" }

// lineBreak gives the length of the line end that s ends with.
func lineBreak(s string) int { return len(s) - len(trimLine(s)) }

// trimLine drops the line end, CRLF or LF.
func trimLine(s string) string {
	if s != "" && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
		if s != "" && s[len(s)-1] == '\r' {
			s = s[:len(s)-1]
		}
	}
	return s
}
