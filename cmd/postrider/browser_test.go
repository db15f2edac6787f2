package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/postrider/postrider/internal/peers"
)

// The page in a real browser: Chromium looks at it while mail arrives by SMTP.
// With POSTRIDER_SCREENSHOTS set to a directory, pictures of it are left there.
// Starting either is what costs time: all that is tested of the page is one test
// with one server, one browser, and a subtest for each thing that a person does.

// chromium starts a browser that talks to nobody but loopback and returns the
// context of its first tab.
func chromium(t testing.TB) context.Context {
	t.Helper()
	path := peers.Find(t, peers.Chromium)
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("hide-scrollbars", true),
		// Whatever is not on this machine is not there: no name is even looked up.
		// But for one: what a name is that its owner points at this machine once the browser trusts it.
		chromedp.Flag("host-resolver-rules", "MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// Started here: the context that starts it also ends it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// patience is how long one step in the browser may take: it is for a browser that
// hangs, whose test would otherwise say nothing until all of them end.
const patience = 3 * time.Minute

// do runs steps in the browser.
func do(t testing.TB, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// eval returns what a script in the page evaluates to.
func eval[T any](t testing.TB, ctx context.Context, script string, opts ...chromedp.EvaluateOption) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, opts...))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits until a script is true, inside the page.
func until(t testing.TB, ctx context.Context, script string) {
	t.Helper()
	wait := fmt.Sprintf(`(async () => {
		for (const end = Date.now() + 60000; Date.now() < end; await new Promise(done => setTimeout(done, 10))) if (%s) return true
		throw new Error("waited in vain")
	})()`, script)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](wait, chromedp.EvalAwaitPromise)); err != nil {
		body, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("until %s: %v\nthe page says:\n%s", script, err, body)
	}
}

// A web is the page of a running server in a browser.
type web struct {
	*served
	relay *served // what it sends through; nil if it has none
	ctx   context.Context
	axe   string // the script of axe-core; "" where it is not installed
}

// open goes to a page of the server, with a window of the usual size.
func (w *web) open(t *testing.T, path string) {
	t.Helper()
	do(t, w.ctx, chromedp.EmulateViewport(1280, 800), media("light"), chromedp.Navigate(w.web+path))
	until(t, w.ctx, `document.querySelector("#live").dataset.on === "true"`)
	// The times after which the page decides for the reader, such as that nothing is to be undone, are stretched: a slow
	// machine is not a slow person.
	eval[bool](t, w.ctx, `(later => { window.setTimeout = (act, ms, ...more) => later(act, ms > 3000 ? ms * 100 : ms, ...more) })(window.setTimeout), true`)
}

// click clicks on the first element that a selector finds.
func (w *web) click(t *testing.T, selector string) {
	t.Helper()
	until(t, w.ctx, fmt.Sprintf("document.querySelector(%q) !== null", selector))
	do(t, w.ctx, chromedp.Click(chromedp.CSS(selector)))
}

// press types keys. A letter goes with its key, as from a keyboard, and not behind it:
// a field that the key leads to does not get it.
func (w *web) press(t *testing.T, keys string) {
	t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		if len(events) == 3 { // down, the letter, up
			events[0].Text, events[0].UnmodifiedText = events[1].Text, events[1].UnmodifiedText
			events = slices.Delete(events, 1, 2)
		}
		for _, e := range events {
			if _, err := chromedp.Call(w.ctx, input.DispatchKeyEvent, *e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// title waits until the message with that subject is shown.
func (w *web) title(t *testing.T, subject string) {
	t.Helper()
	until(t, w.ctx, fmt.Sprintf(`document.querySelector("article h1")?.innerText.startsWith(%q)`, subject))
}

// look looks at the page as it is: nothing may stick out sideways, in no width
// and neither scheme; nothing may keep anybody out; a picture is left if
// somebody wants one.
func (w *web) look(t *testing.T, name string) {
	t.Helper()
	for _, width := range []int64{1920, 768, 390, 320} {
		shoot(t, w.ctx, name, width, "light")
	}
	shoot(t, w.ctx, name, 390, "dark")
	for _, colours := range []string{"forced", "contrast", "dark", "light"} {
		shoot(t, w.ctx, name, 1280, colours)
		w.accessible(t, name, colours)
	}
}

// accessible holds the page against the rules of WCAG and good practice that
// axe-core knows.
//
// What the colours do not change is looked at in the light alone, for each rule
// takes its time; with forced colours the reader has chosen them, and axe-core
// would judge ours.
func (w *web) accessible(t *testing.T, name, colours string) {
	t.Helper()
	if w.axe == "" {
		return
	}
	if !eval[bool](t, w.ctx, `typeof axe === "object"`) {
		eval[bool](t, w.ctx, w.axe+";true")
	}
	rules := map[string]string{"light": `{}`, "forced": `{ rules: { "color-contrast": { enabled: false } } }`}[colours]
	if rules == "" {
		rules = `{ runOnly: ["color-contrast", "link-in-text-block"] }`
	}
	found := eval[[]string](t, w.ctx, `axe.run(document, { iframes: false, resultTypes: ["violations"], ...`+rules+` }).then(r => r.violations.flatMap(v =>
		v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.failureSummary.replaceAll("\\n", " "))))`, chromedp.EvalAwaitPromise)
	for _, violation := range found {
		t.Errorf("%s in %s: %s", name, colours, violation)
	}
}

// shoot leaves a picture of the page, if somebody wants one, in one of the colours of media.
func shoot(t *testing.T, ctx context.Context, name string, width int64, colours string) {
	t.Helper()
	dir := os.Getenv("POSTRIDER_SCREENSHOTS")
	height := int64(800)
	switch {
	case width < 500:
		height = 844
	case width > 1280:
		height = 1080
	}
	do(t, ctx, chromedp.EmulateViewport(width, height), media(colours))
	// Two frames, so that what the size or the colours changed has been painted,
	// and nothing that still moves.
	eval[bool](t, ctx, `Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() =>
		new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`, chromedp.EvalAwaitPromise)
	// Nothing may stick out sideways, neither of the page nor within what scrolls in it.
	if over := eval[int](t, ctx, `Math.max(document.documentElement.scrollWidth - innerWidth,
		...["#list", "#pane"].map(s => document.querySelector(s)).filter(Boolean).map(e => e.scrollWidth - e.clientWidth))`); over > 0 {
		t.Errorf("%s at %d: the page is %d pixels too wide", name, width, over)
	}
	if dir != "" {
		capture(t, ctx, filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, colours)), true)
	}
}

// capture writes a picture of the window: a fast one is a larger file.
func capture(t *testing.T, ctx context.Context, path string, fast bool) {
	t.Helper()
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{OptimizeForSpeed: &fast})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// document keeps a picture for the documentation: rewritten by -update, and then looked at.
// Without it the file has only to be there.
func (w *web) document(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", name)
	if *updateGolden {
		do(t, w.ctx, chromedp.MouseClickXY(240, 28)) // the pointer is over nothing
		capture(t, w.ctx, path, false)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a picture of the documentation: %v; -update makes it", err)
	}
}

// media sets what the reader's system says of colours: light, dark, more contrast in the light, or colours of the
// reader's own. Nothing is to move in the last two.
func media(colours string) chromedp.Action[chromedp.Void] {
	features := []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: "light"}, {Name: "prefers-contrast", Value: "no-preference"},
		{Name: "forced-colors", Value: "none"}, {Name: "prefers-reduced-motion", Value: "no-preference"},
	}
	switch colours {
	case "dark":
		features[0].Value = "dark"
	case "contrast":
		features[1].Value, features[3].Value = "more", "reduce"
	case "forced":
		features[0].Value, features[2].Value, features[3].Value = "dark", "active", "reduce"
	}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: features,
		})
		return err
	})
}
