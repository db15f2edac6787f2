package main

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The list's window among very many messages: whichever way a reader goes to an end
// or into the middle, what is seen is what lies there, and neither the document nor
// the number of requests grows with the inbox.

// seen is true if rows fill the view, in the order of the server and without a gap:
// the ids of the window are compared with what the JSON interface lists there.
const seen = `await (async () => {
	const list = document.querySelector("#list"), rows = [...list.querySelectorAll("li[data-id]")], ids = rows.map(r => r.dataset.id)
	const box = list.getBoundingClientRect()
	const filled = [box.top + 5, box.bottom - 5].every(y => document.elementFromPoint(box.left + 40, y)?.closest("li[data-id]"))
	if (!filled || rows.length > 500) return false
	const there = (await fetch("/api/v1/messages?limit=1000&before=" + ids[0]).then(r => r.json())).messages.map(m => m.id)
	return ids.slice(1).every((id, i) => id === there[i])
})()`

// atNewest and atOldest are true if that end of all messages is seen.
const (
	atNewest = `await fetch("/api/v1/messages?limit=1").then(r => r.json()).then(j => document.querySelector(".rows li").dataset.id === j.messages[0].id) &&
		document.querySelector(".rows li").getBoundingClientRect().top >= document.querySelector("#list").getBoundingClientRect().top && !document.querySelector("a.newer") && ` + seen
	atOldest = `await fetch("/api/v1/messages?limit=1&order=oldest").then(r => r.json()).then(j => document.querySelector(".rows li:last-child").dataset.id === j.messages[0].id) &&
		document.querySelector(".rows li:last-child").getBoundingClientRect().bottom <= document.querySelector("#list").getBoundingClientRect().bottom + 1 && !document.querySelector("a.older") && ` + seen
)

// scroll goes to both ends by each way there is, and into the middle.
func (p *measured) scroll(t *testing.T) {
	t.Helper()
	asked := func() int {
		return eval[int](t, p.ctx, `performance.getEntriesByType("resource").filter(e => e.name.includes("/list")).length`)
	}
	p.home(t)
	before := asked()
	// By keys, wherever the focus is, and by those that every list has.
	p.press(t, "G")
	until(t, p.ctx, atOldest)
	until(t, p.ctx, `document.activeElement.closest("li") === document.querySelector(".rows li:last-child")`)
	p.press(t, "g")
	until(t, p.ctx, atNewest)
	p.press(t, kb.End)
	until(t, p.ctx, atOldest)
	p.press(t, kb.Home)
	until(t, p.ctx, atNewest)
	// By the scrollbar: it says how much there is, and its ends are the list's.
	for _, to := range []string{"1e9", "0"} {
		eval[bool](t, p.ctx, `document.querySelector("#list").scrollTop = `+to+`, true`)
		until(t, p.ctx, map[string]string{"1e9": atOldest, "0": atNewest}[to])
	}
	if n := asked() - before; n > 30 {
		t.Errorf("six ways to an end took %d requests for lists", n)
	}
	// Into the middle: messages of which there are many on both sides, and back.
	for _, part := range []string{"0.5", "0.8", "0.3"} {
		eval[bool](t, p.ctx, `(l => { l.scrollTop = l.scrollHeight * `+part+`; return true })(document.querySelector("#list"))`)
		until(t, p.ctx, `document.querySelector("a.newer") && document.querySelector("a.older") && `+seen)
	}
	// Key by key over the edge of what was fetched, without waiting for it.
	p.press(t, "g")
	until(t, p.ctx, atNewest)
	const opened = `document.querySelector("article")?.dataset.id`
	eval[bool](t, p.ctx, `(async () => { for (let i = 0; i < 120; i++) { document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true })); await new Promise(requestAnimationFrame) } return true })()`, chromedp.EvalAwaitPromise)
	until(t, p.ctx, `await fetch("/api/v1/messages?limit=200").then(r => r.json()).then(j => document.activeElement.closest("li").dataset.id >= j.messages[150].id && `+opened+` === document.activeElement.closest("li").dataset.id && j.messages.findIndex(m => m.id === `+opened+`) > 60)`)
	until(t, p.ctx, seen)
}

// late goes to an end while the list is being read anew, by an answer that is late:
// it must not bring back the window that was left, nor may the row lose the focus.
func (p *measured) late(t *testing.T) {
	t.Helper()
	p.home(t)
	for _, end := range []struct{ key, seen, row string }{{"G", atOldest, ".rows li:last-child"}, {"g", atNewest, ".rows li"}} {
		eval[bool](t, p.ctx, `(async () => {
			const { reload } = await import(document.querySelector("script[type=module]").src.replace("page.js", "list.js"))
			const ask = window.fetch, frames = async n => { while (n--) await new Promise(requestAnimationFrame) }
			let answer, asked = new Promise(done => { window.fetch = url => (window.fetch = ask, done(), new Promise(go => { answer = () => go(ask(url)) })) })
			reload()
			await asked
			document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "`+end.key+`", bubbles: true }))
			await frames(20)
			answer()
			await frames(20)
			return true
		})()`, chromedp.EvalAwaitPromise)
		until(t, p.ctx, end.seen)
		until(t, p.ctx, `document.activeElement.closest("li") === document.querySelector("`+end.row+`")`)
	}
}
