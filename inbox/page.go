package inbox

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"strings"

	"github.com/microcosm-cc/bluemonday"

	"github.com/postrider/postrider/internal/human"
)

// The page. The server renders all of it; the script (web/page.js) only fetches
// the same pieces again when something has happened, so that there is one place
// that knows what a row or a message looks like, and the page can be read
// without any script.

//go:embed web
var files embed.FS

// A page holds what rendering needs.
type page struct {
	inbox  *Inbox
	tmpl   *template.Template
	policy *bluemonday.Policy
	assets string        // hash of web/, in the URLs of its files, so that browsers may keep them
	client *http.Client  // for links that somebody wants looked at
	scaled chan struct{} // held while a picture is decoded: one at a time, whoever asks
}

// newPage makes what rendering in's mail needs.
func newPage(in *Inbox) *page {
	p := &page{inbox: in, policy: newPolicy(), assets: fingerprint(), client: newLinkClient(public), scaled: make(chan struct{}, 1)}
	p.tmpl = template.Must(template.New("").Funcs(template.FuncMap{
		"size": human.Size, "stamp": stamp, "asset": p.asset, "spans": spans, "root": func() string { return in.at("/") },
	}).ParseFS(files, "web/*.html"))
	return p
}

func (in *Inbox) pageRoutes(mux *http.ServeMux) {
	p := newPage(in)
	static, _ := fs.Sub(files, "web") // the folder is there: it is embedded
	mux.Handle("GET /static/{version}/", cached(http.FileServerFS(static)))
	mux.HandleFunc("GET /{$}", p.handle("page", p.list))
	mux.HandleFunc("GET /list", p.handle("list", p.list))
	mux.HandleFunc("GET /places", p.handle("places", p.places))
	for path, fn := range map[string]func(*http.Request) (*view, error){"/messages/{id}": p.pane, "/compose": p.compose, "/faults": p.faults} {
		mux.HandleFunc("GET "+path, p.handle("page", p.beside(fn)))
		mux.HandleFunc("GET "+path+"/pane", p.handle("pane", fn))
	}
	mux.HandleFunc("POST /messages/{id}/links", p.handle("links", p.links))
	mux.HandleFunc("GET /messages/{id}/row", p.handle("one", p.one))
	mux.HandleFunc("GET /messages/{id}/html", p.frame)
	mux.HandleFunc("GET /messages/{id}/parts/{path}/thumb", p.thumb)
	mux.HandleFunc("GET /messages/{id}/parts/{path}/show", p.showPart)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		err := unknown(w, r, mux)
		p.handle("page", func(*http.Request) (*view, error) { return nil, err })(w, r)
	})
}

// asset returns the URL of a file of the page. It changes with the files, so that
// a new version of the program is never shown with an old style sheet; what one
// script imports by a relative name changes with it.
func (p *page) asset(name string) string { return "static/" + p.assets + "/" + name }

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
		prefix := "/static/" + r.PathValue("version")
		if strings.HasSuffix(r.URL.Path, ".html") || strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r) // templates
			return
		}
		next := http.StripPrefix(prefix, next)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		next.ServeHTTP(w, r)
	})
}

// A view is what the templates show: a list, a message or an error.
type view struct {
	Here    string // URL of the page itself, without which a #fragment is one of the list's page
	Query   string
	Rows    []row
	Total   int // that match
	Stats   Stats
	Newer   string // URL of the messages before these, and
	Older   string // of those behind; "" if there are none
	SMTP    string
	Host    string // of SMTP, and
	Port    string
	Message *message
	Form    *form
	Rules   *rules
	Places  *places // nil: the menu is empty until it is opened
	Links   []linked
	Unasked int    // links that are too many to be looked at
	Problem string // what is shown in place of the message, and
	Wrong   string // in place of the list, and
	Instead *tab   // what may have been meant; nil if nobody knows
	Faulty  bool   // the server misbehaves on purpose
	Behind  string // what is not found yet; "" if all is
}

// handle renders what fn returns.
func (p *page) handle(name string, fn func(r *http.Request) (*view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		v, err := fn(r)
		if err != nil {
			// What is wrong with a query is said where it is typed, and what was typed stays.
			v = &view{Query: strings.TrimSpace(param(r, "query"))}
			text := ""
			// What is still true of the whole inbox goes on being said.
			v.Stats, _ = p.inbox.Store.Stats(r.Context())
			switch status, text = p.inbox.statusOf(r, err); {
			case errors.Is(err, ErrNotFound):
				v.Problem = "This message is not here. It may have been deleted."
			case name == "pane":
				v.Problem = text
			case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
				v.Problem = "There is no page at this address."
			default:
				v.Wrong = text
				if e, ok := errors.AsType[*QueryError](err); ok && e.instead != "" {
					v.Instead = &tab{Name: e.instead, URL: "./" + parameters(e.instead)}
				}
			}
		}
		v.Faulty = len(p.inbox.Faults()) > 0
		v.Here = strings.TrimPrefix(r.URL.RequestURI(), "/")
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
