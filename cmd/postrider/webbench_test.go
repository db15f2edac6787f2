package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// BenchmarkPage measures what a person waits for, with 100,000 messages in the
// inbox: until the list is painted, a message is open, a search has answered, and
// a new message is seen after its 250.
func BenchmarkPage(b *testing.B) {
	peers.Find(b, peers.Chromium)
	const messages, sessions = 100_000, 16
	s := start(b, b.TempDir())
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			c, err := dial(s.smtp)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.conn.Close()
			for i := range messages / sessions {
				c.conn.SetDeadline(time.Now().Add(time.Minute)) // for each; all of them may take longer
				if err := c.send(fmt.Appendf(nil, "From: Person %d <p%d@example.com>\r\nTo: bob@example.net\r\nSubject: Number %d of session %d\r\n\r\nHello, this is the text of one of very many.\r\n", i%97, i%97, i, n)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	// The index is made behind the 250; the page is measured when it is done.
	for total := 0; total < sessions; time.Sleep(time.Second) {
		var found struct{ Total int }
		if err := json.Unmarshal(s.get("/api/v1/messages?limit=1&query=subject:6249"), &found); err != nil {
			b.Fatal(err)
		}
		total = found.Total
	}
	ctx := chromium(b)
	do(b, ctx, chromedp.EmulateViewport(1280, 800))
	times := map[string][]float64{}
	note := func(name string, ms float64) { times[name] = append(times[name], ms) }
	// took runs something in the page until it shows, and returns milliseconds.
	took := func(act, shown string) float64 {
		b.Helper()
		return eval[float64](b, ctx, `(async () => { const began = performance.now(); `+act+`; while (!(`+shown+`)) await new Promise(requestAnimationFrame); return performance.now() - began })()`, chromedp.EvalAwaitPromise)
	}
	key := func(k string) string {
		return `document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "` + k + `", bubbles: true }))`
	}
	n := 0
	for b.Loop() {
		n++
		do(b, ctx, chromedp.Navigate(s.web+"/"))
		until(b, ctx, `document.querySelector("#live").dataset.on === "true" && performance.getEntriesByName("first-contentful-paint").length`)
		note("ms-paint", eval[float64](b, ctx, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
		note("ms-open", took(key("j"), `document.querySelector("article")`))
		// A phrase, for a word may be the beginning of a longer number.
		number := fmt.Sprintf("number %d of", 10+n)
		note("ms-search", took(`const f = document.querySelector(".search input"); f.value = '"`+number+`"'; f.dispatchEvent(new Event("input"))`,
			`document.querySelector(".rows .subject")?.textContent.toLowerCase().includes("`+number+`")`))
		do(b, ctx, chromedp.Navigate(s.web+"/"))
		until(b, ctx, `document.querySelector("#live").dataset.on === "true"`)
		subject := fmt.Sprint("Seen at once ", n)
		msg := written(b, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: subject, Text: "Hello."})
		eval[bool](b, ctx, `window.seen = new Promise(done => new MutationObserver(() => { if (document.querySelector(".rows .subject")?.textContent.includes("`+subject+`")) done(Date.now()) }).observe(document.querySelector("#list"), { childList: true, subtree: true })), true`)
		s.deliver(msg)
		acknowledged := time.Now()
		at := eval[float64](b, ctx, `window.seen`, chromedp.EvalAwaitPromise)
		note("ms-visible", at-float64(acknowledged.UnixMicro())/1000)
	}
	for name, all := range times {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name)
	}
}
