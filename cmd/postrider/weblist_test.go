package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/postrider/postrider/mail"
)

// The list as a person works with it.

// notes delivers so many short messages with a word in common.
func (w *web) notes(t *testing.T, word string, n int) {
	t.Helper()
	var msgs [][]byte
	for i := range n {
		msgs = append(msgs, written(t, &mail.Message{
			From: mail.List("Ann Example <ann@example.com>"), To: mail.List("bob@example.net"), Subject: fmt.Sprintf("%s number %03d", word, n-i), Text: "Hello.",
		}))
	}
	w.deliver(msgs...)
	w.wait(fmt.Sprintf("%s+001", word))
}

// rows waits until the list has so many rows.
func (w *web) rows(t *testing.T, n int) {
	t.Helper()
	until(t, w.ctx, fmt.Sprintf(`document.querySelectorAll(".rows li").length === %d`, n))
}

// total waits until so many messages match on the server.
func (w *web) total(t *testing.T, query string, n int) {
	t.Helper()
	until(t, w.ctx, fmt.Sprintf(`await fetch("/api/v1/messages?limit=1&query=%s").then(r => r.json()).then(j => j.total) === %d`, query, n))
}

// testPick picks several messages and deletes, marks and tags them.
func testPick(t *testing.T, w *web) {
	w.notes(t, "gherkin", 6)
	w.open(t, "/?query=gherkin")
	w.rows(t, 6)
	w.press(t, "x")
	until(t, w.ctx, `!document.querySelector("#picking").hidden && document.querySelector("#picking b").innerText === "1"`)
	w.press(t, "j")
	w.press(t, "x")
	until(t, w.ctx, `document.querySelectorAll(".rows .picked").length === 2`)
	w.look(t, "picked")
	// From there to here, by Shift and a click.
	at := eval[[]float64](t, w.ctx, `(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector(".rows li:nth-child(5) .pick").getBoundingClientRect())`)
	do(t, w.ctx, chromedp.MouseClickXY(at[0], at[1], chromedp.ButtonModifiers(chromedp.ModifierShift)))
	until(t, w.ctx, `document.querySelectorAll(".rows .picked").length === 5`)
	w.press(t, kb.Escape)
	w.press(t, "g")
	w.press(t, "x")
	w.press(t, "j")
	w.press(t, "x")
	until(t, w.ctx, `document.querySelectorAll(".rows .picked").length === 2`)

	w.press(t, "I")
	until(t, w.ctx, `document.querySelectorAll(".rows .unread").length === 4`)
	w.total(t, "gherkin+is:read", 2)
	w.press(t, "t")
	until(t, w.ctx, `document.querySelector("#tagging").open`)
	w.look(t, "tagging")
	w.press(t, "pickled, green")
	w.press(t, kb.Enter)
	until(t, w.ctx, `document.querySelectorAll(".rows .tag").length === 4`)
	if got := eval[string](t, w.ctx, `document.querySelector(".rows .subject").innerText`); got != "pickled green gherkin number 001" {
		t.Errorf("a row is read as %q", got)
	}
	w.total(t, "tag:pickled", 2)

	// Deleted on the page at once, undone before it is on the server.
	w.press(t, "#")
	w.rows(t, 4)
	w.click(t, "#toast button")
	w.rows(t, 6)
	w.total(t, "gherkin", 6)
	// Not undone; who leaves the page has decided.
	w.press(t, "x")
	w.press(t, "#")
	w.rows(t, 5)
	w.look(t, "undo")
	w.open(t, "/?query=gherkin")
	w.total(t, "gherkin", 5)
	w.rows(t, 5)
	w.press(t, "*")
	until(t, w.ctx, `document.querySelector("#picking b").innerText === "5"`)
	w.press(t, kb.Escape)
	until(t, w.ctx, `document.querySelector("#picking").hidden`)
}

// testSearch finds, is told what is wrong, and comes back.
func testSearch(t *testing.T, w *web) {
	w.notes(t, "walnut", 3)
	w.open(t, "/")
	w.press(t, "/")
	w.press(t, "walnut -subject:002")
	w.rows(t, 2)
	eval[bool](t, w.ctx, `document.activeElement.value = "", true`)
	w.press(t, `walnut (from:ann`)
	until(t, w.ctx, `document.querySelector("#list [role=alert]")?.innerText.includes("(")`) // of all that was typed
	if text := eval[string](t, w.ctx, `document.querySelector("#list").innerText`); !strings.Contains(text, "(") || !strings.Contains(text, "has:attachment") {
		t.Errorf("the query is explained with\n%s", text)
	}
	w.look(t, "query")
	// A search on its way to one that can be read is not complained about.
	eval[bool](t, w.ctx, `window.wrong = 0, new MutationObserver(() => wrong += document.querySelectorAll("#list [role=alert]").length).observe(document.querySelector("#list"), { childList: true }),
		["walnut from:", "walnut from:ann"].forEach(typed => { document.activeElement.value = typed; document.activeElement.dispatchEvent(new Event("input")) }), true`)
	w.rows(t, 3)
	if n := eval[int](t, w.ctx, "wrong"); n != 0 {
		t.Errorf("what was half written was complained about %d times", n)
	}
	// In the words of Mailpit: what it is here is a click away.
	eval[bool](t, w.ctx, `document.activeElement.value = "", true`)
	w.press(t, "walnut addressed:ann")
	w.click(t, `#list [data-find="walnut (from:ann OR to:ann OR cc:ann OR bcc:ann)"]`)
	w.rows(t, 3)
	w.press(t, "/")
	eval[bool](t, w.ctx, `document.activeElement.value = "", true`)
	w.press(t, "nothing has this")
	until(t, w.ctx, `document.querySelector("#list").innerText.includes("Nothing matches")`)
	w.look(t, "nothing")
	// A link to what was searched for.
	w.open(t, "/?query=walnut+%28")
	if got := eval[string](t, w.ctx, `document.querySelector("#list [role=alert]") !== null ? document.querySelector(".search input").value : "no alert"`); got != "walnut (" {
		t.Errorf("the field has %q, want what was searched for", got)
	}
	w.open(t, "/?query=walnut")
	w.rows(t, 3)
	w.click(t, ".rows li a")
	until(t, w.ctx, `document.querySelector("article") !== null && location.search === "?query=walnut"`)
	eval[bool](t, w.ctx, "history.back(), true")
	until(t, w.ctx, `!document.querySelector("article") && location.search === "?query=walnut"`)
}

// testSheet asks for the keys.
func testSheet(t *testing.T, w *web) {
	w.open(t, "/")
	w.press(t, "?")
	until(t, w.ctx, `document.querySelector("#keys").open`)
	w.look(t, "keys")
	w.press(t, kb.Escape)
	until(t, w.ctx, `!document.querySelector("#keys").open`)
}

// testMany scrolls through more than is ever loaded at once, while more arrives.
func testMany(t *testing.T, w *web) {
	w.notes(t, "acorn", 180)
	// The rows that the page came with stay when it begins to listen: what is being clicked on must not go away.
	do(t, w.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `addEventListener("DOMContentLoaded", () => { window.came = document.querySelector(".rows li") })`,
		})
		return err
	}))
	w.open(t, "/?query=acorn")
	w.rows(t, 50)
	// This waits for its turn behind the list that is asked for then.
	if !eval[bool](t, w.ctx, `import(document.querySelector("script[type=module]").src.replace("page.js", "list.js")).then(m => m.changed("")).then(() => window.came.isConnected)`, chromedp.EvalAwaitPromise) {
		t.Error("the rows were drawn anew although nothing had changed")
	}
	// One that has changed unheard of is drawn anew alone.
	w.hold(t, "row", "GET", "/row$")
	eval[bool](t, w.ctx, `fetch("/api/v1/messages/" + document.querySelector(".rows li:nth-child(2)").dataset.id, { method: "PATCH", body: '{"unread":false}' }).then(a => a.ok)`, chromedp.EvalAwaitPromise)
	w.asked(t, "row")
	w.answer(t, "row", "fail")
	w.script(t, "list.reload()")
	until(t, w.ctx, `!document.querySelector(".rows li:nth-child(2)").classList.contains("unread")`)
	if !eval[bool](t, w.ctx, "window.came.isConnected") {
		t.Error("a row was drawn anew because another one had changed")
	}
	for _, n := range []int{100, 150, 180} {
		// Whoever wants to get to the end goes on scrolling until he is there.
		until(t, w.ctx, fmt.Sprintf(`(document.querySelector("#list").scrollTop = 1e6, document.querySelectorAll(".rows li").length >= %d)`, n))
	}
	if twice := eval[int](t, w.ctx, `(ids => ids.length - new Set(ids).size)([...document.querySelectorAll(".rows li")].map(l => l.dataset.id))`); twice != 0 {
		t.Errorf("%d rows are there twice", twice)
	}
	// What the reader looks at stays where it is.
	const middle = `document.elementFromPoint(200, 400).closest("li").dataset.id`
	eval[bool](t, w.ctx, `document.querySelector("#list").scrollTop = 4000, new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`, chromedp.EvalAwaitPromise)
	at := eval[string](t, w.ctx, middle)
	w.notes(t, "acorn", 2)
	w.rows(t, 182)
	if now := eval[string](t, w.ctx, middle); now != at {
		t.Errorf("the list has jumped from %s to %s", at, now)
	}
	if got := eval[string](t, w.ctx, `document.querySelector(".rows li .subject").textContent`); got != "acorn number 001" {
		t.Errorf("the first row is %q", got)
	}
	shoot(t, w.ctx, "many", 1280, "light")
}
