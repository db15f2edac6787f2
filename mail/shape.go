package mail

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The parts that a Message's own fields stand for. What is offered in several forms is an alternative, and who reads it
// takes the last form that he knows (RFC 2046, 5.1.4).

// tree makes the parts of Text, HTML, Attachments and Invitation: mixed(alternative(text, related(html, pictures),
// invitation), files), without the levels that would hold one part alone.
// This nesting is the one that all readers agree about: RFC 2046, 5.1.4 has the alternatives in the order of
// increasing faithfulness, so the HTML is behind the text; RFC 2387 keeps its pictures with it, so that readers of plain
// text see no files.
func (m *Message) tree() (*Part, error) {
	var forms, pictures, files []*Part
	for i := range m.Attachments {
		a := &m.Attachments[i]
		p, err := a.made(m.HTML != "")
		if err != nil {
			return nil, err
		}
		// Without HTML nothing can refer to a picture, and it is a file as any other.
		if a.CID != "" && m.HTML != "" {
			pictures = append(pictures, p)
		} else {
			files = append(files, p)
		}
	}
	if text := m.textPart(); text != nil {
		forms = append(forms, text)
	}
	if m.HTML != "" {
		html := TextPart("text/html; charset=utf-8", m.HTML)
		if len(pictures) > 0 {
			// RFC 2387, 3.1: type names the type of the part that is shown.
			html = newMultipart(`multipart/related; type="text/html"`, append([]*Part{html}, pictures...))
		}
		forms = append(forms, html)
	}
	if m.Invitation != "" {
		calendar, file, err := invitation(m.Invitation)
		if err != nil {
			return nil, err
		}
		forms, files = append(forms, calendar), append(files, file)
	}
	var main *Part
	switch len(forms) {
	case 0:
		// Nothing to say and files to send: an empty text part would be shown as an empty page by some readers.
		if len(files) > 0 {
			return newMultipart("multipart/mixed", files), nil
		}
		return TextPart("text/plain; charset=utf-8", ""), nil
	case 1:
		main = forms[0]
	default:
		main = newMultipart("multipart/alternative", forms)
	}
	if len(files) > 0 {
		main = newMultipart("multipart/mixed", append([]*Part{main}, files...))
	}
	return main, nil
}

// textPart makes the part for plain text, out of the HTML if there is no other; nil if there is none.
func (m *Message) textPart() *Part {
	text, flowed := m.Text, m.Flowed
	if text == "" && !m.HTMLOnly {
		text, flowed = TextFromHTML(m.HTML), true // its paragraphs are lines, of any length
	}
	switch {
	case text == "":
		return nil
	case flowed:
		return TextPart("text/plain; charset=utf-8; format=flowed; delsp=yes", flow(text))
	}
	return TextPart("text/plain; charset=utf-8", text)
}

// invitation makes both forms of a calendar object: the one that calendars act upon and the file for all others.
// QUIRK: Outlook and Google act on the alternative, Apple's Mail and old readers on the file, and some show two events if
// both have the type text/calendar.
func invitation(calendar string) (alternative, file *Part, err error) {
	method := calendarMethod(calendar)
	if method == "" {
		return nil, nil, fmt.Errorf("Invitation: a calendar object with a METHOD is needed (RFC 6047, 2.4)")
	}
	// RFC 5545, 3.1: lines end in CRLF.
	calendar = string(appendText(nil, calendar))
	alternative = TextPart("text/calendar; charset=utf-8; method="+method, calendar)
	attached := FromBytes("invite.ics", []byte(calendar))
	attached.Type = "application/ics; method=" + method
	file, err = attached.made(false)
	return alternative, file, err
}

// calendarMethod finds the METHOD of a calendar object; "" if there is none or it is no iCalendar. It is a property of
// the whole object and so stands before the first component in it (RFC 5545, 3.6).
func calendarMethod(s string) string {
	s = strings.ReplaceAll(lineFeeds(s), "\n ", "") // RFC 5545, 3.1: folded lines
	first, rest, _ := strings.Cut(strings.TrimLeft(s, "\n\ufeff"), "\n")
	if !equalFold(first, "BEGIN:VCALENDAR") {
		return ""
	}
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ = strings.Cut(name, ";")
		switch {
		case equalFold(name, "METHOD") && isTokenString(value):
			return strings.ToUpper(value)
		case equalFold(name, "BEGIN"):
			return ""
		}
	}
	return ""
}

// newMultipart makes a part of parts; its boundary is chosen when it is written.
// Which octets its parts have is not known before that.
func newMultipart(media string, parts []*Part) *Part {
	return &Part{Header: Fields("Content-Type", media), Parts: parts}
}

// made makes the part of an attachment (RFC 2183).
// Its header is made of values, as an author would write them: quoting and encoding is left to the writing of
// fields.
func (a *Attachment) made(html bool) (*Part, error) {
	label := "attachment " + strconv.Quote(a.Name)
	if a.Open == nil {
		return nil, fmt.Errorf("%s has no Open", label)
	}
	if i := badByte(a.Name); i >= 0 {
		return nil, fmt.Errorf("%s: the name holds %s", label, controlName(a.Name[i]))
	}
	var l paramList
	if i := badByte(a.Type); i >= 0 {
		return nil, fmt.Errorf("%s: the type holds %s", label, controlName(a.Type[i]))
	}
	l = madeParams(a.Media())
	if major, minor, ok := strings.Cut(l.value, "/"); !ok || !isTokenString(major) || !isTokenString(minor) {
		return nil, fmt.Errorf("%s: %.40q is no media type", label, a.Type)
	}
	p := &Part{Open: a.Open, file: true}
	var media strings.Builder
	media.WriteString(l.value)
	for _, one := range l.params {
		media.WriteString("; " + one.name + "=" + string(appendQuoted(nil, one.value)))
	}
	// RFC 2183, 2.1: inline is what is shown with the text, which only a picture in HTML is. A PDF marked so is
	// hidden by some readers and opened by others.
	disposition := "attachment"
	if a.CID != "" && html {
		disposition = "inline"
	}
	if a.Name != "" {
		// RFC 2231 is for Content-Disposition; readers that do not know it find a plain name here.
		// QUIRK: old Outlook and several web readers look at name alone, and do not know RFC 2231.
		media.WriteString("; name=" + string(appendQuoted(nil, plainName(a.Name))))
		disposition += "; filename=" + string(appendQuoted(nil, a.Name))
	}
	p.Header.fields = append(make([]Field, 0, 3), Field{name: "Content-Type", body: media.String()}, Field{name: "Content-Disposition", body: disposition})
	if a.CID != "" {
		id := trimID(a.CID)
		if !validID(id, true) { // QUIRK: cid:logo.png, without an @, is what people write, and every reader takes it
			return nil, fmt.Errorf("%s: the CID %.60q is none", label, a.CID)
		}
		p.Header.fields = append(p.Header.fields, Field{name: "Content-ID", body: "<" + id + ">"})
	}
	return p, nil
}

// plainName is a file name for readers that know ASCII alone, quotes not well and RFC 2231 not at all: of what any of
// these would need nothing is in it, and a line holds it.
// The extension nearly always survives it, and that is what decides how the file is opened.
func plainName(s string) string {
	const longest = 60
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '?' { // "?" begins and ends encoded words
			return '_'
		}
		return r
	}, s)
	if len(s) <= longest {
		return s
	}
	ext := path.Ext(s)
	if len(ext) > longest/4 {
		ext = ""
	}
	return s[:longest-len(ext)] + ext
}
