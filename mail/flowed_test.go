package mail

import (
	"strings"
	"testing"
)

func TestUnflow(t *testing.T) {
	for _, c := range []struct {
		in    string
		delsp bool
		want  string
	}{
		{"a \nb\nc\n", false, "a b\nc\n"},
		{"a  \nb\n", true, "a b\n"},
		{"日 \n本\n", true, "日本\n"},
		{"> a \n> b\n>> c\nd \n> e\n", false, "> a b\n>> c\nd \n> e\n"},
		{">a \n>b\n", false, "> a b\n"},
		{" From x\n > y\n", false, "From x\n> y\n"},
		{"a \n-- \nsig\n", false, "a \n-- \nsig\n"},
		{"a\n\n b\n", false, "a\n\nb\n"},
		{"a ", false, "a "},
		{"", true, ""},
	} {
		if got := unflow(c.in, c.delsp); got != c.want {
			t.Errorf("%q, delsp %v: got %q, want %q", c.in, c.delsp, got, c.want)
		}
	}
}

// What is written flowed has short lines and is read as it was.
func TestFlowed(t *testing.T) {
	for _, text := range []string{
		"short\n", strings.Repeat("some words ", 100) + "end\n\nnext\n", strings.Repeat("日本語", 100) + "\n", "From here\n  indented\n-- \nme\n",
		"> " + strings.Repeat("quoted ", 40) + "end\n>> deeper\nme\n", strings.Repeat("x", 400) + " y\n", "https://example.com/" + strings.Repeat("y", 100) + " is a link\n",
		strings.Repeat("x", 3000) + "\n", strings.Repeat(">", 25) + " x\n", strings.Repeat("word ", 14) + "-- " + strings.Repeat("word ", 14) + "end\n",
	} {
		m := base()
		m.Text, m.Flowed = text, true
		got := back(t, m)
		if got.Text != text {
			t.Errorf("got  %q\nwant %q", got.Text, text)
		}
		if p := got.Body; p.Param("format") != "flowed" || p.Param("delsp") != "yes" {
			t.Errorf("%q: got the type %q", text, p.Header.Value("Content-Type"))
		}
		for line := range strings.Lines(opened(t, Attachment{Open: got.Body.Reader})) {
			if line = strings.TrimRight(line, "\r\n"); len(line) > 78 && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%q has the line %q", text, line)
			}
		}
	}
}

func FuzzFlowed(f *testing.F) {
	for _, s := range []string{"a b\n", "> a\n>> b", "-- \n", " \n", "From \n", strings.Repeat("日", 60), strings.Repeat("x", 2000), strings.Repeat(">", 100) + "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = unflow(s, false), unflow(s, true)
		once := unflow(flow(s), true)
		if again := unflow(flow(once), true); again != once {
			t.Errorf("%q is read as %q, and that as %q", s, once, again)
		}
		if strings.ContainsAny(s, ">\r") {
			return
		}
		var want strings.Builder
		for line := range strings.Lines(s) {
			text := strings.TrimSuffix(line, "\n")
			if text != "-- " {
				text = strings.TrimRight(text, " ")
			}
			want.WriteString(text + line[len(strings.TrimSuffix(line, "\n")):])
		}
		if once != want.String() {
			t.Errorf("%q is written %q and read as %q", s, flow(s), once)
		}
	})
}
