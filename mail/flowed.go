package mail

import (
	"strings"
)

// format=flowed (RFC 3676): text whose lines are only as short as they are for old readers. A line that ends in a space
// goes on in the next one; with delsp=yes that space is no part of the text, so that a line can be broken anywhere.
//
// Each line of what we write is a paragraph; ">" at its beginning quotes it, as people do by hand. What is read and what
// was written are the same text, but for spaces before a line's end, which mean nothing (RFC 3676, 4.2).

// flowWidth is where lines are broken, their last space included (RFC 3676, 4.2 recommends at most 78).
const flowWidth = 76

// maxQuoting is how many quotes in each other are kept; a line cannot hold more and a text.
const maxQuoting = 30

// flow writes text as format=flowed with delsp=yes. Line ends are LF.
func flow(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/32)
	s = lineFeeds(s)
	for s != "" {
		line, rest, more := strings.Cut(s, "\n")
		flowLine(&b, line)
		if more {
			b.WriteByte('\n')
		}
		s = rest
	}
	return b.String()
}

// flowLine writes one paragraph in as many lines as it takes.
func flowLine(b *strings.Builder, line string) {
	// RFC 3676, 4.3: the line before a signature is neither stuffed nor flowed.
	if line == "-- " {
		b.WriteString(line)
		return
	}
	prefix, line := cutQuotes(line)
	line = strings.TrimRight(line, " ")
	for first := true; first || line != ""; first = false {
		if !first {
			b.WriteString(" \n") // the space that delsp takes away
		}
		b.WriteString(prefix)
		// RFC 3676, 4.4: a space is stuffed before what would be read as something else. QUIRK: "From " is what mbox
		// files escape.
		stuffed := prefix != "" && line != "" || strings.HasPrefix(line, " ") || strings.HasPrefix(line, ">") || strings.HasPrefix(line, "From ")
		if stuffed {
			b.WriteByte(' ')
		}
		n := flowFit(line, flowWidth-2-len(prefix))
		b.WriteString(line[:n])
		line = line[n:]
	}
}

// flowFit gives how much of a paragraph goes into a line: whole words with the spaces behind them or, where one word is
// too long, whole characters.
func flowFit(line string, width int) int {
	if len(line) <= width {
		return len(line)
	}
	if i := strings.LastIndexByte(line[:width], ' '); i >= 0 && strings.TrimLeft(line[:i], " ") != "" {
		return i + 1
	}
	n := wholeRunes(line, width)
	// A URL is not broken: readers that do not know delsp would show it with a space in it.
	if isASCII(line[:n]) {
		if i := strings.IndexByte(line[n:], ' '); i < 0 && len(line) <= maxBodyLine/2 {
			return len(line)
		} else if i >= 0 && n+i < maxBodyLine/2 {
			return n + i + 1
		}
	}
	return n
}

// cutQuotes takes the marks of quotes from a line, as people write them: ">>", "> >".
func cutQuotes(line string) (marks, rest string) {
	n := 0
	for rest = line; n < maxQuoting; n++ {
		after, ok := strings.CutPrefix(rest, ">")
		if !ok {
			after, ok = strings.CutPrefix(rest, " >")
		}
		if !ok || n == 0 && rest[0] == ' ' {
			break
		}
		rest = after
	}
	if n > 0 {
		rest = strings.TrimPrefix(rest, " ")
	}
	return strings.Repeat(">", n), rest
}

// unflow reads format=flowed: the lines of a paragraph become one. A quote's marks are written as people do, with one
// space behind the last. Line ends are LF in both.
func unflow(s string, delsp bool) string {
	var b strings.Builder
	b.Grow(len(s))
	open, depth := false, 0 // a paragraph goes on, in this depth of quotes
	for s != "" {
		line, rest, more := strings.Cut(s, "\n")
		s = rest
		marks := len(line) - len(strings.TrimLeft(line, ">"))
		text := strings.TrimPrefix(line[marks:], " ")
		signature := text == "-- "
		// RFC 3676, 4.5: a paragraph that goes on in another depth was written wrongly, and ends.
		if open && (marks != depth || signature) {
			b.WriteByte('\n')
			open = false
		}
		if !open && marks > 0 {
			b.WriteString(line[:marks])
			if text != "" {
				b.WriteByte(' ')
			}
		}
		open, depth = strings.HasSuffix(text, " ") && !signature, marks
		if open && delsp {
			text = text[:len(text)-1]
		}
		b.WriteString(text)
		if more && !open {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// paragraphs gives the text of a part as it is read: that of format=flowed without the line ends inside paragraphs.
// Most parts are told by the first look, which takes nothing apart.
func (p *Part) paragraphs(s string) string {
	i := p.Header.index("Content-Type")
	if i < 0 || !containsFold(p.Header.fields[i].body, "flowed") || p.Type() != "text/plain" || !equalFold(p.Param("format"), "flowed") {
		return s
	}
	return unflow(s, equalFold(p.Param("delsp"), "yes"))
}

// containsFold is strings.Contains without regard to case, for a word in lower case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if equalFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
