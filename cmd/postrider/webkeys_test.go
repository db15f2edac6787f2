package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Keys and focus: all that is done by hand can be done without a mouse.

// testShortcuts presses every key that the sheet names and sees what it does. The
// sheet and this table hold each other: a key that is in one alone is an error.
func testShortcuts(t *testing.T, w *web) {
	w.notes(t, "filbert", 3)
	const row = `document.querySelector(".rows li:nth-child(%)")`
	nth := func(n string, more string) string { return strings.ReplaceAll(row, "%", n) + more }
	picked := func(n string) string { return `document.querySelectorAll(".rows .picked").length === ` + n }
	subject := func(n string) string {
		return `document.querySelector("article h1")?.innerText === "filbert number 00` + n + `"`
	}
	const body = `document.activeElement === document.body`
	form := func(title, field string) string {
		return `document.querySelector(".write h1")?.innerText === "` + title + `" && document.activeElement.name === "` + field + `"`
	}
	steps := []struct{ key, shows string }{
		{"?", `document.querySelector("#keys").open`}, {kb.Escape, `!document.querySelector("#keys").open`},
		{"j", subject("1")}, {"j", subject("2")}, {"k", subject("1")},
		{"u", `!document.querySelector("article") && document.activeElement === ` + nth("1", ".querySelector('a')")},
		{"G", `document.activeElement === ` + nth("3", ".querySelector('a')")}, {"g", `document.activeElement === ` + nth("1", ".querySelector('a')")},
		{"o", subject("1")},
		{"1", tabShows("text")}, {"2", tabShows("headers")}, {"3", tabShows("source")}, {"4", tabShows("parts")}, {"5", tabShows("session")}, {"6", tabShows("checks")},
		{"U", nth("1", `.classList.contains("unread")`)}, {"I", "!" + nth("1", `.classList.contains("unread")`)}, {"U", nth("1", `.classList.contains("unread")`)},
		{"A", `!document.querySelector(".rows .unread")`}, {"m", `document.querySelector("#places").open`}, {kb.Escape, `!document.querySelector("#places").open`},
		{",", `document.querySelector("#settings").open`}, {kb.Escape, `!document.querySelector("#settings").open`},
		{"t", `document.querySelector("#tagging").open`}, {kb.Escape, `!document.querySelector("#tagging").open`},
		{"x", picked("1")}, {"*", picked("3")}, {kb.Escape, picked("0")},
		{"x", picked("1")}, {"G", `document.activeElement === ` + nth("3", ".querySelector('a')")}, {"X", picked("3")}, {kb.Escape, picked("0")},
		{"g", `document.activeElement === ` + nth("1", ".querySelector('a')")},
		{"#", `document.querySelectorAll(".rows li").length === 2`}, {"z", `document.querySelectorAll(".rows li").length === 3`},
		// A form has the keys until Esc.
		{"r", form("Reply", "text")}, {kb.Escape, body}, {"u", `!document.querySelector("#compose")`},
		{"j", subject("1")}, {kb.Escape, `!document.querySelector("article") && document.activeElement === ` + nth("1", ".querySelector('a')")},
		{"o", subject("1")}, {"w", form("Forward", "to")}, {kb.Escape, body},
		{"c", form("New message", "text")}, {kb.Escape, body}, {"f", form("Faults", "rules")}, {kb.Escape, body},
		{"/", `document.activeElement === document.querySelector(".search input")`}, {kb.Escape, body},
	}
	w.open(t, "/?query=filbert")
	w.rows(t, 3)
	pressed := map[string]bool{"7": true, "y": true} // of messages that have HTML, and of those with a code
	for _, s := range steps {
		w.press(t, s.key)
		until(t, w.ctx, s.shows)
		if s.key == kb.Escape {
			s.key = "Esc"
		}
		pressed[s.key] = true
	}
	for _, key := range eval[[]string](t, w.ctx, `[...document.querySelectorAll("#keys dt kbd")].map(k => k.textContent)`) {
		if !pressed[key] {
			t.Errorf("the sheet names %q, which no step presses", key)
		}
		delete(pressed, key)
	}
	for key := range pressed {
		if !strings.Contains("23456", key) {
			t.Errorf("%q does something that the sheet does not name", key)
		}
	}
}

// tabShows is true when a view of the message is the one that is shown.
func tabShows(view string) string {
	return `document.querySelector('.tabs [aria-current]')?.href.includes("view=` + view + `")`
}

// testFocus goes through the page by Tab: in the order in which it is read, each
// stop to be seen, and back to where a dialog was asked for when it closes.
func testFocus(t *testing.T, w *web) {
	w.notes(t, "hazel", 2)
	w.open(t, "/?query=hazel")
	w.rows(t, 2)
	var stops []string
	for range 11 {
		w.press(t, kb.Tab)
		stops = append(stops, eval[string](t, w.ctx, `(e => e.className.split(" ")[0] || e.name || e.dataset.find || e.dataset.do || (e.closest("li") ? "row" : e.tagName))(document.activeElement)`))
		if !eval[bool](t, w.ctx, `(e => { const s = getComputedStyle(e), r = e.getBoundingClientRect(); return r.width > 0 && r.left >= 0 && (s.outlineStyle !== "none" || s.boxShadow !== "none") })(document.activeElement)`) {
			t.Errorf("the stop %s cannot be seen", stops[len(stops)-1])
		}
	}
	if got, want := strings.Join(stops, " "), "skip brand query quiet button quiet quiet A is:unread has:attachment quiet"; got != want {
		t.Errorf("Tab goes to %s\nwant        %s", got, want)
	}
	// A dialog keeps the focus in it and gives it back.
	for _, opens := range []string{".help", "article [data-do=tag]"} {
		if opens != ".help" {
			w.click(t, ".rows li a")
			w.title(t, "hazel")
		}
		until(t, w.ctx, `document.querySelector("`+opens+`")?.hidden === false`)
		eval[bool](t, w.ctx, `document.querySelector("`+opens+`").focus(), true`)
		w.press(t, kb.Enter)
		until(t, w.ctx, `document.querySelector("dialog[open]")?.contains(document.activeElement)`)
		w.press(t, kb.Escape)
		until(t, w.ctx, `!document.querySelector("dialog[open]") && document.activeElement === document.querySelector("`+opens+`")`)
	}
	// Who wants nothing to move sees nothing move.
	do(t, w.ctx, media("contrast"))
	w.notes(t, "hazel", 1)
	w.rows(t, 3)
	if n := eval[int](t, w.ctx, `document.getAnimations().length`); n != 0 {
		t.Errorf("%d things move where nothing is to", n)
	}
	do(t, w.ctx, media("light"), chromedp.EmulateViewport(1280, 800))
}
