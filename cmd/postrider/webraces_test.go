package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What the reader does, and other programs do, while answers are on their way. The list is always one search's, what has
// been deleted stays away, and of two changes the later one counts.

// testLateWindows has all that asks about the list's window ask while what is searched for is another thing already, and
// the list of that does not come.
func testLateWindows(t *testing.T, w *web) {
	w.notes(t, "medlar", 120)
	w.notes(t, "sorrel", 3)
	const ofOne = `(rows => rows.length > 0 && rows.every(r => r.querySelector(".subject").textContent.includes("medlar") && new URL(r.querySelector("a").href).searchParams.get("query") === "medlar"))([...document.querySelectorAll(".rows li")])`
	for _, window := range []struct{ name, goes string }{
		{"newest", ""}, {"oldest", `await list.end(true)`}, // where there is something newer
	} {
		w.open(t, "/?query=medlar")
		w.rows(t, 50)
		w.script(t, window.goes)
		// What failed is tried again when the test says so.
		eval[bool](t, w.ctx, `(later => { window.setTimeout = (act, ms, ...more) => ms === 1000 ? void (window.again = act) : later(act, ms, ...more) })(window.setTimeout), true`)
		w.hold(t, "list", "GET", `^/list\?.*query=sorrel`)
		w.search(t, "sorrel")
		w.asked(t, "list")
		w.answer(t, "list", "fail")
		until(t, w.ctx, `window.again !== undefined`)
		one := func(what string) {
			t.Helper()
			w.turns(t)
			if !eval[bool](t, w.ctx, ofOne) {
				t.Errorf("%s: after %s there are rows, or links, of another search:\n%s", window.name, what, eval[string](t, w.ctx, `document.querySelector("#list").innerText.slice(0, 1000)`))
			}
			if found := eval[string](t, w.ctx, `document.querySelector(".count .found").innerText`); found != "120 found" {
				t.Errorf("%s: after %s it says %q above 120 rows", window.name, what, found)
			}
		}
		w.script(t, `list.arrived()`)
		one("arrival")
		w.script(t, `list.counted()`)
		one("counting")
		w.script(t, `await list.changed(list.rows()[0].dataset.id)`)
		one("a change")
		for _, edge := range []string{"1e6", "0", "1e6"} {
			w.script(t, `list.list.scrollTop = `+edge+`; await list.fill()`)
			one("scrolling to " + edge)
		}
		w.script(t, `await list.end(false)`)
		one("going to the newest")
		w.script(t, `await list.end(true)`)
		one("going to the oldest")
		eval[bool](t, w.ctx, `window.again(), true`)
		w.rows(t, 3)
	}
}

// testLeftSearches has the list of a search come when another thing is searched for already: it is not shown.
func testLeftSearches(t *testing.T, w *web) {
	w.notes(t, "lovage", 3)
	w.notes(t, "yarrow", 3)
	w.notes(t, "borage", 3)
	has := func(word string) bool {
		t.Helper()
		return strings.Contains(eval[string](t, w.ctx, `document.querySelector("#list").innerText`), word)
	}
	w.open(t, "/?query=lovage")
	w.rows(t, 3)
	w.hold(t, "first", "GET", `query=yarrow`)
	w.hold(t, "second", "GET", `query=borage`)
	w.search(t, "yarrow")
	w.asked(t, "first")
	w.search(t, "borage")
	w.answer(t, "first", "go")
	w.asked(t, "second")
	if has("yarrow") || !has("lovage") {
		t.Error("the list of a search is shown that the reader has left")
	}
	w.answer(t, "second", "go")
	until(t, w.ctx, `document.querySelector("#list").innerText.includes("borage")`)
	// What is found is found in the view that the message is looked at in.
	w.click(t, ".rows li a")
	w.title(t, "borage number 001")
	w.click(t, `.tabs a[href*="view=headers"]`)
	until(t, w.ctx, `document.querySelector("table.headers") !== null`)
	w.search(t, "yarrow")
	until(t, w.ctx, `document.querySelector("#list").innerText.includes("yarrow")`)
	if at := eval[string](t, w.ctx, `location.search`); at != "?query=yarrow&view=headers" && at != "?view=headers&query=yarrow" {
		t.Errorf("the address of the headers has %s", at)
	}
	// Who has typed and presses Enter is in the list, and the page is the same one.
	eval[bool](t, w.ctx, `window.stayed = true`)
	w.press(t, "/")
	eval[bool](t, w.ctx, `document.activeElement.value = "", true`)
	w.press(t, "lovage")
	w.press(t, kb.Enter)
	until(t, w.ctx, `document.querySelector("#list").innerText.includes("lovage")`)
	w.press(t, "j")
	w.title(t, "lovage number 001")
	if !eval[bool](t, w.ctx, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
}

// testLateDeletes has messages be deleted, and the reader change their mind, while answers are on their way.
func testLateDeletes(t *testing.T, w *web) {
	_, ids := w.numbered(t, "tansy", 4)
	there := func(n int) string {
		return fmt.Sprintf(`document.querySelector('.rows li[data-id="%s"]') !== null`, ids[n])
	}
	// A list that was read before another program deleted a message has it still.
	w.open(t, "/messages/"+ids[1]+"?query=tansy")
	w.rows(t, 4)
	w.hold(t, "list", "GET", "^/list$")
	w.script(t, `list.reload()`)
	w.asked(t, "list")
	w.answer(t, "list", "read")
	w.delete(t, ids[1])
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("has been deleted")`)
	w.answer(t, "list", "go")
	w.turns(t)
	if eval[bool](t, w.ctx, there(1)) {
		t.Error("a message that is gone is listed again")
	}
	// Undone once, by its key: there is nothing more to be undone, and nothing too late.
	w.open(t, "/?query=tansy")
	w.rows(t, 3)
	w.press(t, "x")
	w.press(t, "#")
	w.rows(t, 2)
	w.press(t, "z")
	w.rows(t, 3)
	if !eval[bool](t, w.ctx, `document.querySelector("#toast").hidden`) {
		t.Error("it can be undone again")
	}
	w.press(t, "z")
	if text := eval[string](t, w.ctx, `document.querySelector("#toast").hidden ? "" : document.querySelector("#toast").innerText`); text != "" {
		t.Errorf("what has been undone says %q", text)
	}
	// A message that the search does not find has no next one.
	w.notes(t, "chervil", 3)
	w.open(t, "/messages/"+ids[2]+"?query=chervil")
	w.title(t, "tansy number 002")
	w.rows(t, 3)
	w.press(t, "#")
	until(t, w.ctx, `location.pathname === "/" && !document.querySelector("article")`)
	// Opened and marked unread at once: the request that marks it read is late, and the later word counts.
	w.open(t, "/?query=tansy")
	w.rows(t, 2)
	w.hold(t, "read", "PATCH", "/messages/")
	w.click(t, `.rows li a`)
	w.asked(t, "read")
	w.press(t, "U")
	w.answer(t, "read", "go")
	w.total(t, "tansy+is:unread", 2)
	until(t, w.ctx, `document.querySelectorAll(".rows .unread").length === 2`)
	if n := eval[int](t, w.ctx, `fetch("/api/v1/messages?query=tansy+is:unread").then(r => r.json()).then(j => j.total)`, chromedp.EvalAwaitPromise); n != 2 {
		t.Errorf("%d are unread, want 2", n)
	}
}
