package mail

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Laying out: the header, then the parts. The fields of Message come in their usual order; those of Header keep theirs,
// with the fields of Message in their places where Header has them.
//
// A message that was parsed and not changed comes out as it came in, field by field and octet by octet,
// wherever its octets may be sent at all: signatures cover them (RFC 6376, 3.4), and who forwards a message is
// not its editor. A field that was changed is written anew in the same place.

// header lays out the message's fields.
func (r *renderer) header(body *plan) error {
	m := r.m
	if len(m.From) == 0 && !m.Header.Has("From") {
		return fmt.Errorf("From: nobody is there; a message needs an author (RFC 5322, 3.6.2)")
	}
	if len(m.From) > 1 && m.Sender.Address == "" && !m.Header.Has("Sender") {
		return fmt.Errorf("Sender: needed, because From has several authors (RFC 5322, 3.6.2)")
	}
	// Where Header has a field, its place there counts, even if Message says something else in it.
	var placed uint32 // the kinds that have a place in Header
	trace := 0
	for i := range m.Header.fields {
		placed |= 1 << knownField(m.Header.fields[i].name)
		if i == trace && isTrace(m.Header.fields[i].name) {
			trace++
		}
	}
	// Trace fields stay on top (RFC 5321, 4.4); then what Header has no place for, then the rest of Header.
	done := uint32(0)
	for i := range trace {
		if err := r.placed(&m.Header.fields[i], &done, body); err != nil {
			return err
		}
	}
	for k := fieldDate; k < fieldKinds; k++ {
		if placed&(1<<k) != 0 || !r.has(k) {
			continue
		}
		if err := r.known(k); err != nil {
			return err
		}
	}
	for i := trace; i < len(m.Header.fields); i++ {
		if err := r.placed(&m.Header.fields[i], &done, body); err != nil {
			return err
		}
	}
	// RFC 2045, 4: without MIME-Version a reader may take all that follows for plain text.
	if done&(1<<fieldMIMEVersion) == 0 {
		r.f.put("MIME-Version: 1.0\r\n")
	}
	if done&(1<<fieldContent) == 0 {
		return r.content(body)
	}
	return nil
}

// placed lays out one field of Header, or what Message has for it.
// Bcc is never laid out, whoever put it there: one copy of it in the open cannot be called back (RFC 5322,
// 3.6.3).
func (r *renderer) placed(f *Field, done *uint32, body *plan) error {
	k := knownField(f.name)
	_, content := cutPrefixFold(f.name, "Content-")
	if content && body != nil && body.part == r.m.Body {
		k = fieldContent // all of them come from the body
	}
	switch {
	case k == fieldBcc || strings.EqualFold(f.name, "Resent-Bcc"):
		return nil
	case k == fieldNone:
		return r.field(f)
	// A field that is there twice was so when it was read; dropping one would break a signature over both. Of
	// what we write ourselves there is one.
	case *done&(1<<k) != 0:
		if k == fieldContent || k == fieldMIMEVersion || r.has(k) {
			return nil
		}
		return r.field(f) // a second one in a message that was parsed
	}
	*done |= 1 << k
	switch {
	case k == fieldContent:
		return r.content(body)
	// RFC 2045, 4: there is one version, whatever the author has put there.
	case k == fieldMIMEVersion && f.raw == "":
		r.f.put("MIME-Version: 1.0\r\n")
		return nil
	case k == fieldMIMEVersion || !r.has(k) || f.raw != "" && r.same(k, f) && r.cleanRaw(f.raw):
		return r.field(f)
	}
	return r.known(k)
}

// has says whether Message itself has something for a field.
// Date and ID are those of the form and not of the message: they may have been filled in by Freeze.
func (r *renderer) has(k fieldKind) bool {
	m := r.m
	switch k {
	case fieldDate:
		return !r.date.IsZero()
	case fieldFrom:
		return len(m.From) > 0
	case fieldSender:
		return m.Sender != Address{}
	case fieldReplyTo:
		return len(m.ReplyTo) > 0
	case fieldTo:
		return len(m.To) > 0
	case fieldCc:
		return len(m.Cc) > 0
	case fieldSubject:
		return m.Subject != ""
	case fieldMessageID:
		return r.id != ""
	case fieldInReplyTo:
		return len(m.InReplyTo) > 0
	case fieldReferences:
		return len(m.References) > 0
	}
	return false
}

// same says whether a field that was read still says what Message does: then its octets are kept.
// The field is read again, in the same way as when the message was parsed, rather than kept beside what came of
// it: most messages are never written again. A Parser with charsets of its own may read it otherwise, and then
// it is written anew.
func (r *renderer) same(k fieldKind, f *Field) bool {
	// Defects are of no interest here: they were told when the message was parsed.
	var one Message
	v := view{m: &one, defects: &defects{}}
	seen := uint32(0)
	v.field(f, 0, &seen)
	m := r.m
	switch k {
	case fieldDate:
		return r.date.Equal(one.Date)
	case fieldFrom:
		return slices.Equal(m.From, one.From)
	case fieldSender:
		return m.Sender == one.Sender
	case fieldReplyTo:
		return slices.Equal(m.ReplyTo, one.ReplyTo)
	case fieldTo:
		return slices.Equal(m.To, one.To)
	case fieldCc:
		return slices.Equal(m.Cc, one.Cc)
	case fieldSubject:
		return m.Subject == one.Subject
	case fieldMessageID:
		return r.id == one.ID
	case fieldInReplyTo:
		return slices.Equal(m.InReplyTo, one.InReplyTo)
	case fieldReferences:
		return slices.Equal(m.References, one.References)
	}
	return false
}

// known lays out a field of Message that has something for it.
// Errors begin with the field's name, for that is where the author will look.
func (r *renderer) known(k fieldKind) error {
	m, f := r.m, &r.f
	switch k {
	case fieldDate:
		f.put("Date: ")
		f.b = appendDate(f.b, r.date)
		f.end()
	case fieldFrom:
		return r.addresses("From", m.From)
	case fieldSender:
		return r.addresses("Sender", []Address{m.Sender})
	case fieldReplyTo:
		return r.addresses("Reply-To", m.ReplyTo)
	case fieldTo:
		return r.addresses("To", m.To)
	case fieldCc:
		return r.addresses("Cc", m.Cc)
	case fieldSubject:
		// Making a space of a line break would be kinder, but a subject with one is more often an attack than a
		// mistake.
		if i := badByte(m.Subject); i >= 0 {
			return fmt.Errorf("Subject: it holds %s, at octet %d", controlName(m.Subject[i]), i)
		}
		f.start("Subject")
		f.text(m.Subject)
		f.end()
	// The form's own, which Freeze may have made, and not the message's.
	case fieldMessageID:
		return r.ids("Message-ID", r.id)
	case fieldInReplyTo:
		return r.ids("In-Reply-To", m.InReplyTo...)
	case fieldReferences:
		return r.ids("References", m.References...)
	}
	return nil
}

// addresses lays out a list. The first address that only SMTPUTF8 can carry is remembered: it decides which servers can
// take the message.
// One is enough to remember: a message can be sent or not, and the error names the first reason.
func (r *renderer) addresses(name string, list []Address) error {
	f := &r.f
	f.start(name)
	for i := range list {
		needs, err := f.address(list[i], i == len(list)-1)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if needs != "" && r.needs == "" {
			r.needs = needs
		}
	}
	f.end()
	return nil
}

// ids lays out identifiers, with their angle brackets. Addresses in them must be ASCII: nobody would find the message
// that an encoded one names (RFC 5322, 3.6.4).
// Each identifier is a word that cannot be folded, and only its space is a place for a line to end.
func (r *renderer) ids(name string, list ...string) error {
	f := &r.f
	f.start(name)
	for _, id := range list {
		id = trimID(id)
		if !validID(id, len(r.m.Header.fields) > 0) {
			return fmt.Errorf("%s: %.60q is no message identifier", name, id)
		}
		f.gap(" ", len(id)+2)
		f.stick("<")
		f.stick(id)
		f.stick(">")
	}
	f.end()
	return nil
}

// validID takes printable ASCII without angle brackets and spaces. lenient is for those of messages that were parsed:
// they are what they are, an @ may be missing.
// RFC 5322, 3.6.4 allows less than this, but nobody checks more. QUIRK: identifiers without an @ come from scripts and ticket
// systems, and a reply has to name them as they are.
func validID(id string, lenient bool) bool {
	for i := range len(id) {
		if classes[id[i]]&classID == 0 {
			return false
		}
	}
	return id != "" && len(id) < maxToken && (lenient || strings.IndexByte(id, '@') > 0)
}

// validRaw checks a field of a part, as far as it was made.
// The prefix goes, because the error is given another one further up.
func (f *Field) validRaw() error {
	if f.raw != "" {
		return nil
	}
	if err := f.validate(); err != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "mail: "))
	}
	return nil
}

// field lays out a field of a Header: as it was read, if it can be sent so.
// A made field that is wrong is the author's mistake and an error. A field that was read is nobody's who could
// mend it: it goes as well as it can.
func (r *renderer) field(f *Field) error {
	if f.raw == "" {
		if !isName(f.name) {
			return fmt.Errorf("%.40q cannot be the name of a field", f.name)
		}
		if err := r.f.field(f.name, f.body); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		return nil
	}
	// A junk line among the fields would end the header for some reader, and what follows would be shown as text.
	if f.name == "" || !isName(f.name) || len(f.name) > maxName {
		return nil // what was no field when it was read does not become one
	}
	if r.cleanRaw(f.raw) {
		r.f.b = appendText(r.f.b, f.raw)
		// The last field of a message that was cut has no line end.
		if f.raw[len(f.raw)-1] != '\n' {
			r.f.end()
		}
		return nil
	}
	// Raw 8-bit text, lines that are too long, CRs that end nothing: the field is written anew.
	mark := len(r.f.b)
	// A structured field cannot be encoded, so what is beyond ASCII in it is lost rather than sent as raw
	// octets: RFC 5322, 2.2 has none, and servers refuse whole messages for them.
	value := f.Text()
	if syntaxOf(f.name) != syntaxText {
		value = cleanLine(asciiOnly(f.Value()))
	}
	// What its own grammar does not take goes as text: people can still read it.
	if err := r.f.field(f.name, value); err != nil {
		r.f.b = r.f.b[:mark]
		r.f.start(f.name)
		r.f.text(cleanLine(f.Text()))
		r.f.end()
	}
	return nil
}

// asciiOnly puts a question mark for each character beyond ASCII, and for controls.
// People see that something was there, and no reader takes it for anything else.
func asciiOnly(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x7f || r < ' ' && r != '\t' {
			return '?'
		}
		return r
	}, s)
}

// cleanRaw says that a field can go as it was read: ASCII, or UTF-8 in that form, no line over 998, no CR but before LF, no
// NUL.
// RFC 5322, 2.1.1 and 2.2: these are what any host may refuse or change.
func (r *renderer) cleanRaw(raw string) bool {
	// Lines are counted without their ends, as RFC 5322, 2.1.1 does.
	var s survey
	s.text(raw)
	clean := s.control == 0 && !s.bareCR && s.longest <= maxBodyLine
	if clean && s.high > 0 {
		r.f.beyond = true
		clean = r.form.utf8 && utf8.ValidString(raw)
	}
	return clean
}

// content lays out the fields that describe a body.
// The part's own fields keep their order, since a reader compares what it gets with what was signed.
func (r *renderer) content(pl *plan) error {
	if pl == nil {
		r.textFields()
		return nil
	}
	// A part that has a field twice is written with the first, which is the one that readers go by.
	typed, encoded := false, false
	for i := range pl.part.Header.fields {
		f := &pl.part.Header.fields[i]
		switch {
		case equalFold(f.name, "Content-Type"):
			if !typed {
				if err := r.contentType(pl, f); err != nil {
					return err
				}
			}
			typed = true
		// What it said is only true of the octets that were read; a part that is encoded anew says so itself.
		case equalFold(f.name, "Content-Transfer-Encoding"):
			if !encoded && pl.enc == encRaw {
				if err := r.field(f); err != nil {
					return err
				}
				encoded = true
			}
		default:
			if err := r.field(f); err != nil {
				return err
			}
		}
	}
	// A part that was read without a type stays without: it means text/plain (RFC 2045, 5.2), or message/rfc822
	// in a digest (RFC 2046, 5.1.5).
	if !typed && (pl.part.src == nil || len(pl.parts) > 0) {
		if err := r.contentType(pl, nil); err != nil {
			return err
		}
	}
	switch {
	case encoded || pl.enc == encRaw:
	// RFC 2046, 5.2.1: a message in a message says what its octets are, never an encoding of its own.
	case pl.enc == encNested:
		r.encoding(pl.carries())
	default:
		r.encoding(pl.enc)
	}
	return nil
}

// encoding lays out Content-Transfer-Encoding; 7bit goes without saying (RFC 2045, 6.1).
// Saying it would be legal and is what most programs do; ours is the shorter header.
func (r *renderer) encoding(enc transferEncoding) {
	if enc != enc7bit {
		r.f.put("Content-Transfer-Encoding: ")
		r.f.put(enc.String())
		r.f.end()
	}
}

// contentType lays out the media type, with a charset for text that is ours and a boundary for what has parts.
// Parameters that are not ours to set are kept: format=flowed and method=REQUEST decide how a part is shown.
func (r *renderer) contentType(pl *plan, f *Field) error {
	own := pl.part.src != nil && pl.part.Open == nil // its text is in the charset that it was read in
	media := pl.media
	if major, minor, _ := strings.Cut(media, "/"); own && (!isTokenString(major) || !isTokenString(minor)) {
		// A type that was read and that nobody may write: it goes as the general one of its kind.
		media = map[string]string{"text": "text/plain", "multipart": "multipart/mixed"}[major]
		if media == "" {
			media = "application/octet-stream"
		}
	}
	// The field's octets are kept if they still say what is done.
	keep := f != nil && f.raw != "" && own && pl.media == pl.part.media && pl.boundary == pl.part.boundary
	if keep && r.cleanRaw(f.raw) {
		return r.field(f)
	}
	l := paramList{value: media}
	if f != nil {
		if f.raw == "" {
			l.params = madeParams(f.body).params
		} else {
			// What was read may have names that nobody may write; those are dropped, the others stay.
			l.params = slices.DeleteFunc(new(Parser).params(f.body, nil).params, func(p param) bool { return !validParam(p.name) || badByte(p.value) >= 0 })
		}
	}
	set := func(name, value string) {
		l.params = slices.DeleteFunc(l.params, func(p param) bool { return p.name == name })
		l.params = append(l.params, param{name, value})
	}
	// A string of Go is UTF-8 whatever its author called it (RFC 6657, 3 wants the charset to be said).
	if pl.text != nil && pl.isText {
		set("charset", "utf-8")
	}
	if pl.boundary != "" {
		set("boundary", pl.boundary)
	} else if len(pl.parts) == 0 {
		// A boundary on a leaf would have readers look for parts.
		l.params = slices.DeleteFunc(l.params, func(p param) bool { return p.name == "boundary" })
	}
	r.f.start("Content-Type")
	if err := r.f.params(l.value, l.params); err != nil {
		return fmt.Errorf("%s: Content-Type: %w", pl.label, err)
	}
	r.f.end()
	return nil
}

// textFields describes a message that is nothing but text.
// charset=utf-8 is said even of ASCII, which is a part of it: a reply will then be written in UTF-8 too.
func (r *renderer) textFields() {
	if len(r.m.Header.fields) == 0 && len(r.m.Text) <= inlineText {
		// These are the last fields: if the text is plain, it and all that describes it are laid out at one go.
		mark := len(r.f.b)
		r.f.put("Content-Type: text/plain; charset=utf-8\r\n\r\n")
		if r.f.b, r.laid = appendPlain(r.f.b, r.m.Text); r.laid {
			return
		}
		r.f.b = r.f.b[:mark]
	}
	var s survey
	s.text(r.m.Text)
	r.textEnc = s.choose(r.form.eightBit)
	r.gains.eightBit = r.textEnc != enc7bit && s.choose(true) == enc8bit
	r.f.put("Content-Type: text/plain; charset=utf-8\r\n")
	r.encoding(r.textEnc)
}

// text lays out the body of a message that is nothing but text.
func (r *renderer) text() {
	if len(r.m.Text) > inlineText {
		pl := &plan{part: TextPart("text/plain", r.m.Text), text: &r.m.Text, isText: true, enc: r.textEnc, last: true}
		r.cut(pl)
		return
	}
	r.f.b = appendBody(r.f.b, r.m.Text, r.textEnc)
}
