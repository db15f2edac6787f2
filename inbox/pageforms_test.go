package inbox_test

import (
	"net/http"
	"strings"
	"testing"
)

// The forms as a browser asks for them: what they show, that reading them changes
// nothing, and that what they make is refused when it comes from elsewhere.
func TestForms(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nCc: carol@example.org\r\nSubject: Tea\r\nMessage-ID: <tea@example.com>\r\n\r\nAt five?\r\n")
	r.setFaults("RCPT *@full.example 452 4.2.2 mailbox full")
	for path, c := range map[string]struct {
		status int
		wants  []string
	}{
		"/compose":                           {200, []string{"New message", `name="from"`, `name="files"`, "--relay URL"}},
		"/compose?how=reply&id=" + id:        {200, []string{"Reply", `value="Re: Tea"`, "&gt; At five?", `data-reply="tea@example.com"`}},
		"/compose?how=edit&id=" + id:         {200, []string{"The same again", `value="Tea"`, "carol@example.org", "At five?"}},
		"/compose/pane?how=forward&id=" + id: {200, []string{"Forward", `value="Fwd: Tea"`}},
		"/compose?how=reply&id=none":         {404, []string{"not here"}},
		"/compose?how=<script>&id=" + id:     {200, []string{"The same again"}},
		"/faults":                            {200, []string{"mailbox full", `value="off"`, "Faults on"}},
	} {
		a := r.ask("GET", path, "")
		if a.StatusCode != c.status || a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "form-action 'self'") {
			t.Errorf("GET %s: %s, %v; want %d, kept nowhere, under the page's policy", path, a.Status, a.Header, c.status)
		}
		for _, s := range c.wants {
			if !strings.Contains(a.body, s) {
				t.Errorf("GET %s lacks %q:\n%s", path, s, a.body)
			}
		}
	}
	// Nothing is made by asking for a form with its fields filled in, and none takes a POST of its own.
	r.ask("GET", "/compose?from=a@example.com&to=b@example.com&subject=made&text=x", "")
	r.ask("GET", "/faults?rules=MAIL+451", "")
	for _, path := range []string{"/compose", "/faults", "/compose/pane", "/faults/pane"} {
		if a := r.ask("POST", path, "subject=made&rules=MAIL+451", "Content-Type", "application/x-www-form-urlencoded"); a.StatusCode < 400 {
			t.Errorf("POST %s: %s, want it refused", path, a.Status)
		}
	}
	// What the forms send does not come from another page, whichever way a browser says so.
	for _, from := range [][2]string{{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		for _, request := range [][3]string{
			{"POST", api + "messages", `{"from":"a@example.com","subject":"made"}`}, {"POST", api + "send", `{"from":"a@example.com","to":"b@example.com"}`},
			{"PUT", api + "faults", `{"faults":[]}`}, {"POST", api + "messages/" + id + "/release", "{}"}, {"POST", "/messages/" + id + "/links", ""},
			{"PATCH", api + "messages/" + id, `{"tags":["evil"]}`}, {"DELETE", api + "messages/" + id, ""},
		} {
			if a := r.ask(request[0], request[1], request[2], "Content-Type", "application/json", from[0], from[1]); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s with %s: %s: %s, want 403", request[0], request[1], from[0], from[1], a.Status)
			}
		}
	}
	if l := r.list(""); len(l.Messages) != 1 || len(l.Messages[0].Tags) != 0 {
		t.Errorf("the inbox has %+v now, want the one message untouched", l)
	}
	if got := r.Faults(); len(got) != 1 || got[0].String() != "RCPT *@full.example 452 4.2.2 mailbox full" {
		t.Errorf("the faults are %v now, want those that were set", got)
	}
}
