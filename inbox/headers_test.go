package inbox_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
)

// What every answer says to a browser, whatever it is an answer to: nobody else may
// read, frame or keep it, and its type is what it says.
func TestHeadersOfEveryAnswer(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("From: ann@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n" +
		"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(inbox.Drawn(t, "png", 3, 3)) + "\r\n--b\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\r\n--b--\r\n")
	const page = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
	const inert = "default-src 'none'; frame-ancestors 'none'; sandbox"
	for _, c := range []struct{ path, policy, kept string }{
		{"/", page, "no-store"}, {"/list", page, "no-store"}, {"/places", page, "no-store"}, {"/messages/" + id, page, "no-store"}, {"/messages/" + id + "/pane", page, "no-store"},
		{"/nothing", page, "no-store"}, {"/compose", page, "no-store"}, {"/faults", page, "no-store"}, {"/healthz", page, "no-store"}, {"/metrics", page, "no-store"},
		{api + "messages", inert, "no-store"}, {api + "messages/" + id + "/raw", inert, "no-store"}, {api + "messages/" + id + "/parts/1", inert, "no-store"}, {api + "nothing", page, "no-store"},
		{"/messages/" + id + "/parts/2/show", inert, "no-store"}, {"/messages/" + id + "/parts/2/thumb", "default-src 'none'; sandbox", "private, max-age=31536000, immutable"},
		{"/messages/" + id + "/parts/3/show", "default-src 'none'; frame-ancestors 'self'; object-src 'self'; style-src 'unsafe-inline'", "no-store"},
	} {
		a := r.ask("GET", c.path, "")
		for name, want := range map[string]string{
			"Content-Security-Policy": c.policy, "Cache-Control": c.kept, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("GET %s (%s): %s is %q, want %q", c.path, a.Status, name, got, want)
			}
		}
	}
}

// A message asks for its remote pictures only from our own page: a link or a frame
// of somebody else's, of this machine's other ports too, gets it without.
func TestRemoteFromOurPageAlone(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("From: ann@example.com\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<img src=\"https://tracker.example/open.gif\">\r\n")
	for site, loads := range map[string]bool{"": true, "same-origin": true, "none": true, "same-site": false, "cross-site": false} {
		var headers []string
		if site != "" {
			headers = []string{"Sec-Fetch-Site", site}
		}
		a := r.ask("GET", "/messages/"+id+"/html?images=load", "", headers...)
		if got := strings.Contains(a.body, "tracker.example"); got != loads || strings.Contains(a.Header.Get("Content-Security-Policy"), "https:") != loads {
			t.Errorf("asked for from %q the picture is there: %v, under %q; want %v", site, got, a.Header.Get("Content-Security-Policy"), loads)
		}
	}
}
