package inbox

import (
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// readMessage parses one from its fields and text.
func readMessage(t testing.TB, raw string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLinks(t *testing.T) {
	m := readMessage(t, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"+
		"Go to https://example.com/confirm?t=1&u=2. Or (http://example.org/x).\r\n--b\r\nContent-Type: text/html\r\n\r\n"+
		`<a href="https://example.com/confirm?t=1&amp;u=2"><img src="x"></a><a href="https://example.com/confirm?t=1&amp;u=2">Confirm &amp; <b>go</b></a>`+
		`<a href="javascript:alert(1)">no</a><a href="mailto:a@b">no</a><a name="x">no</a><map><area href="https://example.net/area"></map>`+"\r\n--b--\r\n")
	want := []Link{{"https://example.com/confirm?t=1&u=2", "Confirm & go"}, {"https://example.net/area", ""}, {"http://example.org/x", ""}}
	if got := links(m); !slices.Equal(got, want) {
		t.Errorf("links are %q, want %q", got, want)
	}
}

// What is no web address is no link, whatever stands in it; the words of one are what a
// reader sees, and it ends where a browser ends it.
func TestLinksOfHTML(t *testing.T) {
	for html, want := range map[string][]Link{
		`<a href="javascript:location='https://a.example/'">x</a>`: {}, `<a href="mailto:a@b?body=https://a.example/">x</a>`: {}, `<a href="//a.example/">x</a>`: {},
		`<a href="https://a.example/1">one<a href="https://a.example/2">two</a>`: {{"https://a.example/1", "one"}, {"https://a.example/2", "two"}},
		`<a href="https://a.example/1">one`:                                      {{"https://a.example/1", "one"}}, "<a href=' https://a.example/1\r\n/2 '>one<br>two</a>": {{"https://a.example/1/2", "one two"}},
		`x<a href="https://a.example/1"><img alt="Confirm it" src="x"/></a>y`: {{"https://a.example/1", "Confirm it"}}, `<A HREF="HTTPS://a.example/1">On<b>e</b></A>`: {{"HTTPS://a.example/1", "One"}},
		`<a href="https://a.example/1"><table><tr><td>one</td><td>two</td></tr></table></a>`: {{"https://a.example/1", "one two"}},
		`<a href="https://a.example/1"><style>x{}</style>one<!-- c --> &amp;lt;</a>`:         {{"https://a.example/1", "one &lt;"}},
	} {
		if got := links(&mail.Message{HTML: html}); !slices.Equal(got, want) {
			t.Errorf("%s: links are %q, want %q", html, got, want)
		}
	}
}

// However a message is made, what is taken out of it is bounded.
func FuzzExtract(f *testing.F) {
	f.Add("Your code is 123456 https://example.com/", `<a href="https://example.com/x">code 123456</a>`)
	f.Add("code\n"+strings.Repeat("1234 ", 1000), strings.Repeat("<a href=http://x>", 1000))
	f.Fuzz(func(t *testing.T, text, html string) {
		m := &mail.Message{Text: text, HTML: html}
		if n := len(links(m)); n > maxLinks {
			t.Errorf("%d links", n)
		}
		for _, code := range codes(m) {
			if len(code) > 17 {
				t.Errorf("%q is no code", code)
			}
		}
	})
}

// Twice the text takes about twice the time.
func BenchmarkExtract(b *testing.B) {
	m := &mail.Message{Text: strings.Repeat("Your code is 123456, see https://example.com/x. ", 1000)}
	for b.Loop() {
		codes(m)
		links(m)
	}
}
