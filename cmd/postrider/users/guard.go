package users

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"strings"
)

// Passwords of the web page (RFC 7617). A browser sends its password with each request, and a hash takes some 20 ms: a
// password that was right is remembered, hashed with a key that this process alone has, until the file is read again.

// maxKnown is how many passwords are remembered. There are as many as users, but a request per guess must not cost more
// memory than that.
const maxKnown = 10_000

// Guard lets requests of users through to next, and asks others for a password. Whether the process is there and ready
// (/healthz, /readyz) may be asked by everybody: those who watch it have no password, and learn nothing else.
func (f *File) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open := (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
		if user, password, ok := r.BasicAuth(); open || ok && f.remembers(r, user, password) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="postrider", charset="UTF-8"`)
		w.Header().Set("Cache-Control", "no-store")
		const text = "This inbox wants a user and a password."
		// A program that speaks JSON is told so in JSON, as of all that is wrong.
		if strings.Contains(r.URL.Path, "/api/") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"` + text + `"}` + "\n")) // the client may have gone
			return
		}
		http.Error(w, text, http.StatusUnauthorized)
	})
}

// remembers tells whether a password is right; it is hashed only if it was not before.
func (f *File) remembers(r *http.Request, user, password string) bool {
	t := f.table.Load()
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(user + "\x00" + password)) // a name has no NUL in it
	sum := [sha256.Size]byte(mac.Sum(nil))
	if _, ok := t.known.Load(sum); ok {
		return true
	}
	if f.Password(r.Context(), user, password) != nil {
		return false
	}
	// The table may be another by now; then this one is forgotten with what it knows.
	if t.count.Add(1) <= maxKnown {
		t.known.Store(sum, nil)
	}
	return true
}
