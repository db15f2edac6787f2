package smtp

import (
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider/internal/wire"
)

// Replies as they come from a server (RFC 5321, 4.2), which may be anybody: bounded
// in every way, and taken only if they can be nothing else.

const (
	// A reply is bounded (RFC 5321, 4.5.3.1.5 asks for 512 octets a line; the
	// wild says more).
	maxReplyLine  = 4096
	maxReplyLines = 500
	maxReplySize  = 64 << 10
)

// readReply reads one reply (RFC 5321, 4.2.1), bounded in lines and octets. All
// its lines must have one code. line is told each line as it came; nil: nobody is.
func readReply(rd *wire.Reader, line func(string)) (Reply, error) {
	var r Reply
	var rest []string // lines after the first
	size := 0
	for n := range maxReplyLines {
		b, err := rd.ReadLine(maxReplyLine)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return r, err
		}
		s := string(b)
		if line != nil {
			line(s)
		}
		code, more, text, ok := splitReply(s)
		if !ok || n > 0 && code != r.Code {
			return r, fmt.Errorf("malformed reply %.80q", s)
		}
		if size += len(text); size > maxReplySize {
			return r, fmt.Errorf("a reply of more than %d octets", maxReplySize)
		}
		enhanced, text := parseEnhanced(code, text)
		if n == 0 {
			r = Reply{code, enhanced, text}
		} else {
			rest = append(rest, text)
		}
		if !more {
			if rest != nil {
				r.Text += "\n" + strings.Join(rest, "\n")
			}
			return r, nil
		}
	}
	return r, fmt.Errorf("a reply of more than %d lines", maxReplyLines)
}

// splitReply parts "250-text". QUIRK: a code alone, without the space, is taken.
func splitReply(s string) (code int, more bool, text string, ok bool) {
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, false, "", false
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) == 3 {
		return code, false, "", true
	}
	return code, s[3] == '-', s[4:], s[3] == '-' || s[3] == ' '
}

// expect returns the error of a reply that is not of class want.
func expect(r Reply, verb string, want int) error {
	switch r.Code / 100 {
	case want:
		return nil
	case 4, 5:
		return r.err(verb)
	}
	return temporary(fmt.Sprintf("unexpected reply to %s: %s", verb, r), nil)
}
