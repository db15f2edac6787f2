package inbox_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"image"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
)

// The page's pieces as a browser asks for them.

func TestPages(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.SMTP = "127.0.0.1:2525" })
	if a := r.ask("GET", "/", ""); !strings.Contains(a.body, "No mail yet") || !strings.Contains(a.body, "2525") {
		t.Errorf("the empty page is\n%s", a.body)
	}
	id := r.mustDeliver(strings.Replace(withParts, "Subject: parts", "Subject: <script>alert(1)</script>", 1))
	plain := r.mustDeliver("Subject: =?utf-8?q?=22=3E=3Cb=3E?=\r\nFrom: \"<i>\" <ann@example.com>\r\n\r\nSee http://example.com/?a=<b>&c\r\n")
	for _, c := range []struct {
		path       string
		status     int
		want, gone []string
	}{
		{"/?query=addressed:ann", 400, []string{"is written (from:ann OR to:ann OR cc:ann OR bcc:ann) here", `data-find="(from:ann OR to:ann OR cc:ann OR bcc:ann)"`, `href="./?query=%28from%3Aann`}, nil},
		{"/", 200, []string{"&lt;script&gt;", id, plain, "All <span>2</span>", "Unread <span>2</span>"}, []string{"<script>alert"}},
		{"/list", 200, []string{id, plain}, []string{"<html"}},
		{"/?query=parts", 200, []string{"Nothing matches", "parts"}, nil},
		{"/?query=%22%3E%3Cscript%3E%22", 200, []string{"&lt;script&gt;"}, []string{`"><script>`}},
		{"/?before=" + plain, 200, []string{id, "Newer messages"}, nil},
		{"/messages/" + plain, 200, []string{`<a href="http://example.com/?a="`, "&lt;b&gt;&amp;c", "&lt;i&gt;"}, []string{"<b>&c", "<iframe"}},
		{"/messages/" + plain + "?view=session", 200, []string{"&lt;ann@example.com&gt;"}, nil},
		{"/messages/" + id, 200, []string{"Grüße", "evil.html", "ä.png", "parts/2"}, []string{"../", "<script>x"}},
		{"/messages/" + id + "?view=headers", 200, []string{"Content-Type", "multipart/mixed"}, nil},
		{"/messages/" + id + "?view=source", 200, []string{"--b\n", "&lt;script&gt;x"}, nil},
		{"/messages/" + id + "?view=nonsense", 200, []string{"Grüße"}, nil},
		{"/messages/" + id + "/pane", 200, []string{"<article"}, []string{"<html"}},
		{"/messages/none", 404, []string{"This message is not here"}, nil},
		{"/nothing", 404, []string{"no page at this address", "Show all messages"}, []string{"No mail yet", "No messages yet"}},
		{"/?limit=x", 400, []string{"limit is a number"}, nil},
		{"/static/page.html", 404, nil, []string{"{{"}},
		{"/static/x/", 404, nil, []string{"page.css"}}, {"/static/x/page.html", 404, nil, []string{"{{"}}, {"/places", 200, nil, []string{"<html"}},
	} {
		a := r.ask("GET", c.path, "")
		if a.StatusCode != c.status {
			t.Errorf("GET %s: %s, want %d", c.path, a.Status, c.status)
		}
		for _, s := range c.want {
			if !strings.Contains(a.body, s) {
				t.Errorf("GET %s lacks %q:\n%s", c.path, s, a.body)
			}
		}
		for _, s := range c.gone {
			if strings.Contains(a.body, s) {
				t.Errorf("GET %s has %q:\n%s", c.path, s, a.body)
			}
		}
		policy := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("GET %s: policy %q", c.path, policy)
		}
	}
	if a := r.ask("GET", "/messages/"+r.mustDeliver("Subject: empty\r\n\r\n \r\n"), ""); !strings.Contains(a.body, "There is no text in it.") {
		t.Errorf("a message without a text is\n%s", a.body)
	}
	if a := r.ask("GET", "/healthz", ""); a.StatusCode != 200 || a.body != "ok\n" {
		t.Errorf("healthz: %s %s", a.Status, a.body)
	}
	if a := r.ask("GET", "/readyz", ""); a.StatusCode != 200 || a.body != "ok\n" {
		t.Errorf("readyz: %s %s", a.Status, a.body)
	}
	for line := range strings.Lines(r.log.String()) {
		if !strings.Contains(line, ` level=INFO msg="message arrived" `) {
			t.Errorf("the log says %s", line)
		}
	}
}

// Every file that the page names is there, and nothing is named that is not
// ours: the page works without a network.
func TestOffline(t *testing.T) {
	r := start(t, nil)
	page := r.ask("GET", "/", "").body
	n := 0
	for rest := page; ; n++ {
		i := strings.IndexAny(rest, "\"")
		if i < 0 {
			break
		}
		value, after, _ := strings.Cut(rest[i+1:], `"`)
		rest = after
		u, err := url.Parse(value)
		if err == nil && u.Host != "" {
			t.Errorf("the page names %s", value)
		}
		if strings.HasPrefix(value, "/static/") {
			if a := r.ask("GET", strings.ReplaceAll(value, "&amp;", "&"), ""); a.StatusCode != 200 || !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("GET %s: %s %v", value, a.Status, a.Header)
			}
		}
	}
}

// withFiles keeps a message with these attachments and returns what asks for
// something of it.
func withFiles(t *testing.T, files ...mail.Attachment) (get func(path string) *reply) {
	t.Helper()
	r := start(t, nil)
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Text: "Hello.", Attachments: files}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	id := r.mustDeliver(b.String())
	return func(path string) *reply {
		t.Helper()
		return r.ask("GET", "/messages/"+id+path, "")
	}
}

// The head of a message tells apart in which way it is for somebody; the envelope alone
// knows who is hidden.
func TestAddressed(t *testing.T) {
	r := start(t, nil)
	for fields, want := range map[string]string{
		"To: Bob <bob@example.net>\r\nCc: Carol <carol@example.net>, dan@example.net\r\n": "to Bob <bob@example.net>, cc Carol <carol@example.net>, dan@example.net",
		"To: list@example.org\r\n":                                                      "to list@example.org, bcc bob@example.net",
		"To: bob@example.net\r\nReply-To: Help <help@example.com>\r\n":                  "to bob@example.net, replies to Help <help@example.com>",
		"To: bob@example.net\r\nFrom: ann@example.com\r\nReply-To: Ann@example.com\r\n": "to bob@example.net",
		"To: a@x.example,b@x.example,c@x.example,d@x.example,e@x.example,f@x.example,g@x.example,h@x.example,i@x.example,j@x.example,k@example.net\r\n": "to a@x.example, b@x.example, c@x.example, d@x.example, " +
			"e@x.example, f@x.example, g@x.example, h@x.example<details><summary>and 3 more</summary>i@x.example, j@x.example, k@example.net</details>bcc bob@example.net",
		"": "bcc bob@example.net",
	} {
		page := r.ask("GET", "/messages/"+r.mustDeliver("Subject: x\r\n"+fields+"\r\nHello.\r\n"), "").body
		_, to, _ := strings.Cut(page, `<div class="to">`)
		to, _, _ = strings.Cut(to, "</div>")
		if got := html.UnescapeString(regexp.MustCompile("</?(bdi|a)[^>]*>").ReplaceAllString(to, "")); got != want {
			t.Errorf("with the fields %q it is %q, want %q", fields, got, want)
		}
	}
}

func TestThumbnails(t *testing.T) {
	file := func(name, media string, b []byte) mail.Attachment {
		a := mail.FromBytes(name, b)
		a.Type = media
		return a
	}
	get := withFiles(t,
		file("a.png", "image/png", inbox.Drawn(t, "png", 1000, 500)), file("b.jpg", "image/jpeg", inbox.Drawn(t, "jpeg", 50, 40)),
		file("c.gif", "image/x-whatever", inbox.Drawn(t, "gif", 300, 900)), file("d.png", "image/png", inbox.Bomb(t, 60000, 60000)),
		file("e.png", "image/png", []byte("<script>alert(1)</script>")), file("f.html", "text/html", inbox.Drawn(t, "png", 10, 10)),
		file("g.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)), file("h.pdf", "image/png", []byte("%PDF-1.7\n")),
		file("i.png", "image/png", inbox.Drawn(t, "png", 100, 100)[:60]),
		file("j.jpg", "image/jpeg", inbox.Photo(t, 9000, 8000, 6, binary.BigEndian)), file("k.png", "image/png", inbox.Bomb(t, 9000, 9000)),
	)
	for _, c := range []struct {
		part        int
		thumb       string // its type, and
		w, h        int    // its size; 0: there is none
		shown       string // the type of what is shown in place; "": nothing is
		frameAllows bool
	}{
		{2, "image/png", 240, 120, "image/png", false}, {3, "image/jpeg", 50, 40, "image/jpeg", false}, {4, "image/png", 80, 240, "image/gif", false},
		{5, "", 0, 0, "", false}, {6, "", 0, 0, "", false}, {7, "", 0, 0, "", false}, {8, "", 0, 0, "", false}, {9, "", 0, 0, "application/pdf", true},
		{10, "", 0, 0, "image/png", false}, {11, "image/jpeg", 120, 160, "image/jpeg", false}, {12, "", 0, 0, "image/png", false}, {13, "", 0, 0, "", false}, {1, "", 0, 0, "", false},
	} {
		resp := get(fmt.Sprintf("/parts/%d/thumb", c.part))
		if c.thumb == "" {
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("thumbnail of part %d: %s, want 404", c.part, resp.Status)
			}
		} else {
			img, _, err := image.Decode(strings.NewReader(resp.body))
			if err != nil || resp.Header.Get("Content-Type") != c.thumb || img.Bounds().Size() != image.Pt(c.w, c.h) {
				t.Errorf("thumbnail of part %d: %s, %v, %v; want %s, %d × %d", c.part, resp.Header.Get("Content-Type"), img, err, c.thumb, c.w, c.h)
			}
		}
		resp = get(fmt.Sprintf("/parts/%d/show", c.part))
		got := resp.Header.Get("Content-Type")
		if c.shown == "" && resp.StatusCode != http.StatusNotFound || c.shown != "" && got != c.shown {
			t.Errorf("part %d is shown as %s, %s; want %q", c.part, got, resp.Status, c.shown)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if c.shown != "" && (strings.Contains(policy, "script-src") || !strings.HasPrefix(policy, "default-src 'none'")) {
			t.Errorf("part %d is shown under %q", c.part, policy)
		}
	}
}

func TestPreviews(t *testing.T) {
	file := func(name, media, text string) mail.Attachment {
		a := mail.FromBytes(name, []byte(text))
		a.Type = media
		return a
	}
	get := withFiles(t,
		file("a.csv", "text/csv", "a,b\r\n<script>"), file("b.json", "application/json", `{"a":1}`), file("c.bin", "application/octet-stream", "\x00\x01"),
		file("d.ics", "text/calendar", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Cupping\r\nDTSTART:20261201T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"), file("e.ics", "text/calendar", "no calendar"), file("f.html", "text/html", "<b>bold</b>"),
		file("g.log", "text/plain", strings.Repeat("x", 256<<10+1)), file("h.pdf", "application/pdf", "%PDF-1.4\n"), file("i.png", "image/png", string(inbox.Drawn(t, "png", 30, 20))),
	)
	for part, want := range map[int]string{
		2: "&lt;script&gt;", 3: `&#34;a&#34;:1`, 4: "does not show files of this type", 5: "Cupping", 6: "no calendar", 7: "&lt;b&gt;bold",
		8: "This is the beginning", 9: `/parts/9/show#navpanes=0&amp;view=FitH" title="h.pdf"`, 10: "30 × 20 pixels", 1: "Hello.",
	} {
		if body := get(fmt.Sprintf("/pane?view=parts&part=%d", part)).body; !strings.Contains(body, want) {
			t.Errorf("part %d is not shown with %q:\n%s", part, want, body)
		}
	}
	if body := get("/pane?view=parts&part=99").body; strings.Contains(body, `class="shown"`) {
		t.Error("a part is shown that is not there")
	}
}

// An invitation is shown with what the message says, once, however often it is in it;
// and of a whole calendar the first few events.
func TestInvitation(t *testing.T) {
	ics := func(events int) string {
		return "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n" + strings.Repeat("BEGIN:VEVENT\r\nSUMMARY:Cupping\r\nDTSTART:20261201T100000Z\r\nRRULE:FREQ=WEEKLY;BYDAY=TU\r\nLOCATION:https://meet.example/1\r\nEND:VEVENT\r\n", events) + "END:VCALENDAR\r\n"
	}
	for _, media := range []string{"text/calendar; method=REQUEST", "application/ics"} {
		r := start(t, nil)
		id := r.mustDeliver("Subject: x\r\nContent-Type: " + media + "\r\n\r\n" + ics(1))
		if body := r.ask("GET", "/messages/"+id+"/pane", "").body; strings.Count(body, `class="event"`) != 1 {
			t.Errorf("%s is not shown as an invitation:\n%s", media, body)
		}
	}
	for _, c := range []struct{ events, shown, more int }{{1, 1, 0}, {3, 3, 0}, {5, 3, 2}} {
		r := start(t, nil)
		id := r.mustDeliver("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nCome!\r\n" +
			"--a\r\nContent-Type: text/html\r\n\r\n<p>Come!\r\n--a\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n" + ics(c.events) + "--a--\r\n--m\r\nContent-Type: application/ics; name=invite.ics\r\n\r\n" + ics(c.events) + "--m--\r\n")
		for _, view := range []string{"", "?view=html", "?view=text", "?view=headers", "?view=checks", "?view=parts&part=2"} {
			body := r.ask("GET", "/messages/"+id+"/pane"+view, "").body
			shown, more := c.shown, c.more
			switch view {
			case "?view=headers", "?view=checks":
				shown, more = 0, 0
			case "?view=parts&part=2": // the file, which is looked at as what it is
				shown, more = c.events, 0
			}
			if got := strings.Count(body, `class="event"`); got != shown {
				t.Errorf("of %d events %q shows %d, want %d", c.events, view, got, shown)
			}
			if got := strings.Contains(body, fmt.Sprintf(`view=parts" data-open>%d more</a>`, c.more)); got != (more > 0) {
				t.Errorf("of %d events %q leads to more: %t\n%s", c.events, view, got, body)
			}
			for _, want := range []string{"Every week on Tuesday", "invitation", `<a href="https://meet.example/1" target="_blank" rel="noopener noreferrer nofollow">`} {
				if shown > 0 && !strings.Contains(body, want) {
					t.Errorf("%q does not show %s:\n%s", view, want, body)
				}
			}
		}
	}
}

// Remote pictures are loaded when a person asks, on the page itself: a link
// from elsewhere that asks for them does not get them.
func TestRemoteOnlyWhenAsked(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Subject: x\r\nContent-Type: text/html\r\n\r\n<img src=\"https://a.example/x.png\">\r\n")
	for _, c := range []struct {
		query, site string
		want        bool
	}{
		{"", "same-origin", false}, {"?images=load", "same-origin", true}, {"?images=load", "none", true}, {"?images=load", "cross-site", false},
		{"?images=load", "same-site", false}, {"?images=yes", "same-origin", false},
	} {
		frame := r.ask("GET", "/messages/"+id+"/html"+c.query, "", "Sec-Fetch-Site", c.site)
		pane := r.ask("GET", "/messages/"+id+c.query, "", "Sec-Fetch-Site", c.site)
		if got := strings.Contains(frame.body, "a.example"); got != c.want || strings.Contains(frame.Header.Get("Content-Security-Policy"), "https:") != c.want {
			t.Errorf("%s from %s: the document loads: %v, its policy is %q; want %v", c.query, c.site, got, frame.Header.Get("Content-Security-Policy"), c.want)
		}
		if got := regexp.MustCompile(`<iframe [^>]*html\?images=load"`).MatchString(pane.body); got != c.want {
			t.Errorf("%s from %s: the page's frame loads: %v, want %v", c.query, c.site, got, c.want)
		}
	}
}

// Every view of a message can be asked for by its URL, the ones that are not
// there too.
func TestViews(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Received: from a\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<h1>Title</h1><p>Some <b>text</b>.\r\n")
	for query, want := range map[string]string{
		"": `src="messages/` + id + `/html"`, "?view=text": "There is no text part", "?view=headers": "The newest is at the top", "?view=source": `<span class="name">Received:</span>`,
		"?view=parts": "text/html", "?view=session": "client.example.com", "?view=checks": "It has HTML but no text part", "?view=nonsense": `src="messages/`,
		"?width=phone": `class="frame phone"`, "?scheme=dark": `class="frame dark inverted"`, "?width=\"><script>": `class="frame"`,
		"?view=parts&part=1": `class="shown"`,
	} {
		a := r.ask("GET", "/messages/"+id+strings.NewReplacer("\"", "%22", "<", "%3C", ">", "%3E").Replace(query), "")
		if a.StatusCode != http.StatusOK || !strings.Contains(a.body, want) || strings.Contains(a.body, "\"><script>") {
			t.Errorf("%s: %s without %q:\n%s", query, a.Status, want, a.body)
		}
	}
}

// A feature that some client lacks is a link to its place in the source, also
// behind letters that have another length in lower case.
func TestFeaturesHavePlaces(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("From: ann@example.com\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>İİİ ẞ</p><VIDEO src=x></VIDEO>" + strings.Repeat(" ", 300<<10) + "<svg></svg>\n")
	checks := r.ask("GET", "/messages/"+id+"?view=checks", "").body
	// <svg> stands behind what the page shows of a source.
	if n := strings.Count(checks, ">Show it</a>"); n != 1 {
		t.Fatalf("%d features have a place, want 1:\n%s", n, checks)
	}
	_, rest, _ := strings.Cut(checks, `?at=`)
	at, _, _ := strings.Cut(rest, `"`)
	source := r.ask("GET", "/messages/"+id+"?at="+strings.ReplaceAll(at, "&amp;", "&"), "").body
	if !strings.Contains(source, `<span class="element found">&lt;VIDEO</span>`) {
		t.Errorf("at %s there is\n%.4000s", at, source)
	}
	for _, bad := range []string{"x", "5-2", "-9--1", "99999999999999999999-3", "1-99999999"} {
		if a := r.ask("GET", "/messages/"+id+"?view=source&of=html&at="+bad, ""); a.StatusCode != 200 {
			t.Errorf("at=%s: %s", bad, a.Status)
		}
	}
}

// Of very many links the first are looked at, and the others are counted.
func TestLinksAreBounded(t *testing.T) {
	r := start(t, nil)
	text := "Subject: x\n\n"
	for i := range 60 {
		text += fmt.Sprintf("http://127.0.0.1/%d\n", i)
	}
	a := r.ask("POST", "/messages/"+r.mustDeliver(text)+"/links", "")
	if n := strings.Count(a.body, `<li class="problem">`); n != 50 || !strings.Contains(a.body, "10 more were not looked at") {
		t.Errorf("%d of 60 links were looked at, want 50, and the others counted:\n%s", n, a.body)
	}
}

// The menu has the tags that there are, each a search that can be read, and no more
// of them than a person looks through.
func TestPlaces(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Subject: x\n\nHello\n")
	for _, c := range []struct {
		tags []string
		want int
	}{{[]string{"billing", `a "b" c`}, 2}, {[]string{"one"}, 1}, {[]string{}, 0}} {
		body, _ := json.Marshal(map[string][]string{"tags": c.tags})
		if a := r.ask("PATCH", api+"messages/"+id, string(body), "Content-Type", "application/json"); a.StatusCode != 200 {
			t.Fatalf("tags %q: %s %s", c.tags, a.Status, a.body)
		}
		menu := r.ask("GET", "/places", "").body
		links := regexp.MustCompile(`<a href="\.(/\?query=tag[^"]*)"`).FindAllStringSubmatch(menu, -1)
		if len(links) != c.want {
			t.Errorf("with the tags %q the menu has %d, want %d:\n%s", c.tags, len(links), c.want, menu)
		}
		for _, l := range links {
			if a := r.ask("GET", html.UnescapeString(l[1]), ""); a.StatusCode != 200 {
				t.Errorf("GET %s: %s", l[1], a.Status)
			}
		}
	}
	if a := r.ask("GET", "/places?query=(", ""); a.StatusCode != 400 || strings.Contains(a.body, "Delete all") {
		t.Errorf("for a search that cannot be read the menu is\n%s", a.body)
	}
}
