package inbox_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
)

// An id is looked up, and is never a path: what climbs out of one, encoded or not,
// finds nothing, and is not told anything of the disk.
func TestIDsAreNoPaths(t *testing.T) {
	r := start(t, nil)
	r.mustDeliver("Subject: secret\r\n\r\n")
	for _, id := range []string{
		"..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5cwin.ini", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%252e%252e%252fetc%252fpasswd",
		"%2fetc%2fpasswd", "..%00", "C:%5cboot.ini", "....%2f%2fetc", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
	} {
		for _, path := range []string{api + "messages/" + id, api + "messages/" + id + "/raw", api + "messages/" + id + "/parts/1", "/messages/" + id, "/messages/" + id + "/html"} {
			if a := r.ask("GET", path, ""); a.StatusCode != 404 || strings.Contains(a.body, "root:") {
				t.Errorf("GET %s: %s, want 404\n%s", path, a.Status, a.body)
			}
		}
	}
}

// A Content-ID is compared, and is no pattern: one that would match everything stands
// for its own part alone.
func TestContentIDsAreNoPatterns(t *testing.T) {
	r := start(t, nil)
	for _, cid := range []string{".*", "(a+)+$", "[", `\E.*`, "$1", "a|pic@x"} {
		id := r.mustDeliver("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" +
			`<img src="cid:` + url.PathEscape(cid) + `"><img alt="other" src="cid:pic@x">` + "\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <" + cid + ">\r\n\r\nPNG\r\n--b--\r\n")
		a := r.ask("GET", "/messages/"+id+"/html", "")
		if n := strings.Count(a.body, "data:image/png"); a.StatusCode != 200 || n != 1 || strings.Contains(a.body, "cid:") {
			t.Errorf("Content-ID %q: %s, %d pictures, want 1\n%s", cid, a.Status, n, a.body)
		}
	}
}

// Every path that takes a body takes no more than its limit.
func TestBodiesAreLimited(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.MaxUpload, in.Relay = 100_000, &smtp.Transport{Addr: "127.0.0.1:1"} })
	id := r.mustDeliver("Subject: x\r\n\r\n")
	long := strings.Repeat("a", 200_000)
	for path, body := range map[string]string{
		"POST messages":                     `{"text":"` + long + `"}`,
		"POST send":                         `{"text":"` + long + `"}`,
		"POST messages/" + id + "/release":  `{"to":["` + long + `"]}`,
		"PATCH messages/" + id:              `{"tags":["` + long + `"]}`,
		"PUT faults":                        `{"rules":"` + long + `"}`,
		"POST messages (as message/rfc822)": "Subject: x\r\n\r\n" + long,
	} {
		method, path, _ := strings.Cut(path, " ")
		path, raw, _ := strings.Cut(path, " ")
		media := "application/json"
		if raw != "" {
			media = "message/rfc822"
		}
		if a := r.ask(method, api+path, body, "Content-Type", media); a.StatusCode != 413 {
			t.Errorf("%s %s with %d octets of %s: %s, want 413\n%s", method, path, len(body), media, a.Status, a.body)
		}
	}
}

// What is sent where nothing is taken is not kept, in whatever form.
func TestBodiesAreNotKept(t *testing.T) {
	r := start(t, nil)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	// As long as net/http would have on the disk; and never ended, since it takes that away at the end.
	body, rest := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", r.web.URL+"/messages/x/links", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	go func() {
		io.WriteString(rest, "--b\r\nContent-Disposition: form-data; name=x; filename=y\r\n\r\n")
		for range 50 {
			if _, err := rest.Write(make([]byte, 1<<20)); err != nil {
				return // the server has heard enough
			}
		}
		cancel()
	}()
	if resp, err := r.web.Client().Do(req); err == nil {
		resp.Body.Close()
	}
	if kept, err := os.ReadDir(dir); err != nil || len(kept) > 0 {
		t.Errorf("there are %v, %v", kept, err)
	}
}

// Whoever may see the figures and the health learns nothing of the mail, nor of what
// the program was started with.
func TestFiguresTellNoMail(t *testing.T) {
	t.Setenv("FIGURES_TEST", "environment-of-the-test")
	r := start(t, nil)
	id := r.mustDeliver("From: ann@example.com\r\nSubject: secret-subject\r\n\r\nsecret-text\r\n")
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		a := r.ask("GET", path, "")
		if a.StatusCode != 200 {
			t.Errorf("GET %s: %s", path, a.Status)
		}
		for _, word := range append([]string{id, "secret", "example.com", "example.net", "environment-of-the-test"}, os.Args...) {
			if strings.Contains(a.body, word) {
				t.Errorf("GET %s tells %q:\n%s", path, word, a.body)
			}
		}
	}
	for _, path := range []string{"/debug/vars", "/debug/pprof/", "/debug/pprof/cmdline"} {
		if a := r.ask("GET", path, ""); a.StatusCode != 404 {
			t.Errorf("GET %s: %s, want 404", path, a.Status)
		}
	}
}
