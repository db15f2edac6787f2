package inbox_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/smtp"
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
	return &reply{resp, string(b)}
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

func TestChange(t *testing.T) {
	r := start(t, nil)
	id := r.mustDeliver("Subject: one\r\n\r\n")
	two := r.mustDeliver("Subject: two\r\n\r\n")
	r.mustDeliver("Subject: three\r\n\r\n")
	type summary struct {
		Unread bool
		Tags   []string
	}
	if s := want[summary](r, 200, "PATCH", api+"messages/"+id, `{"unread":false,"tags":["a"]}`); s.Unread || len(s.Tags) != 1 {
		t.Errorf("after PATCH: %+v", s)
	}
	if s := want[summary](r, 200, "PATCH", api+"messages/"+id, `{"unread":true}`); !s.Unread || len(s.Tags) != 1 {
		t.Errorf("after another PATCH: %+v", s)
	}
	for _, bad := range []string{"", "x", `{"x":1}`, `{"unread":"no"}`, `{"tags":[""]}`, `{"tags":["a\nb"]}`, `{"tags":"a"}`} {
		want[failure](r, 400, "PATCH", api+"messages/"+id, bad)
	}
	// A tag has up to 100 octets, and a message up to 100 tags.
	tags := func(n, long int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%0*d", long, i))
		}
		b, _ := json.Marshal(map[string][]string{"tags": list})
		return string(b)
	}
	want[failure](r, 400, "PATCH", api+"messages/"+id, tags(1, 101))
	want[failure](r, 400, "PATCH", api+"messages/"+id, tags(101, 3))
	if s := want[summary](r, 200, "PATCH", api+"messages/"+id, tags(100, 100)); len(s.Tags) != 100 {
		t.Errorf("%d tags, want 100", len(s.Tags))
	}
	want[summary](r, 200, "PATCH", api+"messages/"+id, `{"tags":["a"]}`)
	want[failure](r, 413, "PATCH", api+"messages/"+id, `{"tags":["`+strings.Repeat("a", 100_000)+`"]}`)
	want[failure](r, 404, "PATCH", api+"messages/none", `{"unread":true}`)

	if s := want[summary](r, 200, "PATCH", api+"messages/"+id, `{"tag":["b"],"untag":["a"]}`); len(s.Tags) != 1 || s.Tags[0] != "b" {
		t.Errorf("after tag and untag: %+v", s)
	}

	want[map[string]int](r, 200, "DELETE", api+"messages/"+id, "")
	want[failure](r, 404, "DELETE", api+"messages/"+id, "")
	want[failure](r, 400, "DELETE", api+"messages", "")
	want[failure](r, 400, "DELETE", api+"messages?all=true&query=x", "")
	want[failure](r, 400, "DELETE", api+"messages?all=1", "")
	if n := want[map[string]int](r, 200, "DELETE", api+"messages?query=two", ""); n["deleted"] != 1 {
		t.Errorf("by query: %v", n)
	}
	want[failure](r, 404, "GET", api+"messages/"+two, "")
	if n := want[map[string]int](r, 200, "DELETE", api+"messages?all=true", ""); n["deleted"] != 1 {
		t.Errorf("all: %v", n)
	}
}

// What a query finds is changed as a whole, also where the change is why it is found no more.
func TestChangeMany(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.Rule = inbox.ByPlus })
	for i := range 5 {
		if _, err := r.deliver(smtp.NewEnvelope("ann@example.com", []string{"bob@example.net", "bob+shop@example.net"}[i%2]), fmt.Sprintf("Subject: part%d\r\n\r\n", i%2)); err != nil {
			t.Fatal(err)
		}
	}
	type counts struct {
		Tags, Inboxes []struct {
			Name             string
			Messages, Unread int
		}
	}
	for _, c := range []struct {
		params, change string
		want           int
		tags, inboxes  string
	}{
		{"query=part1", `{"unread":false,"tag":["Odd"]}`, 2, "[{odd 2 0}]", "[{ 3 3} {shop 2 0}]"},
		{"query=is:unread", `{"unread":false}`, 3, "[{odd 2 0}]", "[{ 3 0} {shop 2 0}]"},
		{"query=is:unread", `{"unread":true}`, 0, "[{odd 2 0}]", "[{ 3 0} {shop 2 0}]"},
		{"all=true", `{"unread":true,"tag":["every"],"untag":["odd"]}`, 5, "[{every 5 5}]", "[{ 3 3} {shop 2 2}]"},
		{"query=inbox:shop", `{"tags":[]}`, 2, "[{every 3 3}]", "[{ 3 3} {shop 2 2}]"},
	} {
		if n := want[map[string]int](r, 200, "PATCH", api+"messages?"+c.params, c.change); n["updated"] != c.want {
			t.Errorf("%s %s: %v, want %d updated", c.params, c.change, n, c.want)
		}
		if got := fmt.Sprint(want[counts](r, 200, "GET", api+"tags", "").Tags); got != c.tags {
			t.Errorf("after %s %s the tags are %s, want %s", c.params, c.change, got, c.tags)
		}
		if got := fmt.Sprint(want[counts](r, 200, "GET", api+"inboxes", "").Inboxes); got != c.inboxes {
			t.Errorf("after %s %s the inboxes are %s, want %s", c.params, c.change, got, c.inboxes)
		}
	}
	for _, params := range []string{"", "?all=1", "?all=true&query=x", "?query=froom:x"} {
		want[failure](r, 400, "PATCH", api+"messages"+params, `{"unread":false}`)
	}
	want[failure](r, 400, "PATCH", api+"messages?all=true", `{"untag":[""]}`)
}

// More than a page is changed too, each message once, and what a query finds is told by
// how it was before.
func TestChangeMoreThanAPage(t *testing.T) {
	r := start(t, nil)
	const n = inbox.MaxLimit + 20
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			for range n / 20 {
				if _, err := r.Store.Add(t.Context(), &inbox.Arrival{Inbox: []string{"", "shop"}[i%2]}, strings.NewReader("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	for _, c := range []struct {
		params, change string
		want, unread   int
	}{
		{"query=is:unread", `{"unread":false}`, n, 0}, {"all=true", `{"unread":true,"tag":["x"]}`, n, n}, {"query=tag:x", `{"untag":["x"],"unread":false}`, n, 0},
	} {
		if got := want[map[string]int](r, 200, "PATCH", api+"messages?"+c.params, c.change); got["updated"] != c.want {
			t.Errorf("%s %s: %v, want %d updated", c.params, c.change, got, c.want)
		}
		if s, err := r.Store.Stats(t.Context()); err != nil || s.Unread != c.unread {
			t.Errorf("after %s %s: %d unread (%v), want %d", c.params, c.change, s.Unread, err, c.unread)
		}
	}
	if got := want[map[string]int](r, 200, "DELETE", api+"messages?query=is:read", ""); got["deleted"] != n {
		t.Errorf("deleted: %v, want %d", got, n)
	}
}

func TestInject(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.MaxUpload = 400_000 })
	type created struct{ ID string }
	raw := "From: Ann <ann@example.com>\nTo: bob@example.net, c@example.net\nBcc: d@example.net\nSubject: bare line feeds\n\nHello\n" + strings.Repeat("long\n", 60_000)
	a := r.ask("POST", api+"messages", raw, "Content-Type", "message/rfc822")
	var c created
	if err := json.Unmarshal([]byte(a.body), &c); a.StatusCode != 201 || err != nil || a.Header.Get("Location") != api+"messages/"+c.ID {
		t.Fatalf("POST: %s %s %v", a.Status, a.body, a.Header)
	}
	if got := r.bytes(c.ID); got != raw {
		t.Errorf("it has %d octets, want %d", len(got), len(raw))
	}
	e, err := r.Store.Entry(t.Context(), c.ID)
	if err != nil || e.Envelope.From != "ann@example.com" || len(e.Envelope.To) != 3 {
		t.Errorf("its envelope is %+v, %v", e.Envelope, err)
	}
	c = want[created](r, 201, "POST", api+"messages", `{"from":"ann@example.com","to":["bob@example.net"],"subject":"Grüße","text":"Hello",
		"sender":"bounces@example.com","attachments":[{"name":"a.bin","content":"AAEC"}]}`, "Content-Type", "application/json; charset=utf-8")
	m := want[struct {
		Subject, Sender string
		Attachments     []struct{ Size int }
	}](r, 200, "GET", api+"messages/"+c.ID, "")
	if m.Subject != "Grüße" || m.Sender != "bounces@example.com" || len(m.Attachments) != 1 || m.Attachments[0].Size != 3 {
		t.Errorf("composed: %+v", m)
	}
	want[created](r, 201, "POST", api+"messages?received=2026-01-02T03:04:05.678Z", "Subject: older\n\n", "Content-Type", "message/rfc822")
	want[created](r, 201, "POST", api+"messages?received=message", "Date: 1 Feb 2026 00:00:00 +0000\nSubject: old\n\n", "Content-Type", "message/rfc822")
	l := want[list](r, 200, "GET", api+"messages?query=subject:old", "")
	if len(l.Messages) != 2 || l.Messages[0].Received != "2026-02-01T00:00:00Z" || l.Messages[1].Received != "2026-01-02T03:04:05.678Z" {
		t.Errorf("put in as received before: %+v", l.Messages)
	}
	want[failure](r, 400, "POST", api+"messages?received=soon", "Subject: x\n\n", "Content-Type", "message/rfc822")
	for _, bad := range []struct {
		status      int
		media, body string
	}{
		{415, "text/plain", "x"}, {415, "", "x"}, {415, "multipart/form-data; boundary=x", "x"}, {400, "message/rfc822", ""},
		{400, "application/json", ""}, {400, "application/json", `{"nonsense":1}`}, {400, "application/json", `{"subject":"no author"}`},
		{400, "application/json", `{"from":"not an address","subject":"x"}`},
		{413, "message/rfc822", strings.Repeat("x", 500_000)}, {413, "application/json", `{"text":"` + strings.Repeat("x", 500_000) + `"}`},
	} {
		want[failure](r, bad.status, "POST", api+"messages", bad.body, "Content-Type", bad.media)
	}
	// One that breaks off is none, however much of it looks like one.
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %smessages HTTP/1.0\r\nHost: localhost\r\nContent-Type: message/rfc822\r\nContent-Length: 1000\r\n\r\nSubject: half\r\n\r\nHello", api)
	conn.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), " 201 ") {
		t.Errorf("half a message is answered with %s, %v", answer, err)
	}
	if s, err := r.Store.Stats(t.Context()); err != nil || s.Messages != 4 {
		t.Errorf("%d messages are kept, want 4", s.Messages)
	}
}

func TestWait(t *testing.T) {
	r := start(t, nil)
	type message struct{ ID, Subject string }
	want[failure](r, 404, "GET", api+"messages/wait?timeout=0s", "")
	for _, bad := range []string{"timeout=x", "timeout=-1s", "timeout=1h", "after=x"} {
		want[failure](r, 400, "GET", api+"messages/wait?"+bad, "")
	}
	// Asked first, answered when it arrives; one that does not match is passed over.
	answered := make(chan message, 1)
	wait := func(query string) {
		var m message
		defer func() { answered <- m }()
		resp, err := r.web.Client().Get(r.web.URL + api + "messages/wait?timeout=60&" + query)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || resp.StatusCode != 200 {
			t.Errorf("wait?%s: %s, %v", query, resp.Status, err)
		}
	}
	go wait("query=second")
	first := r.mustDeliver("Subject: first\r\n\r\n")
	second := r.mustDeliver("Subject: second\r\n\r\n")
	if m := <-answered; m.ID != second {
		t.Errorf("waited for second, got %+v", m)
	}
	// There already: the newest, or the first one after a cursor.
	third := r.mustDeliver("Subject: third\r\n\r\n")
	if m := want[message](r, 200, "GET", api+"messages/wait", ""); m.ID != third {
		t.Errorf("the newest is %+v, want %s", m, third)
	}
	if m := want[message](r, 200, "GET", api+"messages/wait?after="+first, ""); m.ID != second {
		t.Errorf("the first after %s is %+v, want %s", first, m, second)
	}
	want[failure](r, 404, "GET", api+"messages/wait?timeout=1ms&after="+third, "")
	go wait("after=" + third)
	fourth := r.mustDeliver("Subject: fourth\r\n\r\n")
	if m := <-answered; m.ID != fourth {
		t.Errorf("waited for what follows, got %+v", m)
	}
	// One that was there already, and did not match then.
	go wait("query=tag:late")
	r.mustDeliver("Subject: fifth\r\n\r\n")
	want[struct{}](r, 200, "PATCH", api+"messages/"+first, `{"tag":["late"]}`, "Content-Type", "application/json")
	if m := <-answered; m.ID != first {
		t.Errorf("waited for a tag, got %+v", m)
	}
}

// stream opens the stream of events and returns a function that reads the next.
func (r *running) stream(headers ...string) (next func() (kind, data string)) {
	r.t.Helper()
	req, err := http.NewRequest("GET", r.web.URL+api+"events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.web.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		r.t.Errorf("type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (kind, data string) {
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case name == "event":
				kind = value
			case name == "data":
				data = value
			case name == "" && kind != "":
				return kind, data
			}
		}
		return "", ""
	}
}

func TestEvents(t *testing.T) {
	r := start(t, nil)
	next := r.stream()
	id := r.mustDeliver("Subject: one\r\n\r\n")
	if kind, data := next(); kind != "message" || !strings.Contains(data, `"subject":"one"`) || !strings.Contains(data, id) {
		t.Errorf("event %s %s", kind, data)
	}
	r.ask("PATCH", api+"messages/"+id, `{"unread":false}`)
	if kind, data := next(); kind != "update" || !strings.Contains(data, id) {
		t.Errorf("event %s %s", kind, data)
	}
	r.ask("DELETE", api+"messages/"+id, "")
	if kind, data := next(); kind != "delete" || !strings.Contains(data, id) {
		t.Errorf("event %s %s", kind, data)
	}
	// What changes nothing is nothing to be told of: the next event is that of a message.
	r.ask("DELETE", api+"messages?query=nothing", "")
	r.ask("PATCH", api+"messages?query=nothing", `{"unread":false}`)
	two := r.mustDeliver("Subject: two\r\n\r\n")
	if kind, data := next(); kind != "message" || !strings.Contains(data, two) {
		t.Errorf("event %s %s", kind, data)
	}
	r.ask("DELETE", api+"messages?all=true", "")
	if kind, _ := next(); kind != "reset" {
		t.Errorf("event %s", kind)
	}
	// Who comes back has missed something.
	again := r.stream("Last-Event-ID", id)
	if kind, _ := again(); kind != "reset" {
		t.Errorf("event %s", kind)
	}
}

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
	if a := r.ask("GET", "/healthz", ""); a.StatusCode != 200 || a.body != "ok\n" {
		t.Errorf("healthz: %s %s", a.Status, a.body)
	}
	if a := r.ask("GET", "/readyz", ""); a.StatusCode != 200 {
		t.Errorf("readyz: %s", a.Status)
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
