package inbox

import (
	"strings"

	"golang.org/x/net/html"
)

// The source of a message's HTML with its structure made visible. It is cut where
// the tokenizer of the parser cuts, so that what looks like a tag here is one for
// a browser, and every octet stays where it was.

// highlightHTML cuts HTML into pieces: element (a name with its bracket), name and
// quoted (the value) of attributes, comment (declarations too), sheet (what stands in <style>
// and <script>), or "" for text.
func highlightHTML(source string) []piece {
	source = strings.ToValidUTF8(source, "\uFFFD")
	z := html.NewTokenizer(strings.NewReader(source))
	var out []piece
	// The tokenizer knows by itself that <style> holds no tags; that what it gives is
	// a sheet is ours to remember.
	raw := false // within an element whose text is no text
	for {
		kind := z.Next()
		token := string(z.Raw()) // before the tag's name is read, which changes it
		switch kind {
		case html.ErrorToken:
			return append(out, piece{"", token})
		case html.CommentToken, html.DoctypeToken:
			out = append(out, piece{"comment", token})
		case html.TextToken:
			name := ""
			if raw {
				name = "sheet"
			}
			out = append(out, piece{name, token})
		default:
			name, _ := z.TagName()
			raw = kind == html.StartTagToken && (string(name) == "style" || string(name) == "script")
			out = highlightTag(out, token)
		}
	}
}

// marked adds "found" to what a piece is called between two places of the source.
// The places come from a URL and may be anything: what lies outside is left out.
// The colour of the structure stays, for found is a name beside the kind.
func marked(pieces []piece, at, end int) []piece {
	var out []piece
	for from := 0; len(pieces) > 0; pieces = pieces[1:] {
		p := pieces[0]
		next := from + len(p.Text)
		a, b := min(max(at, from), next)-from, min(max(end, from), next)-from
		for _, part := range []piece{{p.Kind, p.Text[:a]}, {strings.TrimLeft(p.Kind+" found", " "), p.Text[a:b]}, {p.Kind, p.Text[b:]}} {
			if part.Text != "" {
				out = append(out, part)
			}
		}
		from = next
	}
	return out
}

// highlightTag cuts one tag at its white space and its equals signs, as far as
// quotes let it.
func highlightTag(out []piece, tag string) []piece {
	// What ends a name for a browser (HTML, 13.2.5.8), so that "<a/b" has the name a.
	end := strings.IndexAny(tag, " \t\r\n\f/>")
	if strings.HasPrefix(tag, "</") {
		end = strings.IndexAny(tag[2:], " \t\r\n\f/>") + 2
	}
	if end <= 1 {
		return append(out, piece{"element", tag})
	}
	out = append(out, piece{"element", tag[:end]})
	for rest := tag[end:]; rest != ""; {
		n, kind := 0, ""
		switch c := rest[0]; {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			n = len(rest) - len(strings.TrimLeft(rest, " \t\r\n\f"))
		case c == '/' || c == '>':
			n, kind = 1, "element"
		case c == '=':
			// A value goes to its quote, or to the next white space.
			kind, n = "quoted", valueEnd(rest)
		default:
			kind, n = "name", strings.IndexAny(rest[1:], " \t\r\n\f/>=")+1
			if n == 0 {
				n = len(rest)
			}
		}
		out = append(out, piece{kind, rest[:n]})
		rest = rest[n:]
	}
	return out
}

// valueEnd returns how long the value is that begins with an equals sign.
func valueEnd(s string) int {
	at := 1 + len(s[1:]) - len(strings.TrimLeft(s[1:], " \t\r\n\f"))
	// A quote that is never closed takes the rest of the tag, as in a browser.
	if at < len(s) && (s[at] == '"' || s[at] == '\'') {
		if end := strings.IndexByte(s[at+1:], s[at]); end >= 0 {
			return at + end + 2
		}
		return len(s)
	}
	if end := strings.IndexAny(s[at:], " \t\r\n\f>"); end >= 0 {
		return at + end
	}
	return len(s)
}
