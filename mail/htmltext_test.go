package mail

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postrider/postrider/internal/growth"
)

func TestTextFromHTML(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{"", ""},
		{"plain & simple", "plain & simple\n"},
		{"<html><head><title>T</title><style>p{}</style></head><body><p>One\n two</p><p>Three<br>four</p></body>", "One two\n\nThree\nfour\n"},
		{"<h1>News of <b>today</b></h1><h2>First</h2><p>a<h3>Third</h3>b", "News of today\n=============\n\nFirst\n-----\n\na\n\nThird\n\nb\n"},
		{`<a href="https://example.com/a?b=c&amp;d">Look here</a>, or <a href="mailto:a@b.c?subject=x">write</a>.`, "Look here <https://example.com/a?b=c&d>, or write <a@b.c>.\n"},
		{`<a href="https://example.com/">https://example.com</a> <a href="https://example.com">example.com</a> <a href="#top">up</a> <a href="javascript:x()">x</a>`, "https://example.com example.com up x\n"},
		{`<a href="https://example.com/"><img src="x.png" alt="Our shop"></a><a href="https://example.com/2"><img src=y></a>`, "[Our shop] <https://example.com/><https://example.com/2>\n"},
		{`<a href="https://e.com/ a` + "\n" + `b<x>">l</a>`, "l <https://e.com/abx>\n"},
		{"<ul><li>one<li>two<ul><li>in<li>ner</ul><li>three</ul>after", "* one\n* two\n  * in\n  * ner\n* three\n\nafter\n"},
		{"<ol start=9><li>nine<li>ten</ol><ol><li><p>one</p><p>more</p></ol>", "9. nine\n10. ten\n\n1. one\n\n  more\n"},
		{"<table><tr><th>Name<th>Price</tr><tr><td>Tea</td><td>2&nbsp;€</td></tr></table>", "Name | Price\nTea | 2 €\n"},
		{"<table><tr><td><table><tr><td>a</td></tr></table></td><td><p>b</td></tr></table>", "a\n\nb\n"},
		{"<blockquote>said<blockquote>before</blockquote></blockquote>me", "> said\n\n> > before\n\nme\n"},
		{"<pre>a  b\n  c\n</pre>d", "a  b\n  c\n\nd\n"},
		{"a<script>alert('<p>x')</script>b<!-- c -->d<style>e</style>", "abd\n"},
		{`<div style="DISPLAY : none">seen<div>not</div> at all</div>yes<span hidden>no</span>`, "yes\n"},
		{"a<hr>b", "a\n\n" + strings.Repeat("-", 40) + "\n\nb\n"},
		{"</ul></li></p></blockquote></a>x", "x\n"},
		{"<a href=http://x>", "<http://x>\n"},
		{"a \u00ad\u034f b", "a b\n"},
		{"<p>a</p><p>&nbsp;</p><p>&nbsp; b</p><img alt=c><img alt=d>", "a\n\nb\n\n[c] [d]\n"},
		{"日本 <b>語</b>", "日本 語\n"},
	} {
		if got := TextFromHTML(c.html); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.html, got, c.want)
		}
	}
}

// hostilePages grow with n in each way that a page can.
var hostilePages = map[string]func(n int) string{
	"divs in each other":     func(n int) string { return strings.Repeat("<div>", n) + "x" },
	"lists in each other":    func(n int) string { return strings.Repeat("<ul><li>x", n) },
	"quotes in each other":   func(n int) string { return strings.Repeat("<blockquote>x", n) },
	"tables in each other":   func(n int) string { return strings.Repeat("<table><tr><td>x", n) },
	"links in each other":    func(n int) string { return strings.Repeat("<a href=http://x>y", n) },
	"links without text":     func(n int) string { return strings.Repeat("<a href=http://x></a>", n) },
	"a link around it all":   func(n int) string { return "<a href=http://x>" + strings.Repeat("y ", n) + "</a>" },
	"headings":               func(n int) string { return strings.Repeat("<h1>x</h1>", n) },
	"headings without end":   func(n int) string { return strings.Repeat("<h1>x", n) },
	"ends of headings":       func(n int) string { return "<h1>x" + strings.Repeat("y</h1>", n) },
	"hidden in each other":   func(n int) string { return strings.Repeat("<div hidden>", n) + strings.Repeat("</div>", n) },
	"attributes":             func(n int) string { return "<p" + strings.Repeat(" style='display: none'", n) + ">" },
	"one long attribute":     func(n int) string { return "<a href='" + strings.Repeat("x", n) + "'>" },
	"comments without end":   func(n int) string { return strings.Repeat("<!--", n) },
	"scripts without end":    func(n int) string { return strings.Repeat("<script>", n) },
	"line breaks":            func(n int) string { return strings.Repeat("<br>", n) + "x" },
	"items without a list":   func(n int) string { return strings.Repeat("<li>x", n) },
	"opening angle brackets": func(n int) string { return strings.Repeat("<", n) },
	"entities":               func(n int) string { return strings.Repeat("&amp", n) },
	"preformatted lines":     func(n int) string { return "<pre>" + strings.Repeat("\nx", n) },
}

func TestTextFromHTMLGrowth(t *testing.T) {
	for name, page := range hostilePages {
		s := page(20000)
		if got := TextFromHTML(s); len(got) > 10*len(s) {
			t.Errorf("%s: %d octets made of %d", name, len(got), len(s))
		}
		growth.Linear(t, name, 20000, func(n int) func() {
			s := page(n)
			return func() { TextFromHTML(s) }
		})
	}
}

func FuzzTextFromHTML(f *testing.F) {
	for _, page := range hostilePages {
		f.Add(page(3))
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := TextFromHTML(s)
		if len(got) > 100+30*len(s) {
			t.Errorf("%d octets made of %d", len(got), len(s))
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q: %q is not UTF-8", s, got)
		}
		if got != "" && !strings.HasSuffix(got, "\n") {
			t.Errorf("%q: %q does not end a line", s, got)
		}
	})
}
