package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
)

// What a program changes: of one message, of all that a query finds, and by putting one in.

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
	for _, bad := range []string{"", "x", `{"x":1}`, `{"unread":"no"}`, `{"tags":[""]}`, `{"tags":["a\nb"]}`, `{"tags":"a"}`, `{"tag":[" "]}`, `{"tag":["a "]}`, `{"tags":["a\u202eb"]}`} {
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
	if s := want[summary](r, 200, "PATCH", api+"messages/"+id, `{"tags":["c","C","d"],"tag":["D","e"]}`); !slices.Equal(s.Tags, []string{"c", "d", "e"}) {
		t.Errorf("named twice, the tags are %q", s.Tags)
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

// A store that fails half-way ends a change or a deletion there: what was done is told to
// listeners, and nothing is tried further on.
func TestChangeBreaksOff(t *testing.T) {
	for _, c := range []struct {
		fails, method, path, body string
		unread, left              int
	}{
		{"list", "PATCH", "messages?all=true", `{"unread":false}`, 3, 4}, {"update", "PATCH", "messages?all=true", `{"unread":false}`, 3, 4},
		{"list", "DELETE", "messages?query=is:unread", "", 3, 3}, {"delete", "DELETE", "messages?query=is:unread", "", 3, 3},
	} {
		r := start(t, func(in *inbox.Inbox) { in.Store = &breaking{Store: in.Store, what: c.fails} })
		for range 4 {
			r.mustDeliver("Subject: x\r\n\r\n")
		}
		next := r.stream()
		r.Store.(*breaking).on.Store(true)
		want[failure](r, 500, c.method, api+c.path, c.body)
		if s, err := r.Store.Stats(t.Context()); err != nil || s.Unread != c.unread || s.Messages != c.left {
			t.Errorf("%s %s with a second %s that fails: %d of %d are unread (%v), want %d of %d", c.method, c.path, c.fails, s.Unread, s.Messages, err, c.unread, c.left)
		}
		if kind, _ := next(); kind != "reset" {
			t.Errorf("%s %s with a second %s that fails: event %q, want reset", c.method, c.path, c.fails, kind)
		}
	}
}

// A breaking store gives pages of one message once it is on, and fails the second time
// that it is asked for something.
type breaking struct {
	inbox.Store
	on    atomic.Bool
	what  string
	asked atomic.Int64
}

func (s *breaking) broken(what string) error {
	if s.on.Load() && s.what == what && s.asked.Add(1) == 2 {
		return errors.New("store: i/o error")
	}
	return nil
}

func (s *breaking) List(ctx context.Context, q inbox.Query) (*inbox.Page, error) {
	if err := s.broken("list"); err != nil {
		return nil, err
	}
	if s.on.Load() {
		q.Limit = 1
	}
	return s.Store.List(ctx, q)
}

func (s *breaking) Update(ctx context.Context, c inbox.Change, ids ...string) (int, error) {
	if err := s.broken("update"); err != nil {
		return 0, err
	}
	return s.Store.Update(ctx, c, ids...)
}

func (s *breaking) Delete(ctx context.Context, ids ...string) (int, error) {
	if err := s.broken("delete"); err != nil {
		return 0, err
	}
	return s.Store.Delete(ctx, ids...)
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
