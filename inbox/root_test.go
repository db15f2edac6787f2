package inbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
)

// Behind a proxy that shows the page at a path, everything that it tells of its own
// addresses has that path; it answers with and without it, as proxies cut it off or not.
func TestRoot(t *testing.T) {
	for _, root := range []string{"/mail", "mail/", "/mail/"} {
		r := start(t, func(in *inbox.Inbox) { in.Root = root })
		id := r.mustDeliver("Subject: below\r\n\r\nx\r\n")
		for _, prefix := range []string{"/mail", ""} {
			if a := r.ask("GET", prefix+"/", ""); a.StatusCode != 200 || !strings.Contains(a.body, `<base href="/mail/">`) {
				t.Errorf("%q: GET %s/: %s without its base:\n%s", root, prefix, a.Status, a.body)
			}
			if m := want[struct{ Original string }](r, 200, "GET", prefix+api+"messages/"+id, ""); m.Original != "/mail/api/v1/messages/"+id+"/raw" {
				t.Errorf("%q: the original is at %q", root, m.Original)
			}
			if a := r.ask("GET", prefix+"/healthz", "", "Host", "10.0.0.7:8025"); a.StatusCode != 200 {
				t.Errorf("%q: GET %s/healthz: %s", root, prefix, a.Status)
			}
			a := r.ask("POST", prefix+api+"messages", "Subject: put\r\n\r\nx\r\n", "Content-Type", "message/rfc822")
			if at := a.Header.Get("Location"); a.StatusCode != 201 || !strings.HasPrefix(at, "/mail/api/v1/messages/") {
				t.Errorf("%q: POST: %s at %q", root, a.Status, at)
			}
		}
		if a := r.ask("GET", "/mail", ""); a.StatusCode != 200 || a.Request.URL.Path != "/mail/" {
			t.Errorf("%q: GET /mail leads to %s: %s", root, a.Request.URL, a.Status)
		}
		if a := r.ask("GET", "/mailbox", ""); a.StatusCode != 404 {
			t.Errorf("%q: GET /mailbox: %s", root, a.Status)
		}
		c := client.Client{URL: r.web.URL + "/mail/"}
		if m, err := c.Get(t.Context(), id); err != nil || m.Subject != "below" {
			t.Errorf("%q: the client has %+v, %v", root, m, err)
		}
	}
	r := start(t, nil)
	if a := r.ask("GET", "/", ""); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `<base href="/">`) {
		t.Errorf("without Root: %s:\n%s", a.Status, a.body)
	}
}
