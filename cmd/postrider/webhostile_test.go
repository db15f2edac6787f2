package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/mail"
)

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
func testHostile(t *testing.T, w *web) {
	ctx := w.ctx
	url, seen := evil(t)
	page := strings.ReplaceAll(hostile, "EVIL", url)
	w.deliver(written(t, &mail.Message{
		From: mail.List("\"<img src=x onerror=alert(1)>\" <eve@example.org>"), To: mail.List("bob@example.net"),
		Subject: `<script>top.pwned=1</script>"><img src=` + url + `/subject>`, HTML: page,
		Attachments: []mail.Attachment{mail.FromBytes(`../../<b>"evil".html`, []byte(page))},
	}))
	id := w.wait("eve@example.org")
	w.open(t, "/messages/"+id)
	shoot(t, ctx, "hostile", 1280, "light")
	do(t, ctx, chromedp.MouseClickXY(900, 600)) // the middle of the frame
	quiet(t, ctx, w.web+"/messages/"+id, seen)

	// The same document unsanitised, with only the header and the attribute.
	resp, err := http.Get(w.web + "/messages/" + id + "/html")
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
