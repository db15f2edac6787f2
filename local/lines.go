package local

import (
	"bytes"
	"io"
	"strings"
)

// What a message loses and gains on its way from the wire into a file. Lines end in LF there, as the programs of this
// system have them; a Return-Path is the last host's to write, which is this one, so that those before it go (RFC 5321,
// 4.4); and where messages follow each other in one file, no line of one may look like the beginning of the next
// (mboxrd quotes lines that are quoted already too, so that it can be undone; RFC 4155 leaves the quoting open).

// maxHeld is how much of a line is looked at before it is written: more than any field's name or separator has.
const maxHeld = 4 << 10

// A lineWriter writes a message as files of mail have it: with LF, without the Return-Path of hosts that it came through
// (RFC 5321, 4.4: there is one), and in an mbox with a > before every line that could be a separator.
type lineWriter struct {
	w        io.Writer
	mbox     bool
	held     []byte // the beginning of a line that has not come to its end
	inLine   bool   // a long line's beginning is written already
	body     bool   // the header is over, or nothing is to be left out of it
	dropping bool   // a field that is left out
}

// Write implements io.Writer.
func (l *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		piece := p
		if end >= 0 {
			piece = p[:end]
		}
		p = p[min(len(piece)+1, len(p)):]
		// Most lines lie in p whole, and are written from there.
		if len(l.held) > 0 || end < 0 {
			l.held = append(l.held, piece...)
			piece = l.held
		}
		if end < 0 && len(l.held) < maxHeld {
			break
		}
		if err := l.line(piece, end >= 0); err != nil {
			return 0, err
		}
		l.held = l.held[:0]
	}
	return n, nil
}

// Close writes what is left, and its line end.
func (l *lineWriter) Close() error {
	if len(l.held) == 0 && !l.inLine {
		return nil
	}
	return l.line(l.held, true)
}

// line writes a line, or as much of a long one as there is; ended says which.
func (l *lineWriter) line(line []byte, ended bool) error {
	if ended {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	begins := !l.inLine
	l.inLine = !ended
	if begins && !l.body {
		fold := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
		l.body = len(line) == 0
		l.dropping = !l.body && (fold && l.dropping || !fold && isReturnPath(line))
	}
	// A field is dropped with its folds, and the rest of a long line with its beginning.
	if l.dropping && !l.body {
		return nil
	}
	if begins && l.mbox && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
		// RFC 4155 leaves it open; this is mboxrd, which can be undone.
		if _, err := io.WriteString(l.w, ">"); err != nil {
			return err
		}
	}
	// The line is p's, which is not ours to change: the append makes a copy.
	if ended {
		line = append(line[:len(line):len(line)], '\n')
	}
	_, err := l.w.Write(line)
	return err
}

func isReturnPath(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte(":"))
	return found && strings.EqualFold(strings.TrimSpace(string(name)), "Return-Path")
}
