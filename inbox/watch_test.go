package inbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// The figures are in Prometheus's text format, and tell what has happened.
func TestMetrics(t *testing.T) {
	r := start(t, nil)
	r.mustDeliver("Subject: one\r\n\r\n")
	r.setFaults("RCPT 550 5.1.1 no")
	r.try("bob@example.net")
	a := r.ask("GET", "/metrics", "")
	if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("GET /metrics: %s, %q", a.Status, a.Header.Get("Content-Type"))
	}
	for _, line := range []string{
		"postrider_inbox_messages 1", "postrider_inbox_unread_messages 1", "postrider_inbox_bytes 16", "postrider_messages_received_total 1",
		"postrider_received_bytes_total 16", "postrider_messages_failed_total 0", "postrider_sessions_total 2", "postrider_faults_total 1",
		"postrider_fault_rules 1", `postrider_keep_seconds_bucket{le="+Inf"} 1`, "postrider_keep_seconds_count 1",
	} {
		if !strings.Contains(a.body, "\n"+line+"\n") {
			t.Errorf("the figures lack %q", line)
		}
	}
	known := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_:]+ .+|[a-z_:]+(\{le="[^"]+"\})? [0-9.e+-]+)$`)
	for line := range strings.Lines(a.body) {
		if !known.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("%q is no line of the format", line)
		}
	}
	if a := r.ask("GET", "/metrics", "", "Host", "evil.example"); a.StatusCode != 421 {
		t.Errorf("by a foreign name: %s, want 421", a.Status)
	}
}

// No more than so many listen at a time, and who waits for one message takes no place among them.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var asked sync.WaitGroup
		asked.Go(func() { in.Run(ctx) })
		ask := func(path string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			in.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://localhost"+path, nil))
			return w
		}
		const streams = 256
		for range streams {
			asked.Go(func() { ask(api + "messages/wait?timeout=5m") })
			asked.Go(func() { ask(api + "events") })
		}
		synctest.Wait()
		if w := ask("/metrics"); !strings.Contains(w.Body.String(), fmt.Sprintf("\npostrider_event_streams %d\n", streams)) {
			t.Errorf("with %d streams the figures are\n%s", streams, w.Body)
		}
		if w := ask(api + "events"); w.Code != 503 {
			t.Errorf("one more: %d", w.Code)
		}
		cancel()
		asked.Wait()
		ctx = t.Context()
		if w := ask("/metrics"); !strings.Contains(w.Body.String(), "\npostrider_event_streams 0\n") {
			t.Errorf("after they have gone the figures are\n%s", w.Body)
		}
		db.Close()
	})
}

// A body of which nothing more comes is given up, though nobody wants it; one that comes
// slowly is not, nor is an answer that takes longer than that.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct{ method, path, media, before, after, want string }{
		{"POST", "messages", "message/rfc822", "Subject: x\r\n", "", " 408 "}, {"POST", "messages", "application/json", `{"from":`, "", " 408 "},
		{"PATCH", "messages?all=true", "", `{"unread":`, "", " 408 "}, {"PATCH", "messages?all=true", "", `{"unread":`, "true}", " 200 "},
		{"POST", "send", "message/rfc822", "To: b@example.com\r\n", "\r\n", " 200 "}, {"DELETE", "messages/x", "", "", "", " 404 "},
	} {
		synctest.Test(t, func(t *testing.T) {
			db, err := sqlite.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			in := &inbox.Inbox{Store: db.Inbox(), Relay: unhurried{}, Logger: slog.New(slog.DiscardHandler)}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			ours, theirs := net.Pipe()
			server := &http.Server{Handler: in}
			running.Go(func() { server.Serve(&once{conn: theirs, done: ctx.Done()}) })
			length := len(c.before) + len(c.after)
			if c.after == "" {
				length++
			}
			fmt.Fprintf(ours, "%s %s%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", c.method, api, c.path, c.media, length)
			for _, octet := range []byte(c.before + c.after) {
				time.Sleep(50 * time.Second)
				if _, err := ours.Write([]byte{octet}); err != nil {
					t.Fatalf("%s %s: %v", c.method, c.path, err)
				}
			}
			got, last := make([]byte, 100), time.Now()
			if n, err := ours.Read(got); err != nil || !strings.Contains(string(got[:n]), c.want) {
				t.Errorf("%s %s: %q, %v; want %s", c.method, c.path, got[:n], err, c.want)
			}
			if took := time.Since(last); c.after == "" && took != time.Minute {
				t.Errorf("%s %s: given up after %v, want a minute", c.method, c.path, took)
			}
			ours.Close()
			cancel()
			server.Close()
			running.Wait()
			db.Close()
		})
	}
}

// An unhurried relay takes longer than a body may stall.
type unhurried struct{}

func (unhurried) Send(ctx context.Context, env *smtp.Envelope, _ io.WriterTo) ([]smtp.Result, error) {
	select {
	case <-time.After(5 * time.Minute):
		return []smtp.Result{{Rcpt: env.To[0].Address}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A once listens for one connection.
type once struct {
	conn net.Conn
	done <-chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A message that is deleted between being found and being read is no end of the wait.
func TestWaitPastDeleted(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.Store = &hasty{Store: in.Store} })
	r.mustDeliver("Subject: gone\r\n\r\n")
	r.Store.(*hasty).deletes.Store(true)
	answered := make(chan string)
	go func() { answered <- r.ask("GET", api+"messages/wait?timeout=60s", "").body }()
	peers.Until(t, "the message is gone", func() bool { s, err := r.Store.Stats(t.Context()); return err == nil && s.Messages == 0 })
	r.mustDeliver("Subject: stays\r\n\r\n")
	if got := <-answered; !strings.Contains(got, `"subject":"stays"`) {
		t.Errorf("the wait is answered with %s", got)
	}
}

// A hasty store deletes, once it is told to, the next message that it lists.
type hasty struct {
	inbox.Store
	deletes atomic.Bool
}

func (s *hasty) List(ctx context.Context, q inbox.Query) (*inbox.Page, error) {
	page, err := s.Store.List(ctx, q)
	if err == nil && len(page.Entries) > 0 && s.deletes.CompareAndSwap(true, false) {
		_, err = s.Delete(ctx, page.Entries[0].ID)
	}
	return page, err
}

// The oldest go, by number and by octets, while mail arrives; the newest stay.
func TestKeep(t *testing.T) {
	for name, keep := range map[string]inbox.Retention{"messages": {Messages: 5}, "octets, of any age": {Bytes: 5 * 1000, Age: 99_999 * 24 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(in *inbox.Inbox) { in.Keep = keep })
			var ids []string
			for i := range 20 {
				ids = append(ids, r.mustDeliver(fmt.Sprintf("Subject: %04d\r\n\r\n%s\r\n", i, strings.Repeat("x", 980))))
			}
			// What a query waits for has been done after each batch of the index.
			for want := 5; ; {
				r.list("subject:0019")
				s, err := r.Store.Stats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if s.Messages == want {
					l := r.list("subject:0019 OR subject:0000") // now that the others are gone
					if len(l.Messages) != 1 || l.Messages[0].ID != ids[19] {
						t.Errorf("of the first and the last %v are left, want %s", l.Messages, ids[19])
					}
					return
				}
				if t.Context().Err() != nil || s.Messages < want {
					t.Fatalf("%d messages are kept, want %d", s.Messages, want)
				}
			}
		})
	}
}

// What is old goes, though nothing arrives; what has only just come in stays, however
// long ago it was received elsewhere.
func TestKeepAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		in := &inbox.Inbox{Store: db.Inbox(), Keep: inbox.Retention{Age: time.Hour}, Logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- in.Run(ctx) }()
		listening, stop := context.WithCancel(t.Context())
		told, heard := httptest.NewRecorder(), make(chan bool)
		go func() {
			in.ServeHTTP(told, httptest.NewRequestWithContext(listening, "GET", "http://localhost"+api+"events", nil))
			close(heard)
		}()
		add := func(received time.Time) string {
			id, err := in.Store.Add(t.Context(), &inbox.Arrival{Received: received, Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net")}, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		left := func() (ids []string) {
			page, err := in.Store.List(t.Context(), inbox.Query{OldestFirst: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				ids = append(ids, e.ID)
			}
			return ids
		}
		first := add(time.Now())
		time.Sleep(30 * time.Minute)
		second := add(time.Now().AddDate(-1, 0, 0))
		for _, step := range []struct {
			after time.Duration
			want  []string
		}{{28 * time.Minute, []string{first, second}}, {4 * time.Minute, []string{second}}, {26 * time.Minute, []string{second}}, {4 * time.Minute, nil}} {
			time.Sleep(step.after)
			if got := left(); !slices.Equal(got, step.want) {
				t.Errorf("there are %q, want %q", got, step.want)
			}
		}
		stop()
		<-heard
		// Of what is in the store and did not come by the inbox, and of each that is gone.
		if n := strings.Count(told.Body.String(), "event: reset\n"); n != 3 {
			t.Errorf("pages were told %d times to read the list again, want 3:\n%s", n, told.Body)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// list lists what matches.
func (r *running) list(query string) list {
	r.t.Helper()
	return want[list](r, 200, "GET", api+"messages?query="+strings.ReplaceAll(query, " ", "+"), "")
}

// Each rule puts a message into the inbox that it names.
func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule inbox.Rule
		want string
	}{
		"domain": {inbox.ByDomain, "example.net"}, "plus": {inbox.ByPlus, "shop"}, "user": {inbox.ByUser, "ann"}, "none": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(in *inbox.Inbox) { in.Rule = c.rule })
			r.auth = "ann"
			if got := r.try("Bob+Shop@Example.net"); got != "kept" {
				t.Fatal(got)
			}
			l := r.list("")
			if len(l.Messages) != 1 || l.Messages[0].Inbox != c.want {
				t.Fatalf("it is in %+v, want %q", l.Messages, c.want)
			}
			if c.want != "" && (len(r.list("inbox:"+c.want).Messages) != 1 || len(r.list("inbox:other").Messages) != 0) {
				t.Errorf("inbox:%s does not find it, or another does", c.want)
			}
		})
	}
	r := start(t, func(in *inbox.Inbox) { in.Rule = inbox.ByListener })
	r.mustDeliver("Subject: x\r\n\r\n")
	if l := r.list(""); l.Messages[0].Inbox != r.smtp {
		t.Errorf("it is in %q, want %q", l.Messages[0].Inbox, r.smtp)
	}
}

// While mail arrives from many, is searched and grows old, everything that was
// acknowledged and is new enough is found, and what is shown is there at once.
func TestAllAtOnce(t *testing.T) {
	const senders, each, kept = 6, 40, 100
	r := start(t, func(in *inbox.Inbox) { in.Keep = inbox.Retention{Messages: kept} })
	var sending, readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if a := r.ask("GET", api+"messages?query=subject:number+is:unread", ""); a.StatusCode != 200 {
					t.Errorf("a query meanwhile: %s %s", a.Status, a.body)
					return
				}
			}
		})
	}
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				id, err := r.deliver(smtp.NewEnvelope("ann@example.com", "bob@example.net"), fmt.Sprintf("Subject: number s%dn%d\r\n\r\n", s, i))
				if err != nil {
					t.Errorf("delivering: %v", err)
					return
				}
				// The 250 has been heard: the message is on the first page, unless as many
				// have come after it as a page holds or as are kept.
				if a := r.ask("GET", api+"messages?limit=100", ""); !strings.Contains(a.body, id) {
					t.Errorf("%s is not on the first page after its 250", id)
				}
			}
		})
	}
	sending.Wait()
	close(done)
	readers.Wait()
	for {
		l := r.list("subject:number")
		if l.Total == kept {
			break
		}
		if l.Total < kept || t.Context().Err() != nil {
			t.Fatalf("%d messages are found, want %d", l.Total, kept)
		}
	}
}
