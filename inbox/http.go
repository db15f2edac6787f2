package inbox

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// The web side: who may ask, and by which name.
//
// The page and the JSON interface have no passwords on loopback, so every site
// that a browser on this machine has open must be kept out. Three rules do that:
// the Host header must be a name of ours (a rebound name is not), nothing may come from
// another site but a person who follows a link, and GET changes nothing. Nothing is sent
// that would let another origin read an answer; and without a request there is none whose
// time could tell it whether a query has found something.

// pagePolicy is the Content-Security-Policy of the page: its own script and
// style, frames of its own, nothing inline and nothing from elsewhere.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"

// routes returns the handler of all paths.
func (in *Inbox) routes() http.Handler {
	mux := http.NewServeMux()
	in.pageRoutes(mux)
	in.apiRoutes(mux)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", in.ready)
	mux.HandleFunc("GET /metrics", in.metrics)
	foreign := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.shut(w, r, http.StatusForbidden, "This request comes from another site, and those may only link here.")
	})
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(foreign)
	return in.guard(in.below(isolated(own.Handler(mux), foreign)))
}

// isolated gives what a page of another site asks for to foreign, unless a person follows a
// link from there to a page of its own window (Fetch Metadata, 2). What has no such fields
// is no browser of today, or one that does not know this address to be safe.
func isolated(next, foreign http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case site == "", site == "same-origin", site == "none", r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document":
			next.ServeHTTP(w, r)
		default:
			foreign.ServeHTTP(w, r)
		}
	})
}

// at returns the path for those who ask of what is at path here.
func (in *Inbox) at(path string) string {
	if root := strings.Trim(in.Root, "/"); root != "" {
		return "/" + root + path
	}
	return path
}

// below cuts Root off the paths that have it.
func (in *Inbox) below(next http.Handler) http.Handler {
	root := in.at("/")
	if root == "/" {
		return next
	}
	cut := http.StripPrefix(strings.TrimSuffix(root, "/"), next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path+"/" == root:
			http.Redirect(w, r, root, http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, root):
			cut.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// shut answers a request that reaches nothing, in the form that its path promises.
func (in *Inbox) shut(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, apiPath) {
		in.fail(w, r, refuse(status, "%s", text))
		return
	}
	plain(w, status, text+"\n")
}

// unknown is what is said of a path that nothing answers, or not by that method
// (RFC 9110, 15.5.6).
func unknown(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) error {
	_, own := mux.Handler(r)
	var allowed []string
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != own {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return refuse(http.StatusNotFound, "there is no %s", oneLine(r.URL.Path, 100))
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return refuse(http.StatusMethodNotAllowed, "there is no %s %s, only %s", r.Method, oneLine(r.URL.Path, 100), strings.Join(allowed, ", "))
}

// ServeHTTP implements http.Handler.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in.setUp()
	in.web.ServeHTTP(w, r)
}

// guard refuses requests by a foreign name and sets the headers that every
// answer has. Handlers make the policy of what they serve stricter.
func (in *Inbox) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !in.ours(r.Host) && !in.health(r) {
			in.shut(w, r, http.StatusMisdirectedRequest, "This inbox is not known by the name "+oneLine(r.Host, 100)+
				". If it should be, start it with --web-host and that name.")
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			b := &body{r.Body, http.NewResponseController(w)}
			b.window() // also where nobody reads it: the server does, before it answers
			r.Body = b
		}
		next.ServeHTTP(w, r)
	})
}

// readWindow is what a client may take to send some more of a body.
const readWindow = time.Minute

// A body is a request's, which is given up when nothing more of it comes: the time of
// the whole is the client's, who may have much to send and a slow line.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

// window begins the time in which some more has to come.
func (b *body) window() {
	// Not every ResponseWriter has deadlines; one that has none has other bounds. At the end
	// of the body the server forgets the deadline: what comes then is an answer, which may
	// take its time.
	_ = b.control.SetReadDeadline(time.Now().Add(readWindow))
}

// Read implements io.Reader. A stall is told as what it is, and not as a fault of ours.
func (b *body) Read(p []byte) (int, error) {
	b.window()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = refuse(http.StatusRequestTimeout, "nothing more of the request came for %v", readWindow)
	}
	return n, err
}

// health tells whether a request asks for nothing but whether all is well. Whoever looks
// after programs asks each by its address, of which no program knows (kubelet does), and
// the answer is one word.
func (in *Inbox) health(r *http.Request) bool {
	path, read := r.URL.Path, r.Method == http.MethodGet || r.Method == http.MethodHead
	return read && (path == "/healthz" || path == "/readyz" || path == in.at("/healthz") || path == in.at("/readyz"))
}

// ours tells whether a Host header names this server: a loopback address, a
// name that is never anything but loopback (RFC 6761, 6.3), or one of Hosts.
func (in *Inbox) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return true
	}
	for _, name := range in.Hosts {
		if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
			return true
		}
	}
	return false
}

// ready says whether the store answers. That finding lags behind is no reason to send
// people elsewhere: they would not get at what to delete.
func (in *Inbox) ready(w http.ResponseWriter, r *http.Request) {
	_, err := in.Store.List(r.Context(), Query{Limit: 1})
	stats, statsErr := in.Store.Stats(r.Context())
	if err = cmp.Or(err, statsErr); err != nil {
		in.logger().Error("not ready", "err", err)
		plain(w, http.StatusServiceUnavailable, "the store does not answer\n")
		return
	}
	text := "ok\n"
	if in.full() {
		text += in.behind(stats.Unindexed) + "\n"
	}
	plain(w, http.StatusOK, text)
}

// plain answers with a text.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may have gone
}
