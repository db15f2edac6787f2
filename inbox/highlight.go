package inbox

import "strings"

// The source of a message with its structure made visible: fields, boundaries,
// what is encoded. It is read by lines, as a person would; a wrong guess shows a
// line in the wrong colour and no more.

// A piece is a run of source of one kind: name, value, boundary, encoded, or ""
// for text.
type piece struct{ Kind, Text string }

// highlight cuts a source into pieces. Lines of one kind are one piece, so that
// a large file makes few.
func highlight(raw string) []piece {
	var out []piece
	add := func(kind, text string) {
		if n := len(out); n > 0 && out[n-1].Kind == kind {
			out[n-1].Text += text
			return
		}
		out = append(out, piece{kind, text})
	}
	s := source{header: true, boundaries: map[string]bool{}}
	// The page is UTF-8 whatever the message is: octets that are not become a mark.
	raw = strings.ToValidUTF8(strings.ReplaceAll(raw, "\r\n", "\n"), "\uFFFD")
	// Runs are gathered before they are put together: adding to a string line by
	// line would take the square of their number.
	kind, start, at := "", 0, 0
	for line := range strings.Lines(raw) {
		k := s.kind(strings.TrimRight(line, "\n"))
		if k == "field" || k != kind {
			if at > start {
				add(kind, raw[start:at])
			}
			kind, start = k, at
		}
		if at += len(line); k == "field" {
			colon := strings.IndexByte(line, ':')
			add("name", line[:colon+1])
			kind, start = "value", at-len(line)+colon+1
		}
	}
	if at > start {
		add(kind, raw[start:at])
	}
	return out
}

// A source is where the reading of one has come to.
type source struct {
	// A boundary that a part of the header names is remembered for good: parts end
	// in any order in a message that is broken, and a colour is not worth a stack.
	header     bool
	encoded    bool // this part is base64
	boundaries map[string]bool
}

// kind says what a line is, and goes on to the next.
func (s *source) kind(line string) string {
	if s.header {
		return s.field(line)
	}
	if strings.HasPrefix(line, "--") {
		// White space may follow a boundary (RFC 2046, 5.1.1).
		name := strings.TrimRight(line[2:], " \t")
		if s.boundaries[name] {
			s.header, s.encoded = true, false
			return "boundary"
		}
		if end, ok := strings.CutSuffix(name, "--"); ok && s.boundaries[end] {
			s.encoded = false
			return "boundary"
		}
	}
	if s.encoded && line != "" {
		return "encoded"
	}
	return ""
}

func (s *source) field(line string) string {
	s.parameters(line)
	switch colon := strings.IndexByte(line, ':'); {
	case line == "":
		s.header = false
		return ""
	case line[0] == ' ' || line[0] == '\t':
		return "value"
	// A name has no white space (RFC 5322, 2.2); a line that is no field and
	// continues none is shown as if it did.
	case colon > 0 && !strings.ContainsAny(line[:colon], " \t"):
		lower := strings.ToLower(line)
		if strings.HasPrefix(lower, "content-transfer-encoding:") && strings.Contains(lower, "base64") {
			s.encoded = true
		}
		return "field"
	}
	return "value"
}

// parameters notes a boundary that a line of a header names (RFC 2046, 5.1.1).
func (s *source) parameters(line string) {
	i := strings.Index(strings.ToLower(line), "boundary=")
	// More than any message has; what is beyond is text to the eye.
	if i < 0 || len(s.boundaries) > 1000 || i+len("boundary=") > len(line) {
		return
	}
	rest := line[i+len("boundary="):]
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		rest, _, _ = strings.Cut(quoted, `"`)
	} else {
		rest, _, _ = strings.Cut(rest, ";")
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		s.boundaries[rest] = true
	}
}
