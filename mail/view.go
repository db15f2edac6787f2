package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What people see of a message: who it is from and for, what it says, what came with it. Which parts are shown and which
// are attachments is decided as RFC 8621, 4.1.4 does.
//
// The view is made once, when a message is parsed, and is a convenience: Body and Header hold all that was
// there. What cannot be read is left at its zero value and told in a defect. Texts that follow each other are
// joined, as readers show them.

// A View is the parts of a message in the three lists of RFC 8621, 4.1.4.
// Parts are those of the tree, not copies; one may be in more than one list.
type View struct {
	Text        []*Part // to be shown one after the other where plain text is wanted
	HTML        []*Part // to be shown one after the other where HTML is wanted
	Attachments []*Part // everything else
}

// View sorts the leaves below the part into what is shown and what is attached.
// A nil Part has an empty View. It may be called by several goroutines at once as long as nobody changes the
// tree.
func (p *Part) View() View {
	var v View
	if p != nil {
		v.add([]*Part{p}, "mixed", false, &v.Text, &v.HTML)
	}
	return v
}

// add sorts parts that lie in a multipart of the subtype kind. html and text are where those go; in an alternative that
// is one of its own each, elsewhere both. It is the algorithm of RFC 8621, 4.1.4, in its words.
func (v *View) add(parts []*Part, kind string, inAlternative bool, text, html *[]*Part) {
	// How long the lists were tells, at the end, what this multipart has added to each.
	textLen, htmlLen := -1, -1
	if text != nil {
		textLen = len(*text)
	}
	if html != nil {
		htmlLen = len(*html)
	}
	for i, p := range parts {
		media := p.Type()
		if p.IsMultipart() {
			sub := strings.TrimPrefix(media, "multipart/")
			v.add(p.Parts, sub, inAlternative || sub == "alternative", text, html)
			continue
		}
		if !inline(p, kind, i == 0) {
			v.Attachments = append(v.Attachments, p)
			continue
		}
		if kind == "alternative" {
			switch {
			case media == "text/plain" && text != nil:
				*text = append(*text, p)
			case media == "text/html" && html != nil:
				*html = append(*html, p)
			default:
				v.Attachments = append(v.Attachments, p)
			}
			continue
		}
		// Behind a text of one kind in an alternative, what follows belongs to that kind alone.
		if inAlternative {
			if media == "text/plain" {
				html = nil
			}
			if media == "text/html" {
				text = nil
			}
		}
		if text != nil {
			*text = append(*text, p)
		}
		if html != nil {
			*html = append(*html, p)
		}
		if (text == nil || html == nil) && isMedia(media) {
			v.Attachments = append(v.Attachments, p)
		}
	}
	if kind == "alternative" && text != nil && html != nil {
		// Only one of the two was offered: it is shown for both.
		if textLen == len(*text) && htmlLen != len(*html) {
			*text = append(*text, (*html)[htmlLen:]...)
		}
		if htmlLen == len(*html) && textLen != len(*text) {
			*html = append(*html, (*text)[textLen:]...)
		}
	}
}

// inline tells whether a part is shown by itself, in a multipart of the subtype kind.
func inline(p *Part, kind string, first bool) bool {
	media := p.Type()
	// A multipart without parts is one whose boundary never came: it is shown as the text that it is.
	isText := strings.HasPrefix(media, "text/plain") || strings.HasPrefix(media, "text/html") || strings.HasPrefix(media, "multipart/")
	if p.Disposition() == "attachment" || !isText && !isMedia(media) {
		return false
	}
	// RFC 8621, 4.1.4: in related only the first part is shown by itself; a later text with a file name is a file.
	return first || kind != "related" && (isMedia(media) || p.Name() == "")
}

func isMedia(media string) bool {
	return strings.HasPrefix(media, "image/") || strings.HasPrefix(media, "audio/") || strings.HasPrefix(media, "video/")
}

// A view fills a message's fields from its header and tree.
// It is part of a work, and let go of with it, so that the readers' memory serves for all fields of a message.
type view struct {
	p       *Parser
	lim     limits
	m       *Message
	defects *defects
	reader  addressReader
	tokens  [12]token // where the reader's begin
	decode  decoders
	lists   View
	room    [2][2]*Part // where its lists begin
}

// fill reads the header's fields into the message, then its body.
func (v *view) fill(h Header) {
	v.header(h)
	v.body()
}

// header reads the header's fields.
// The guess costs a walk over the tree, and so is made only where a field has something to guess at.
func (v *view) header(h Header) {
	v.m.Header = h
	for i := range h.fields {
		if !utf8.ValidString(h.fields[i].body) {
			v.guess()
			break
		}
	}
	at, seen := int64(0), uint32(0)
	for i := range h.fields {
		f := &h.fields[i]
		v.field(f, at, &seen)
		at += int64(len(f.raw))
	}
}

// guess takes the charset of the first text for that of raw 8-bit text in the fields. QUIRK: mail of the nineties in
// Chinese, Japanese and Russian, and spam to this day.
// A header has no place to say its charset, but who wrote the text in one wrote the subject in the same.
func (v *view) guess() {
	for _, p := range v.m.Body.Walk() {
		if !strings.HasPrefix(p.media, "text/") {
			continue
		}
		if e := charset(p.charset); e != nil && !equalFold(p.charset, "us-ascii") {
			own := Parser{}
			if v.p != nil {
				own = *v.p
			}
			own.unlabelled = p.charset
			v.p = &own
		}
		return
	}
}

// field reads one field, if it is one that Message has.
// Readers that disagree about which of two From fields counts are how people are fooled; DKIM verifiers count
// from the bottom (RFC 6376, 5.4.2), which is why a second one is a defect and not merely dropped.
func (v *view) field(f *Field, at int64, seen *uint32) {
	m := v.m
	k := knownField(f.name)
	if k == fieldNone || k == fieldContent {
		return // what describes the body was read with it
	}
	if *seen&(1<<k) != 0 {
		// RFC 5322, 3.6 allows one of each. The first one counts, as it does for most readers.
		v.defects.add(DefectDuplicate, at, "a second "+f.name+", passed over")
		return
	}
	*seen |= 1 << k
	end := at + int64(len(f.raw)-lineBreak(f.raw))
	v.defects.within(end-int64(len(f.body)), end)
	defer v.defects.within(0, 0)
	switch k {
	case fieldFrom:
		m.From = v.addresses(f)
	case fieldSender:
		// RFC 5322, 3.6.2: Sender is one mailbox.
		if list := v.addresses(f); len(list) > 0 {
			m.Sender = list[0]
		}
	case fieldReplyTo:
		m.ReplyTo = v.addresses(f)
	case fieldTo:
		m.To = v.addresses(f)
	case fieldCc:
		m.Cc = v.addresses(f)
	case fieldBcc:
		m.Bcc = v.addresses(f)
	case fieldSubject:
		m.Subject = f.text(v.p)
	case fieldDate:
		t, ok := parseDate(f.body)
		if !ok && trimSpace(f.body) != "" {
			v.defects.add(DefectDate, 0, "a date that cannot be read, left out")
		}
		m.Date = t
	case fieldMessageID:
		// QUIRK: Message-ID without angle brackets, from scripts and some Asian web mailers; threads break if
		// it is not read.
		m.ID, _ = cutID(f.body, true)
	case fieldInReplyTo:
		m.InReplyTo = parseIDs(f.body)
	case fieldReferences:
		m.References = parseIDs(f.body)
	}
}

// addresses reads a list leniently. The reader is one for all fields, so that its memory is used again.
// QUIRK: raw 8-bit names come from web shops and spam; RFC 6532 allows them in UTF-8 alone.
func (v *view) addresses(f *Field) []Address {
	s := f.body
	if !utf8.ValidString(s) {
		v.defects.add(DefectCharset, 0, "raw 8-bit text that is not UTF-8 in "+f.name+", read as well as it goes")
		s = v.p.repair(s)
	}
	if v.reader.toks == nil {
		v.reader.toks = v.tokens[:0]
	}
	v.reader.reset(s, v.p, v.defects)
	v.reader.read()
	return v.reader.out
}

// body fills Text, HTML and Attachments.
// It begins with the children of the outermost multipart, in the subtype that this has (RFC 8621, 4.1.4).
func (v *view) body() {
	m := v.m
	list := &v.lists
	list.Text, list.HTML = v.room[0][:0], v.room[1][:0]
	if m.Body.IsMultipart() {
		sub := strings.TrimPrefix(m.Body.media, "multipart/")
		list.add(m.Body.Parts, sub, sub == "alternative", &list.Text, &list.HTML)
	} else {
		list.add([]*Part{m.Body}, "mixed", false, &list.Text, &list.HTML)
	}
	m.Text = v.text(list.Text, "text/html", false)
	m.HTML = v.text(list.HTML, "text/html", true)
	for _, p := range list.Attachments {
		m.Attachments = append(m.Attachments, Attachment{Name: p.Name(), Type: p.Type(), CID: p.CID(), Open: p.Reader, part: p})
	}
	for _, p := range list.Text {
		// What is shown between texts and is no text is kept with the attachments too, so that nobody has to look twice.
		if t := p.Type(); !strings.HasPrefix(t, "text/") && !strings.HasPrefix(t, "multipart/") {
			m.Attachments = append(m.Attachments, Attachment{Name: p.Name(), Type: t, CID: p.CID(), Open: p.Reader, part: p})
		}
	}
}

// text joins the texts among parts: those of the type, or, if is is false, all others.
// The limit is for all of them together: a thousand parts just below it would be sixteen gigabytes.
func (v *view) text(parts []*Part, media string, is bool) string {
	var out string
	var more strings.Builder // for the second text and those after it
	left, ended := v.lim.textBytes, false
	for _, p := range parts {
		t := p.Type()
		if (t == media) != is || !strings.HasPrefix(t, "text/") && !strings.HasPrefix(t, "multipart/") {
			continue
		}
		s, ok, err := p.text(v.p, left, &v.decode)
		switch {
		case err == errTooLong:
			v.defects.add(DefectLimit, p.begin, "a text longer than the limit, cut")
		// Our own decoders do not fail, and neither does memory.
		case err != nil && (p.src.at == nil || !knownEncoding(p.encoding)):
			v.defects.add(DefectEncoding, p.begin, "a text that its decoder does not read to the end")
		// A source that cannot be read is the one thing that parsing fails for; ParseAt looks for it in the
		// end.
		case err != nil && p.src.err == nil:
			p.src.err = err
		}
		if !ok {
			v.defects.add(DefectCharset, p.begin, "text that is not in its charset "+p.charset+", read as well as it goes")
		}
		left = max(0, left-int64(len(s)))
		switch {
		case out == "":
			out, ended = s, strings.HasSuffix(s, "\n")
			continue
		case more.Len() == 0:
			more.WriteString(out)
		}
		if !ended {
			more.WriteByte('\n')
		}
		more.WriteString(s)
		ended = strings.HasSuffix(s, "\n")
	}
	if more.Len() > 0 {
		return more.String()
	}
	return out
}

// maxPreview is how long a preview is, in characters (RFC 8621, 4.1.4).
const maxPreview = 256

// Preview gives the beginning of what a message says, in one line of at most 256 characters (RFC 8621, 4.1.4): for lists of
// messages. It is of Text or, if that is empty, of HTML; what is quoted, and rules, are left out unless there is nothing
// else. It is empty if the message has no text.
func (m *Message) Preview() string {
	const enough = 64 << 10 // of a text; what is quoted at its beginning may be long
	text := m.Text[:wholeRunes(m.Text, enough)]
	if strings.TrimSpace(text) == "" {
		text = TextFromHTML(m.HTML[:wholeRunes(m.HTML, 4*enough)])
	}
	own := func(line string) bool {
		return !strings.HasPrefix(line, ">") && strings.Trim(line, "-=_*#~+ \t\r\n") != ""
	}
	if p := preview(text, own); p != "" {
		return p
	}
	return preview(text, func(string) bool { return true })
}

// preview puts the lines that are wanted into one.
func preview(text string, wanted func(line string) bool) string {
	var b strings.Builder
	count := 0
	for line := range strings.Lines(text) {
		if line == "-- \n" {
			break // the signature (RFC 3676, 4.3)
		}
		if !wanted(line) {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			// Senders fill the beginning of newsletters with characters that show nothing.
			word = strings.Map(visible, word)
			if word == "" {
				continue
			}
			if count > 0 && count < maxPreview {
				b.WriteByte(' ')
				count++
			}
			for _, r := range word {
				if count == maxPreview {
					return strings.TrimSuffix(b.String(), " ")
				}
				b.WriteRune(r)
				count++
			}
		}
	}
	return b.String()
}

// visible drops controls, and characters that direct text or have no width.
func visible(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || r == '\u034f' || r == '\ufffc' {
		return -1
	}
	return r
}

// parseIDs reads message identifiers, without their angle brackets (RFC 5322, 3.6.4).
// Order and doubles stay: References tell a thread from its beginning on. Comments and quoted phrases between
// them are stepped over word by word.
func parseIDs(s string) []string {
	n := strings.Count(s, "<")
	ids := make([]string, 0, max(1, min(n, 1000)))
	for alone := n == 0; s != ""; {
		var id string
		if id, s = cutID(s, alone); id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return ids
}

// cutID takes the first identifier, or a word that is none and gives "". alone says that a word without brackets and
// without an @ is one if there is nothing else.
// An identifier that a fold has cut in two is joined: QUIRK: some gateways fold long References at any octet.
func cutID(s string, alone bool) (id, rest string) {
	s = trimSpace(s)
	end := 0
	if s != "" && s[0] == '<' {
		if end = strings.IndexByte(s, '>'); end < 0 {
			end = len(s)
		}
		id, rest = s[1:end], s[min(end+1, len(s)):]
		return unfold(trimSpace(id)), rest
	}
	for end < len(s) && !isSpace(s[end]) && s[end] != '<' {
		end++
	}
	// QUIRK: Eudora and others wrote In-Reply-To: Your message of "Mon, 1 Jan" <id>; a word is an id if it has an @.
	if id = strings.Trim(s[:end], ","); !strings.Contains(id, "@") && (!alone || trimSpace(s[end:]) != "") {
		id = ""
	}
	return id, s[end:]
}

// trimID drops the angle brackets, for people write identifiers with and without them.
// RFC 2392, 2 and our own fields have them without.
func trimID(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(trimSpace(s), "<"), ">")
}
