package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// TestWeb is what a person does on the page, one thing a subtest. Each group has a
// server and a browser of its own, beside the others: starting them costs little,
// and much of what is tested is waiting. Within a group one goes on from what the
// ones before have left there.
func TestWeb(t *testing.T) {
	peers.Find(t, peers.Chromium)
	type step struct {
		name string
		run  func(t *testing.T, w *web)
	}
	for _, group := range []struct {
		name  string
		steps []step
	}{
		{"read", []step{{"arrival", testArrival}, {"message", testMessage}, {"looks", testLooks}, {"parts", testParts}, {"head", testHead}, {"keys", testKeys}, {"pdf", testPDF}, {"paper", testPaper}}},
		{"list", []step{{"shortcuts", testShortcuts}, {"focus", testFocus}, {"sheet", testSheet}, {"pick", testPick}, {"search", testSearch}, {"places", testPlaces}, {"many", testMany}}},
		{"phone", []step{{"fingers", testFingers}, {"scripts", testScripts}, {"phone", testPhone}, {"letters", testLetters}, {"readers", testReaders}}},
		{"make", []step{{"faults", testFaults}, {"write", testWrite}, {"settings", testSettings}, {"import", testImport}}},
		{"timing", []step{{"hangs", testHangs}, {"panes", testLatePanes}, {"lists", testLateLists}, {"changes", testLateChanges}, {"welcome", testLateWelcome}, {"away", testAway}}},
		{"races", []step{{"windows", testLateWindows}, {"searches", testLeftSearches}, {"deletes", testLateDeletes}}},
		{"hostile", []step{{"strangers", testStrangers}, {"rebound", testRebound}, {"message", testHostile}, {"files", testHostileFiles}, {"links", testHostileLinks}}},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			relay := start(t, t.TempDir()) // the real server that mail is sent on to
			w := &web{served: start(t, t.TempDir(), "--relay", "smtp://"+relay.smtp), relay: relay, ctx: chromium(t)}
			if script, err := os.ReadFile(filepath.Join(peers.NodeModules(), "axe-core", "axe.min.js")); err == nil {
				w.axe = string(script)
			} else {
				peers.Find(t, peers.AxeCore) // skips, or fails where peers are required
			}
			for _, step := range group.steps {
				t.Run(step.name, func(t *testing.T) { step.run(t, w) })
			}
		})
	}
}

// testArrival sees mail appear by itself.
func testArrival(t *testing.T, w *web) {
	w.open(t, "/")
	if text := eval[string](t, w.ctx, `document.querySelector("#pane").innerText`); !strings.Contains(text, "No mail yet") || !strings.Contains(text, w.smtp) {
		t.Errorf("the empty page says:\n%s", text)
	}
	w.look(t, "empty")

	// A message appears by itself: the mark would not survive a reload.
	eval[bool](t, w.ctx, `(window.stayed = true)`)
	for _, m := range letters() {
		w.deliver(written(t, m))
	}
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 6`)
	w.look(t, "list")
	news := newsletter(t)
	w.deliver(written(t, news))
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 7`)
	if !eval[bool](t, w.ctx, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	if got := eval[string](t, w.ctx, `document.querySelector(".rows li:first-child .subject").textContent.trim()`); got != news.Subject {
		t.Errorf("the first row is %q, want %q", got, news.Subject)
	}
	until(t, w.ctx, `document.title.startsWith("(7) ")`) // the unread
}

// testMessage opens the newest message and saves a file of it.
func testMessage(t *testing.T, w *web) {
	w.click(t, ".rows li:first-child a")
	w.title(t, "Your beans")
	until(t, w.ctx, `!document.querySelector(".rows li:first-child").classList.contains("unread")`)
	frame := eval[string](t, w.ctx, `fetch(document.querySelector("iframe").src).then(r => r.text())`, chromedp.EvalAwaitPromise)
	if !strings.Contains(frame, "data:image/png;base64,"+base64.StdEncoding.EncodeToString(picture(t, 640, 160))) {
		t.Error("the picture is not in the document")
	}
	if got := eval[string](t, w.ctx, `document.querySelector(".note").innerText`); !strings.Contains(got, "1 remote resource was not loaded") {
		t.Errorf("the note says %q", got)
	}
	// What is seen in the text is no file above it.
	if got := eval[string](t, w.ctx, `[...document.querySelectorAll(".files .name")].map(n => n.innerText).join()`); got != "invoice-4711.pdf" {
		t.Errorf("the files are %s", got)
	}
	w.look(t, "message")
	w.document(t, "page.png")
	testDownload(t, w, newsletter(t))
	for view, want := range map[string]string{
		"text": "leave today", "headers": "RFC 5322, 3.6.2", "source": "MIME-Version", "parts": "multipart/mixed", "session": "client.example.com", "checks": "one pixel large",
	} {
		w.click(t, `.tabs a[href*="view=`+view+`"]`)
		until(t, w.ctx, `document.querySelector(".tabs [aria-current]").href.includes("view=`+view+`")`)
		if text := eval[string](t, w.ctx, `document.querySelector(".body").innerText`); !strings.Contains(text, want) {
			t.Errorf("the view %s says:\n%s\nwithout %q", view, text, want)
		}
		w.look(t, view)
		if view == "source" {
			w.click(t, `.choice a[href*="of=html"]`)
			until(t, w.ctx, `document.querySelector(".source .element")?.textContent === "<html"`)
			w.look(t, "source-html")
		}
		if view == "checks" {
			do(t, w.ctx, media("dark"))
			w.document(t, "page-dark.png")
			do(t, w.ctx, media("light"))
			// From what a client lacks to where it stands.
			w.click(t, `.checks a[href*="at="]`)
			until(t, w.ctx, `(e => e && e.getBoundingClientRect().top < innerHeight && getComputedStyle(e).outlineStyle !== "none")(document.querySelector(".source .found"))`)
			w.look(t, "found")
		}
	}
	// Looking at it in many ways is one step on the way back.
	eval[bool](t, w.ctx, "history.back(), true")
	until(t, w.ctx, `!document.querySelector("article") && location.pathname === "/"`)
}

// testLooks shows HTML as on other devices, in the dark, and with what is
// elsewhere.
func testLooks(t *testing.T, w *web) {
	url, seen := evil(t)
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Looks",
		HTML: `<style>@media (max-width:480px){p{color:#f00}} @media (prefers-color-scheme: dark){body{background:#123;color:#def}}</style><p>Hello <a href="` + url + `/link">there</a></p><img src="` + url + `/picture.png" alt="">`}))
	w.open(t, "/messages/"+w.wait("Looks"))
	width := func(want string) {
		t.Helper()
		until(t, w.ctx, `Math.round(document.querySelector("iframe").clientWidth) === `+want)
	}
	w.click(t, `.choice a[href*="width=phone"]`)
	width("390")
	w.click(t, `.choice a[href*="width=tablet"]`)
	width("768")
	w.click(t, `.choice a[href*="scheme=dark"]`)
	until(t, w.ctx, `document.querySelector(".frame.dark.own.tablet") !== null`)
	w.look(t, "dark")
	if paths := seen(); len(paths) > 0 {
		t.Errorf("the picture was loaded before anybody asked for it: %q", paths)
	}
	w.click(t, `.choice a[href*="images=load"]`)
	until(t, w.ctx, `document.querySelector('iframe[src*="images=load"]') !== null`)
	peers.Until(t, "the picture is asked for", func() bool { return len(seen()) > 0 })
	// A look is in the URL: it can be linked to.
	if at := eval[string](t, w.ctx, "location.search"); !strings.Contains(at, "scheme=dark") || !strings.Contains(at, "width=tablet") {
		t.Errorf("the page is at %s", at)
	}
	// Links are asked for on request, and not on this machine.
	before := len(seen())
	w.click(t, `.tabs a[href*="view=checks"]`)
	w.click(t, "[data-do=links]")
	until(t, w.ctx, `document.querySelector("#links .problem p")?.innerText.includes("not public")`)
	if paths := seen(); len(paths) > before {
		t.Errorf("the link was asked for: %q", paths[before:])
	}
}

// testParts looks into files without saving them.
func testParts(t *testing.T, w *web) {
	w.deliver(written(t, files(t)))
	w.open(t, "/messages/"+w.wait("Files"))
	until(t, w.ctx, `[...document.querySelectorAll(".file img")].length === 1 && [...document.querySelectorAll(".file img")].every(i => i.naturalWidth > 0)`)
	until(t, w.ctx, `document.querySelector(".calendar").innerText.includes("10:00 to 11:30 CET")`)
	w.look(t, "invitation")
	for name, want := range map[string]string{"invite.ics": "Tuesday, 1 December 2026", "orders.csv": "Yirgacheffe", "quay.png": "600 × 400 pixels", "invoice.pdf": "application/pdf"} {
		w.click(t, `.file[data-name="`+name+`"]`)
		until(t, w.ctx, `document.querySelector(".shown h2")?.innerText.startsWith("`+name+`")`)
		if text := eval[string](t, w.ctx, `document.querySelector(".shown").innerText`); !strings.Contains(text, want) {
			t.Errorf("%s is shown as\n%s\nwithout %q", name, text, want)
		}
		if name == "quay.png" {
			until(t, w.ctx, `document.querySelector(".shown img").naturalWidth === 600`)
		}
		if name == "invite.ics" || name == "quay.png" {
			w.look(t, "part-"+strings.TrimSuffix(name, filepath.Ext(name)))
		}
	}
}

// testDownload saves the attachment as a person would and compares its bytes; and the HTML, which has its pictures in it.
func testDownload(t *testing.T, w *web, m *mail.Message) {
	t.Helper()
	got := saved(t, w.ctx, `.files a[download="invoice-4711.pdf"]`, "invoice-4711.pdf")
	rc, err := m.Attachments[1].Open()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the saved attachment has %d octets, or others; want %d", len(got), len(want))
	}
	w.click(t, "article .menu summary")
	if html := saved(t, w.ctx, `article .menu a[download$=".html"]`, m.Subject+".html"); !bytes.Contains(html, []byte("data:image/png;base64,")) {
		t.Errorf("the saved HTML has not the picture that is in the message:\n%s", html)
	}
}

// saved clicks on what saves a file, and returns what is in it.
func saved(t *testing.T, ctx context.Context, selector, name string) []byte {
	t.Helper()
	dir := t.TempDir()
	events := true
	if _, err := chromedp.Call(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, EventsEnabled: &events,
	}); err != nil {
		t.Fatal(err)
	}
	progress := chromedp.Events(ctx, browser.DownloadProgress)
	do(t, ctx, chromedp.Click(chromedp.CSS(selector)))
	for e, err := range progress {
		if err != nil {
			t.Fatal(err)
		}
		if e.State == browser.DownloadProgressStateCompleted {
			break
		}
		if e.State == browser.DownloadProgressStateCanceled {
			t.Fatal("the download was cancelled")
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// testHead copies the code that is in a message, and goes from its addresses to all that have them.
func testHead(t *testing.T, w *web) {
	w.deliver(written(t, &mail.Message{From: mail.List("Ann <ann@codes.example>"), ReplyTo: mail.List("help@codes.example"), To: mail.List("bob+signup@example.net"), Subject: "Sign in", Text: "Your code is 482913.\n"}))
	w.open(t, "/messages/"+w.wait("from:codes.example"))
	w.look(t, "code")
	eval[bool](t, w.ctx, `window.copied = [], addEventListener("copy", () => copied.push(getSelection().toString())), true`)
	w.click(t, "article [data-do=copy]")
	until(t, w.ctx, `copied.join() === "482913" && document.querySelector("#toast").innerText === "Copied."`)
	w.press(t, "y")
	until(t, w.ctx, `copied.join() === "482913,482913"`)
	// What another window, or a program, tags is seen here.
	for _, tags := range []string{`["urgent"]`, `[]`} {
		eval[bool](t, w.ctx, "fetch(`/api/v1/messages/${document.querySelector('article').dataset.id}`, { method: 'PATCH', body: '{\"tags\":"+tags+"}' }).then(a => a.ok)", chromedp.EvalAwaitPromise)
		until(t, w.ctx, fmt.Sprintf(`[...document.querySelectorAll("article a.tag")].map(a => a.innerText).join() === %s.join()`, tags))
	}
	for part, search := range map[string]string{".from a": `from:"ann@codes.example"`, ".to a": `to:"bob+signup@example.net"`, ".to a:last-child": `header:reply-to="help@codes.example"`} {
		w.open(t, "/messages/"+w.wait("from:codes.example"))
		w.click(t, part)
		until(t, w.ctx, fmt.Sprintf(`document.querySelectorAll(".rows li").length === 1 && document.querySelector(".search input").value === %q`, search))
	}
}

// testKeys goes through the list by keyboard.
func testKeys(t *testing.T, w *web) {
	for _, subject := range []string{"Third", "Second", "First"} {
		w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: subject + " of three", Text: "Hello."}))
	}
	w.wait("First")
	w.open(t, "/?query=three")
	w.press(t, "j")
	w.title(t, "First")
	w.press(t, "j")
	w.title(t, "Second")
	w.press(t, "k")
	w.title(t, "First")
	w.press(t, "U")
	until(t, w.ctx, `document.querySelector(".rows li:nth-child(1)").classList.contains("unread")`)
	w.press(t, "#")
	w.title(t, "Second")
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 2`)
	w.press(t, "u")
	until(t, w.ctx, `!document.querySelector("article") && location.pathname === "/"`)
	w.press(t, "o")
	w.title(t, "Second")
	eval[bool](t, w.ctx, "history.back(), true")
	until(t, w.ctx, `!document.querySelector("article") && location.pathname === "/"`)
	w.press(t, "/")
	until(t, w.ctx, `document.activeElement.name === "query"`)
	w.press(t, "tuesday")
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 1 && location.search === "?query=tuesday"`)
}

// testPaper prints a message that is longer than the window: all of it, in the light,
// and nothing of what stands around it.
func testPaper(t *testing.T, w *web) {
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Long", Text: strings.Repeat("Hello.\n", 300)}))
	w.open(t, "/messages/"+w.wait("subject:long"))
	paper := emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	if _, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, paper); err != nil {
		t.Fatal(err)
	}
	if seen := eval[[]string](t, w.ctx, `[...document.querySelectorAll(".bar, #side, .tools, .tabs")].filter(e => e.checkVisibility()).map(e => e.className || e.id)`); len(seen) > 0 {
		t.Errorf("on paper are %q too", seen)
	}
	if !eval[bool](t, w.ctx, `document.querySelector("pre.text").getBoundingClientRect().bottom <= document.documentElement.scrollHeight && getComputedStyle(document.querySelector("h1")).color === "rgb(26, 29, 36)"`) {
		t.Error("the end is not on paper, or the letters are light")
	}
	if _, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatal(err)
	}
}
