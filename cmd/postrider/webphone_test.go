package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/mail"
)

// The page in the hand, and in the scripts that people write.

// testScripts looks at mail in many scripts, at words without end, and at what is
// made to look like something else: each piece stays in its place and in its order.
func testScripts(t *testing.T, w *web) {
	const long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
	letter := func(from, subject, text string) []byte {
		return written(t, &mail.Message{From: mail.List(from), To: mail.List("משה@דוגמה.קום, אבי@דוגמה.קום, Bob <bob@example.net>"), Subject: subject, Text: text,
			Attachments: []mail.Attachment{mail.FromBytes("חשבונית 42.pdf", []byte("%PDF-1.4\n")), mail.FromBytes("Rechnung\u202Efdp.exe", []byte("x"))}})
	}
	w.deliver(
		letter("김민수 <kim@example.com>", "회의 일정 안내드립니다", "안녕하세요.\n"),
		letter("อาทิตย์ สมบูรณ์ <thai@example.com>", "ใบแจ้งหนี้สำหรับเดือนพฤศจิกายนกรุณาชำระเงินภายในวันที่กำหนด", "สวัสดี\n"),
		letter("अमित शर्मा <amit@example.com>", "आपका ऑर्डर भेज दिया गया है", "नमस्ते\n"),
		letter("מכירות <sales@example.com>", "חשבונית מספר 42 עבור ACME Ltd. (שולמה!)", "שלום Ann,\n\nהחשבונית מצורפת: https://example.com/42?x=1.\nתודה!\n\nThis paragraph is English.\n"),
		letter("مكتب المبيعات <sales@example.com>", "تأكيد الطلب رقم 1042: تم الدفع (150 USD)", "مرحبا،\n\nشكرا لطلبك رقم 1042.\n"),
		letter("山田太郎 <taro@example.com>", "【重要】お支払い手続きのお願い:ご注文番号2026年11月28日分の明細をご確認くださいませ", "お世話になっております。\n"),
		letter("🎉 Party Planner 🎈 <party@example.com>", "👩‍👩‍👧‍👦 Family day 🏳️‍🌈 is here! 🎂🎂🎂", "🎉🎉🎉\n"),
		letter(long+" <x@example.com>", long+long+long, long+long+long+"\n"),
		letter("\"Ann \u202Emoc.elpmaxe@nna\" <evil@example.com>", "Invoice \u202Efdp.exe \u2066and more", "Hello.\n"),
	)
	w.open(t, "/")
	w.rows(t, 9)
	w.look(t, "scripts")
	// left and right are where the letters of an element end up, in the order in which they are written.
	const box = `const box = (selector, n = 0) => { const r = document.createRange(); r.selectNodeContents(document.querySelectorAll(selector)[n]); return r.getBoundingClientRect() }
		const letter = (selector, i) => { const text = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT).nextNode(), r = document.createRange()
			r.setStart(text, (i + text.length) % text.length); r.setEnd(text, (i + text.length) % text.length + 1); return r.getBoundingClientRect() }; `
	for i := range 9 {
		w.open(t, "/")
		w.rows(t, 9)
		eval[bool](t, w.ctx, fmt.Sprintf(`document.querySelector(".rows li:nth-child(%d) a").click(), true`, i+1))
		until(t, w.ctx, `document.querySelector("article") !== null`)
		name := fmt.Sprint("script-", i)
		for what, script := range map[string]string{
			"the sender's name does not stand before the address":          `box(".from b").left < box(".addr").left || box(".from b").top < box(".addr").top`,
			"the sender's address is not read from the left to the right":  `letter(".addr", 0).left < letter(".addr", -1).left`,
			"the recipients do not stand in their order":                   `box(".to bdi", 0).right < box(".to bdi", 1).left`,
			"a name of a file is read from the right to the left":          `letter(".file[data-name$=exe] .name", 0).left < letter(".file[data-name$=exe] .name", -1).left`,
			"the subject does not begin where its script does, or the row": `(rtl => (letter("article h1", 0).left > letter("article h1", -1).left) === rtl)(/^[\u0590-\u06ff]/.test(document.querySelector("article h1").textContent)) || document.querySelector("article h1").clientHeight > 40`,
		} {
			if !eval[bool](t, w.ctx, "(() => { "+box+"return "+script+" })()") {
				t.Errorf("message %d: %s", i, what)
			}
		}
		shoot(t, w.ctx, name, 320, "light")
		shoot(t, w.ctx, name, 1280, "forced")
	}
}

// testFingers sees that all that is pressed on a phone is as large as a finger, 44 pixels
// either way, wherever the page leads; links within a text are not.
func testFingers(t *testing.T, w *web) {
	w.deliver(written(t, files(t)), written(t, newsletter(t)))
	w.wait("beans")
	small := func(name string) {
		t.Helper()
		for _, width := range []int64{320, 390} {
			shoot(t, w.ctx, name, width, "light")
			for _, what := range eval[[]string](t, w.ctx, `[...document.querySelectorAll("a[href], button, summary, input, textarea, label:has([type=checkbox], [type=radio])")].flatMap(e => {
				const r = e.getBoundingClientRect(), s = getComputedStyle(e), said = e.title || e.ariaLabel || e.innerText || e.name || e.className
				if (!e.checkVisibility() || s.display === "inline" || e.closest("label") && e.matches("[type=checkbox], [type=radio]") || e.matches(".skip, [type=file]")) return []
				return r.width < 44 || r.height < 44 ? [said.trim() + " of " + Math.round(r.width) + " × " + Math.round(r.height)] : [] })`) {
				t.Errorf("%s at %d: a finger does not hit %s", name, width, what)
			}
		}
	}
	w.open(t, "/")
	w.rows(t, 2)
	small("fingers-list")
	w.click(t, ".rows .pick")
	until(t, w.ctx, `!document.querySelector("#picking").hidden`)
	small("fingers-picked")
	w.open(t, "/")
	w.press(t, "m")
	until(t, w.ctx, `document.querySelector("#places div").contains(document.activeElement)`)
	small("fingers-places")
	for name, path := range map[string]string{"compose": "/compose", "faults": "/faults", "forward": "/compose?how=forward&id=" + w.wait("beans")} {
		w.open(t, path)
		small("fingers-" + name)
	}
	for _, dialog := range []string{"settings", "tagging", "releasing", "sure", "keys"} {
		w.open(t, "/")
		eval[bool](t, w.ctx, `document.querySelector("#`+dialog+`").showModal(), true`)
		small("fingers-" + dialog)
	}
	w.open(t, "/messages/"+w.wait("beans"))
	eval[bool](t, w.ctx, `document.querySelector("article .menu").open = true`)
	small("fingers-more")
	for _, view := range []string{"html", "text", "headers", "source", "parts", "session", "checks"} {
		w.open(t, "/messages/"+w.wait("Files")+"?view="+view)
		small("fingers-" + view)
		// Beside a scrollbar that takes 15 pixels nothing sticks out either, and the tab that a link leads to is seen.
		do(t, w.ctx, chromedp.EmulateViewport(305, 844), chromedp.Navigate(w.web+"/messages/"+w.wait("Files")+"?view="+view))
		until(t, w.ctx, `(tab => tab.left >= 0 && tab.right <= innerWidth)(document.querySelector(".tabs [aria-current]").getBoundingClientRect())`)
		if over := eval[int](t, w.ctx, `document.querySelector("#pane").scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%s at 305: %d pixels stick out", view, over)
		}
	}
	eval[bool](t, w.ctx, `fetch("/api/v1/messages?all=true", { method: "DELETE" }).then(() => true)`, chromedp.EvalAwaitPromise)
}

// testPhone goes from message to message on a phone, where there is one pane at a time.
func testPhone(t *testing.T, w *web) {
	w.notes(t, "medlar", 60) // more than are listed
	w.open(t, "/?query=medlar")
	w.rows(t, 50)
	do(t, w.ctx, chromedp.EmulateViewport(390, 844))
	w.click(t, ".rows li a")
	w.title(t, "medlar number 001")
	for i := 2; i <= 60; i++ {
		if i == 51 { // what is beyond the window is asked for while its last row is being drawn anew
			eval[bool](t, w.ctx, `import(new URL("list.js", document.querySelector("script[type=module]").src)).then(list => {
				list.changed(list.rows().at(-1).dataset.id); document.querySelector("article [data-do=next]").click(); return true })`, chromedp.EvalAwaitPromise)
		} else {
			w.click(t, "article [data-do=next]")
		}
		w.title(t, fmt.Sprintf("medlar number %03d", i))
	}
	w.click(t, "article [data-do=previous]")
	w.title(t, "medlar number 059")
	// What is pressed is as large as a finger, nothing covers it, and it covers nothing of the message.
	for _, width := range []int64{320, 390, 520} {
		do(t, w.ctx, chromedp.EmulateViewport(width, 844))
		for _, small := range eval[[]string](t, w.ctx, `[...document.querySelectorAll(".steps .button")].filter(e => { const r = e.getBoundingClientRect()
			return r.width < 44 || r.height < 44 || r.bottom > innerHeight || !e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)) }).map(e => e.title)`) {
			t.Errorf("at %d a finger does not hit %s", width, small)
		}
		if !eval[bool](t, w.ctx, `(() => { const pane = document.querySelector("#pane"); document.querySelector("pre.body").textContent = "line\n".repeat(99); pane.scrollTop = 1e6
			return document.querySelector("article > :last-child").getBoundingClientRect().bottom <= document.querySelector(".steps .button").getBoundingClientRect().top })()`) {
			t.Errorf("at %d the buttons cover the end of the message", width)
		}
	}
	w.look(t, "phone")
	do(t, w.ctx, chromedp.EmulateViewport(390, 844))
	w.click(t, ".back")
	until(t, w.ctx, `document.body.dataset.view === "list" && document.activeElement.closest("li")?.innerText.includes("medlar number 059")`)
	// A link to a message that is not among the newest leads to its neighbours too.
	w.open(t, "/messages/"+w.wait("medlar+003"))
	w.notes(t, "quince", 60)
	w.open(t, "/messages/"+w.wait("medlar+003"))
	do(t, w.ctx, chromedp.EmulateViewport(390, 844))
	w.click(t, "article [data-do=next]")
	w.title(t, "medlar number 004")
	w.click(t, "article [data-do=previous]")
	w.title(t, "medlar number 003")
	w.click(t, "article [data-do=previous]")
	w.title(t, "medlar number 002")
}

// testLetters has the reader's browser set to larger letters: all of the page grows with them, and where
// they make a window too narrow for two columns there is one.
func testLetters(t *testing.T, w *web) {
	w.deliver(written(t, newsletter(t)))
	id := w.wait("beans")
	letters := func(pixels int64) {
		t.Helper()
		if _, err := chromedp.Call(w.ctx, page.SetFontSizes, page.SetFontSizesParams{FontSizes: &page.FontSizes{Standard: pixels, Fixed: pixels}}); err != nil {
			t.Fatal(err)
		}
	}
	defer letters(16)
	for _, pixels := range []int64{16, 24, 32} {
		letters(pixels)
		w.open(t, "/?query=-zebra")
		for _, width := range []int64{320, 390, 810, 1000, 1280} {
			shoot(t, w.ctx, fmt.Sprint("letters-list-", pixels), width, "light")
		}
		w.open(t, "/messages/"+id)
		for _, width := range []int64{320, 390, 810, 1000, 1280} {
			shoot(t, w.ctx, fmt.Sprint("letters-", pixels), width, "light")
			for selector, rem := range map[string]float64{"body": 0.94, ".from": 0.94, ".tabs a": 0.88, ".files .name": 0.88, ".rows .subject": 0.94} {
				if got := eval[float64](t, w.ctx, `parseFloat(getComputedStyle(document.querySelector("`+selector+`")).fontSize)`); got < rem*float64(pixels)-0.1 || got > rem*float64(pixels)+0.1 {
					t.Errorf("letters of %d pixels: those of %s have %g, want %g", pixels, selector, got, rem*float64(pixels))
				}
			}
			if one := eval[bool](t, w.ctx, `!document.querySelector("#side").checkVisibility()`); one != (width <= 50*pixels) {
				t.Errorf("letters of %d pixels at %d: one column: %v", pixels, width, one)
			}
		}
	}
}

// testReaders opens a message to many: some of them are seen, and the others when they are asked for.
func testReaders(t *testing.T, w *web) {
	var many []string
	for n := range 30 {
		many = append(many, fmt.Sprintf("reader%d@example.net", n))
	}
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List(strings.Join(many, ", ")), Subject: "Many readers", Text: "Hello.\n"}))
	w.open(t, "/messages/"+w.wait("readers"))
	do(t, w.ctx, chromedp.EmulateViewport(390, 844))
	until(t, w.ctx, `[...document.querySelectorAll(".to .addr")].filter(a => a.checkVisibility()).length === 9 && document.querySelector(".to summary").offsetHeight >= 44`)
	w.click(t, ".to summary")
	until(t, w.ctx, `[...document.querySelectorAll(".to .addr")].filter(a => a.checkVisibility()).length === 31`)
	w.look(t, "readers")
}
