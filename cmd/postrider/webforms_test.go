package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// What a person makes on the page: faults, messages, releases.

// fill puts text into a field of the form that is open.
func (w *web) fill(t *testing.T, name, text string) {
	t.Helper()
	until(t, w.ctx, `document.querySelector('.write [name=`+name+`], dialog[open] [name=`+name+`]') !== null`)
	do(t, w.ctx, chromedp.SetValue(chromedp.CSS(`.write [name=`+name+`], dialog[open] [name=`+name+`]`), text))
}

// testFaults makes the server refuse somebody, and stops it by one click.
func testFaults(t *testing.T, w *web) {
	refused := func() error {
		c, err := dial(w.smtp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		if err := c.say("250", "MAIL FROM:<ann@example.com>\r\n"); err != nil {
			t.Fatal(err)
		}
		return c.say("452", "RCPT TO:<bob@full.example>\r\n")
	}
	w.open(t, "/")
	w.press(t, "f")
	w.fill(t, "rules", "RCPT *@full.example 452 4.2.2 mailbox full\nnonsense")
	w.click(t, "#faults button[value=set]")
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("nonsense") || document.querySelector("#toast").innerText.includes("NONSENSE")`)
	w.fill(t, "rules", "RCPT *@full.example 452 4.2.2 mailbox full")
	w.click(t, "#faults button[value=set]")
	until(t, w.ctx, `document.querySelector("#faulty button") !== null`)
	w.look(t, "faults")
	if err := refused(); err != nil {
		t.Errorf("with the rule: %v", err)
	}
	w.open(t, "/") // whoever comes later is told too
	w.click(t, "#faulty button")
	until(t, w.ctx, `document.querySelector("#faulty button") === null`)
	if err := refused(); err == nil {
		t.Error("the rule is still there")
	}
}

// testWrite writes a message, answers it, and sends one on to a real server.
func testWrite(t *testing.T, w *web) {
	relay := w.relay
	w.open(t, "/compose")
	w.fill(t, "from", `"Miller, Ann" <ann@example.com>`)
	w.fill(t, "to", "Bob <bob@example.net>, zoe@example.de")
	w.fill(t, "bcc", "eve@example.org")
	w.fill(t, "subject", "Written by hand")
	w.look(t, "write")
	w.click(t, "#compose button[value=inbox]")
	w.title(t, "Written by hand")
	if to := eval[string](t, w.ctx, `document.querySelector(".people .lines").innerText`); !strings.Contains(to, "Miller, Ann") || !strings.Contains(to, "zoe@example.de") || !strings.Contains(to, "eve@example.org") {
		t.Errorf("it is from and to\n%s", to)
	}
	if m := w.parsed(t, w.wait("bcc:eve")); m.Header.Has("Bcc") {
		t.Error("it names whom it hides")
	}
	w.press(t, "r")
	until(t, w.ctx, `document.querySelector("#compose [name=subject]")?.value === "Re: Written by hand"`)
	if text := eval[string](t, w.ctx, `document.querySelector("#compose [name=text]").value`); !strings.Contains(text, "> Hello!") {
		t.Errorf("the reply begins with\n%s", text)
	}
	w.fill(t, "subject", "Sent on")
	w.click(t, "#compose button[value=send]")
	relay.wait("subject:sent")

	testForward(t, w, relay)
	testDraft(t, w)
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Let go", Text: "Hello."}))
	w.open(t, "/messages/"+w.wait("subject:go"))
	w.click(t, "article .menu summary")
	w.click(t, "article .menu [data-do=release]")
	w.fill(t, "to", "carol@example.org")
	w.look(t, "release")
	w.click(t, "#releasing button[value=ok]")
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("Accepted")`)
	relay.wait("subject:go+to:carol")
	if !eval[bool](t, w.ctx, `!document.querySelector(".menu").open && document.activeElement === document.querySelector("article .menu summary")`) {
		t.Error("the menu has not closed, or the focus has not come back to its button")
	}
	w.click(t, "article .menu summary")
	w.click(t, "article .menu [data-do=release]")
	until(t, w.ctx, `document.querySelector("#releasing [name=to]").value === "carol@example.org"`)
	w.fill(t, "to", "dora@example.org")
	w.fill(t, "resent", "Bob <bob@example.net>")
	w.click(t, "#releasing button[value=ok]")
	id := relay.wait("subject:go+to:dora+header:Resent-From=bob")
	if raw := string(relay.get("/api/v1/messages/" + id + "/raw")); !strings.Contains(raw, "\r\nResent-To: dora@example.org\r\n") {
		t.Errorf("it was resent as\n%s", raw)
	}
}

// testDraft writes, looks at something else, and goes on writing; what has been sent or
// cancelled does not come back.
func testDraft(t *testing.T, w *web) {
	text := func(want string) {
		t.Helper()
		until(t, w.ctx, `document.activeElement.name === "text" && document.activeElement.value.startsWith("`+want+`")`)
	}
	w.open(t, "/")
	for _, leave := range []string{"#compose a[data-home]", "#compose button[value=inbox]"} {
		w.press(t, "c")
		text("Hello!")
		w.press(t, "Half ")
		text("Half Hello!")
		w.click(t, ".rows li a")
		until(t, w.ctx, `document.querySelector("article") !== null`)
		w.press(t, "c")
		text("Half Hello!")
		w.click(t, leave)
		until(t, w.ctx, `document.querySelector("#compose") === null`)
	}
	w.press(t, "c")
	text("Hello!")
}

// testForward takes the files of a message along, but for one that is left out
// and one that comes from the disk.
func testForward(t *testing.T, w *web, relay *served) {
	w.deliver(written(t, newsletter(t)))
	w.open(t, "/messages/"+w.wait("subject:roasted"))
	w.press(t, "w")
	w.fill(t, "to", "zoe@example.de")
	w.look(t, "forward")
	w.click(t, "#compose button[value=send]")
	m := relay.parsed(t, relay.wait("subject:Fwd+has:attachment"))
	if len(m.Attachments) != 2 || !strings.Contains(m.HTML, "Forwarded message") || !strings.Contains(m.HTML, "cid:"+m.Attachments[0].CID) || m.Attachments[0].CID == "" {
		t.Errorf("it was forwarded with %d attachments and the HTML\n%s", len(m.Attachments), m.HTML)
	}

	w.open(t, "/compose?how=edit&id="+w.wait("subject:roasted"))
	w.fill(t, "subject", "Edited")
	w.click(t, `#compose .files li:nth-child(2) input`)
	path := filepath.Join(t.TempDir(), "added.txt")
	if err := os.WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, w.ctx, chromedp.SetUploadFiles(chromedp.CSS(`#compose [name=files]`), []string{path}))
	w.click(t, "#compose button[value=inbox]")
	w.title(t, "Edited")
	m = w.parsed(t, w.wait("subject:edited"))
	if len(m.Attachments) != 2 || m.Attachments[0].Name != "banner.png" || m.Attachments[1].Name != "added.txt" {
		t.Errorf("the edited message has %+v, want the picture and the file that was added", m.Attachments)
	}
}

// parsed reads a message that a server keeps.
func (s *served) parsed(t *testing.T, id string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(bytes.NewReader(s.get("/api/v1/messages/" + id + "/raw")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// testStrangers lets a page of another origin try to read and to change what is
// here. It may not, whatever it asks with.
func testStrangers(t *testing.T, w *web) {
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Private", Text: "Secret."}))
	id := w.wait("subject:private")
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!DOCTYPE html><title>Stranger</title><p>Hello`)
	}))
	defer stranger.Close()
	do(t, w.ctx, chromedp.Navigate(stranger.URL))
	got := eval[[]string](t, w.ctx, `(async () => {
		const at = "`+w.web+`", id = "`+id+`", got = []
		const attempt = async (what, work) => { try { const r = await work(); got.push(what + ": " + r) } catch {} }
		for (const path of ["/", "/api/v1/messages", "/messages/" + id + "/html", "/api/v1/messages/" + id + "/raw"]) await attempt("read " + path, async () => (await (await fetch(at + path)).text()).slice(0, 40))
		await attempt("event", () => new Promise((ok, no) => { const s = new EventSource(at + "/api/v1/events"); s.onopen = () => ok("open"); s.onerror = no }))
		await attempt("frame", () => new Promise((ok, no) => { const f = document.createElement("iframe"); f.src = at + "/"; f.onload = () => { try { ok(f.contentDocument.title || no()) } catch { no() } }; document.body.append(f) }))
		for (const [method, path, body] of [["DELETE", "/api/v1/messages?all=true"], ["DELETE", "/api/v1/messages/" + id], ["POST", "/api/v1/messages", "Subject: forged\r\n\r\n"], ["PUT", "/api/v1/faults", '{"faults":[{"rule":"MAIL 451"}]}'], ["PATCH", "/api/v1/messages/" + id, '{"unread":false}']])
			for (const mode of ["cors", "no-cors"]) await fetch(at + path, { method, body, mode }).catch(() => {})
		return got
	})()`, chromedp.EvalAwaitPromise)
	if len(got) > 0 {
		t.Errorf("a stranger's page has got %q", got)
	}
	// A form goes where a script may not.
	do(t, w.ctx, chromedp.Navigate(stranger.URL))
	eval[bool](t, w.ctx, `(() => { document.body.innerHTML = '<form method=post enctype="text/plain" action="`+w.web+`/api/v1/messages?all=true"><input name=a value=b></form>'; document.forms[0].submit(); return true })()`)
	// The page that is asked goes away meanwhile, which is no failure.
	peers.Until(t, "the form has been answered", func() bool {
		at, err := chromedp.Run(w.ctx, chromedp.Evaluate[string]("location.href"))
		return err == nil && strings.HasPrefix(at, w.web)
	})
	for path, want := range map[string]string{"/api/v1/messages?query=subject:private": `"total":1,`, "/api/v1/messages?query=subject:forged": `"total":0,`, "/api/v1/faults": `"faults":[]`, "/api/v1/messages?query=subject:private+is:unread": `"total":1,`} {
		if body := string(w.get(path)); !strings.Contains(body, want) {
			t.Errorf("%s is %s after a stranger was here, want %s", path, body, want)
		}
	}
}
