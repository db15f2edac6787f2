package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/postrider/postrider/mail"
)

// Answers that come late, in another order, or never: each pause in the page's scripts is a place at which the reader may
// have gone elsewhere. An answer is held until that which it must not disturb has been done.

// hold has the next request by a method whose path, or path and query, matches a pattern wait for answer.
func (w *web) hold(t *testing.T, name, method, path string) {
	t.Helper()
	eval[bool](t, w.ctx, fmt.Sprintf(`((name, method, path) => {
		const ask = window.fetch, held = (window.held ??= {})[name] = { asked: false }
		window.fetch = (url, how = {}) => {
			const to = new URL(url, document.baseURI)
			if (held.asked || (how.method ?? "GET") !== method || !path.test(to.pathname) && !path.test(to.pathname + to.search)) return ask(url, how)
			held.asked = true
			return new Promise((done, failed) => {
				let answer
				held.read = () => answer = ask(url, { ...how, signal: null })
				held.go = () => done(answer ?? held.read())
				held.fail = () => failed(new TypeError("it is away"))
				how.signal?.addEventListener("abort", () => failed(how.signal.reason))
			})
		}
		return true
	})(%q, %q, new RegExp(%q))`, name, method, path))
}

// asked waits until the request has been made that is held.
func (w *web) asked(t *testing.T, name string) {
	t.Helper()
	until(t, w.ctx, fmt.Sprintf("held[%q].asked", name))
}

// answer lets what is held go on ("go") or fail ("fail"), or has the server answer and keeps that ("read"). What follows from it in the page has its time: some requests to
// the server, which answers them in their order, and some frames.
func (w *web) answer(t *testing.T, name, how string) {
	t.Helper()
	eval[bool](t, w.ctx, fmt.Sprintf(`(async () => {
		await held[%q].%s()
		for (let i = 0; i < 5; i++) { await fetch("/healthz"); await new Promise(requestAnimationFrame) }
		return true
	})()`, name, how), chromedp.EvalAwaitPromise)
}

// turns waits until all that changes the list's window has had its turn.
func (w *web) turns(t *testing.T) { w.script(t, `await list.changed("")`) }

// script runs something in the page that knows the module of the list.
func (w *web) script(t *testing.T, text string) {
	t.Helper()
	eval[bool](t, w.ctx, `(async () => { const list = await import(document.querySelector("script[type=module]").src.replace("page.js", "list.js")); `+text+`; return true })()`, chromedp.EvalAwaitPromise)
}

// search puts a query into its field, as typing does.
func (w *web) search(t *testing.T, query string) {
	t.Helper()
	eval[bool](t, w.ctx, fmt.Sprintf(`(f => { f.value = %q; f.dispatchEvent(new Event("input")); return true })(document.querySelector(".search input"))`, query))
}

// numbered delivers so many notes, the first the newest, and returns the selectors of their rows and their ids, from 1 on.
func (w *web) numbered(t *testing.T, word string, n int) (rows, ids []string) {
	t.Helper()
	w.notes(t, word, n)
	rows, ids = make([]string, n+1), make([]string, n+1)
	for i := 1; i <= n; i++ {
		ids[i] = w.wait(fmt.Sprintf("%s+%03d", word, i))
		rows[i] = fmt.Sprintf(`.rows li[data-id="%s"] a`, ids[i])
	}
	return rows, ids
}

// testHangs has an answer never come: what waits behind it is done all the same, and what failed is tried again.
func testHangs(t *testing.T, w *web) {
	w.notes(t, "lime", 3)
	w.open(t, "/?query=lime")
	w.rows(t, 3)
	eval[bool](t, w.ctx, `(later => { AbortSignal.timeout = () => later(100); return true })(AbortSignal.timeout.bind(AbortSignal))`)
	w.hold(t, "list", "GET", "^/list$")
	w.script(t, "list.reload()")
	w.asked(t, "list")
	w.notes(t, "lime", 1)
	w.rows(t, 4)
	const soon = `const later = window.setTimeout; window.setTimeout = (act, ms) => later(act, 0); let calls = 0; `
	w.script(t, soon+`const work = list.once(async () => { if (++calls < 3) throw new Error("away") }, 0)
		await work(); if (calls !== 3) throw new Error(calls + " calls, want 3")`)
	// What never succeeds is given up, until it is asked for again.
	w.script(t, soon+`const work = list.once(async () => { calls++; throw new Error("away") }, 0)
		await work(); await work(); if (calls !== 8) throw new Error(calls + " calls, want 8")`)
	// A call while the last one fails is one more.
	w.script(t, soon+`const work = list.once(async () => { if (++calls === 4) work(); throw new Error("away") }, 0)
		await work(); if (calls !== 5) throw new Error(calls + " calls, want 5")`)
}

// testLatePanes has answers for the pane come when something else is in it.
func testLatePanes(t *testing.T, w *web) {
	rows, ids := w.numbered(t, "mango", 3)
	nothing := `!document.querySelector("article, form.write") && location.pathname === "/"`
	// The way home, from a message that was linked to, is overtaken by the next message.
	w.open(t, "/messages/"+ids[1]+"?query=mango")
	w.rows(t, 3)
	w.hold(t, "home", "GET", "^/$")
	w.press(t, "u")
	w.asked(t, "home")
	w.click(t, rows[2])
	w.title(t, "mango number 002")
	w.answer(t, "home", "go")
	w.title(t, "mango number 002")
	// A message that comes, or does not come, when another one is open leads nowhere.
	for _, how := range []string{"go", "fail"} {
		w.hold(t, "pane", "GET", "/pane$")
		w.click(t, rows[3])
		w.asked(t, "pane")
		until(t, w.ctx, `document.querySelector("#pane").ariaBusy === "true"`)
		w.click(t, rows[1])
		w.title(t, "mango number 001")
		w.answer(t, "pane", how)
		w.title(t, "mango number 001")
		if at := eval[string](t, w.ctx, "location.pathname"); at != "/messages/"+ids[1] {
			t.Errorf("the address is %s after a late answer (%s)", at, how)
		}
	}
	// What does not come at all is said, and what is there stays.
	w.hold(t, "pane", "GET", "/pane$")
	w.click(t, rows[2])
	w.asked(t, "pane")
	w.answer(t, "pane", "fail")
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("does not answer")`)
	w.title(t, "mango number 001")
	until(t, w.ctx, `!document.querySelector("[aria-busy=true]")`)
	// Links that have been looked at are those of their own message.
	w.click(t, `.tabs a[href*="view=checks"]`)
	until(t, w.ctx, `document.querySelector("[data-do=links]")?.hidden === false`)
	w.hold(t, "links", "POST", "/links$")
	w.click(t, "[data-do=links]")
	w.asked(t, "links")
	w.open2(t, rows[2], `.tabs a[href*="view=checks"]`)
	w.answer(t, "links", "go")
	if text := eval[string](t, w.ctx, `document.querySelector("#links").innerText`); text != "" {
		t.Errorf("another message's links are shown: %s", text)
	}
	// A message that another program deletes is said to be gone.
	w.delete(t, ids[2])
	until(t, w.ctx, `document.querySelector("#toast").innerText.includes("has been deleted")`)
	w.press(t, "u")
	until(t, w.ctx, nothing)
}

// open2 opens a message by its row and then one of its views.
func (w *web) open2(t *testing.T, row, tab string) {
	t.Helper()
	w.click(t, row)
	until(t, w.ctx, fmt.Sprintf("document.querySelector(%q)?.closest('li').getAttribute('aria-current') === 'true'", row))
	w.click(t, tab)
	until(t, w.ctx, fmt.Sprintf("document.querySelector(%q)?.ariaCurrent === 'true'", tab))
}

// delete deletes a message as another program would.
func (w *web) delete(t *testing.T, id string) {
	t.Helper()
	eval[bool](t, w.ctx, `fetch("/api/v1/messages/`+id+`", { method: "DELETE" }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
}

// testLateLists has what is searched for change while a list is on its way.
func testLateLists(t *testing.T, w *web) {
	w.notes(t, "nutmeg", 120)
	rows, ids := w.numbered(t, "olive", 3)
	w.open(t, "/?query=nutmeg")
	w.rows(t, 50)
	// From the middle of one search to another whose list fails at first: no row of the first is in it.
	w.script(t, `document.querySelector("#list").scrollTop = 1e6; while (document.querySelector("a.older")) { await list.end(true) }`)
	until(t, w.ctx, `document.querySelector("a.newer") !== null`)
	w.hold(t, "list", "GET", "^/list$")
	w.search(t, "olive")
	w.asked(t, "list")
	w.answer(t, "list", "fail")
	w.rows(t, 3)
	// The way back to the first search does not bring rows of the second.
	w.click(t, rows[1])
	w.title(t, "olive number 001")
	// Views of a message that was opened before a search keep to what is searched for now.
	w.search(t, "olive -subject:003")
	w.rows(t, 2)
	w.click(t, `.tabs a[href*="view=headers"]`)
	until(t, w.ctx, `document.querySelector("table.headers") && new URLSearchParams(location.search).get("query") === "olive -subject:003" && location.search.includes("view=headers")`)
	w.script(t, `list.reload(); await list.changed("")`)
	w.rows(t, 2)
	// A row that is clicked on while the list of another search is on its way does not bring back the last search.
	w.hold(t, "list", "GET", "^/list$")
	w.search(t, "olive")
	w.asked(t, "list")
	w.click(t, rows[2])
	w.title(t, "olive number 002")
	w.answer(t, "list", "go")
	w.rows(t, 3)
	if got := eval[string](t, w.ctx, `new URLSearchParams(location.search).get("query")`); got != "olive" {
		t.Errorf("the address looks for %q", got)
	}
	// A step that waits for the rows beyond the window does not lead on from where the reader has gone meanwhile.
	w.open(t, "/?query=nutmeg")
	w.rows(t, 50)
	w.hold(t, "beyond", "GET", "^/list$")
	eval[bool](t, w.ctx, `document.querySelector(".rows li:last-child a").focus({ preventScroll: true }), true`)
	w.press(t, "j")
	w.asked(t, "beyond")
	w.press(t, "u")
	w.answer(t, "beyond", "go")
	until(t, w.ctx, `document.querySelectorAll(".rows li").length > 50`)
	if eval[bool](t, w.ctx, `document.querySelector("article") !== null`) {
		t.Error("a message was opened after the reader had gone home")
	}
	// What has changed in a message that is not listed changes the counts.
	w.open(t, "/?query=olive+-subject:003")
	w.rows(t, 2)
	was := eval[int](t, w.ctx, `+document.querySelector(".count").dataset.unread`)
	eval[bool](t, w.ctx, `fetch("/api/v1/messages/`+ids[3]+`", { method: "PATCH", body: '{"unread":false}' }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
	until(t, w.ctx, fmt.Sprintf(`+document.querySelector(".count").dataset.unread === %d`, was-1))
}

// testLateChanges has the reader go elsewhere between a question and its answer, leave the page, or click twice.
func testLateChanges(t *testing.T, w *web) {
	w.notes(t, "papaya", 8)
	// What a dialog asks about is deleted, and not what is found where the way back led meanwhile.
	w.open(t, "/")
	until(t, w.ctx, `document.querySelectorAll(".rows li").length >= 8`)
	eval[bool](t, w.ctx, `history.pushState(null, "", "/?query=papaya+008"), dispatchEvent(new PopStateEvent("popstate")), true`)
	w.rows(t, 1)
	w.press(t, "m")
	w.click(t, "#places [data-do=empty]")
	until(t, w.ctx, `document.querySelector("#sure h2")?.innerText.includes("papaya 008")`)
	eval[bool](t, w.ctx, "history.back(), true")
	until(t, w.ctx, `location.search === ""`)
	w.click(t, "#sure button[value=ok]")
	w.total(t, "papaya", 7)
	// Who leaves the page has decided, of each of several.
	w.open(t, "/?query=papaya")
	w.rows(t, 7)
	w.press(t, "*")
	w.press(t, "#")
	w.rows(t, 0)
	w.open(t, "/?query=papaya")
	w.total(t, "papaya", 0)
	w.rows(t, 0)
	// What could not be deleted comes back.
	w.notes(t, "quandong", 3)
	w.open(t, "/?query=quandong")
	w.rows(t, 3)
	w.hold(t, "delete", "DELETE", "/messages/")
	w.press(t, "x")
	w.press(t, "#")
	w.rows(t, 2)
	w.press(t, "x")
	w.press(t, "#") // which has the first one deleted
	w.asked(t, "delete")
	w.rows(t, 1)
	w.answer(t, "delete", "fail")
	w.rows(t, 2)
	until(t, w.ctx, `document.querySelector(".rows li").innerText.includes("001")`)
	// A form that is sent twice is sent once.
	w.open(t, "/compose")
	w.fill(t, "subject", "rambutan")
	w.hold(t, "made", "POST", "^/api/v1/messages$")
	w.click(t, `#compose [value=inbox]`)
	w.asked(t, "made")
	w.click(t, `#compose [value=inbox]`)
	w.answer(t, "made", "go")
	w.title(t, "rambutan")
	w.total(t, "rambutan", 1)
	// Tags that another program has put on a message are there to be kept.
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "salak", Text: "Hello."}))
	id := w.wait("salak")
	w.open(t, "/messages/"+id+"?query=nothing")
	eval[bool](t, w.ctx, `fetch("/api/v1/messages/`+id+`", { method: "PATCH", body: '{"tags":["kept"]}' }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
	w.press(t, "t")
	until(t, w.ctx, `document.querySelector("#tagging").open && document.querySelector("#tagging input").value === "kept"`)
}

// testLateWelcome has the words for an empty inbox be replaced when something else is there already.
func testLateWelcome(t *testing.T, w *web) {
	eval[bool](t, w.ctx, `fetch("/api/v1/messages?all=true", { method: "DELETE" }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
	w.open(t, "/")
	until(t, w.ctx, `document.querySelector("#pane .art") !== null`)
	w.press(t, "c")
	until(t, w.ctx, `document.activeElement.form?.id === "compose"`)
	w.press(t, kb.Escape)
	w.press(t, "u")
	until(t, w.ctx, `document.querySelector("#pane .art") !== null`)
	w.hold(t, "home", "GET", "^/$")
	w.notes(t, "tamarind", 1)
	w.asked(t, "home")
	w.press(t, "c")
	until(t, w.ctx, `document.querySelector("#compose") !== null`)
	w.fill(t, "subject", "half written")
	w.answer(t, "home", "go")
	if got := eval[string](t, w.ctx, `document.querySelector("#compose [name=subject]")?.value ?? "no form"`); got != "half written" {
		t.Errorf("the form has the subject %q", got)
	}
	// Beside the list of an inbox that began empty stands what one is told that has mail.
	w.click(t, ".rows li a")
	w.title(t, "tamarind")
	w.press(t, "u")
	until(t, w.ctx, `document.querySelector("#pane").innerText.includes("Choose a message")`)
	if text := eval[string](t, w.ctx, `document.querySelector("#pane").innerText`); strings.Contains(text, "No mail yet") {
		t.Errorf("the pane says %q", text)
	}
}
