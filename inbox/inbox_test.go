package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/sasl"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// A running is an inbox over a real store, with a server for mail and one for
// the web.
type running struct {
	*inbox.Inbox
	t    testing.TB
	smtp string
	auth string // who deliver authenticates as; "" does not
	web  *httptest.Server
	log  *logged

	described *described
}

// A logged is what a test's logger was told.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

// start runs an inbox over a new store. change may set fields, and wrap the
// store.
func start(t testing.TB, change func(in *inbox.Inbox)) *running {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &running{t: t, log: &logged{}}
	r.Inbox = &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	if change != nil {
		change(r.Inbox)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &smtp.Server{
		Handler: r.Inbox, Hostname: "mx.example.com", AllowInsecureAuth: true, Logger: r.Logger,
		OnAuth: func(context.Context, *smtp.Conn, string, string) error { return nil },
	}
	r.Attach(server)
	go server.Serve(l)
	r.smtp = l.Addr().String()
	r.web = httptest.NewServer(r.Inbox)
	r.described = describe(t)
	t.Cleanup(func() {
		server.Close()
		r.web.CloseClientConnections()
		r.web.Close()
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// Who waits for a message is answered, however long the index takes to come to it: the event
// has been by then.
func TestWaitForIndex(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler)}
	post := func(subject string) (moment string) {
		r, w := httptest.NewRequest("POST", "http://localhost"+api+"messages", strings.NewReader("Subject: "+subject+"\r\n\r\n")), httptest.NewRecorder()
		r.Header.Set("Content-Type", "message/rfc822")
		if in.ServeHTTP(w, r); w.Code != 201 {
			t.Fatalf("POST: %d %s", w.Code, w.Body)
		}
		return w.Header().Get("Location")[:len(api+"messages/")+10] // the time in its id
	}
	// Others come after it, of which it is not the newest.
	for awaited := post("awaited"); post("another") == awaited; {
	}
	answered := make(chan *httptest.ResponseRecorder)
	go func() {
		w := httptest.NewRecorder()
		in.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+api+"messages/wait?query=subject:awaited&timeout=5m", nil))
		answered <- w
	}()
	// Who does not wait is told after a while that it is not there, and so has been who looked before.
	now := httptest.NewRecorder()
	in.ServeHTTP(now, httptest.NewRequest("GET", "http://localhost"+api+"messages/wait?query=subject:awaited&timeout=0", nil))
	if now.Code != 404 {
		t.Fatalf("without an index: %d %s", now.Code, now.Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	select {
	case w := <-answered:
		if w.Code != 200 || !strings.Contains(w.Body.String(), "awaited") {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	case <-time.After(2 * time.Minute):
		t.Error("it is indexed, and nobody is told")
	}
	cancel()
	<-ran
}

// deliver sends one message by our own client and returns the reply's id.
func (r *running) deliver(env *smtp.Envelope, msg string) (string, error) {
	r.t.Helper()
	d := smtp.Dialer{Hostname: "client.example.com"}
	if r.auth != "" {
		d.Auth = sasl.Password(r.auth, "secret")
	}
	c, err := d.Dial(r.t.Context(), r.smtp)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	results, err := c.Send(r.t.Context(), env, strings.NewReader(msg))
	if err != nil {
		return "", err
	}
	return results[0].ID, nil
}

// mustDeliver delivers a message from Ann to Bob.
func (r *running) mustDeliver(msg string) string {
	r.t.Helper()
	id, err := r.deliver(smtp.NewEnvelope("ann@example.com", "bob@example.net"), msg)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *running) bytes(id string) string {
	r.t.Helper()
	b, err := r.Store.Open(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(got)
}

// What arrives is kept to the octet: nothing is put before it, nothing repaired.
func TestBytesAsReceived(t *testing.T) {
	r := start(t, nil)
	for _, msg := range []string{
		"Subject: x\r\n\r\nHello\r\n", "no header at all\r\n", "\r\n", "\r\n\r\n", "Subject: x\r\n\r\n.\r\n..\r\n...dots\r\n.end\r\n",
		"Subject: Gr\xfc\xdfe \xe2\x98\x95\r\n\r\n\xff\xfe\x01\x7f\r\n", "Subject: " + strings.Repeat("long ", 180) + "\r\n\r\n\t \r\n\r\n\r\n",
		"Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 100_000),
	} {
		id := r.mustDeliver(msg)
		if got := r.bytes(id); got != msg {
			t.Errorf("%.60q came back as %.60q (%d octets of %d)", msg, got, len(got), len(msg))
		}
	}
}

func TestArrival(t *testing.T) {
	r := start(t, nil)
	env := smtp.NewEnvelope("ann@example.com", "bob@example.net", `"carol b"@example.net`)
	env.Options.Body = smtp.Body8BitMIME
	id, err := r.deliver(env, "Subject: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Store.Entry(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if e.IP != "127.0.0.1" || e.Host != "client.example.com" || e.TLS != "" || e.User != "" || e.Received.IsZero() {
		t.Errorf("arrival is %+v", e.Arrival)
	}
	if e.Envelope.From != env.From || len(e.Envelope.To) != 2 || e.Envelope.To[1].Address != `"carol b"@example.net` || e.Envelope.Options.Body != smtp.Body8BitMIME {
		t.Errorf("envelope is %+v, want %+v", e.Envelope, env)
	}
	null, err := r.deliver(smtp.NewEnvelope("", "bob@example.net"), "Subject: report\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := r.Store.Entry(t.Context(), null); err != nil || e.Envelope.From != "" {
		t.Errorf("a report's sender is %q, %v", e.Envelope.From, err)
	}
}

// A failing is a store that cannot be written to.
type failing struct {
	inbox.Store
	err error
}

func (f failing) Add(_ context.Context, _ *inbox.Arrival, msg io.Reader) (string, error) {
	if _, err := io.Copy(io.Discard, msg); err != nil {
		return "", err
	}
	return "", f.err
}

func (f failing) Update(context.Context, inbox.Change, ...string) (int, error) { return 0, f.err }
func (f failing) DeleteAll(context.Context) (int, error)                       { return 0, f.err }

func TestStoreFails(t *testing.T) {
	for _, c := range []struct {
		err      error
		code     int
		enhanced smtp.EnhancedCode
		status   int
		text     string
	}{
		{fmt.Errorf("store: %w (disk 7)", inbox.ErrFull), 452, "4.3.1", 507, "no room left"},
		{errors.New("store: i/o error on disk 7"), 451, "4.3.0", 500, "internal error"},
	} {
		r := start(t, func(in *inbox.Inbox) { in.Store = failing{in.Store, c.err} })
		_, err := r.deliver(smtp.NewEnvelope("ann@example.com", "bob@example.net"), "Subject: x\r\n\r\n")
		e, ok := errors.AsType[*smtp.Error](err)
		if !ok || e.Code != c.code || e.Enhanced != c.enhanced {
			t.Errorf("%v is answered %v, want %d %s", c.err, err, c.code, c.enhanced)
		}
		if err != nil && strings.Contains(err.Error(), "disk 7") {
			t.Errorf("the client was told %v", err)
		}
		if !strings.Contains(r.log.String(), "disk 7") {
			t.Errorf("the log says nothing of it: %s", r.log)
		}
		for _, ask := range [][3]string{
			{"PATCH", "messages/01KBA00000000000000000000A", `{"unread":false}`}, {"DELETE", "messages?all=true", ""}, {"POST", "messages", "Subject: x\r\n\r\n"},
		} {
			if a := r.ask(ask[0], api+ask[1], ask[2], "Content-Type", "message/rfc822"); a.StatusCode != c.status || !strings.Contains(a.body, c.text) || strings.Contains(a.body, "disk 7") {
				t.Errorf("%v: %s %s: %s %s, want %d and %s", c.err, ask[0], ask[1], a.Status, a.body, c.status, c.text)
			}
		}
	}
}

func TestSummary(t *testing.T) {
	heard := make(chan *inbox.Entry, 10)
	r := start(t, func(in *inbox.Inbox) { in.OnMail = func(e *inbox.Entry) { heard <- e } })
	id := r.mustDeliver("From: =?utf-8?q?=C3=84nn?= <ann@example.com>\r\nTo: Bob <bob@example.net>, c@example.net\r\n" +
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\nDate: Tue, 3 Feb 2026 04:05:06 -0500\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<style>x</style><p>Dear&nbsp;<b>Bob</b>\r\n" +
		"--b\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Type: application/pdf\r\n\r\nx\r\n--b--\r\n")
	e := <-heard
	if e.ID != id {
		t.Fatalf("OnMail heard of %s, want %s", e.ID, id)
	}
	stored, err := r.Store.Entry(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s := stored.Summary
	if s == nil || s.Subject != "Grüße folded" || len(s.From) != 1 || s.From[0].Name != "Änn" || len(s.To) != 2 || s.Attachments != 1 ||
		s.Preview != "Dear Bob" || s.Date.Format("2006-01-02T15:04:05Z07:00") != "2026-02-03T04:05:06-05:00" {
		t.Errorf("summary is %+v", s)
	}
}

// What was accepted while nobody indexed is indexed later, in order, many
// batches of it.
func TestCatchUp(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const n = 200
	var ids []string
	for i := range n {
		a := &inbox.Arrival{Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net")}
		id, err := db.Inbox().Add(t.Context(), a, strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n", i)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	heard := make(chan string, n)
	in := &inbox.Inbox{Store: db.Inbox(), OnMail: func(e *inbox.Entry) { heard <- e.ID + e.Summary.Subject }}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	for i, id := range ids {
		if got, want := <-heard, fmt.Sprint(id, i); got != want {
			t.Fatalf("message %d: OnMail heard %s, want %s", i, got, want)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	if left, err := db.Inbox().Unindexed(t.Context(), 10); err != nil || len(left) != 0 {
		t.Errorf("%d messages are left, %v", len(left), err)
	}
}

// What the last run accepted and did not read is there for who asks, as what comes now is:
// for one who waits since before this one has begun, and for one who looks while it reads.
func TestLeftOver(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const n = 1000 // several batches
	for i := range n {
		if _, err := db.Inbox().Add(t.Context(), new(inbox.Arrival), strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n", i))); err != nil {
			t.Fatal(err)
		}
	}
	reading, once := make(chan bool), sync.Once{}
	in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler), OnMail: func(*inbox.Entry) { once.Do(func() { close(reading) }) }}
	ask := func(path string) string {
		w := httptest.NewRecorder()
		in.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+api+path, nil))
		return w.Body.String()
	}
	if got := ask("messages/wait?query=subject:999&timeout=0"); !strings.Contains(got, "no message matched") {
		t.Errorf("before it is read the message is found: %s", got)
	}
	waited := make(chan string)
	go func() { waited <- ask("messages/wait?query=subject:998&timeout=1m") }()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	<-reading
	if got := ask("messages?query=subject:999"); !strings.Contains(got, `"total":1,`) {
		t.Errorf("while others are read the list is %s", got)
	}
	if got := <-waited; !strings.Contains(got, `"subject":"998"`) {
		t.Errorf("who has waited is answered with %s", got)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// What was accepted before Run is ended is read and told nevertheless, all of several batches; and
// Run does not wait for ever for a store that does not answer.
func TestRunEnds(t *testing.T) {
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const n = 1000
	for i := range n {
		a := &inbox.Arrival{Envelope: *smtp.NewEnvelope("ann@example.com", "bob@example.net")}
		if _, err := db.Inbox().Add(t.Context(), a, strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n", i))); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	told := 0
	in := &inbox.Inbox{Store: db.Inbox(), Logger: slog.New(slog.DiscardHandler), OnMail: func(e *inbox.Entry) {
		if e.Summary.Subject != fmt.Sprint(told) {
			t.Errorf("message %d: OnMail heard %s", told, e.Summary.Subject)
		}
		told++
	}}
	if err := in.Run(ended); err != nil || told != n {
		t.Errorf("Run: %v, and OnMail heard of %d messages, want %d", err, told, n)
	}
	synctest.Test(t, func(t *testing.T) {
		log, began := new(logged), time.Now()
		in := &inbox.Inbox{Store: silent{}, Logger: slog.New(slog.NewTextHandler(log, nil))}
		if err := in.Run(ended); err != nil || !strings.Contains(log.String(), "before all mail was indexed") {
			t.Errorf("Run: %v, log %q", err, log)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("a store that does not answer was waited for for %v, want 5s", took)
		}
	})
}

// A silent store does not answer.
type silent struct{ inbox.Store }

func (silent) List(ctx context.Context, _ inbox.Query) (*inbox.Page, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While much arrives the senders come before the indexer; what comes now and then is read
// at once.
func TestIndexGivesWay(t *testing.T) {
	for arriving, want := range map[int]int{3: 100, 16: 10} {
		synctest.Test(t, func(t *testing.T) {
			db, err := sqlite.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			in := &inbox.Inbox{Logger: slog.New(slog.DiscardHandler)}
			store := &flooded{Store: db.Inbox(), add: func() {
				for range arriving {
					m, err := in.Mail(t.Context(), nil, "ann@example.com", new(smtp.MailOptions))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := m.Data(t.Context(), strings.NewReader("Subject: x\r\n\r\n")); err != nil {
						t.Fatal(err)
					}
				}
			}}
			in.Store = store
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if err := in.Run(ctx); err != nil || store.batches < want || store.batches > want+2 {
				t.Errorf("%d messages at a time: read in %d batches within 2 s, %v; want %d", arriving, store.batches, err, want)
			}
			db.Close()
		})
	}
}

// A flooded store has got more by the time the indexer asks for it.
type flooded struct {
	inbox.Store
	add     func()
	batches int
}

func (f *flooded) Unindexed(ctx context.Context, limit int) ([]inbox.Entry, error) {
	f.batches++
	f.add()
	return f.Store.Unindexed(ctx, limit)
}
