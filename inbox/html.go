package inbox

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/postrider/postrider/mail"
)

// HTML of messages. Two walls stand between it and the reader, and each would
// do alone:
//
//   - The browser's. The document is shown in a sandboxed frame of an opaque
//     origin, under the policy of its look: no scripts, no forms, nothing loaded
//     from anywhere but pictures, and these only if somebody asks for them. The
//     message's own are data: URLs, so that not even this server is asked.
//   - This file. Elements and attributes that are not on a list are taken out,
//     and style sheets lose what could load something.
//
// Links stay; they open in a new window that knows nothing of the page.

// A look says how the HTML is shown. The zero look is the safe one: in the
// light, with nothing loaded.
type look struct {
	remote bool // pictures are loaded from where the message says
	dark   bool // as a reader in the dark sees it
}

// policy is the Content-Security-Policy of the document in the frame.
func (l look) policy() string {
	pictures := "data:"
	if l.remote {
		pictures = "data: https: http:"
	}
	return "default-src 'none'; img-src " + pictures + "; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " +
		"frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
}

// maxPictures is how many octets of embedded pictures one document gets; the
// rest is left out.
const maxPictures = 16 << 20

// newPolicy says which elements and attributes a message may use. It is what mail
// is made of: text, tables, presentation. Styles are dealt with before.
func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("a", "abbr", "acronym", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote", "body", "br",
		"caption", "center", "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em",
		"figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd",
		"li", "main", "mark", "nav", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "section", "small", "span",
		"strike", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u",
		"ul", "var", "wbr")
	p.AllowNoAttrs().Globally()
	p.AllowAttrs("class", "id", "dir", "lang", "title", "style", "align", "valign", "bgcolor", "color", "width", "height",
		"role", "aria-label", "aria-hidden").Globally()
	p.AllowAttrs("border", "cellpadding", "cellspacing", "colspan", "rowspan", "nowrap", "scope", "summary", "span").
		OnElements("table", "td", "th", "tr", "col", "colgroup", "img", "tbody", "thead", "tfoot")
	p.AllowAttrs("face", "size").OnElements("font", "hr")
	p.AllowAttrs("start", "type", "value", "reversed").OnElements("ol", "ul", "li")
	p.AllowAttrs("open").OnElements("details")
	p.AllowAttrs("text", "link", "alink", "vlink").OnElements("body")
	p.AllowAttrs("alt", "hspace", "vspace").OnElements("img")
	p.AllowAttrs("name").OnElements("a")
	p.AllowAttrs("href").OnElements("a")
	// What scan has put there, and nothing else.
	p.AllowAttrs("src").Matching(regexp.MustCompile(`^cid:[0-9]+$`)).OnElements("img")
	p.AllowAttrs("background").Matching(regexp.MustCompile(`^cid:[0-9]+$`)).OnElements("body", "table", "tr", "td", "th")
	p.AllowURLSchemes("http", "https", "mailto", "tel", "cid")
	p.AddTargetBlankToFullyQualifiedLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.RequireNoFollowOnLinks(true)
	return p
}

// documentHead opens the document that is shown. Mail is written for a white
// page, whatever the reader's colours are.
const documentHead = `<!DOCTYPE html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Message</title>
<style>html{color-scheme:light;color:#111;font:15px/1.5 system-ui,sans-serif}
body{margin:14px;overflow-wrap:break-word}img{max-width:100%;height:auto}pre{white-space:pre-wrap}</style>
`

// What readers in the dark see: the message's own colours for it or, where it
// has none, what many clients make of the light ones.
const (
	darkHead     = "<style>html{color-scheme:dark;color:#eee}</style>\n"
	invertedHead = "<style>html{background:#fff;filter:invert(1) hue-rotate(180deg)}img{filter:invert(1) hue-rotate(180deg)}</style>\n"
)

// sanitise makes the HTML of a message safe to show. m gives the pictures that
// it refers to by cid: (RFC 2392).
func sanitise(m *mail.Message, policy *bluemonday.Policy, l look) []byte {
	s := newScanner(m)
	s.look = l
	s.scan(m.HTML)
	body := policy.SanitizeBytes(s.body.Bytes())
	var out bytes.Buffer
	out.WriteString(documentHead)
	if l.dark && s.dark {
		out.WriteString(darkHead)
	} else if l.dark {
		out.WriteString(invertedHead)
	}
	if s.css.Len() > 0 {
		out.WriteString("<style>" + s.css.String() + "</style>")
	}
	s.fill(&out, body)
	return out.Bytes()
}

// inspect finds what the document does not show, and what it is made of.
func inspect(m *mail.Message) *scanner {
	s := newScanner(m)
	s.scan(m.HTML)
	return s
}

// A scanner goes over the HTML before it is sanitised: it gathers the style
// sheets, takes out what would load something, and puts a number in the place
// of each picture that the message has.
type scanner struct {
	look     look
	parts    map[string]*mail.Part // by Content-ID
	body     bytes.Buffer
	css      strings.Builder
	pictures []picture       // what "cid:0", "cid:1" … stand for
	remote   int             // how much would be loaded from elsewhere
	missing  []string        // cid: URLs for which the message has no picture
	used     map[string]bool // Content-IDs of pictures that it shows
	dark     bool            // it has colours of its own for the dark
	unnamed  int             // pictures without a text in their place
	pixels   int             // pictures too small to be seen
}

func newScanner(m *mail.Message) *scanner {
	s := &scanner{parts: map[string]*mail.Part{}, used: map[string]bool{}}
	for _, part := range m.Body.Walk() {
		// The first part with an id is the one that is meant: a later one cannot
		// put itself in its place.
		if cid := part.CID(); cid != "" && s.parts[cid] == nil && !part.IsMultipart() {
			s.parts[cid] = part
		}
	}
	return s
}

// A picture is one that the document shows: a part of the message, what the
// HTML itself had as a data: URL, or one from elsewhere that may be loaded.
type picture struct {
	part *mail.Part
	url  string
}

// dataURL is a picture in a form that needs no escaping in an attribute.
var dataURL = regexp.MustCompile(`(?i)^data:(image/[a-z.+-]+);base64,[a-z0-9+/=\s]*$`)

func (s *scanner) scan(text string) {
	z := html.NewTokenizer(strings.NewReader(text))
	inside := atom.Atom(0) // an element whose text is not shown
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return // the end, or a text that is longer than anybody's
		}
		t := z.Token()
		switch {
		case kind == html.StartTagToken && (t.DataAtom == atom.Style || t.DataAtom == atom.Title || t.DataAtom == atom.Script):
			inside = t.DataAtom
		case kind == html.EndTagToken && t.DataAtom == inside && inside != 0:
			inside = 0
		case inside == atom.Style && kind == html.TextToken:
			s.css.WriteString(s.style(t.Data))
			s.css.WriteByte('\n')
		case inside != 0:
		case kind == html.StartTagToken || kind == html.SelfClosingTagToken:
			s.attributes(&t)
			s.body.WriteString(t.String())
		default:
			s.body.WriteString(t.String())
		}
	}
}

// attributes deals with those that load something or hold style.
func (s *scanner) attributes(t *html.Token) {
	if t.DataAtom == atom.Meta {
		s.meta(t)
	}
	if t.DataAtom == atom.Img {
		s.image(t)
	}
	kept := t.Attr[:0]
	for _, a := range t.Attr {
		switch key := strings.ToLower(a.Key); key {
		case "src", "background", "poster", "data", "srcset":
			p, ok := s.picture(a.Val)
			if !ok || key != "background" && (key != "src" || t.DataAtom != atom.Img) {
				continue
			}
			a.Val = "cid:" + strconv.Itoa(len(s.pictures))
			s.pictures = append(s.pictures, p)
		case "href":
			// A cid: link would come out as a link to one of our numbers.
			if _, ok := cutScheme(a.Val, "cid:"); ok {
				continue
			}
		case "style":
			a.Val = s.style(a.Val)
		}
		kept = append(kept, a)
	}
	t.Attr = kept
}

// meta notes that a message says of itself that it has colours for the dark.
func (s *scanner) meta(t *html.Token) {
	name, content := "", ""
	for _, a := range t.Attr {
		switch a.Key {
		case "name":
			name = strings.ToLower(a.Val)
		case "content":
			content = strings.ToLower(a.Val)
		}
	}
	s.dark = s.dark || strings.HasSuffix(name, "color-schemes") && strings.Contains(content, "dark") ||
		name == "color-scheme" && strings.Contains(content, "dark")
}

// image notes what there is to say of a picture.
func (s *scanner) image(t *html.Token) {
	named, small := false, 0
	for _, a := range t.Attr {
		switch a.Key {
		case "alt":
			named = true // alt="" says that there is nothing to be told
		case "width", "height":
			if v := strings.TrimSuffix(strings.TrimSpace(a.Val), "px"); v == "0" || v == "1" {
				small++
			}
		}
	}
	if small == 2 {
		s.pixels++
	} else if !named {
		s.unnamed++
	}
}

// picture finds what a URL shows without anything being loaded, and counts what
// it does not find.
func (s *scanner) picture(ref string) (picture, bool) {
	if cid, ok := cutScheme(ref, "cid:"); ok {
		// RFC 2392, 2: what a URL may not have is written as %hh. QUIRK: many write
		// the Content-ID as it is, with a % that means itself.
		if plain, err := url.PathUnescape(cid); err == nil && s.parts[cid] == nil {
			cid = plain
		}
		part := s.parts[cid]
		if part == nil || pictureType(part.Type()) == "" {
			s.missing = append(s.missing, cid)
			return picture{}, false
		}
		s.used[cid] = true
		return picture{part: part}, true
	}
	if _, ok := cutScheme(ref, "data:"); ok {
		match := dataURL.FindStringSubmatch(ref)
		return picture{url: ref}, match != nil && pictureType(strings.ToLower(match[1])) != ""
	}
	s.remote++
	return picture{url: html.EscapeString(ref)}, s.look.remote && remoteURL.MatchString(ref)
}

// remoteURL is one that is loaded from where it says, and not from here.
var remoteURL = regexp.MustCompile(`^\s*(?i:https?)://[^\s]+$`)

// number is where a picture goes. The sanitiser quotes attributes with " and
// writes it as &#34; elsewhere, so that what stands between src=" and " is an
// attribute's value.
var number = regexp.MustCompile(`((?:src|background)=")cid:([0-9]+)"`)

// fill writes body with every number's picture in its place.
func (s *scanner) fill(out *bytes.Buffer, body []byte) {
	left := int64(maxPictures)
	refused := map[*mail.Part]bool{} // there is ever less room: what did not fit once is not read again
	at := 0
	for _, m := range number.FindAllSubmatchIndex(body, -1) {
		out.Write(body[at:m[3]])
		if n, err := strconv.Atoi(string(body[m[4]:m[5]])); err == nil && n < len(s.pictures) {
			p := s.pictures[n]
			if p.part != nil && !refused[p.part] {
				size := embedPicture(out, p.part, left)
				left, refused[p.part] = left-size, size == 0
			} else if int64(len(p.url)) <= left {
				left -= int64(len(p.url))
				out.WriteString(p.url)
			}
		}
		out.WriteByte('"')
		at = m[1]
	}
	out.Write(body[at:])
}

// embedPicture writes a part as a data: URL and returns how many octets it
// took; nothing if it has more than left.
func embedPicture(out *bytes.Buffer, part *mail.Part, left int64) int64 {
	r, err := part.Reader()
	if err != nil {
		return 0
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, left+1))
	if err != nil || int64(len(content)) > left {
		return 0
	}
	out.WriteString("data:" + pictureType(part.Type()) + ";base64,")
	encoder := base64.NewEncoder(base64.StdEncoding, out)
	encoder.Write(content) // to memory: cannot fail
	encoder.Close()
	return int64(len(content))
}

// pictureType returns the media type under which a picture is embedded; "" if
// it is none that browsers show. In an img even SVG runs nothing and loads
// nothing.
func pictureType(media string) string {
	switch media {
	case "image/png", "image/gif", "image/jpeg", "image/webp", "image/bmp", "image/avif", "image/svg+xml", "image/x-icon":
		return media
	case "image/jpg", "image/pjpeg": // QUIRK: Windows and old cameras
		return "image/jpeg"
	}
	return ""
}

// cutScheme removes a scheme from a URL as browsers read it: in either case, with
// white space and controls before it and line ends within.
func cutScheme(url, scheme string) (rest string, ok bool) {
	url = strings.TrimLeft(url, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	url = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(url)
	if len(url) < len(scheme) || !strings.EqualFold(url[:len(scheme)], scheme) {
		return "", false
	}
	return url[len(scheme):], true
}

// hostile are the words by which a style sheet loads something or, in browsers
// of old, runs it. A whole url() with a web address comes first: that one may
// stay if pictures are to be loaded.
var hostile = regexp.MustCompile(`(?i)url\s*\(\s*["']?\s*https?://[^\s"'()]*["']?\s*\)|` +
	`url\s*\(|image-set\s*\(|src\s*\(|@import|@font-face|@namespace|expression\s*\(|behavior\s*:|-moz-binding|javascript:`)

// scheme is a question to the reader's system, which the preview answers.
var scheme = regexp.MustCompile(`(?i)\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)`)

// style returns a style sheet without what could load anything, and counts what
// it took out. Escapes could spell any of it in another way: a sheet that has
// them loses their backslashes, and comments go because they can stand within a
// word of the list. What is put in the place of a match has a space in it, so
// that what is left and right of it makes up no other.
func (s *scanner) style(css string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(css, "/*")
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteByte(' ')
		_, css, _ = strings.Cut(rest, "*/")
	}
	css = strings.NewReplacer(`\`, "", "<", "").Replace(b.String())
	css = scheme.ReplaceAllStringFunc(css, func(question string) string {
		dark := strings.Contains(strings.ToLower(question), "dark")
		s.dark = s.dark || dark
		// The frame may be as wide as it likes: one is always true, the other never.
		if dark == s.look.dark {
			return "(min-width:0px)"
		}
		return "(max-width:0px)"
	})
	return hostile.ReplaceAllStringFunc(css, func(match string) string {
		s.remote++
		if s.look.remote && strings.HasSuffix(match, ")") {
			return match
		}
		return "none "
	})
}

// plainText returns the words of an HTML text, up to about n octets of them.
func plainText(text string, n int) string {
	z := html.NewTokenizer(strings.NewReader(text))
	var b strings.Builder
	hidden := 0
	for b.Len() < n {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if hidden == 0 {
				b.Write(z.Text())
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			switch {
			case hides(name):
				hidden++
			case string(name) == "body":
				hidden = 0 // QUIRK: heads that nobody closes
			default:
				b.WriteByte(' ')
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); hides(name) && hidden > 0 {
				hidden--
			}
		}
	}
	return b.String()
}

func hides(name []byte) bool {
	switch string(name) {
	case "style", "script", "title", "head":
		return true
	}
	return false
}
