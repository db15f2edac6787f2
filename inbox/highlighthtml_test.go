package inbox

import (
	"strings"
	"testing"
)

// What is shown of HTML is what is there, each piece as what a browser takes it for.
func TestHighlightHTML(t *testing.T) {
	for in, want := range map[string]string{
		`<p>Hello</p>`:                                  "[element <p][element >][ Hello][element </p][element >]",
		`<a href="x > y" class=b c>`:                    `[element <a][  ][name href][quoted ="x > y"][  ][name class][quoted =b][  ][name c][element >]`,
		`<br/><img alt='a/b' />`:                        `[element <br][element /][element >][element <img][  ][name alt][quoted ='a/b'][  ][element /][element >]`,
		`<!DOCTYPE html><!-- <b> -->x`:                  "[comment <!DOCTYPE html>][comment <!-- <b> -->][ x]",
		`<style>p > a {}</style>y`:                      "[element <style][element >][sheet p > a {}][element </style][element >][ y]",
		`<script>if (a<b) "</p>"</script>`:              `[element <script][element >][sheet if (a<b) "</p>"][element </script][element >]`,
		`a < b & c`:                                     "[ a < b & c]",
		`<a href = "open`:                               "",
		`<a =x=y><b =`:                                  "",
		"<p\nid\n=\n'z'\n>":                             "[element <p][ \n][name id][ \n][quoted =\n'z'][ \n][element >]",
		"</ x></><?php ?>":                              "",
		"<" + strings.Repeat("a=\"<b>\" ", 3) + "\xff>": "",
	} {
		var shape, text strings.Builder
		for _, p := range highlightHTML(in) {
			if p.Text != "" {
				shape.WriteString("[" + p.Kind + " " + p.Text + "]")
			}
			text.WriteString(p.Text)
		}
		if valid := strings.ToValidUTF8(in, "\uFFFD"); text.String() != valid {
			t.Errorf("%q is shown as %q", in, text.String())
		}
		if want != "" && shape.String() != want {
			t.Errorf("%q\nis cut into %s\nwant          %s", in, shape.String(), want)
		}
	}
}

// FuzzHighlightHTML: nothing is lost and nothing added, whatever is shown.
func FuzzHighlightHTML(f *testing.F) {
	for _, seed := range []string{`<a href="x" b=c d>t</a>`, "<style>a<b</style", "<!-- x", "<p a='", "</", "\x00<\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var text strings.Builder
		for _, p := range highlightHTML(in) {
			text.WriteString(p.Text)
		}
		if want := strings.ToValidUTF8(in, "\uFFFD"); text.String() != want {
			t.Errorf("%q is shown as %q", in, text.String())
		}
	})
}

// What is marked is what lies between the two places, and nothing is lost by it.
func TestMarked(t *testing.T) {
	for _, c := range []struct {
		at, end int
		want    string // what is marked, a piece a bracket
	}{
		{0, 2, "[element found <p]"}, {3, 5, "[name found id]"}, {4, 8, "[name found d][quoted found =\"x]"}, {10, 15, "[found Hello]"}, {9, 11, "[element found >][found H]"},
		{0, 99, `[element found <p][found  ][name found id][quoted found ="x"][element found >][found Hello]`}, {50, 60, ""}, {-5, 1, "[element found <]"}, {6, 6, ""},
	} {
		var shape, text strings.Builder
		for _, p := range marked(highlightHTML(`<p id="x">Hello`), c.at, c.end) {
			if strings.HasSuffix(p.Kind, "found") {
				shape.WriteString("[" + p.Kind + " " + p.Text + "]")
			}
			text.WriteString(p.Text)
		}
		if shape.String() != c.want || text.String() != `<p id="x">Hello` {
			t.Errorf("from %d to %d: %s of %q, want %s", c.at, c.end, shape.String(), text.String(), c.want)
		}
	}
}
