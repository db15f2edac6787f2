package inbox

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail"
)

// The page's message: one view of it at a time. Which one, and how, is in the
// URL, so that every view can be linked to, and works without a script.

// More than a person reads, and little enough for a browser to lay out at once. What
// is cut says so, with the way to all of it.
const (
	shownText   = 1 << 20   // octets of text that the page shows
	shownSource = 256 << 10 // octets of source
)

// A message is what is shown of one.
type message struct {
	row
	Mail        *mail.Message
	From        []mail.Address // as they may be shown
	To          []addressed
	Codes       []string // that may be one-time codes
	Tabs        []tab
	View        string // the tab that is shown
	Frame       string // URL of the HTML
	Width       string // of the frame: a device, or "" for all there is
	Dark        string // how the dark preview is made: own, inverted; "" in the light
	Choices     [][]tab
	Notes       []string // what is not shown, or not as it is
	Text        []span
	Made        bool // the text was made out of the HTML, as clients do
	Empty       bool // there is no text
	Fields      []explained
	Source      []piece
	Cut         bool      // more than is shown
	Calendar    *calendar // nil if it brings none
	Attachments []attachment
	Parts       []node
	Preview     *preview
	Findings    []finding
	Relay       bool     // it can be released
	Session     *Session // nil if it did not come in one, and
	Lines       []spoken // what was said in it

	query string
	look  look
}

// addressed are addresses that it is for in one way: to, cc, or bcc, whom the envelope
// alone names; or those that answers are wanted at.
type addressed struct {
	How        string
	First      bool   // it begins a line
	List, More []span // what is shown at once, and the rest, each with a search for it
}

const (
	shownTo    = 8 // of a list of addresses
	shownCodes = 3 // the others are unlikely
)

// A calendar is what the message asks its reader to put down, shown at once.
type calendar struct {
	Events []event
	More   int    // that are not shown here, but
	URL    string // there
}

// A tab is one way to look at the message, or one choice within it.
type tab struct {
	Name, Label, URL string
	Current          bool
	Count            int // what there is to see; 0: nothing, or it is not counted
}

// A span is a piece of text, and a link if it has a URL.
type span struct{ Text, URL string }

// pane makes the view of a message alone.
func (p *page) pane(r *http.Request) (*view, error) {
	e, err := p.inbox.Store.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v := &view{Query: strings.TrimSpace(param(r, "query"))}
	relay := p.inbox.Relay != nil
	err = p.inbox.read(r.Context(), e.ID, func(b Body, m *mail.Message) error {
		if e.Summary == nil {
			s := summarise(m)
			e.Summary = &s
		}
		v.Message = &message{row: rowOf(e, v.Query), Mail: m, query: v.Query, look: lookOf(r), Relay: relay}
		return v.Message.fill(b, r)
	})
	return v, err
}

// shown returns addresses without what would make them look like others: a control
// of direction in a name turns round the address that stands behind it.
func shown(list []mail.Address) []mail.Address {
	out := make([]mail.Address, len(list))
	for i, a := range list {
		out[i] = mail.Address{Name: oneLine(a.Name, 200), Address: oneLine(a.Address, 320)}
	}
	return out
}

// fill makes ready what the chosen tab shows.
func (m *message) fill(b Body, r *http.Request) error {
	// The head is the same above every tab, so that going from one to the next moves
	// nothing.
	m.attachments()
	m.From = shown(m.Mail.From)
	m.address("to", "to:", m.Mail.To)
	m.address("cc", "to:", m.Mail.Cc)
	m.address("bcc", "to:", hidden(m.Entry, m.Mail))
	if !slices.EqualFunc(m.Mail.ReplyTo, m.Mail.From, func(a, b mail.Address) bool { return strings.EqualFold(a.Address, b.Address) }) {
		m.address("replies to", "header:reply-to=", m.Mail.ReplyTo)
	}
	m.Codes = codes(m.Mail)
	m.Codes = m.Codes[:min(len(m.Codes), shownCodes)]
	m.Findings = check(m.Mail, param(r, "view") == "checks")
	for _, f := range m.Findings {
		for i, d := range f.List {
			if d.end > 0 && d.end <= shownSource {
				f.List[i].URL = m.url("view", "source", "of", "html", "at", fmt.Sprintf("%d-%d", d.at, d.end))
			}
		}
	}
	m.chooseTab(param(r, "view"))
	// Beside what the message says, as clients show it; the other tabs look inside it.
	if m.View == "html" || m.View == "text" {
		m.fillCalendar()
	}
	switch m.View {
	case "html":
		m.fillHTML(param(r, "width"))
	case "text":
		// What a client shows that has no HTML, or is told not to.
		text := m.Mail.Text
		if m.Made = text == "" && m.Mail.HTML != ""; m.Made {
			text = mail.TextFromHTML(m.Mail.HTML)
		}
		m.Empty = strings.TrimSpace(text) == ""
		text, m.Cut = cut(text, shownText)
		m.Text = spans(text)
	case "headers":
		m.Fields = explain(m.Mail.Header)
	case "session":
		// Without one, or with one that cannot be read, the envelope has to do.
		if s, err := ParseSession(m.row.Session); err == nil && len(s.Lines) > 0 {
			m.Session, m.Lines = s, transcript(s)
		}
	case "parts":
		m.fillParts(param(r, "part"))
	case "source":
		return m.fillSource(b, param(r, "of") == "html", param(r, "at"))
	}
	return nil
}

// fillSource shows the message as it arrived, or the HTML in it without its
// transfer encoding and in UTF-8, with what is between two places marked.
func (m *message) fillSource(b Body, html bool, between string) error {
	if m.Mail.HTML != "" {
		of := func(name, label string) tab {
			return tab{Label: label, URL: m.url("view", "source", "of", name), Current: html == (name != "")}
		}
		m.Choices = [][]tab{{of("", "The message"), of("html", "Its HTML")}}
		if html {
			text, cut := cut(m.Mail.HTML, shownSource)
			m.Source, m.Cut = highlightHTML(text), cut
			var at, end int
			if n, _ := fmt.Sscanf(between, "%d-%d", &at, &end); n == 2 && at < end {
				m.Source = marked(m.Source, at, end)
			}
			return nil
		}
	}
	raw, err := readAll(b, shownSource)
	if err != nil {
		return err
	}
	m.Cut = b.Size() > shownSource
	m.Source = highlight(string(raw))
	return nil
}

// cut returns the beginning of a text, and whether there is more.
func cut(text string, n int) (string, bool) {
	if len(text) <= n {
		return text, false
	}
	return strings.ToValidUTF8(text[:n], ""), true // the cut may go through a letter
}

// address adds addresses to those that it is for. word is where a search finds them.
func (m *message) address(how, word string, list []mail.Address) {
	var all []span
	for _, a := range shown(list) {
		all = append(all, span{a.String(), m.Find(word, a.Address)})
	}
	to := addressed{How: how, List: all, First: len(m.To) == 0 || len(m.To[len(m.To)-1].More) > 0}
	// One more takes no more room than to say that there is one.
	if len(all) > shownTo+1 {
		to.List, to.More = all[:shownTo], all[shownTo:]
	}
	if len(all) > 0 {
		m.To = append(m.To, to)
	}
}

// Find returns the URL of a search for an address; "" if it is none.
func (m *message) Find(word, address string) string {
	if address == "" {
		return ""
	}
	return "./" + parameters(term(word, address))
}

// url is that of the message in a view of it: pairs of a name and a value.
func (m *message) url(pairs ...string) string {
	var set []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			set = append(set, pairs[i], pairs[i+1])
		}
	}
	return "messages/" + m.ID + parameters(m.query, set...)
}

// api returns the URL of something of the message in the JSON interface.
func (m *message) api(what string) string { return apiPath[1:] + "messages/" + m.ID + what }

// Raw returns the URL of the message as it arrived.
func (m *message) Raw() string { return m.api("/raw") }

// chooseTab lists the ways to look at the message and picks the one that was
// asked for, or else the first.
func (m *message) chooseTab(view string) {
	add := func(name, label string, count int) {
		m.Tabs = append(m.Tabs, tab{Name: name, Label: label, URL: m.url("view", name), Count: count})
		if name == view {
			m.View = name
		}
	}
	// A message without HTML has no tab for it; keys count the tabs that are there.
	if m.Mail.HTML != "" {
		add("html", "HTML", 0)
	}
	add("text", "Text", 0)
	add("headers", "Headers", 0)
	add("source", "Source", 0)
	add("parts", "Parts", 0)
	add("session", "Delivery", 0)
	add("checks", "Checks", problems(m.Findings))
	if m.View == "" {
		m.View = m.Tabs[0].Name
	}
	for i := range m.Tabs {
		m.Tabs[i].Current = m.Tabs[i].Name == m.View
	}
}

// fillHTML makes ready the frame and what can be chosen for it.
func (m *message) fillHTML(width string) {
	if width == "phone" || width == "tablet" {
		m.Width = width
	}
	found := inspect(m.Mail)
	note := func(text string) { m.Notes = append(m.Notes, text) }
	if n := len(found.missing); n > 0 {
		note(plural(n, "picture is", "pictures are") + " missing in the message.")
	}
	if found.remote > 0 && !m.look.remote {
		note(plural(found.remote, "remote resource was", "remote resources were") + " not loaded.")
	}
	if m.look.dark {
		if m.Dark = "own"; !found.dark {
			m.Dark = "inverted"
			note("The message has no colours for the dark: many clients turn its light ones round, about like this.")
		}
	}
	m.Frame = "messages/" + m.ID + "/html" + parameters("", m.look.parameters()...)
	// Each choice keeps the others: a phone in the dark is two clicks, in either order.
	choice := func(label, width string, l look) tab {
		pairs := append([]string{"view", "html", "width", width}, l.parameters()...)
		return tab{Label: label, URL: m.url(pairs...), Current: width == m.Width && l == m.look}
	}
	light, dark := m.look, m.look
	light.dark, dark.dark = false, true
	m.Choices = [][]tab{
		{choice("Full width", "", m.look), choice("Tablet", "tablet", m.look), choice("Phone", "phone", m.look)},
		{choice("Light", m.Width, light), choice("Dark", m.Width, dark)},
	}
	if found.remote > 0 {
		blocked, loaded := m.look, m.look
		blocked.remote, loaded.remote = false, true
		m.Choices = append(m.Choices, []tab{choice("No remote images", m.Width, blocked), choice("Load them", m.Width, loaded)})
	}
}

// lookOf reads from a request how the HTML is to be shown.
func lookOf(r *http.Request) look {
	l := look{dark: param(r, "scheme") == "dark", remote: param(r, "images") == "load"}
	// Loading tells the sender that somebody has read the message. A link from
	// elsewhere, even from a message, must not do that (Fetch Metadata).
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		l.remote = false
	}
	return l
}

// parameters are what lookOf reads.
func (l look) parameters() []string {
	var pairs []string
	if l.dark {
		pairs = append(pairs, "scheme", "dark")
	}
	if l.remote {
		pairs = append(pairs, "images", "load")
	}
	return pairs
}

// frame serves the HTML of a message, for the sandboxed frame alone.
func (p *page) frame(w http.ResponseWriter, r *http.Request) {
	look := lookOf(r)
	w.Header().Set("Content-Security-Policy", look.policy())
	err := p.inbox.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		// Made whole before any of it goes out: it is bounded, and half a document would
		// be shown as one.
		doc := sanitise(m, p.policy, look)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, err := w.Write(doc)
		if err != nil {
			p.inbox.logger().Debug("reader went away", "err", err)
		}
		return nil
	})
	if err != nil {
		status, text := p.inbox.statusOf(r, err)
		plain(w, status, text+"\n")
	}
}

// link finds web addresses in text. What may end a sentence does not end one of
// them.
var link = regexp.MustCompile(`https?://[^\s<>"]*[^\s<>"'.,;:!?)\]}]`)

// spans cuts text at its links.
func spans(text string) []span {
	var out []span
	at := 0
	for _, m := range link.FindAllStringIndex(text, 5000) {
		out = append(out, span{Text: text[at:m[0]]}, span{text[m[0]:m[1]], text[m[0]:m[1]]})
		at = m[1]
	}
	return append(out, span{Text: text[at:]})
}

// plural says how many there are of something.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
