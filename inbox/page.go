package inbox

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"

	"github.com/postrider/postrider/internal/human"
	"github.com/postrider/postrider/mail"
)

// The page. The server renders all of it; the script (web/page.js) only fetches
// the same pieces again when something has happened, so that there is one place
// that knows what a row or a message looks like, and the page can be read
// without any script.

//go:embed web
var files embed.FS

const (
	shownText   = 1 << 20   // octets of text that the page shows
	shownSource = 256 << 10 // octets of source
)

// A page holds what rendering needs.
type page struct {
	inbox  *Inbox
	tmpl   *template.Template
	policy *bluemonday.Policy
	assets string // hash of web/, in the URLs of its files, so that browsers may keep them
}

func (in *Inbox) pageRoutes(mux *http.ServeMux) {
	p := &page{inbox: in, policy: newPolicy(), assets: fingerprint()}
	p.tmpl = template.Must(template.New("").Funcs(template.FuncMap{
		"size": human.Size, "stamp": stamp, "asset": p.asset,
	}).ParseFS(files, "web/*.html"))
	static, _ := fs.Sub(files, "web") // the folder is there: it is embedded
	mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(static))))
	mux.HandleFunc("GET /{$}", p.handle("page", p.list))
	mux.HandleFunc("GET /list", p.handle("list", p.list))
	mux.HandleFunc("GET /messages/{id}", p.handle("page", p.both))
	mux.HandleFunc("GET /messages/{id}/pane", p.handle("pane", p.pane))
	mux.HandleFunc("GET /messages/{id}/html", p.frame)
	mux.HandleFunc("/", p.handle("page", func(*http.Request) (*view, error) { return nil, ErrNotFound }))
}

// asset returns the URL of a file of the page. It changes with the files, so that
// a new version of the program is never shown with an old style sheet.
func (p *page) asset(name string) string { return "/static/" + name + "?v=" + p.assets }

// fingerprint hashes the embedded files.
func fingerprint() string {
	sum := sha256.New()
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := files.ReadFile(name)
			sum.Write(b)
		}
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// cached serves files that browsers may keep for good, and no others: templates
// and lists of folders are not for them.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".html") || strings.HasSuffix(r.URL.Path, "/") || r.URL.Path == "" {
			http.NotFound(w, r) // templates
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		next.ServeHTTP(w, r)
	})
}

// A view is what the templates show: a list, a message or an error.
type view struct {
	Query   string
	Rows    []row
	Total   int // that match
	Stats   Stats
	Next    string // URL of the older messages
	Newest  string // URL of the first page, if this is another
	SMTP    string
	Host    string // of SMTP, and
	Port    string
	Message *message
	Problem string // what is shown in place of the message
}

// A row is a message in the list.
type row struct {
	*Entry
	URL     string
	Who     string
	Initial string
	Hue     uint32 // of the sender's disc: one of eight
	Subject string
}

// A message is what is shown of one.
type message struct {
	row
	Mail        *mail.Message
	To          []string
	Tabs        []tab
	View        string // the tab that is shown
	Frame       string // URL of the HTML
	Remote      int
	Missing     int
	Text        []span
	Source      string
	Cut         bool // more than is shown
	Raw         string
	Attachments []attachment
}

// A tab is one way to look at a message.
type tab struct {
	Name, Label, URL string
	Current          bool
}

// An attachment is a file that can be saved, under a name that is safe.
type attachment struct {
	Name, Type, URL string
	Size            int64
	Inline          bool
}

// A span is a piece of text, and a link if it has a URL.
type span struct{ Text, URL string }

// handle renders what fn returns.
func (p *page) handle(name string, fn func(r *http.Request) (*view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		v, err := fn(r)
		if err != nil {
			v = &view{}
			if status, v.Problem = p.inbox.statusOf(r, err); errors.Is(err, ErrNotFound) {
				v.Problem = "This message is not here. It may have been deleted."
			}
		}
		// Rendered whole before any of it is sent: a template that fails half-way must
		// not leave half a page behind a status of 200.
		var out bytes.Buffer
		if err := p.tmpl.ExecuteTemplate(&out, name, v); err != nil {
			p.inbox.logger().Error("page cannot be rendered", "path", r.URL.Path, "err", err)
			plain(w, http.StatusInternalServerError, "internal error\n")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(out.Bytes()) // the client may have gone
	}
}

// list makes the view of a list.
func (p *page) list(r *http.Request) (*view, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	found, err := p.inbox.list(r.Context(), q)
	if err != nil {
		return nil, err
	}
	stats, err := p.inbox.Store.Stats(r.Context())
	if err != nil {
		return nil, err
	}
	v := &view{Query: strings.TrimSpace(r.FormValue("query")), Total: found.Total, Stats: stats, SMTP: p.inbox.SMTP}
	// Settings of applications ask for the two apart.
	v.Host, v.Port, _ = strings.Cut(v.SMTP, ":")
	for i := range found.Entries {
		v.Rows = append(v.Rows, rowOf(&found.Entries[i], v.Query))
	}
	if found.More {
		v.Next = "/" + parameters(v.Query, "before", found.Entries[len(found.Entries)-1].ID)
	}
	if q.Before != "" {
		v.Newest = "/" + parameters(v.Query)
	}
	return v, nil
}

// parameters returns the query of a URL: what was searched for, and more.
func parameters(query string, more ...string) string {
	values := url.Values{}
	if query != "" {
		values.Set("query", query)
	}
	for i := 0; i+1 < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// rowOf makes a row. What it says of the sender comes from the message, which
// anybody may write as they like; the envelope stands in where that says nothing.
// The disc helps the eye: one colour for one address, whatever name it gives.
func rowOf(e *Entry, query string) row {
	r := row{Entry: e, URL: "/messages/" + e.ID + parameters(query)}
	address := e.Envelope.From
	if s := e.Summary; s != nil {
		r.Subject = s.Subject
		if len(s.From) > 0 {
			r.Who, address = s.From[0].Name, s.From[0].Address
		}
	}
	if r.Who = oneLine(r.Who, 200); r.Who == "" {
		r.Who = oneLine(address, 200)
	}
	if r.Who == "" {
		r.Who = "Mail system" // the null sender: a report (RFC 5321, 4.5.5)
	}
	// Any hash will do that is the same tomorrow.
	sum := fnv.New32a()
	sum.Write([]byte(strings.ToLower(address)))
	r.Hue = sum.Sum32() % 8
	r.Initial = "?"
	for _, c := range r.Who {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			r.Initial = string(unicode.ToUpper(c))
			break
		}
	}
	return r
}

// both makes the view of a message with the list beside it.
func (p *page) both(r *http.Request) (*view, error) {
	v, err := p.pane(r)
	if err != nil {
		return nil, err
	}
	listed, err := p.list(r)
	if err != nil {
		return nil, err
	}
	// The list is that of the same query, and carries the message.
	listed.Message = v.Message
	return listed, nil
}

// pane makes the view of a message alone.
func (p *page) pane(r *http.Request) (*view, error) {
	e, err := p.inbox.Store.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v := &view{Query: strings.TrimSpace(r.FormValue("query"))}
	err = p.inbox.read(r.Context(), e.ID, func(b Body, m *mail.Message) error {
		if e.Summary == nil {
			s := summarise(m)
			e.Summary = &s
		}
		v.Message = &message{row: rowOf(e, v.Query), Mail: m, Raw: apiPath + "messages/" + e.ID + "/raw"}
		return v.Message.fill(b, r.FormValue("view"), v.Query)
	})
	return v, err
}

// fill makes ready what the chosen tab shows.
func (m *message) fill(b Body, view, query string) error {
	m.attachments()
	for _, a := range append(m.Mail.To, m.Mail.Cc...) {
		m.To = append(m.To, a.String())
	}
	m.chooseTab(view, query)
	switch m.View {
	case "html":
		m.Frame = "/messages/" + m.ID + "/html"
		m.Remote, m.Missing = inspect(m.Mail)
	case "text":
		text := m.Mail.Text
		if m.Cut = len(text) > shownText; m.Cut {
			text = strings.ToValidUTF8(text[:shownText], "") // the cut may go through a letter
		}
		m.Text = spans(text)
	case "source":
		raw, err := readAll(b, shownSource)
		if err != nil {
			return err
		}
		m.Cut = b.Size() > shownSource
		m.Source = strings.ToValidUTF8(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\uFFFD")
	}
	return nil
}

// chooseTab lists the ways to look at the message and picks the one that was
// asked for, or else the first.
func (m *message) chooseTab(view, query string) {
	add := func(name, label string) {
		m.Tabs = append(m.Tabs, tab{Name: name, Label: label, URL: "/messages/" + m.ID + parameters(query, "view", name)})
		if name == view {
			m.View = name
		}
	}
	if m.Mail.HTML != "" {
		add("html", "HTML")
	}
	if m.Mail.Text != "" || m.Mail.HTML == "" {
		add("text", "Text")
	}
	add("headers", "Headers")
	add("source", "Source")
	if m.View == "" {
		m.View = m.Tabs[0].Name
	}
	for i := range m.Tabs {
		m.Tabs[i].Current = m.Tabs[i].Name == m.View
	}
}

// attachments lists the message's files. Sizes are worked out, not measured: a
// large message is not decoded to show its list.
func (m *message) attachments() {
	paths := map[*mail.Part]string{}
	for path, part := range m.Mail.Body.Walk() {
		paths[part] = path
	}
	for _, a := range m.Mail.Attachments {
		path := paths[a.Part()]
		m.Attachments = append(m.Attachments, attachment{
			Name: safeName(a.Name, path, a.Media()), Type: a.Media(), Size: decodedSize(a.Part()), Inline: isInline(a, m.Mail.HTML),
			URL: apiPath + "messages/" + m.ID + "/parts/" + path,
		})
	}
}

// decodedSize is about how large a part is when it has been decoded: base64 in
// lines has 57 octets in 78.
func decodedSize(p *mail.Part) int64 {
	if p.Encoding() == "base64" {
		return p.RawSize() * 57 / 78
	}
	return p.RawSize()
}

// frame serves the HTML of a message, for the sandboxed frame alone.
func (p *page) frame(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", framePolicy)
	err := p.inbox.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		doc := sanitise(m, p.policy)
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

// stamp is a time as the page has it before the script puts it into the
// reader's own zone and words.
func stamp(t time.Time) string { return t.Format("2 Jan 2006 15:04") }

// The name of a row's element, for the script.
func (r row) Element() string { return "m-" + r.ID }

// Label is what a screen reader says of a row.
func (r row) Label() string {
	label := r.Who + ", " + r.Subject
	if r.Unread {
		label = "unread, " + label
	}
	if !utf8.ValidString(label) {
		label = strings.ToValidUTF8(label, "\uFFFD")
	}
	return label
}
