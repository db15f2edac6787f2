package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/postrider/postrider/mail"
)

// What is done with all that is found, where else to look, and what the browser
// remembers.

// testPlaces marks, tags and deletes all that a search finds, by keys alone, and
// goes to a tag and an inbox.
func testPlaces(t *testing.T, w *web) {
	w.notes(t, "damson", 60) // more than are listed
	w.notes(t, "elder", 2)
	w.open(t, "/?query=damson")
	w.rows(t, 50)
	open := func() {
		w.press(t, "m")
		until(t, w.ctx, `document.querySelector("#places").open && document.querySelector("#places div").contains(document.activeElement)`)
	}
	open()
	if text := eval[string](t, w.ctx, `document.querySelector("#places").innerText`); !strings.Contains(text, "The 60 found") || !strings.Contains(text, "pickled") {
		t.Errorf("the menu says\n%s\nwithout what is found, or without a tag", text)
	}
	w.look(t, "places")
	w.press(t, kb.Enter) // the first is to mark them read
	w.total(t, "damson+is:unread", 0)
	w.total(t, "elder+is:unread", 2)
	until(t, w.ctx, `!document.querySelector(".rows .unread") && document.querySelector("#toast").innerText.includes("60 messages marked read")`)

	open()
	w.press(t, kb.ArrowDown)
	w.press(t, kb.Enter)
	until(t, w.ctx, `document.querySelector("#tagging").open`)
	w.fill(t, "tags", "plum, jam")
	w.press(t, kb.Enter)
	w.total(t, "tag:jam", 60)
	until(t, w.ctx, `document.querySelectorAll(".rows .tag").length === 100`)

	// To a tag, which the address says too, and back.
	w.open(t, "/")
	open()
	w.click(t, `#places a[data-find='tag:"jam"']`)
	until(t, w.ctx, `location.search.includes("jam") && document.querySelector(".found")?.innerText === "60 found" && !document.querySelector("#places").open`)

	// Deleting asks. Esc is no, also when the answer before was yes.
	del := func() {
		open()
		w.press(t, kb.ArrowUp) // from the first to the last, and
		w.press(t, kb.ArrowDown)
		w.press(t, kb.ArrowDown)
		w.press(t, kb.ArrowDown)
		w.press(t, kb.Enter)
		until(t, w.ctx, `document.querySelector("#sure").open`)
	}
	w.open(t, "/?query=elder+001")
	w.rows(t, 1)
	del()
	w.look(t, "sure")
	w.click(t, "#sure button[value=ok]")
	w.total(t, "elder", 1)
	w.open(t, "/?query=damson")
	del()
	w.press(t, kb.Escape)
	until(t, w.ctx, `!document.querySelector("#sure").open`)
	w.total(t, "damson", 60)
	del()
	// However many they are, it is not given up.
	eval[bool](t, w.ctx, `AbortSignal.timeout = () => AbortSignal.abort(), true`)
	w.click(t, "#sure button[value=ok]")
	w.total(t, "damson", 0)
	w.open(t, "/?query=damson")
	until(t, w.ctx, `document.querySelector("#list").innerText.includes("Nothing matches")`)
}

// testSettings chooses colours and how HTML is looked at, which the next page
// still knows; and to be notified.
func testSettings(t *testing.T, w *web) {
	url, seen := evil(t)
	for _, subject := range []string{"Sorbet one", "Sorbet two"} {
		w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: subject, HTML: `<p>Hello</p><img src="` + url + `/picture.png" alt="">`}))
	}
	w.wait("two")
	background := func(want string) {
		t.Helper()
		until(t, w.ctx, `getComputedStyle(document.body).backgroundColor === "`+want+`"`)
	}
	w.open(t, "/?query=sorbet")
	w.rows(t, 2)
	background("rgb(246, 247, 249)")
	w.press(t, ",")
	until(t, w.ctx, `document.querySelector("#settings").open && document.querySelector("#settings [name=theme][value='']").checked`)
	w.look(t, "settings")
	w.click(t, "#settings [name=theme][value=dark]")
	background("rgb(16, 18, 22)")
	w.press(t, kb.Escape)

	// What is chosen for one message holds for the next, and after a reload; a link that says how is obeyed.
	w.click(t, ".rows li:nth-child(1) a")
	w.click(t, `.choice a[href*="width=phone"]`)
	until(t, w.ctx, `document.querySelector(".frame.phone") !== null`)
	w.click(t, ".rows li:nth-child(2) a")
	w.title(t, "Sorbet one")
	until(t, w.ctx, `document.querySelector(".frame.phone") !== null`)
	w.open(t, eval[string](t, w.ctx, "location.pathname"))
	until(t, w.ctx, `document.querySelector(".frame.phone") !== null`)
	background("rgb(16, 18, 22)")
	w.look(t, "chosen-dark")
	w.open(t, eval[string](t, w.ctx, `location.pathname`)+"?view=html")
	until(t, w.ctx, `document.querySelector(".frame") !== null && document.querySelector(".frame.phone") === null`)

	// Remote pictures come when they were asked for once and for all, and not before.
	if paths := seen(); len(paths) > 0 {
		t.Errorf("the server was asked for %q", paths)
	}
	w.press(t, ",")
	w.click(t, "#settings [name=images]")
	until(t, w.ctx, `document.querySelector('iframe[src*="images=load"]') !== null`)
	until(t, w.ctx, `JSON.parse(localStorage.getItem("postrider")).images === true`)

	testNotify(t, w)
	eval[bool](t, w.ctx, `localStorage.clear(), true`)
}

// testNotify is told of mail while the page is not looked at. The browser's own
// notification is made; what it says is noted on the way.
func testNotify(t *testing.T, w *web) {
	if _, err := chromedp.Call(w.ctx, browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted}); err != nil {
		t.Fatal(err)
	}
	eval[bool](t, w.ctx, `(real => { window.told = []; window.Notification = class extends real { constructor(title, more) { super(title, more); told.push(this) } } })(window.Notification), true`)
	send := func(n int) {
		w.deliver(written(t, &mail.Message{From: mail.List("Ann Example <ann@example.com>"), To: mail.List("bob@example.net"), Subject: fmt.Sprintf("Noted %d", n), Text: "Hello."}))
		until(t, w.ctx, fmt.Sprintf(`[...document.querySelectorAll("#status, #list")].some(e => e.textContent.includes("Noted %d"))`, n))
	}
	w.click(t, "#settings [name=notify]")
	until(t, w.ctx, `JSON.parse(localStorage.getItem("postrider")).notify === true`)
	w.press(t, kb.Escape)
	send(1) // looked at
	eval[bool](t, w.ctx, `Object.defineProperty(document, "hidden", { get: () => true }), true`)
	send(2)
	until(t, w.ctx, `told.length > 0`)
	if got := eval[string](t, w.ctx, `told.map(n => n.title + ": " + n.body).join()`); got != "Ann Example: Noted 2" {
		t.Errorf("the notifications are %q, want one of the message that came while nobody looked", got)
	}
	eval[bool](t, w.ctx, `told[0].onclick(), true`)
	w.title(t, "Noted 2")
}

// testImport puts .eml files into the inbox, chosen and dropped; a file that is
// dropped on a message being written is attached to it.
func testImport(t *testing.T, w *web) {
	dir := t.TempDir()
	var paths []string
	for n := range 2 {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%d.eml", n)))
		if err := os.WriteFile(paths[n], fmt.Appendf(nil, "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: Imported %d\r\n\r\nHello.\r\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.open(t, "/")
	do(t, w.ctx, chromedp.SetUploadFiles(chromedp.CSS("#eml"), paths))
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("2 messages imported")`)
	w.total(t, "imported", 2)
	// Of another year the list says which.
	eval[bool](t, w.ctx, `fetch("/api/v1/messages?received=2024-03-05T10:00:00Z", { method: "POST", headers: { "Content-Type": "message/rfc822" }, body: "Subject: Leap\r\n\r\n" }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
	until(t, w.ctx, `/5.*2024/.test(document.querySelector(".rows li time").innerText)`)
	drop := func(text string, names ...string) {
		list, _ := json.Marshal(names)
		eval[bool](t, w.ctx, fmt.Sprintf(`(() => {
			const dataTransfer = new DataTransfer()
			for (const name of %s) dataTransfer.items.add(new File([%q], name))
			for (const kind of ["dragover", "drop"]) {
				document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }))
				if (kind === "dragover" && !document.body.dataset.drop) throw new Error("nothing says that it can be dropped")
			}
			return true
		})()`, list, text))
	}
	drop("Subject: Dropped\r\n\r\nHello.\r\n", "dropped.eml")
	w.total(t, "subject:dropped", 1)
	until(t, w.ctx, `document.querySelector(".rows .subject").innerText === "Dropped"`)
	// What is none is passed over, wherever it lies among them.
	drop("Subject: Strewn\r\n\r\nHello.\r\n", "a.png", "b.eml", "c.txt", "d.EML")
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("2 messages imported. 2 are no .eml files.")`)
	w.total(t, "subject:strewn", 2)
	drop("PNG", "picture.png")
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("picture.png is no .eml file")`)
	w.press(t, "c")
	until(t, w.ctx, `document.querySelector("#compose") !== null`)
	drop("some", "notes.txt")
	until(t, w.ctx, `document.querySelector("#compose [name=files]").files.length === 1 && !document.body.dataset.drop`)
}
