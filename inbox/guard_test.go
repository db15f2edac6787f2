package inbox_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
)

// Who may ask, and for what: by which names, from which sites, with which parameters.

func TestForeignNames(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.Hosts = []string{"mail.test"} })
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:8025": 200, "inbox.localhost:1": 200, "127.0.0.1:8025": 200, "127.9.9.9": 200, "[::1]:8025": 200,
		"[::ffff:127.0.0.1]": 200, "mail.test": 200, "MAIL.test.:80": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:8025": 421, "192.168.1.5:8025": 421, "0.0.0.0:8025": 421,
		"0x7f.1": 421, "notmail.test": 421, "xlocalhost": 421,
	} {
		for _, path := range []string{"/", api + "messages", "/metrics", "/healthz/"} {
			if a := r.ask("GET", path, "", "Host", host); a.StatusCode != status && (path != "/healthz/" || status != 200) {
				t.Errorf("GET %s as %s: %s, want %d", path, host, a.Status, status)
			}
		}
		// Whether all is well may be asked by any name, and nothing else by that way.
		for _, path := range []string{"/healthz", "/readyz"} {
			if a := r.ask("GET", path, "", "Host", host); a.StatusCode != 200 || a.body != "ok\n" {
				t.Errorf("GET %s as %s: %s, %q", path, host, a.Status, a.body)
			}
			if a := r.ask("POST", path, "", "Host", host); a.StatusCode == 200 || status == 421 && a.StatusCode != 421 {
				t.Errorf("POST %s as %s: %s", path, host, a.Status)
			}
		}
	}
}

func TestForeignSites(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Subject: x\r\n\r\n")
	requests := []struct{ method, path, body string }{
		{"DELETE", api + "messages/" + id, ""}, {"DELETE", api + "messages?all=true", ""}, {"PATCH", api + "messages/" + id, `{"unread":false}`},
		{"POST", api + "messages", "Subject: x\r\n\r\n"}, {"PATCH", api + "messages?all=true", `{"unread":false}`}, {"POST", api + "send", "{}"},
		{"POST", api + "messages/" + id + "/release", "{}"}, {"PUT", api + "faults", `{"faults":[{"rule":"MAIL 451"}]}`}, {"POST", "/messages/" + id + "/links", ""},
	}
	for _, q := range requests {
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
			{"Origin", r.web.URL + "0"}, {"Origin", "http://localhost:1"},
		} {
			a := r.ask(q.method, q.path, q.body, append(headers, "Content-Type", "message/rfc822")...)
			if a.StatusCode != 403 || strings.HasPrefix(q.path, api) != strings.HasPrefix(a.body, `{"error":"This request comes from another site`) {
				t.Errorf("%s %s with %v: %s, want 403\n%s", q.method, q.path, headers, a.Status, a.body)
			}
		}
	}
	// GET changes nothing, whatever the path. A person may follow a link here; another site's page
	// may not ask by itself, nor in a frame, and learn from how long it takes what there is.
	for _, path := range []string{"/", "/list", "/messages/" + id, "/messages/" + id + "/pane", "/messages/" + id + "/html", api + "messages/" + id,
		api + "messages/" + id + "/raw", api + "messages", api + "messages/wait?timeout=1ms"} {
		for _, c := range []struct {
			site, mode, dest string
			status           int
		}{
			{"cross-site", "navigate", "document", 200}, {"same-site", "navigate", "document", 200}, {"none", "navigate", "document", 200},
			{"same-origin", "cors", "empty", 200}, {"same-origin", "navigate", "iframe", 200}, {"", "", "", 200},
			{"cross-site", "no-cors", "empty", 403}, {"same-site", "cors", "empty", 403}, {"cross-site", "navigate", "iframe", 403},
			{"cross-site", "navigate", "object", 403}, {"cross-site", "no-cors", "document", 403}, {"same-site", "no-cors", "image", 403}, {"cross-site", "", "", 403},
		} {
			a := r.ask("GET", path, "", "Sec-Fetch-Site", c.site, "Sec-Fetch-Mode", c.mode, "Sec-Fetch-Dest", c.dest)
			if a.StatusCode != c.status || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("GET %s for %+v: %s %v", path, c, a.Status, a.Header)
			}
		}
	}
	e, err := r.Store.Entry(t.Context(), id)
	if err != nil || !e.Unread {
		t.Errorf("after all that: %+v, %v; want it there and unread", e, err)
	}
	if a := r.ask("DELETE", api+"messages/"+id, "", "Sec-Fetch-Site", "same-origin", "Origin", r.web.URL); a.StatusCode != 200 {
		t.Errorf("our own page: %s", a.Status)
	}
}

// A parameter that is misspelt is no request for all messages; one in the body, where a
// program may have put it by a form's type, is none.
func TestParameters(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Subject: x\r\n\r\n")
	for _, c := range []struct{ method, path, text string }{
		{"GET", "messages?search=x", "query, limit, before, after, order"}, {"GET", "messages/wait?q=x", "query, after, timeout"}, {"DELETE", "messages?all=true&quer=x", "query, all"},
		{"DELETE", "messages?query=froom:x", `no field "froom"`}, {"PATCH", "messages?query=(x", "character 1"},
		{"GET", "messages?query=x&query=y", "2 times"}, {"DELETE", "messages?query=x&query=y", "2 times"}, {"PATCH", "messages?all=true&all=false", "2 times"},
		{"GET", "messages/" + id + "?x", "none"}, {"GET", "messages?query=100%", "cannot be read"}, {"GET", "messages/wait?query=x;timeout=1s", "cannot be read"},
	} {
		if f := want[failure](r, 400, c.method, api+c.path, ""); !strings.Contains(f.Error, c.text) {
			t.Errorf("%s %s: %q, want %q in it", c.method, c.path, f.Error, c.text)
		}
	}
	// What curl -d says that its body is, if it is not told.
	const form = "application/x-www-form-urlencoded"
	want[struct{}](r, 200, "PATCH", api+"messages?all=true", `{"unread":false}`, "Content-Type", form)
	want[failure](r, 400, "PATCH", api+"messages", "all=true", "Content-Type", form)
	if a := r.ask("POST", "/healthz", ""); a.StatusCode != 405 || a.Header.Get("Allow") != "GET" {
		t.Errorf("POST /healthz: %s, Allow %q", a.Status, a.Header.Get("Allow"))
	}
	// What is wrong with a body is said in its own words.
	for body, text := range map[string]string{
		``: "it is empty", `{"unred":true}`: `unknown field "unred"`, `{"unread":1}`: "unread cannot be a number", `[]`: "it cannot be an array", `{"unread":{}}`: "unread cannot be an object", `{"unread":true} x`: "invalid character", `{"unread":true}{}`: "something follows it",
	} {
		if f := want[failure](r, 400, "PATCH", api+"messages/"+id, body); !strings.Contains(f.Error, text) {
			t.Errorf("PATCH with %s: %q, want %q in it", body, f.Error, text)
		}
	}
	for body, text := range map[string]string{
		`{"from":"a@example.com","txt":"x"}`: `message: unknown field "txt"`, `{"subject":"x"}`: "From: nobody", `{"from":"a@example.com","subject":1}`: "subject cannot be a number",
		`{"from":"a@example.com","recipients":["b@example.net\nc@example.net"]}`: "recipients: ", `{"from":"a@example.com","sender":"x y"}`: "sender: ",
		`{"from":"a@example.com","headers":[["X-A","b\r\nBcc: c@example.net"]]}`: "headers: X-A: ", `{"from":"a@example.com","attachments":[{"name":"x"}]}`: "attachment 1",
	} {
		if f := want[failure](r, 400, "POST", api+"messages", body, "Content-Type", "application/json"); !strings.Contains(f.Error, text) || strings.Contains(f.Error, "json:") || strings.Contains(f.Error, "mail:") {
			t.Errorf("POST of %s: %q, want %q in it", body, f.Error, text)
		}
	}
}
