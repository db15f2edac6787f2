package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// What else a message, or a page of somebody else, may try: names, files, links.

// testRebound comes by a name of another's that has been pointed at this machine,
// by which the browser takes the inbox for a part of that site.
func testRebound(t *testing.T, w *web) {
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Rebound", Text: "Secret."}))
	id := w.wait("subject:rebound")
	at := strings.Replace(w.web, "127.0.0.1", "rebound.example", 1)
	do(t, w.ctx, chromedp.Navigate(at+"/"))
	if text := eval[string](t, w.ctx, "document.body.innerText"); !strings.Contains(text, "not known by the name rebound.example") {
		t.Fatalf("by another's name the page says\n%s", text)
	}
	// The browser sees one origin now: nothing but the server keeps the script of that page out.
	got := eval[[]int](t, w.ctx, `(async () => {
		const status = []
		for (const [method, path] of [["GET", "/"], ["GET", "/api/v1/messages"], ["GET", "/api/v1/messages/`+id+`/raw"], ["GET", "/messages/`+id+`/html"], ["GET", "/api/v1/events"],
			["DELETE", "/api/v1/messages?all=true"], ["PATCH", "/api/v1/messages/`+id+`"], ["PUT", "/api/v1/faults"], ["POST", "/api/v1/messages"], ["POST", "/messages/`+id+`/links"]])
			status.push((await fetch(path, { method, body: method === "GET" || method === "DELETE" ? undefined : "{}" })).status)
		return status
	})()`, chromedp.EvalAwaitPromise)
	for i, status := range got {
		if status != http.StatusMisdirectedRequest {
			t.Errorf("request %d by another's name: %d, want 421", i, status)
		}
	}
	w.open(t, "/?query=subject:rebound")
	w.rows(t, 1)
}

// bomb is a PNG that says it has 65,535 pixels each way and has none.
func bomb() []byte {
	head := []byte("IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x06\x00\x00\x00")
	sum := crc32.ChecksumIEEE(head)
	return append(append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

// testHostileFiles saves and looks at files whose names and contents mean harm.
func testHostileFiles(t *testing.T, w *web) {
	file := func(name, media string, content []byte) mail.Attachment {
		a := mail.FromBytes(name, content)
		a.Type = media
		return a
	}
	script := []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="top.pwned=1"><script>top.pwned=1</script></svg>`)
	m := &mail.Message{From: mail.List("eve@example.org"), To: mail.List("bob@example.net"), Subject: "Evil files", Text: "Hello.", Attachments: []mail.Attachment{
		file("../../x.sh", "text/x-sh", []byte("rm")), file(`..\..\y.bat`, "text/plain", []byte("del")), file("invoice\u202egpj.exe", "application/octet-stream", []byte("MZ")),
		file("page.html", "text/html", script), file("drawing.svg", "image/svg+xml", script), file("fake.png", "image/png", script), file("bomb.png", "image/png", bomb()), file("fake.pdf", "application/pdf", script),
	}}
	// A name that would end the field it is put into.
	raw := strings.Replace(string(written(t, m)), "filename=page.html", "filename*=utf-8''a%0D%0ASet-Cookie:%20a=b%22.html", 1)
	w.deliver([]byte(raw))
	id := w.wait("subject:evil")
	w.open(t, "/messages/"+id)
	names := eval[[]string](t, w.ctx, `[...document.querySelectorAll(".file")].map(f => f.dataset.name)`)
	for i, want := range []string{"x.sh", "y.bat", "invoicegpj.exe"} {
		if len(names) != 8 || names[i] != want {
			t.Fatalf("the files are called %q, want %s in place %d of 8", names, want, i)
		}
	}
	// What the server says the file is called, which counts where a link does not say.
	for _, got := range eval[[]string](t, w.ctx, `Promise.all([...document.querySelectorAll(".files .save")].map(a => fetch(a.href).then(r => a.download + " " + r.headers.get("Content-Disposition"))))`, chromedp.EvalAwaitPromise) {
		if strings.ContainsAny(got, "/\\\r\n\u202e") || strings.Contains(got, "..") || !strings.Contains(got, " attachment") {
			t.Errorf("it would be saved as %q", got)
		}
	}
	for n, want := range map[string]string{"5": "<svg", "6": "does not show files of this type", "7": "65535 × 65535 pixels", "8": "does not show files of this type"} {
		w.click(t, ".files li:nth-child("+n+") .file")
		until(t, w.ctx, `document.querySelector(".shown")?.innerText.includes(`+"`"+want+"`"+`)`)
	}
	if eval[bool](t, w.ctx, "window.pwned !== undefined || document.cookie !== ''") {
		t.Error("a file has run, or set a cookie")
	}
}

// testPDF looks at a PDF as the browser's own reader shows it, and where there is none.
func testPDF(t *testing.T, w *web) {
	w.deliver(written(t, files(t)))
	w.open(t, "/messages/"+w.wait("subject:files"))
	w.click(t, `.file[data-name="invoice.pdf"]`)
	until(t, w.ctx, `document.querySelector("iframe.pdf") !== null`)
	if !eval[bool](t, w.ctx, "navigator.pdfViewerEnabled") {
		t.Fatal("this browser has no reader of PDF; the tests want one that has")
	}
	// The reader is a program of the browser's that no script sees into. The page of the PDF is red.
	peers.Until(t, "the PDF is drawn", func() bool { return reds(t, w.ctx) > 20_000 })
	shoot(t, w.ctx, "part-pdf", 1280, "light")

	// What a PDF does by itself when it is opened: nothing that leaves the reader.
	url, seen := evil(t)
	script := fmt.Sprintf(`/S/JavaScript/JS(for \(const f of [\(\) => app.launchURL\("%[1]s/launch", false\), \(\) => app.launchURL\("%[1]s/window", true\), `+
		`\(\) => this.submitForm\("%[1]s/submit"\), \(\) => this.getURL\("%[1]s/get"\), \(\) => app.mailMsg\(false, "eve@example.org"\)]\) try { f\(\) } catch {})`, url)
	w.deliver(written(t, &mail.Message{From: mail.List("eve@example.org"), To: mail.List("bob@example.net"), Subject: "Evil document", Text: "Open it.", Attachments: []mail.Attachment{
		mail.FromBytes("evil.pdf", pdf("Evil", script, "/S/URI/URI("+url+"/uri)", "/S/SubmitForm/F<</FS/URL/F("+url+"/form)>>/Fields[]", "/S/GoToR/F("+url+"/remote)/D[0/Fit]", "/S/Launch/F("+url+"/program)"))}}))
	id := w.wait("subject:evil+subject:document")
	w.open(t, "/messages/"+id+"?part=2&view=parts")
	peers.Until(t, "the hostile PDF is drawn", func() bool { return reds(t, w.ctx) > 20_000 })
	quiet(t, w.ctx, w.web+"/messages/"+id+"?part=2&view=parts", seen)

	// A browser without a reader says so, and the page says what to do instead.
	eval[bool](t, w.ctx, `Object.defineProperty(Navigator.prototype, "pdfViewerEnabled", { get: () => false }), true`)
	w.click(t, `.file[data-name="evil.pdf"]`)
	until(t, w.ctx, `!document.querySelector("iframe.pdf") && document.querySelector(".shown").innerText.includes("shows no PDF")`)
}

// reds counts the pixels of the window that are as red as the page of a pdf.
func reds(t *testing.T, ctx context.Context) (n int) {
	t.Helper()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if r, g, b, _ := img.At(x, y).RGBA(); r > 0xf000 && g < 0x1000 && b < 0x1000 {
				n++
			}
		}
	}
	return n
}

// testHostileLinks has the server look at links that lead to what is not for it.
func testHostileLinks(t *testing.T, w *web) {
	url, seen := evil(t)
	port := url[strings.LastIndexByte(url, ':'):]
	inside := httptest.NewServer(http.RedirectHandler(url+"/redirected", http.StatusFound))
	defer inside.Close()
	var links strings.Builder
	for _, at := range []string{url, "http://localhost" + port, "http://[::ffff:127.0.0.1]" + port, "http://[::ffff:7f00:1]" + port, "http://0x7f.1" + port, "http://2130706433" + port, "http://127.1" + port,
		"http://0.0.0.0" + port, "http://[::1]" + port, "http://[64:ff9b::7f00:1]" + port, "http://[2002:7f00:1::]" + port, "http://100.64.0.1" + port, "http://169.254.169.254/latest/meta-data", inside.URL, "http://user:pass@127.0.0.1" + port} {
		links.WriteString(at + "/link\r\n")
	}
	w.deliver(written(t, &mail.Message{From: mail.List("eve@example.org"), To: mail.List("bob@example.net"), Subject: "Evil links", Text: links.String()}))
	w.open(t, "/messages/"+w.wait("subject:evil+subject:links")+"?view=checks")
	w.click(t, "[data-do=links]")
	until(t, w.ctx, `document.querySelectorAll("#links li").length >= 15`)
	if good := eval[[]string](t, w.ctx, `[...document.querySelectorAll("#links .good h2")].map(h => h.innerText)`); len(good) > 0 {
		t.Errorf("these were looked at: %q", good)
	}
	if paths := seen(); len(paths) > 0 {
		t.Errorf("the server was asked for %q", paths)
	}
	w.look(t, "links")
}
