package mail

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Text out of HTML, for those who read plain text: what a page would show, in its order, with the addresses of links and
// the words for pictures.
//
// HTML is read as tokens, not as a tree: tags that do not fit each other, or lie in each other without end, cost no
// more than their octets. What is nested is counted, and only the first few levels show.

// TextFromHTML gives the text of a page as people would write it: headings underlined, items of lists with a star or a
// number, cells of a table's row beside each other, links followed by their URL in angle brackets (RFC 3986, appendix C),
// pictures as their alternative text in brackets. Scripts, styles and what is hidden are left out. Paragraphs are one
// line each, lines end with LF. Any string is HTML: there is no error, and the text is at most some times as long as s.
func TextFromHTML(s string) string {
	w := textWriter{fresh: true}
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken: // the end: a string is read without errors
			return w.finish()
		case html.TextToken:
			if w.hidden == 0 {
				w.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			w.open(atom.Lookup(name), attributes(z, more))
		case html.EndTagToken:
			name, _ := z.TagName()
			w.close(atom.Lookup(name))
		}
	}
}

// A tag is the attributes of one that a text is made of.
type tag struct {
	href, alt, start string
	hidden           bool
}

// attributes reads those of a tag that count; of two with one name the first.
func attributes(z *html.Tokenizer, more bool) tag {
	var t tag
	// Few attributes make text: the others are passed over without being decoded.
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		var to *string
		switch string(key) {
		case "href":
			to = &t.href
		case "alt":
			to = &t.alt
		case "start":
			to = &t.start
		case "hidden":
			t.hidden = true
		case "style":
			// QUIRK: newsletters begin with a line for the list of messages that the page itself hides.
			style := strings.Map(dropSpace, toLower(string(value)))
			t.hidden = t.hidden || strings.Contains(style, "display:none")
		}
		if to != nil && *to == "" {
			*to = string(value)
		}
	}
	return t
}

// dropSpace makes one spelling of "display: none" and "display:none".
func dropSpace(r rune) rune {
	if unicode.IsSpace(r) {
		return -1
	}
	return r
}

const (
	// Pages of newsletters nest tables and lists a hundred deep without meaning anything by it.
	maxIndent = 8  // levels of lists and quotes that show
	maxRule   = 72 // the longest underline
)

// A list is one that is open: its next number, or 0 for stars.
type list struct{ number int }

// A textWriter lays text out. What parts it, a space or empty lines, is only written when more text comes.
type textWriter struct {
	out    strings.Builder
	space  bool // white space has come since the last word
	breaks int  // line ends to write before the next word
	fresh  bool // nothing is on this line yet
	item   string
	cell   bool // the line holds a cell of a row, and the next one has begun
	lists  []list
	over   int // lists beyond those
	quotes int
	pre    int
	hidden int       // how deep in an element that does not show
	until  atom.Atom // which element that is
	href   string    // of the link that is open
	label  int       // where the text of it begins
	line   int       // where the line begins, behind its indentation
}

// text writes a piece of text. White space is one space, but in <pre>.
func (w *textWriter) text(s string) {
	// In <pre> line ends count, and spaces stay in what is written as one word.
	if w.pre > 0 {
		for i, line := range strings.Split(lineFeeds(s), "\n") {
			if i > 0 {
				w.breaks = min(w.breaks+1, 3)
			}
			if line != "" {
				w.word(line)
			}
		}
		return
	}
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		// HTML's own white space; the no-break space is a character.
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' {
			w.space = true
			s = s[n:]
			continue
		}
		end := strings.IndexAny(s, " \t\n\r\f")
		if end < 0 {
			end = len(s)
		}
		w.word(s[:end])
		s = s[end:]
	}
}

// word writes what holds no break, and before it what is due.
func (w *textWriter) word(s string) {
	// Soft hyphens and joiners of nothing, with which newsletters fill their first line, show nowhere.
	if !isASCII(s) {
		s = strings.NewReplacer("\u00ad", "", "\u034f", "", "\ufeff", "", "\u00a0", " ").Replace(s)
	}
	// No-break spaces are how pages make room; a line does not begin with them.
	if w.pre == 0 && (w.fresh || w.breaks > 0) {
		s = strings.TrimLeft(s, " ")
	}
	if s == "" {
		return
	}
	// One of these at most is due: what parts most is what shows.
	switch {
	case w.breaks > 0 && w.out.Len() > 0:
		w.lineEnds(min(w.breaks, 2))
	case w.breaks == 0 && w.cell && !w.fresh:
		w.out.WriteString(" | ")
	case w.space && !w.fresh:
		w.out.WriteByte(' ')
	}
	if w.fresh {
		w.indent()
	}
	w.breaks, w.space, w.cell, w.fresh = 0, false, false, false
	w.out.WriteString(s)
}

// lineEnds ends the line, and leaves n-1 empty ones behind it. Those of a quote are marked as well.
func (w *textWriter) lineEnds(n int) {
	for range n {
		w.out.WriteByte('\n')
	}
	w.fresh = true
}

// indent begins a line: quotes, then lists, then the item's mark.
func (w *textWriter) indent() {
	w.out.WriteString(strings.Repeat("> ", min(w.quotes, maxIndent)))
	depth := len(w.lists)
	if w.item != "" {
		depth--
	}
	w.out.WriteString(strings.Repeat("  ", max(depth, 0)))
	w.out.WriteString(w.item)
	w.item = ""
	w.line = w.out.Len()
}

// block parts what came from what comes by n line ends: 1 begins a line, 2 leaves an empty one before it.
func (w *textWriter) block(n int) {
	w.breaks, w.cell = max(w.breaks, n), false
	if w.fresh && w.out.Len() == 0 {
		w.breaks = 0
	}
}

// open takes a start tag.
func (w *textWriter) open(name atom.Atom, t tag) {
	// What is hidden ends with the end tag that belongs to it: those of the same name inside are counted, others mean nothing.
	if w.hidden > 0 {
		if name == w.until {
			w.hidden++
		}
		return
	}
	switch name {
	// The text of these is for programs. Tokens of script and style never hold tags; the others might.
	case atom.Script, atom.Style, atom.Head, atom.Template, atom.Svg, atom.Math, atom.Iframe, atom.Object, atom.Noscript,
		atom.Select, atom.Textarea, atom.Title:
		w.hidden, w.until = 1, name
	// Only these hide their content in mail as it is; a style on anything else is for looks.
	case atom.Div, atom.Span, atom.Table:
		if t.hidden {
			w.hidden, w.until = 1, name
			return
		}
		if name != atom.Span {
			w.block(1)
		}
	case atom.Body:
	// Two in a row are how people part paragraphs where a program gave them none.
	case atom.Br:
		w.breaks, w.cell = min(w.breaks+1, 2), false
	case atom.Hr:
		w.block(2)
		w.word(strings.Repeat("-", 40))
		w.block(2)
	// An end tag may be missing (HTML allows that of P): the next start tag parts them all the same.
	case atom.P, atom.Pre, atom.Blockquote, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Dl:
		w.block(2)
		w.nest(name, 1)
	case atom.Ul, atom.Ol:
		w.openList(name, t)
	case atom.Li:
		w.openItem()
	// Tables are for layout in most mail: cells beside each other show a table of data and do no harm to the others.
	case atom.Td, atom.Th:
		w.cell = w.breaks == 0 && !w.fresh
	// A picture without words for it is decoration, or counts readers.
	case atom.Img:
		if alt := strings.Join(strings.Fields(t.alt), " "); alt != "" {
			w.space = true
			w.word("[" + alt + "]")
		}
	case atom.A:
		w.endLink() // links do not nest
		w.href, w.label = t.href, w.out.Len()
	default:
		if isBlock(name) {
			w.block(1)
		}
	}
}

// close takes an end tag.
func (w *textWriter) close(name atom.Atom) {
	if w.hidden > 0 {
		if name == w.until {
			w.hidden--
		}
		return
	}
	switch name {
	case atom.A:
		w.endLink()
	// As in Markdown, which people read as text without knowing it.
	case atom.H1:
		w.underline('=')
	case atom.H2:
		w.underline('-')
	case atom.Ul, atom.Ol:
		w.closeList()
	case atom.P, atom.Pre, atom.Blockquote, atom.H3, atom.H4, atom.H5, atom.H6, atom.Dl:
		w.block(2)
		w.nest(name, -1)
	default:
		if isBlock(name) {
			w.block(1)
		}
	}
}

// nest counts what quotes and what keeps its white space.
func (w *textWriter) nest(name atom.Atom, n int) {
	switch name {
	case atom.Pre:
		// Below zero are end tags that nothing has begun.
		w.pre = max(w.pre+n, 0)
	case atom.Blockquote:
		w.quotes = max(w.quotes+n, 0)
	}
}

// isBlock says that an element begins and ends a line.
func isBlock(name atom.Atom) bool {
	switch name {
	case atom.Div, atom.Table, atom.Tr, atom.Caption, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Nav, atom.Aside, atom.Main,
		atom.Address, atom.Dt, atom.Dd, atom.Figure, atom.Figcaption, atom.Fieldset, atom.Form, atom.Center, atom.Li, atom.Details, atom.Summary:
		return true
	}
	return false
}

// openList begins a list; one in another follows its item at once.
func (w *textWriter) openList(name atom.Atom, t tag) {
	if len(w.lists) == 0 {
		w.block(2)
	} else {
		w.block(1)
	}
	// Beyond that depth lists are only counted, so that their end tags do not end the others.
	if len(w.lists) == maxIndent {
		w.over++
		return
	}
	l := list{}
	if name == atom.Ol {
		l.number = 1
		// A number without end would make each line longer than the page.
		if n, err := strconv.Atoi(t.start); err == nil && n > 0 && n < 1e6 {
			l.number = n
		}
	}
	w.lists = append(w.lists, l)
}

// closeList ends the innermost list.
func (w *textWriter) closeList() {
	w.item = ""
	switch {
	case w.over > 0:
		w.over--
	case len(w.lists) > 0:
		w.lists = w.lists[:len(w.lists)-1]
	}
	if len(w.lists) == 0 {
		w.block(2)
	} else {
		w.block(1)
	}
}

// openItem begins an item with its mark.
func (w *textWriter) openItem() {
	w.block(1)
	// Written when the item's first word comes: an empty item leaves nothing.
	w.item = "* "
	if n := len(w.lists); n > 0 && w.lists[n-1].number > 0 {
		w.item = strconv.Itoa(w.lists[n-1].number) + ". "
		w.lists[n-1].number++
	}
}

// endLink writes the URL behind the text of a link, unless the text says it or it leads nowhere.
func (w *textWriter) endLink() {
	href := strings.Map(urlRune, strings.TrimSpace(w.href))
	w.href = ""
	scheme, rest, ok := strings.Cut(href, ":")
	switch scheme = toLower(scheme); {
	case !ok || rest == "":
		return
	case scheme == "mailto" || scheme == "tel":
		href, _, _ = strings.Cut(rest, "?")
	case scheme != "http" && scheme != "https" && scheme != "ftp":
		return // a script, a place in the page, a picture of the message
	}
	label := ""
	if w.label <= w.out.Len() {
		label = strings.TrimSpace(w.out.String()[w.label:])
	}
	// Most links of plain mail say their URL, with or without its scheme and the slash at its end: once is enough.
	label, shown := strings.TrimSuffix(label, "/"), strings.TrimSuffix(href, "/")
	if strings.HasSuffix(label, shown) || label != "" && strings.HasSuffix("https://"+label, shown) {
		return
	}
	// A link around a picture without words has its URL alone, and that is its text.
	w.space = w.space || label != ""
	w.cell = w.cell && label == ""
	w.word("<" + href + ">")
}

// urlRune takes what would end a URL in text out of it.
func urlRune(r rune) rune {
	if r <= ' ' || r == 0x7f || r == '<' || r == '>' {
		return -1
	}
	return r
}

// underline ends a heading.
func (w *textWriter) underline(with rune) {
	// An empty heading has no line to be underlined.
	if !w.fresh && w.breaks == 0 {
		width := utf8.RuneCountInString(w.out.String()[w.line:])
		w.breaks = 1
		w.word(strings.Repeat(string(with), min(width, maxRule)))
	}
	w.block(2)
}

// finish gives the text, which ends with a line end if there is any.
func (w *textWriter) finish() string {
	w.endLink() // a page may end inside of one
	if w.out.Len() > 0 {
		w.out.WriteByte('\n')
	}
	return w.out.String()
}
