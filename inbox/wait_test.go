package inbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/store/sqlite"
)

// Waiting for mail: for one message that matches, and for all that happens.

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

// The stream goes on behind a message that cannot be read; and who comes back without
// having heard of any is known to have missed something.
func TestEventsGoOn(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.Store = unreadable{in.Store} })
	resp, err := r.web.Client().Get(r.web.URL + api + "events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	read := func() (block string) {
		for lines.Scan() && lines.Text() != "" {
			block += lines.Text() + "|"
		}
		return block
	}
	if got := read(); got != "retry: 1000|id: 0|" {
		t.Errorf("the stream begins with %q", got)
	}
	for range 2 {
		id := r.mustDeliver("Subject: x\r\n\r\n")
		if got := read(); !strings.HasPrefix(got, "event: message|id: "+id+"|data: {") || !strings.Contains(got, `"subject":""`) {
			t.Errorf("of %s the event is %q", id, got)
		}
	}
}

// An unreadable store has lost the bytes of its messages, and what was read of them.
type unreadable struct{ inbox.Store }

func (unreadable) Open(context.Context, string) (inbox.Body, error) {
	return nil, errors.New("input/output error")
}

func (unreadable) Index(context.Context, []inbox.Indexed) error {
	return errors.New("input/output error")
}

// An older message is no answer while newer ones have not been read; when nobody waits any
// longer it is.
func TestWaitForNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler)}
		run := func() (end func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- in.Run(ctx) }()
			return func() {
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			}
		}
		post := func() string {
			r, w := httptest.NewRequest("POST", "http://localhost"+api+"messages", strings.NewReader("Subject: x\r\n\r\n")), httptest.NewRecorder()
			r.Header.Set("Content-Type", "message/rfc822")
			in.ServeHTTP(w, r)
			return strings.TrimPrefix(w.Header().Get("Location"), api+"messages/")
		}
		wait := func(query string) string {
			w, began := httptest.NewRecorder(), time.Now()
			in.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+api+"messages/wait?timeout=9s&query="+query, nil))
			var m struct{ ID string }
			_ = json.Unmarshal(w.Body.Bytes(), &m)
			return fmt.Sprint(m.ID, " ", time.Since(began).Round(time.Second))
		}
		end := run()
		older := post()
		synctest.Wait()
		end()
		newer := post()
		if got, want := wait(""), newer+" 0s"; got != want {
			t.Errorf("the newest of all is %s, want %s", got, want)
		}
		if got, want := wait("subject:x"), older+" 10s"; got != want {
			t.Errorf("while nobody reads the newest is %s, want %s", got, want)
		}
		again := make(chan func(), 1)
		time.AfterFunc(5*time.Second, func() { again <- run() })
		if got, want := wait("subject:x"), newer+" 5s"; got != want {
			t.Errorf("once it is read the newest is %s, want %s", got, want)
		}
		(<-again)()
		db.Close()
	})
}
