package inbox

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/postrider/postrider/mail"
)

// parsed returns a message with that HTML and a picture, a text and an SVG to
// refer to.
func parsed(t testing.TB, text string) *mail.Message {
	t.Helper()
	part := func(cid, media, content string) mail.Attachment {
		a := mail.FromBytes("", []byte(content))
		a.CID, a.Type = cid, media
		return a
	}
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), HTML: text, Attachments: []mail.Attachment{
		part("pic@x", "image/png", "PNG"), part("pic@x", "image/png", "second"), part("page@x", "text/html", "<script>"), part("old@x", "image/pjpeg", "JPG"),
	}}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	out, err := mail.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSanitise(t *testing.T) {
	for _, c := range []struct {
		in         string
		want, gone []string
	}{
		{`<p>Hello <b>Bob</b></p>`, []string{`<p>Hello <b>Bob</b></p>`}, nil},
		{`<body style="background:#eee" bgcolor="#fff"><p align=center>x`, []string{`<body style="background:#eee" bgcolor="#fff">`, `align="center"`}, nil},
		{`<style>.a{color:red}</style><p class=a>x</p>`, []string{`.a{color:red}`, `<p class="a">`}, nil},
		{`<script>alert(1)</script>a<script src=x></script>b`, []string{"ab"}, []string{"alert", "script"}},
		{`<img src="cid:pic@x">`, []string{`<img src="data:image/png;base64,UE5H">`}, []string{"cid:"}},
		{`<img src=" CID:pic@x">`, []string{`data:image/png;base64,UE5H`}, nil},
		{`<img src="cid:pic@x"/><br/>`, []string{`data:image/png;base64,UE5H`}, nil},
		{`<img src="cid:old@x">`, []string{`data:image/jpeg;base64,SlBH`}, nil},
		{`<img src="cid:page@x"><img src="cid:none@x" alt="A">`, []string{`alt="A"`}, []string{"cid:", "src="}},
		{`<img src="cid:0"><a href="cid:0">x</a>`, nil, []string{"cid:", "data:"}},
		{`<img src="cid:0" alt="none"><img src="cid:pic@x">`, []string{`<img alt="none">`, "UE5H"}, nil},
		{`<img alt='src="cid:0"' src="cid:pic@x">`, []string{"UE5H"}, nil},
		{`<p>src="cid:0"</p><img src="cid:pic@x">`, []string{`cid:0`}, nil},
		{`<img src="http://evil.example/a.png" srcset="http://evil.example/b 2x">`, nil, []string{"evil"}},
		{`<img src="//evil.example/a.png"><img src="/api/v1/messages"><img src="a.png">`, nil, []string{"evil", "api", "src="}},
		{`<img src="data:image/png;base64,AAAA"><img src="data:text/html,<script>">`, []string{`data:image/png;base64,AAAA`}, []string{"text/html"}},
		{`<img src="data:image/png;base64,AA&quot;onerror=alert(1)">`, nil, []string{"onerror"}},
		{`<a href="https://example.com/a?b=c&amp;d">x</a>`, []string{`href="https://example.com/a?b=c&amp;d"`, `target="_blank"`, "noreferrer", "noopener"}, nil},
		{`<a href="javascript:alert(1)">x</a><a href=" jAva&#10;script:alert(1)">y</a><a href="data:text/html,x">z</a><a href="vbscript:x">v</a>`, nil, []string{"href"}},
		{`<a href="mailto:ann@example.com">x</a>`, []string{`href="mailto:ann@example.com"`}, nil},
		{`<p onclick="x()" onMouseOver=y()>z</p>`, []string{"<p>z</p>"}, []string{"onclick", "onmouse"}},
		{`<svg onload=alert(1)><image href=http://evil.example/></svg><math><a xlink:href="javascript:x">`, nil, []string{"svg", "evil", "javascript", "onload"}},
		{`<iframe src=http://evil.example></iframe><object data=x></object><embed src=x><frame src=x><applet>`, nil, []string{"iframe", "object", "embed", "frame ", "applet", "evil"}},
		{`<form action=http://evil.example><input name=a><button>send</button></form>`, []string{"send"}, []string{"form", "input", "button", "evil"}},
		{`<base href=http://evil.example/><meta http-equiv=refresh content="0;url=http://evil.example"><link rel=stylesheet href=http://evil.example>`, nil, []string{"base ", "refresh", "link", "evil"}},
		{`<p style="background:url(http://evil.example)">x</p><p style='color:red;background:URL ( "//evil.example")'>y</p>`, []string{"color:red"}, []string{"url(", "URL (", "url ("}},
		{`<style>@import "http://evil.example"; @IMPORT url(x); b{background:image-set("http://evil.example" 1x)}</style>`, nil, []string{"@import", "@IMPORT", "image-set("}},
		{`<style>b{background:\75rl(http://evil.example)} i{background:u/**/rl(x)} u{background:u<rl(x)}</style>`, nil, []string{"url(", `\`}},
		{`<style>b{background:u@importrl(x)} i{background:image-set@import(y)}</style><p style="background:u@IMPORTrl(z)">x</p>`, nil, []string{"url(", "image-set("}},
		{"<img src=\"\x01 c&#10;i&#9;d&#13;:pic@x\"><a href=\"c&#10;id:pic@x\">y</a>", []string{`<img src="data:image/png;base64,UE5H">`}, []string{"cid:", "href"}},
		{`<style>a{}</style ><style>--></style><script>x</script>`, nil, []string{"<script", "script>"}},
		{`<style><img src=x onerror=alert(1)></style>`, nil, []string{"<img"}},
		{`<title></title><script>a</script></title><textarea></textarea><xmp><script>b</script></xmp><noscript><p title="</noscript><script>c</script>">`, nil, []string{"<script", "<xmp", "<textarea", "<noscript"}},
		{`<!--<script>--><p>a</p><!-- [if mso]><script>b</script><![endif]-->`, []string{"<p>a</p>"}, []string{"<script", "mso"}},
		{`<table background="http://evil.example/x"><td width=3 colspan=2>x</td></table>`, []string{`colspan="2"`}, []string{"evil", "background"}},
		{"<p>caf\u00e9 \u202e</p>", []string{"caf\u00e9"}, nil},
	} {
		out := string(sanitise(parsed(t, c.in), newPolicy(), look{}))
		got := strings.TrimPrefix(out, documentHead)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s\ngives %s\nwithout %s", c.in, got, want)
			}
		}
		for _, gone := range c.gone {
			if strings.Contains(got, gone) {
				t.Errorf("%s\ngives %s\nwith %s", c.in, got, gone)
			}
		}
	}
}

// A picture that cannot be read leaves its place empty, and the others where they are.
func TestUnreadablePicture(t *testing.T) {
	part := func(cid string, open func() (io.ReadCloser, error)) *mail.Part {
		return &mail.Part{Header: mail.Fields("Content-Type", "image/png", "Content-ID", "<"+cid+">"), Open: open}
	}
	m := &mail.Message{HTML: `<img src="cid:a"><img src="cid:b">`, Body: &mail.Part{Header: mail.Fields("Content-Type", "multipart/related; boundary=b"), Parts: []*mail.Part{
		part("a", func() (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }),
		part("b", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("PNG")), nil }),
	}}}
	if got, want := string(sanitise(m, newPolicy(), look{})), `<img src=""><img src="data:image/png;base64,UE5H">`; !strings.Contains(got, want) {
		t.Errorf("it is\n%s\nwithout %s", got, want)
	}
}

// How the HTML is shown is asked for, and nothing that runs comes with it.
func TestLooks(t *testing.T) {
	for _, c := range []struct {
		in         string
		look       look
		want, gone []string
	}{
		{`<img src="http://a.example/x.png?b=1&amp;c"><td background="https://a.example/y">z</td>`, look{remote: true}, []string{`src="http://a.example/x.png?b=1&amp;c"`, `background="https://a.example/y"`}, nil},
		{`<img src="//a.example/x"><img src="/api/v1/messages"><img src="ftp://a/x"><img src="javascript:x">`, look{remote: true}, nil, []string{"example", "api", "ftp", "javascript"}},
		{`<img src='https://a.example/"onerror="x'>`, look{remote: true}, []string{`&#34;onerror=`}, []string{`"onerror`}},
		{`<p style="background:url(https://a.example/x)">y</p><style>p{background:url("http://a.example/z")} @import url(https://a.example/i)</style>`, look{remote: true},
			[]string{"url(https://a.example/x)", `url("http://a.example/z")`}, []string{"@import"}},
		{`<p style="background:url(/api)">y</p><style>p{background:url(\68ttp://x)}</style>`, look{remote: true}, nil, []string{"url("}},
		{`<style>@media (prefers-color-scheme: dark){p{color:white}}</style><p>x`, look{dark: true}, []string{"@media (min-width:0px)", darkHead}, []string{invertedHead}},
		{`<style>@media (prefers-color-scheme:dark){p{color:white}}</style><p>x`, look{}, []string{"@media (max-width:0px)"}, []string{darkHead, invertedHead}},
		{`<style>@media (Prefers-Color-Scheme : light){p{color:black}}</style><p>x`, look{dark: true}, []string{"@media (max-width:0px)", invertedHead}, nil},
		{`<meta name="color-scheme" content="light dark"><p>x`, look{dark: true}, []string{darkHead}, []string{invertedHead}},
		{`<meta name="supported-color-schemes" content="light dark"><p>x`, look{dark: true}, []string{darkHead}, nil},
	} {
		got := strings.TrimPrefix(string(sanitise(parsed(t, c.in), newPolicy(), c.look)), documentHead)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s as %+v\ngives %s\nwithout %s", c.in, c.look, got, want)
			}
		}
		for _, gone := range c.gone {
			if strings.Contains(got, gone) {
				t.Errorf("%s as %+v\ngives %s\nwith %s", c.in, c.look, got, gone)
			}
		}
	}
	if strings.Contains(look{}.policy(), "http") || !strings.Contains(look{remote: true}.policy(), "img-src data: https: http:;") {
		t.Errorf("the policies are %q and %q", look{}.policy(), look{remote: true}.policy())
	}
}

func TestInspect(t *testing.T) {
	found := inspect(parsed(t, `<img src="cid:pic@x"><img src="cid:none"><img src="http://a/"><p style="background:url(x)"><img src="data:image/png;base64,AA">`))
	if found.remote != 2 || !slices.Equal(found.missing, []string{"none"}) {
		t.Errorf("inspect = %d remote, %q missing; want 2, none", found.remote, found.missing)
	}
}

// forbidden walks over a document as a browser reads it and names what should not
// be in there.
func forbidden(n *html.Node, bad func(string)) {
	if n.Type == html.ElementNode {
		if slices.Contains([]string{"script", "iframe", "object", "embed", "form", "input", "base", "link", "svg", "math", "video", "audio", "template"}, n.Data) {
			bad("element " + n.Data)
		}
		for _, a := range n.Attr {
			switch key := strings.ToLower(a.Key); {
			case strings.HasPrefix(key, "on"), key == "srcdoc", key == "srcset", key == "background", key == "action", key == "formaction":
				bad("attribute " + key)
			case key == "src" && a.Val != "" && !strings.HasPrefix(a.Val, "data:image/"):
				bad("src " + a.Val)
			case key == "href":
				scheme, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(a.Val)), ":")
				if !slices.Contains([]string{"http", "https", "mailto", "tel"}, scheme) && strings.Contains(a.Val, ":") {
					bad("href " + a.Val)
				}
			case key == "style" && hostile.MatchString(a.Val):
				bad("style " + a.Val)
			case key == "http-equiv":
				bad("meta " + a.Val)
			}
		}
		if n.Data == "style" && n.FirstChild != nil && hostile.MatchString(n.FirstChild.Data) {
			bad("style sheet " + n.FirstChild.Data)
		}
	}
	for c := range n.ChildNodes() {
		forbidden(c, bad)
	}
}

func FuzzSanitise(f *testing.F) {
	for _, seed := range []string{
		`<p style="color:red">x<img src=cid:pic@x onerror=x>`, `<style>a{background:u\rl(x)}</style>`, `<svg><style><img src=x onerror=y></style>`,
		`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`, `<noscript><p title="</noscript><img src=x onerror=x>">`,
		`<a href="&#106;avascript:x">`, `<body><body onload=x><title><a>`, `<!DOCTYPE a [<!ENTITY b "c">]>`, `<plaintext><script>`, "<a\x00b c=d>", `<select><style><script>`,
	} {
		f.Add(seed)
	}
	policy := newPolicy()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			t.Skip("long")
		}
		m := &mail.Message{HTML: text, Body: mail.TextPart("text/html", text)}
		out := sanitise(m, policy, look{})
		doc, err := html.Parse(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		forbidden(doc, func(what string) { t.Errorf("%q\ngives %q\nwith %s", text, out, what) })
	})
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		`<html><head><title>T</title><style>p{}</style></head><body><p>Hello</p><p>Bob &amp; Ann</p>`: "Hello Bob & Ann",
		`<style>x</style>a<script>y</script>b`:                                                        "ab",
		`<head><body>unclosed`:                                                                        "unclosed",
		``:                                                                                            "",
	} {
		if got := oneLine(plainText(in, 1000), 100); got != want {
			t.Errorf("plainText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{" a \r\n\t b  ", 100, "a b"}, {"abcdef", 3, "abc"}, {"äöü", 2, "äö"}, {"a\x00\x1b[31mb", 100, "a[31mb"},
		{"a\u200b\u00ad\u034f\u202eb", 100, "ab"}, {"क्\u200dष 👩\u200d🚀", 100, "क्\u200dष 👩\u200d🚀"}, {"\xff", 10, "\uFFFD"}, {"", 3, ""},
	} {
		if got := oneLine(c.in, c.n); got != c.want {
			t.Errorf("oneLine(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestSafeName(t *testing.T) {
	for _, c := range []struct{ in, media, want string }{
		{"report.pdf", "application/pdf", "report.pdf"},
		{"../../etc/passwd", "", "passwd"}, {`..\..\boot.ini`, "", "boot.ini"}, {"/etc/passwd", "", "passwd"}, {`C:\a.txt`, "", "a.txt"},
		{"a/", "text/plain", "part-2.txt"}, {"", "image/png", "part-2.png"}, {"..", "", "part-2.bin"}, {".htaccess", "", "htaccess"},
		{"a\r\nX: y.txt", "", "aX_ y.txt"}, {`a"b<c>.txt`, "", "a_b_c_.txt"}, {"evil\u202egpj.exe", "", "evilgpj.exe"}, {"a.exe. .", "", "a.exe"},
		{"", "message/delivery-status", "part-2.txt"}, {"CON", "text/plain", "part-2.txt"}, {"nul.txt", "text/plain", "part-2.txt"}, {"Con  .txt", "text/plain", "part-2.txt"}, {"com².log", "text/plain", "part-2.txt"}, {"CONOUT$", "", "part-2.bin"}, {"conf.txt", "", "conf.txt"}, {"Ελένη.pdf", "", "Ελένη.pdf"},
		{strings.Repeat("a", 300) + ".pdf", "", strings.Repeat("a", 146) + ".pdf"}, {"\xff\xfe.txt", "", "txt"},
		{strings.Repeat("ä", 100) + "." + strings.Repeat("b", 50), "", strings.Repeat("ä", 75)},
	} {
		if got := safeName(c.in, "2", c.media); got != c.want {
			t.Errorf("safeName(%q, %q) = %q, want %q", c.in, c.media, got, c.want)
		}
	}
}

func TestSpans(t *testing.T) {
	got := spans("See https://example.com/a?b=(c), or <http://x.example/>. Not ftp://x or javascript:x.")
	var links []string
	var text strings.Builder
	for _, s := range got {
		text.WriteString(s.Text)
		if s.URL != "" {
			links = append(links, s.URL)
		}
	}
	if want := []string{"https://example.com/a?b=(c", "http://x.example/"}; !slices.Equal(links, want) {
		t.Errorf("links are %q, want %q", links, want)
	}
	if !strings.HasSuffix(text.String(), "javascript:x.") || !strings.HasPrefix(text.String(), "See https") {
		t.Errorf("the text has become %q", text.String())
	}
}

// The browser's wall is written once, and each word of it counts: whoever changes
// it changes it here too.
func TestLookPolicy(t *testing.T) {
	const rest = "; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
	for l, want := range map[look]string{
		{}: "default-src 'none'; img-src data:" + rest, {dark: true}: "default-src 'none'; img-src data:" + rest,
		{remote: true}: "default-src 'none'; img-src data: https: http:" + rest,
	} {
		if got := l.policy(); got != want {
			t.Errorf("%+v has the policy\n%s\nwant\n%s", l, got, want)
		}
	}
}

// A document has so much of pictures and no more, whether they are parts of the
// message or stand in the HTML: one part may be shown a thousand times.
func TestPicturesAreBounded(t *testing.T) {
	const size = 5 << 20
	message := "From: ann@example.com\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n%s\n--b\nContent-Type: image/png\nContent-ID: <p@x>\n\n" + strings.Repeat("x", size) + "\n--b--\n"
	inline := `<img src="data:image/png;base64,` + strings.Repeat("A", size) + `">`
	for name, html := range map[string]string{"parts": strings.Repeat(`<img src="cid:p@x">`, 50), "data": strings.Repeat(inline, 5)} {
		out := sanitise(read(t, strings.Replace(message, "%s", html, 1)), newPolicy(), look{})
		if n := bytes.Count(out, []byte("data:image/png")); n != maxPictures/size {
			t.Errorf("%s: %d pictures of 5 MiB are shown, want %d", name, n, maxPictures/size)
		}
	}
}

// A picture for which there is no room is read once, however often it is to be shown.
func TestLargePictureIsReadOnce(t *testing.T) {
	message := "From: ann@example.com\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n" +
		strings.Repeat(`<img src="cid:p@x">`, 50) + "\n--b\nContent-Type: image/png\nContent-ID: <p@x>\n\n" + strings.Repeat("x", maxPictures+1) + "\n--b--\n"
	from := &counting{ReaderAt: strings.NewReader(message)}
	m, err := mail.ParseAt(from, int64(len(message)))
	if err != nil {
		t.Fatal(err)
	}
	from.octets = 0
	if out := sanitise(m, newPolicy(), look{}); bytes.Contains(out, []byte("data:")) || from.octets > 2*maxPictures {
		t.Errorf("%d octets of %d are read for\n%.300s", from.octets, len(message), out)
	}
}

// A counting reader counts what is read of it.
type counting struct {
	io.ReaderAt
	octets int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.octets += n
	return n, err
}

// A type that a browser might make a document of is none that is told: whoever
// adds a word to the list adds what it is for.
func TestSafeType(t *testing.T) {
	for media, want := range map[string]string{
		"text/html": "", "application/xhtml+xml": "", "text/xml": "", "application/atom+xml": "", "image/svg+xml": "", "text/javascript": "", "application/ecmascript": "",
		"multipart/x-mixed-replace": "", "multipart/mixed": "", "application/x-mixed": "", "application/mhtml": "", "message/mhtml": "", "application/x-shockwave-flash": "", "application/java-archive": "", "TEXT/HTML": "",
		"text/plain": "text/plain", "application/pdf": "application/pdf", "image/png": "image/png", "text/csv; charset=utf-8": "text/csv; charset=utf-8", "nonsense": "text/plain",
	} {
		if want == "" {
			want = "application/octet-stream"
		}
		part := &mail.Part{Header: mail.Fields("Content-Type", media)}
		if got := safeType(part); got != want {
			t.Errorf("%s is saved as %s, want %s", media, got, want)
		}
	}
}
