package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// start runs an inbox; it returns a client of it and the address of its SMTP.
func start(t testing.TB, relay smtp.Sender) (*client.Client, string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := &inbox.Inbox{Store: db.Inbox(), Relay: relay}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &smtp.Server{Handler: in}
	in.Attach(server)
	go server.Serve(l)
	web := httptest.NewServer(in)
	t.Cleanup(func() {
		server.Close()
		web.CloseClientConnections()
		web.Close()
		cancel()
		if err := errors.Join(<-ran, db.Close()); err != nil {
			t.Error(err)
		}
	})
	return &client.Client{URL: web.URL}, l.Addr().String()
}

// message makes one to Bob.
func message(subject, text string) *mail.Message {
	return &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Subject: subject, Text: text}
}

// deliver sends one by SMTP.
func deliver(t testing.TB, addr string, m *mail.Message) {
	t.Helper()
	if _, err := postrider.Send(context.Background(), "smtp://"+addr, m); err != nil {
		t.Error(err) // it may be called from anywhere
	}
}

// The life of a message as a test sees it.
func TestClient(t *testing.T) {
	c, addr := start(t, nil)
	ctx := t.Context()
	go deliver(t, addr, message("Confirm", "Your code is 493021: https://app.example.com/c?t=1"))
	m, err := c.Wait(ctx, "to:bob subject:confirm")
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "Confirm" || m.From[0].Name != "Ann" || m.Codes[0] != "493021" || m.Links[0].URL != "https://app.example.com/c?t=1" ||
		m.Header("FROM") == "" || m.Received.IsZero() || m.Recipients[0] != "bob@example.net" || !m.Unread {
		t.Errorf("waited for: %+v", m)
	}
	raw, err := c.Raw(ctx, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(raw)
	raw.Close()
	if err != nil || !strings.Contains(string(text), "Subject: Confirm\r\n") {
		t.Errorf("raw is %q, %v", text, err)
	}
	with := message("Second", "x")
	with.Attachments = []mail.Attachment{mail.FromBytes("a.bin", []byte{0, 1, 2})}
	id, err := c.Inject(ctx, with)
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.WaitAfter(ctx, "", m.ID)
	if err != nil || next.ID != id || len(next.Attachments) != 1 || next.Attachments[0].Name != "a.bin" {
		t.Fatalf("after the first: %+v, %v; want %s", next, err, id)
	}
	part, err := c.Part(ctx, id, next.Attachments[0].Part)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(part)
	part.Close()
	if err != nil || string(content) != "\x00\x01\x02" {
		t.Errorf("the attachment is %q, %v", content, err)
	}
	if list, err := c.List(ctx, "from:ann"); err != nil || len(list) != 2 || list[0].ID != id {
		t.Errorf("List = %+v, %v", list, err)
	}
	if _, err := c.Import(ctx, message("Third", ""), time.UnixMilli(1_700_000_000_123)); err != nil {
		t.Error(err)
	}
	if list, err := c.List(ctx, "subject:third"); err != nil || len(list) != 1 || !list[0].Received.Equal(time.UnixMilli(1_700_000_000_123)) {
		t.Errorf("List of what was imported = %+v, %v", list, err)
	}
	if n, err := c.DeleteFound(ctx, "subject:third"); n != 1 || err != nil {
		t.Errorf("DeleteFound = %d, %v", n, err)
	}
	no := false
	if err := c.Update(ctx, id, client.Change{Unread: &no, Tag: []string{"seen"}}); err != nil {
		t.Error(err)
	}
	if n, err := c.UpdateFound(ctx, "is:unread", client.Change{Unread: &no}); n != 1 || err != nil {
		t.Errorf("UpdateFound = %d, %v; want 1", n, err)
	}
	if _, err := c.UpdateFound(ctx, "", client.Change{Unread: &no}); err == nil {
		t.Error("an empty query changes")
	}
	if list, err := c.List(ctx, "is:read tag:seen"); err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("List of what was changed = %+v, %v", list, err)
	}
	if err := c.Update(ctx, "x", client.Change{}); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Update of none: %v, want ErrNotFound", err)
	}
	if err := c.Delete(ctx, m.ID); err != nil {
		t.Error(err)
	}
	for _, err := range []error{c.Delete(ctx, m.ID), func() error { _, err := c.Get(ctx, m.ID); return err }(), func() error { _, err := c.Raw(ctx, "x"); return err }()} {
		if !errors.Is(err, client.ErrNotFound) {
			t.Errorf("of a deleted message: %v, want ErrNotFound", err)
		}
	}
	if n, err := c.DeleteFound(ctx, "subject:second"); n != 1 || err != nil {
		t.Errorf("DeleteFound = %d, %v", n, err)
	}
	if _, err := c.DeleteFound(ctx, ""); err == nil {
		t.Error("an empty query deletes")
	}
	if n, err := c.DeleteAll(ctx); n != 0 || err != nil {
		t.Errorf("DeleteAll = %d, %v", n, err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(short, "never"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Wait in vain: %v, want ErrNotFound", err)
	}
	if _, err := c.List(ctx, "froom:ann"); err == nil || !strings.Contains(err.Error(), "no field") {
		t.Errorf("a query that is none: %v", err)
	}
}

// Sending on goes through the inbox's relay, and faults are set and taken back.
func TestSendAndFaults(t *testing.T) {
	target, addr := start(t, nil)
	c, _ := start(t, &smtp.Transport{Addr: addr})
	fates, err := c.Send(t.Context(), message("On", "x"))
	if err != nil || len(fates) != 1 || fates[0].Fate != "accepted" || fates[0].ID == "" {
		t.Fatalf("Send = %+v, %v", fates, err)
	}
	if err := target.SetFaults(t.Context(), "RCPT 550 5.1.1 no such user"); err != nil {
		t.Fatal(err)
	}
	fates, err = c.Send(t.Context(), message("Off", "x"))
	if err == nil || len(fates) != 1 || fates[0].Fate != "refused" || fates[0].Code != 550 {
		t.Errorf("Send to one who refuses = %+v, %v", fates, err)
	}
	if err := target.SetFaults(t.Context(), "NONSENSE 550"); err == nil {
		t.Error("a rule that is none was taken")
	}
	if err := target.SetFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), message("On again", "x")); err != nil {
		t.Error(err)
	}
	if _, err := target.Send(t.Context(), message("x", "x")); err == nil || !strings.Contains(err.Error(), "--relay") {
		t.Errorf("Send without a relay: %v", err)
	}
}

// The clients in docs/http.md work as they stand there.
func TestDocumentedClients(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "http.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(page)
		if m == nil {
			t.Fatalf("docs/http.md has no block of %s", language)
		}
		return string(m[1])
	}
	for _, c := range []struct {
		program peers.Peer
		name    string
		script  string
	}{
		{peers.Nodemailer, // that is: node
			"client.mjs", block("js") + `
const inbox = new Inbox(process.argv[2]);
const m = await inbox.wait("to:bob subject:confirm");
console.log(m.codes[0], m.links[0].url, (await inbox.list("from:ann")).length, await inbox.delete("from:ann"));
try { await inbox.wait("never", 0.1); console.log("found"); } catch (e) { console.log(e.message); }
await inbox.inject({ from: "ann@example.com", subject: "one" });
const two = await inbox.inject({ from: "ann@example.com", subject: "two" });
const [newest, oldest] = await inbox.list();
console.log(newest.id === two, (await inbox.wait("", 1, oldest.id)).subject, (await inbox.wait()).subject, (await inbox.faults("RCPT 450")).faults[0].code);
await inbox.faults();
console.log((await new Inbox(process.argv[3], "ann", "secret").list()).length);
try { await new Inbox(process.argv[3], "ann", "wrong").list(); } catch (e) { console.log(e.message); }
`},
		{peers.Smtplib, // that is: python3
			"client.py", block("py") + `
import sys
inbox = Inbox(sys.argv[1])
m = inbox.wait("to:bob subject:confirm")
print(m["codes"][0], m["links"][0]["url"], len(inbox.list("from:ann")), inbox.delete("from:ann"))
try:
    inbox.wait("never", 0.1)
    print("found")
except LookupError as e:
    print(e)
inbox.inject({"from": "ann@example.com", "subject": "one"})
two = inbox.inject({"from": "ann@example.com", "subject": "two"})
newest, oldest = inbox.list()
print("true" if newest["id"] == two else "false", inbox.wait("", 1, oldest["id"])["subject"], inbox.wait()["subject"], inbox.faults("RCPT 450")["faults"][0]["code"])
inbox.faults()
print(len(Inbox(sys.argv[2], "ann", "secret").list()))
try:
    Inbox(sys.argv[2], "ann", "wrong").list()
except ValueError as e:
    print(e)
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, addr := start(t, nil)
			file := filepath.Join(t.TempDir(), c.name)
			if err := os.WriteFile(file, []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			behind, err := url.Parse(in.URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(behind)
			guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if user, password, ok := r.BasicAuth(); ok && user == "ann" && password == "secret" {
					proxy.ServeHTTP(w, r)
					return
				}
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintln(w, `{"error":"who are you?"}`)
			}))
			defer guarded.Close()
			cmd := peers.Command(t, c.program, file, in.URL, guarded.URL)
			cmd.Stderr = os.Stderr
			go deliver(t, addr, message("Confirm", "Your code is 493021: https://app.example.com/c?t=1"))
			out, err := cmd.Output()
			if want := "493021 https://app.example.com/c?t=1 1 1\nno message matched within 100ms\ntrue two two 450\n2\nwho are you?\n"; err != nil || string(out) != want {
				t.Errorf("it printed %q, %v; want %q", out, err, want)
			}
		})
	}
}

// All waits for words while the server gets on with them, and no longer.
func TestAllWaits(t *testing.T) {
	for _, c := range []struct {
		behind []int
		want   string // of the walk
	}{{[]int{0}, "a"}, {[]int{500, 3, 0}, "a"}, {[]int{500, 500}, "client: 500 messages are not found by their words yet"}, {[]int{3, 4}, "client: 4 messages are not found by their words yet"}} {
		asked := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"messages":[{"id":"a"}],"total":1,"next":"","unindexed":%d}`, c.behind[asked])
			asked++
		}))
		got := ""
		for m, err := range (&client.Client{URL: s.URL}).All(t.Context(), "x") {
			if got += m.ID; err != nil {
				got += err.Error()
			}
		}
		s.Close()
		if got != c.want || asked != len(c.behind) {
			t.Errorf("%d behind: got %q after %d requests, want %q", c.behind, got, asked, c.want)
		}
	}
}

// Where there is no inbox nobody waits: what answers at once that it knows nothing is asked
// once, and its words are told.
func TestWaitWhereNothingIs(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.NotFound(w, r)
	}))
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 31*time.Second)
	defer cancel()
	c := client.Client{URL: other.URL}
	if _, err := c.Wait(ctx, "x"); !errors.Is(err, client.ErrNotFound) || !strings.Contains(err.Error(), "404 Not Found") || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// A large message passes through client and inbox without lying in the memory of either.
func TestInjectLarge(t *testing.T) {
	c, _ := start(t, nil)
	growth.Constant(t, "injecting a message", 8<<20, func(n int) func() {
		return func() {
			if _, err := c.Inject(t.Context(), large(n)); err != nil {
				t.Error(err)
			}
			if _, err := c.DeleteAll(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := c.Inject(t.Context(), large(1<<20)); err != nil {
		t.Error(err)
	}
	// One that ends before its end is none, however much of it there was.
	broken := errors.New("the disk is gone")
	if _, err := c.Inject(t.Context(), writer(func(w io.Writer) error { large(1 << 20).WriteTo(w); return broken })); !errors.Is(err, broken) {
		t.Errorf("half a message: %v", err)
	}
	if n, err := c.Count(t.Context(), ""); err != nil || n != 1 {
		t.Errorf("%d messages are there, %v, want the whole one", n, err)
	}
}

// large is a message of about n octets, which is nowhere whole.
func large(n int) io.WriterTo {
	return writer(func(w io.Writer) error {
		io.WriteString(w, "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: large\r\n\r\n")
		line := []byte(strings.Repeat("x", 76) + "\r\n")
		for range n / len(line) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// A writer is a message that a function writes.
type writer func(io.Writer) error

func (f writer) WriteTo(w io.Writer) (int64, error) { return 0, f(w) }

func ExampleClient_Wait() {
	inbox := client.Client{URL: "http://127.0.0.1:1"} // nobody is there
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m, err := inbox.Wait(ctx, "to:bob@example.com subject:confirm"); err == nil {
		fmt.Println(m.Links[0].URL)
	}
	// Output:
}
