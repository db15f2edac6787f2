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

// What a person waits for, with very many messages in the inbox: until the list is
// painted, a message is open, a search has answered, ten screens more are there to
// scroll through, a key that is typed is seen while searches are under way, and a
// new message is seen after its 250. No time decides: what is seen must be right.

// TestWebAmongMany sees that it is, and logs how long it took.
func TestWebAmongMany(t *testing.T) {
	p := among(t, 20_000)
	p.look(t)
	p.scroll(t)
	p.late(t)
	for name, all := range p.times {
		t.Logf("%s %.0f", name, all[0])
	}
}

// BenchmarkPage measures it among 100,000.
func BenchmarkPage(b *testing.B) {
	p := among(b, 100_000)
	for b.Loop() {
		p.look(b)
	}
	for name, all := range p.times {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name)
	}
}

// A measured is the page of a server with many messages.
type measured struct {
	web
	last  string // the number that the last messages have
	round int
	times map[string][]float64 // milliseconds, by what they were spent on
}

// among starts a server with so many messages.
func among(b testing.TB, messages int) *measured {
	b.Helper()
	peers.Find(b, peers.Chromium)
	const sessions = 16
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
	// The index is made behind the 250; the page is looked at when it is done.
	last := fmt.Sprint(messages/sessions - 1)
	peers.Until(b, "all messages are found", func() bool {
		var found struct{ Total int }
		if err := json.Unmarshal(s.get("/api/v1/messages?limit=1&query=subject:%22number+"+last+"+of%22"), &found); err != nil {
			b.Fatal(err)
		}
		return found.Total == sessions
	})
	m := &measured{web: web{served: s, ctx: chromium(b)}, last: last, times: map[string][]float64{}}
	do(b, m.ctx, chromedp.EmulateViewport(1280, 800))
	return m
}

// look goes through the page once and notes what each step took.
func (p *measured) look(b testing.TB) {
	b.Helper()
	p.round++
	// took runs something in the page until it shows.
	took := func(name, act, shown string) {
		b.Helper()
		p.note(name, eval[float64](b, p.ctx, `(async () => { const began = performance.now(); `+act+`; while (!(`+shown+`)) await new Promise(requestAnimationFrame); return performance.now() - began })()`, chromedp.EvalAwaitPromise))
	}
	p.home(b)
	until(b, p.ctx, `performance.getEntriesByName("first-contentful-paint").length`)
	p.note("ms-paint", eval[float64](b, p.ctx, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
	took("ms-open", `document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }))`, `document.querySelector("article")`)
	took("ms-scroll", `const to = document.querySelectorAll(".rows li").length + 100`, `(document.querySelector("#list").scrollTop += 2000, document.querySelectorAll(".rows li").length >= to)`)
	// A phrase, for a word may be the beginning of a longer number.
	number := fmt.Sprintf("number %d of", 10+p.round)
	const field = `const f = document.querySelector(".search input"); f.focus(); `
	took("ms-search", field+`f.value = '"`+number+`"'; f.dispatchEvent(new Event("input"))`,
		`document.querySelector(".rows .subject")?.textContent.toLowerCase().includes("`+number+`")`)
	// Each key is one frame's wait at the worst, whatever the searches before it still do.
	p.note("ms-key", eval[float64](b, p.ctx, `(async () => { `+field+`f.value = ""; let worst = 0
		for (const c of '"number `+p.last+` of"') { const began = performance.now(); f.value += c; f.dispatchEvent(new Event("input")); await new Promise(requestAnimationFrame); worst = Math.max(worst, performance.now() - began); await new Promise(done => setTimeout(done, 50)) }
		return worst })()`, chromedp.EvalAwaitPromise))
	until(b, p.ctx, `document.querySelector(".found")?.innerText === "16 found" && document.querySelectorAll(".rows li").length === 16`)

	p.home(b)
	subject := fmt.Sprint("Seen at once ", p.round)
	msg := written(b, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: subject, Text: "Hello."})
	eval[bool](b, p.ctx, `window.seen = new Promise(done => new MutationObserver(() => { if (document.querySelector(".rows .subject")?.textContent.includes("`+subject+`")) done(Date.now()) }).observe(document.querySelector("#list"), { childList: true, subtree: true })), true`)
	p.deliver(msg)
	acknowledged := time.Now()
	p.note("ms-visible", eval[float64](b, p.ctx, `window.seen`, chromedp.EvalAwaitPromise)-float64(acknowledged.UnixMicro())/1000)
}

// home loads the list anew.
func (p *measured) home(b testing.TB) {
	b.Helper()
	do(b, p.ctx, chromedp.Navigate(p.served.web+"/"))
	until(b, p.ctx, `document.querySelector("#live").dataset.on === "true"`)
}

func (p *measured) note(name string, ms float64) { p.times[name] = append(p.times[name], ms) }
