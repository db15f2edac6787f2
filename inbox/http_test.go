package inbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// A reply is what the web side answered.
type reply struct {
	*http.Response
	body string
}

// ask sends a request; headers come in pairs, and "Host" is one.
func (r *running) ask(method, path, body string, headers ...string) *reply {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.web.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.web.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	a := &reply{resp, string(b)}
	if strings.HasPrefix(path, api) {
		r.described.holds(a)
	}
	return a
}

// want asks, wants a status and reads the answer's JSON.
func want[T any](r *running, status int, method, path, body string, headers ...string) (v T) {
	r.t.Helper()
	a := r.ask(method, path, body, headers...)
	if a.StatusCode != status {
		r.t.Fatalf("%s %s: %s, want %d\n%s", method, path, a.Status, status, a.body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		r.t.Errorf("%s %s: type %q", method, path, got)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, path, err, a.body)
	}
	return v
}

type list struct {
	Messages []struct {
		ID, Subject, Sender, Received string
		Date                          string
		Inbox                         string
		Recipients, Tags              []string
		From, To                      []struct{ Name, Address string }
		Size, Attachments             int
		Unread                        bool
	}
	Total int
	Next  string
}

type failure struct{ Error string }

const api = "/api/v1/"

func TestList(t *testing.T) {
	r := start(t, nil)
	if got := r.ask("GET", api+"messages", "").body; strings.TrimSpace(got) != `{"messages":[],"total":0,"next":""}` {
		t.Errorf("an empty list is %s", got)
	}
	var ids []string
	for i := range 5 {
		ids = append(ids, r.mustDeliver(fmt.Sprintf("From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: number %d\r\n\r\nHello", i)+"\r\n"))
	}
	// Who has heard 250 finds the message, with its summary, at once.
	if l := want[list](r, 200, "GET", api+"messages?limit=1", ""); len(l.Messages) != 1 || l.Messages[0].Date != "" {
		t.Errorf("one message is %+v", l)
	}
	dated := want[struct{ ID string }](r, 201, "POST", api+"messages", "Date: Tue, 3 Feb 2026 04:05:06 -0500\r\n\r\n", "Content-Type", "message/rfc822").ID
	if l := want[list](r, 200, "GET", api+"messages?limit=1", ""); l.Messages[0].Date != "2026-02-03T04:05:06-05:00" {
		t.Errorf("with a date it is %+v", l)
	}
	want[struct{}](r, 200, "DELETE", api+"messages/"+dated, "")
	l := want[list](r, 200, "GET", api+"messages?limit=2", "")
	if len(l.Messages) != 2 || l.Messages[0].ID != ids[4] || l.Total != 5 || l.Next != ids[3] {
		t.Fatalf("list is %+v", l)
	}
	m := l.Messages[0]
	if m.Subject != "number 4" || m.From[0].Name != "Ann" || m.To[0].Address != "bob@example.net" || !m.Unread || m.Size == 0 ||
		m.Sender != "ann@example.com" || m.Recipients[0] != "bob@example.net" || m.Tags == nil {
		t.Errorf("summary is %+v", m)
	}
	if _, err := time.Parse(time.RFC3339, m.Received); err != nil {
		t.Error(err)
	}
	l = want[list](r, 200, "GET", api+"messages?before="+l.Next, "")
	if len(l.Messages) != 3 || l.Messages[0].ID != ids[2] || l.Next != "" {
		t.Errorf("the next page is %+v", l)
	}
	if l = want[list](r, 200, "GET", api+"messages?query=NUMBER+3", ""); len(l.Messages) != 1 || l.Total != 1 || l.Messages[0].ID != ids[3] {
		t.Errorf("the query found %+v", l)
	}
	// The last id that there can be is one, if of no message.
	const last = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
	if before, after := want[list](r, 200, "GET", api+"messages?before="+last, ""), want[list](r, 200, "GET", api+"messages?after="+last, ""); len(before.Messages) != 5 || len(after.Messages) != 0 {
		t.Errorf("before the last id are %d messages, and after it %d", len(before.Messages), len(after.Messages))
	}
	for _, bad := range []string{"limit=0", "limit=x", "limit=1001", "before=x", "after=%00"} {
		want[failure](r, 400, "GET", api+"messages?"+bad, "")
	}
}

const withParts = "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n" +
	"--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"../../evil.html\"\r\n\r\n<script>x</script>\r\n" +
	"--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A4.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"

// Mail without a text is found by the words of its HTML, far behind its beginning and
// its markup, and by none of what it does not show.
func TestFindHTML(t *testing.T) {
	r := start(t, nil)
	row := `<tr style="font-family: hidden"><td>` + strings.Repeat("word ", 10) + "</td></tr>\r\n"
	r.mustDeliver("Subject: table\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<html><style>styled</style><table>" +
		strings.Repeat(row, 1000) + "<tr><td>farbehind</td></tr></table>\r\n")
	for query, want_ := range map[string]int{"farbehind": 1, "body:farbehind": 1, "hidden": 0, "styled": 0} {
		if l := want[list](r, 200, "GET", api+"messages?query="+query, ""); l.Total != want_ {
			t.Errorf("%s finds %d, want %d", query, l.Total, want_)
		}
	}
}

// Behind a burst of mail a list reads by itself what it shows first, and lists the others
// as they are: a page of a thousand is not to wait for a thousand messages.
func TestListBehindIndex(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler)}
	for range 103 {
		if _, err := in.Store.Add(t.Context(), new(inbox.Arrival), strings.NewReader("Subject: unread\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	in.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+api+"messages?limit=103", nil))
	var l list
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || len(l.Messages) != 103 {
		t.Fatalf("%d messages, %v: %s", len(l.Messages), err, w.Body)
	}
	for i, m := range l.Messages {
		if read := m.Subject == "unread"; read != (i < 100) {
			t.Errorf("message %d has the subject %q", i, m.Subject)
		}
	}
}

type summaryID struct{ ID string }

// The first page takes as much memory of a large inbox as of a small one: as many rows.
func TestListGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("it keeps thousands of messages")
	}
	keep := func(n int) *running {
		r := start(t, func(in *inbox.Inbox) { in.Logger = slog.New(slog.DiscardHandler) })
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				for i := range n / 20 {
					if _, err := r.Store.Add(t.Context(), &inbox.Arrival{Envelope: *smtp.NewEnvelope("a@example.com", "b@example.net")}, strings.NewReader(fmt.Sprintf("Subject: hello %d\r\n\r\n", i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		r.mustDeliver("Subject: the last\r\n\r\n")
		want[summaryID](r, 200, "GET", api+"messages/wait?query=subject:last&timeout=60s", "") // then all are indexed
		return r
	}
	inboxes := map[int]*running{200: keep(200), 800: keep(800)}
	for _, query := range []string{"", "hello", "is:unread", "nothing OR is:unread"} {
		growth.Constant(t, "a page of "+query, 400, func(n int) func() {
			r := inboxes[n]
			ask := func() { want[list](r, 200, "GET", api+"messages?query="+url.QueryEscape(query), "") }
			ask()
			return ask
		})
	}
}

func TestMessage(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver(withParts)
	m := want[struct {
		ID, IP, Host, Sender, Subject, Text, Original string
		Recipients                                    []string
		Attachments                                   []struct{ Name, Part, SHA256 string }
		Headers                                       [][2]string
		Size                                          int
	}](r, 200, "GET", api+"messages/"+id, "")
	sum := sha256.Sum256([]byte{0, 1, 2})
	if m.ID != id || m.IP != "127.0.0.1" || m.Host != "client.example.com" || m.Sender != "ann@example.com" || m.Subject != "parts" ||
		!strings.Contains(m.Text, "Grüße") || len(m.Attachments) != 2 || m.Attachments[1].SHA256 != hex.EncodeToString(sum[:]) || m.Size != len(withParts) {
		t.Errorf("message is %+v", m)
	}
	if raw := r.ask("GET", m.Original, ""); raw.body != withParts || raw.Header.Get("Content-Type") != "message/rfc822" {
		t.Errorf("raw is %q of type %q", raw.body, raw.Header.Get("Content-Type"))
	}
	if name := r.ask("GET", strings.ToLower(m.Original), "").Header.Get("Content-Disposition"); name != "attachment; filename="+id+".eml" {
		t.Errorf("raw is to be saved as %q", name)
	}
	if part := r.ask("GET", m.Original, "", "Range", "bytes=5-8"); part.StatusCode != 206 || part.body != withParts[5:9] {
		t.Errorf("a range of raw: %s %q", part.Status, part.body)
	}
	for _, c := range []struct{ path, media, name, body string }{
		{"1", "text/plain; charset=iso-8859-1", "part-1.txt", "Gr\xfc\xdfe"},
		{"2", "application/octet-stream", "evil.html", "<script>x</script>"},
		{"3", "image/png", "ä.png", "\x00\x01\x02"},
	} {
		a := r.ask("GET", api+"messages/"+id+"/parts/"+c.path, "")
		disposition, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
		if a.StatusCode != 200 || a.body != c.body || a.Header.Get("Content-Type") != c.media || err != nil || disposition != "attachment" || params["filename"] != c.name {
			t.Errorf("part %s: %s, type %q, %q, body %q; want type %q, name %q, body %q",
				c.path, a.Status, a.Header.Get("Content-Type"), a.Header.Get("Content-Disposition"), a.body, c.media, c.name, c.body)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("part %s: headers %v", c.path, a.Header)
		}
	}
	for _, path := range []string{"0", "4", "1.1", "x", "..%2f1"} {
		want[failure](r, 404, "GET", api+"messages/"+id+"/parts/"+path, "")
	}
	for _, path := range []string{"messages/none", "messages/none/raw", "messages/none/parts/1", "nothing", "messages/" + id + "/x", "messages/..%2f..%2fetc"} {
		want[failure](r, 404, "GET", api+path, "")
	}
	// By another method the answer names those that there are.
	for path, allowed := range map[string]string{"messages": "GET, POST, PATCH, DELETE", "messages/" + id: "GET, PATCH, DELETE", "faults": "GET, PUT"} {
		method := map[bool]string{true: "PUT", false: "POST"}[path != "faults"]
		if a := r.ask(method, api+path, "{}"); a.StatusCode != 405 || a.Header.Get("Allow") != allowed || !strings.Contains(a.body, allowed) {
			t.Errorf("%s %s: %s, Allow %q, %s; want 405 and %s", method, path, a.Status, a.Header.Get("Allow"), a.body, allowed)
		}
	}
}

// A program is told what a person sees on the page: what is wrong first, with what
// to do about it and what it is about.
func TestChecksJSON(t *testing.T) {
	r := start(t, nil)
	type answer struct {
		Checks []struct {
			Level, Title, Advice string
			Details              []string
		}
	}
	c := want[answer](r, 200, "GET", api+"messages/"+r.mustDeliver("From: ann@example.com\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:none\" alt=\"\"><div style=\"display:flex\">x</div>\r\n")+"/checks", "").Checks
	var levels []string
	details := map[string]string{}
	for _, f := range c {
		levels = append(levels, f.Level)
		if f.Details == nil || f.Level == "problem" && f.Advice == "" {
			t.Errorf("%q has details %q and the advice %q", f.Title, f.Details, f.Advice)
		}
		details[f.Title] = strings.Join(f.Details, "; ")
	}
	rank := []string{"problem", "advice", "good"}
	if !slices.IsSortedFunc(levels, func(a, b string) int { return slices.Index(rank, a) - slices.Index(rank, b) }) || levels[0] != "problem" || levels[len(levels)-1] != "good" {
		t.Errorf("the levels are %q, want problems first", levels)
	}
	if details["1 picture is missing in the message"] != "cid:none" || !strings.HasPrefix(details["1 feature is not shown by every major client"], "display: flex: not in ") {
		t.Errorf("the checks are %q", details)
	}
	want[failure](r, 404, "GET", api+"messages/none/checks", "")
}
