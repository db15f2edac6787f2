package inbox_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
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
