package inbox

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// read parses a message written with LF.
func read(t testing.TB, text string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const proper = "From: ann@example.com\nTo: bob@example.net\nDate: Tue, 24 Nov 2026 20:00:00 +0000\nMessage-ID: <1@example.com>\nSubject: Minutes\n"

func TestChecks(t *testing.T) {
	page := func(html string) string {
		return proper + "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\nHello Bob, this is the text.\n--b\nContent-Type: text/html\n\n" + html + "\n--b--\n"
	}
	for _, c := range []struct{ in, level, title string }{
		{proper + "\nHello\n", "good", "It is plain text"},
		{proper + "\nHello\n", "good", "Nothing in it is against"},
		{"To: bob@example.net\nSubject: x\n\nHello\n", "problem", "It has no From"},
		{"From: ann@example.com\n\nHello\n", "problem", "It has no Message-ID"},
		{"From: ann@example.com\nDate: yesterday\n\nHello\n", "problem", "It has no Date"},
		{"From: ann@example.com\n\nHello\n", "advice", "It has no subject"},
		{strings.Replace(proper, "Minutes", strings.Repeat("ü", 80), 1) + "\nHello\n", "advice", "The subject has 80 characters"},
		{proper + "Bcc: eve@example.org\n\nHello\n", "problem", "It names its hidden recipients"},
		{proper + "\n", "advice", "It has no text at all"},
		{proper + "Content-Type: text/html\n\n<p>Hello\n", "problem", "It has HTML but no text part"},
		{page("<p>Hello"), "good", "It has HTML and a text part"},
		{page("<p>" + strings.Repeat("word ", 200)), "advice", "The text part says much less"},
		{page(`<img src="cid:none" alt="">`), "problem", "1 picture is missing"},
		{page(`<img src="https://a.example/x" alt="x">`), "advice", "1 thing is loaded from elsewhere"},
		{page(`<img src="https://a.example/x" width=1 height="1px">`), "advice", "1 picture is one pixel large"},
		{page(`<img src="https://a.example/x">`), "advice", "1 picture has no alt text"},
		{page("<p>" + strings.Repeat("<b></b>", clip/7+1)), "problem", "The HTML has 104.5 kB, and Gmail clips"},
		{page("<p>x"), "good", "The HTML has 4 B"},
		{proper + "List-Id: <a.example.com>\n\nHello\n", "problem", "It is bulk mail and has no List-Unsubscribe"},
		{proper + "List-Unsubscribe: https://a.example/\n\nHello\n", "problem", "List-Unsubscribe cannot be read"},
		{proper + "List-Unsubscribe: <https://a.example/?a,b> (not (, <mailto:a@example.com>\n\nHello\n", "problem", "List-Unsubscribe cannot be read"},
		{proper + "List-Unsubscribe: <https://a.example/?a,b> (a comment, as in RFC 2369\\)),\n <mailto:a@example.com>()\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n\nHello\n", "good", "It can be unsubscribed"},
		{proper + "List-Unsubscribe: <https://a.example/\n\nHello\n", "problem", "List-Unsubscribe cannot be read"},
		{proper + "List-Unsubscribe: <javascript:x>\n\nHello\n", "problem", "List-Unsubscribe cannot be read"},
		{proper + "List-Unsubscribe: <mailto:a@example.com>\n\nHello\n", "advice", "Unsubscribing takes more"},
		{proper + "List-Unsubscribe: <mailto:a@example.com>, <https://a.example/>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n\nHello\n", "good", "It can be unsubscribed"},
		{proper + "List-Unsubscribe: <mailto:a@example.com>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n\nHello\n", "problem", "One-click unsubscribing has no https"},
		{proper + "List-Unsubscribe: <https://a.example/>\nList-Unsubscribe-Post: yes\n\nHello\n", "problem", "List-Unsubscribe-Post is wrong"},
		{proper + "MIME-Version: 1.0\nContent-Type: text/plain; charset=nonsense\n\nHello\n", "problem", "1 thing in it is not as the standards"},
		{page(`<div style="display: FLEX">x</div>`), "advice", "1 feature is not shown"},
		{page("<p>x"), "good", "Every feature that it uses"},
		{page("<style>" + strings.Repeat("a{}", 6000) + "</style><p>x"), "advice", "1 feature is not shown"}, // 18 KB
		{page("<style>" + strings.Repeat("a{}", 5000) + "</style><p>x"), "good", "Every feature that it uses"},
		{proper + "List-Unsubscribe: <https:///nowhere>\n\nHello\n", "problem", "List-Unsubscribe cannot be read"},
	} {
		found := check(read(t, c.in), true)
		ok := false
		for _, f := range found {
			ok = ok || f.Level == c.level && strings.HasPrefix(f.Title, c.title)
		}
		if !ok {
			t.Errorf("%.300s\ngives %+v\nwithout %s %q", c.in, found, c.level, c.title)
		}
	}
}

// Each row of the table finds what it is about, and not a harmless message.
func TestSupport(t *testing.T) {
	uses := map[string]string{
		"<form>": `<form action=x>`, "<video>": `<VIDEO src=x>`, "<audio>": `<audio src=x>`, "<svg>": `<svg>`, "<iframe>": `<iframe src=x>`, "<object>": `<object data=x>`,
		"<picture>": `<picture>`, "@media": `<style>@media (max-width:1px){}`, "float": `<p style="float:left">`, "object-fit": `<img style="object-fit:cover">`,
		"light-dark()": `<p style="color:light-dark(#000,#fff)">`, "filter": `<img style="filter:blur(1px)">`,
		"<link rel=stylesheet>": `<link href=x rel="stylesheet">`, "@import": `<style>@import "x"`, "@font-face": `<style>@font-face{}`, "WebP pictures": `<img src="a.webp">`,
		"data: pictures": `<img src="data:image/png;base64,AA">`, "display: flex": `<p style="display:inline-flex">`, "display: grid": `<p style="display : grid">`,
		"position": `<p style="position:absolute">`, "background-image": `<p style="background: #fff url(x)">`, "CSS variables": `<p style="color:var(--a)">`,
		"calc()": `<p style="width:calc(1px + 2px)">`, "border-radius": `<p style="border-radius:1px">`, "box-shadow": `<p style="box-shadow:1px 1px">`,
		"max-width": `<p style="color:red;max-width:1px">`, "margin: auto": `<p style="margin:0 auto">`, "animation": `<p style="animation-name:x">`,
		"prefers-color-scheme": `<style>@media (prefers-color-scheme:dark)`, ":hover": `<style>a:hover{}`,
		"linear-gradient()": `<p style="background:linear-gradient(#fff,#000)">`, "clamp()": `<p style="width:clamp(1px,2vw,3px)">`, "rem": `<p style="margin:0 1.5rem">`,
		"rgba()": `<p style="color:rgba(0,0,0,.5)">`, "transform": `<p style="transform:rotate(1deg)">`, "opacity": `<p style="opacity:.5">`, "text-shadow": `<p style="text-shadow:0 0 1px">`,
		"gap": `<p style="column-gap:1px">`, "aspect-ratio": `<p style="aspect-ratio:1">`, "srcset": `<img src=x srcset="y 2x">`, ":nth-child()": `<style>tr:nth-child(2n){}`,
		"::before and ::after": `<style>p::before{content:"x"}`,
	}
	const plain = `<table align="center" width="600"><tr><td style="padding:8px;margin:0;color:#333;background:#fff;text-decoration:none;text-transform:none">Position: flexible. Gridlock of forms. Mind the gap: of 3 rem of content before noon.</td></tr></table>`
	for _, l := range lacks() {
		if use := strings.ToLower(uses[l.name]); !strings.Contains(use, l.word) || !l.found.MatchString(use) {
			t.Errorf("%s is not found in %q", l.name, use)
		}
		// A row that nobody can check has no place here.
		if l.source != wordEngine && !regexp.MustCompile(`^(css|html|image)-[a-z0-9-]+$`).MatchString(l.source) || l.missing == "" || l.instead == "" {
			t.Errorf("%s has the source %q, lacks in %q and advice %q", l.name, l.source, l.missing, l.instead)
		}
		if text := strings.ToLower(plain); l.found.MatchString(text) {
			t.Errorf("%s is found in %s", l.name, text)
		}
	}
	if n := longestStyle("<style>" + strings.Repeat("a", 100) + "</style><style>b</style><style"); n != 101 {
		t.Errorf("the longest style has %d octets, want 101", n)
	}
}

func TestExplain(t *testing.T) {
	fields := explain(mail.Fields("Received", "by a", "list-unsubscribe", "<x>", "List-Post", "<y>", "X-Anything", "1", "Unheard-Of", "2", "List-", "3"))
	for i, want := range []string{"RFC 5321, 4.4", "RFC 2369, 3.2", "RFC 2369", "", "", ""} {
		if fields[i].RFC != want || (fields[i].Meaning == "") != (i >= 4) {
			t.Errorf("%s: %q of %q, want %q", fields[i].Name, fields[i].Meaning, fields[i].RFC, want)
		}
	}
}

func TestHighlight(t *testing.T) {
	in := "Subject: a\r\n b\r\nContent-Type: multipart/mixed;\r\n boundary=\"x\"\r\n\r\npreamble\r\n--x\r\nContent-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\nBBBB\r\n--x\r\n\r\ntext: no field\r\n--x--\r\nend"
	var got strings.Builder
	for _, p := range highlight(in) {
		got.WriteString("[" + p.Kind + "|" + strings.ReplaceAll(p.Text, "\n", "~") + "]")
	}
	want := `[name|Subject:][value| a~ b~][name|Content-Type:][value| multipart/mixed;~ boundary="x"~][|~preamble~][boundary|--x~]` +
		`[name|Content-Transfer-Encoding:][value| BASE64~][|~][encoded|AAAA~BBBB~][boundary|--x~][|~text: no field~][boundary|--x--~][|end]`
	if got.String() != want {
		t.Errorf("highlight gives\n%s, want\n%s", got.String(), want)
	}
}

// A header that names very many boundaries is remembered to its bound.
func TestHighlightBounded(t *testing.T) {
	var header, body strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&header, "X: boundary=b%d\n", i)
		fmt.Fprintf(&body, "--b%d--\n", i)
	}
	n := 0
	for _, p := range highlight(header.String() + "\n" + body.String()) {
		if p.Kind == "boundary" {
			n += strings.Count(p.Text, "\n")
		}
	}
	if n < 1000 || n > 1001 {
		t.Errorf("%d boundaries are known, want about 1,000", n)
	}
}

func FuzzHighlight(f *testing.F) {
	f.Add("A: b\n\nc")
	f.Add("Content-Type: multipart/mixed; boundary=İx\n\n--x\n:\n")
	f.Fuzz(func(t *testing.T, in string) {
		var got strings.Builder
		for _, p := range highlight(in) {
			got.WriteString(p.Text)
		}
		if want := strings.ToValidUTF8(strings.ReplaceAll(in, "\r\n", "\n"), "\uFFFD"); got.String() != want {
			t.Errorf("highlight(%q) is the source of %q", in, got.String())
		}
	})
}
