package main

import (
	"bufio"
	"io"
	"strings"
)

// What callers of sendmail write that is no mail yet: names without a domain, and
// a dot that ends the message.

// qualify gives the addresses of a list that have no domain this host's. The rest
// of the list stays as it is, comments and quotes too.
func qualify(list, host string) string {
	var out strings.Builder
	for rest := list; ; {
		entry, more := cutEntry(rest)
		// What a colon ends is the name of a group (RFC 5322, 3.4).
		if !strings.HasPrefix(more, ":") {
			entry = qualifyOne(entry, host)
		}
		out.WriteString(entry)
		if more == "" {
			return out.String()
		}
		out.WriteByte(more[0])
		rest = more[1:]
	}
}

// An addressScan tells which octets of a list are text, and not in quotes or in a
// comment, or an address literal (RFC 5322, 3.2.2, 3.2.4 and 3.4.1).
type addressScan struct {
	quoted, escaped, literal bool
	depth                    int // of comments
}

// text takes the next octet and tells whether it is text.
func (s *addressScan) text(c byte) bool {
	inside := s.quoted || s.depth > 0 || s.literal
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\' && inside:
		s.escaped = true
	case s.literal || c == '[' && !inside:
		s.literal = c != ']'
	case c == '"' && s.depth == 0:
		s.quoted = !s.quoted
	case c == '(' && !s.quoted:
		s.depth++
		return false
	case c == ')' && s.depth > 0:
		s.depth--
	}
	return !inside && c != '"'
}

// cutEntry cuts behind the first address; more begins with what separates it.
func cutEntry(list string) (entry, more string) {
	var s addressScan
	for i := range len(list) {
		if s.text(list[i]) && strings.IndexByte(",:;", list[i]) >= 0 {
			return list[:i], list[i:]
		}
	}
	return list, ""
}

// qualifyOne adds the domain to one address, if it is one and has none.
func qualifyOne(entry, host string) string {
	var s addressScan
	end, open := 0, false // behind the address; in angle brackets
	for i := range len(entry) {
		c := entry[i]
		before := s
		text := s.text(c)
		switch {
		case text && (c == '@' || c == '['): // a literal is a domain's place, too, be there an @ before it or not
			return entry
		case text && c == '<':
			end, open = i+1, true
		case text && c == '>' && open:
			if end == i && entry[i-1] == '<' {
				return entry // the null sender
			}
			return entry[:i] + "@" + host + entry[i:]
		case text && c != ' ' && c != '\t', c == '"' && before.depth == 0:
			end = i + 1
		}
	}
	// Nothing between two commas, or something that never ends.
	if end == 0 || open || s != (addressScan{}) {
		return entry
	}
	return entry[:end] + "@" + host + entry[end:]
}

// A dotted reader ends at a line with a dot alone, as a message that is typed does.
type dotted struct {
	r     *bufio.Reader
	begin bool // at the beginning of a line
	line  []byte
	ended bool
}

// Read implements io.Reader.
func (d *dotted) Read(p []byte) (int, error) {
	if len(d.line) == 0 {
		if d.ended {
			return 0, io.EOF
		}
		line, err := d.r.ReadSlice('\n')
		if d.begin && (string(line) == ".\n" || string(line) == ".\r\n" || string(line) == "." && err == io.EOF) {
			d.ended = true
			return 0, io.EOF
		}
		if d.begin = err == nil; err != nil && err != bufio.ErrBufferFull && len(line) == 0 {
			return 0, err
		}
		d.line = line
	}
	n := copy(p, d.line)
	d.line = d.line[n:]
	return n, nil
}
