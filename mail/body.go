package mail

import (
	"io"
	"strings"
)

// Laying out and writing bodies. What is short and in memory is laid out with the header; the rest is opened and encoded
// when the message is written, so that nothing is read before it is needed and memory does not grow with the message.
//
// A multipart's own octets (RFC 2046, 5.1) are always laid out at once; only leaves wait. The line end before a
// boundary belongs to the boundary, so a part keeps its last octets as they are, whether they end a line or
// not.

// write lays out the body that a plan describes.
func (r *renderer) write(pl *plan) error {
	if len(pl.parts) == 0 {
		// A text this short costs less to encode now and keep than to encode once for the size and once more
		// for the writing.
		if pl.text != nil && len(*pl.text) <= inlineText && pl.isText {
			r.f.b = appendBody(r.f.b, *pl.text, pl.enc)
			return nil
		}
		r.cut(pl)
		return nil
	}
	p := pl.part
	if p.Preamble != "" {
		// Neither preamble nor epilogue means anything (RFC 2046, 5.1.1); they are written so that a message
		// that is read and written again stays what it was.
		r.f.b = appendText(r.f.b, asciiText(p.Preamble))
		r.f.end()
	}
	for i, child := range pl.parts {
		if i > 0 {
			r.f.end() // RFC 2046, 5.1.1: the line end before a boundary is the boundary's
		}
		r.f.put("--")
		r.f.put(pl.boundary)
		r.f.end()
		if err := r.content(child); err != nil {
			return err
		}
		r.f.end()
		if err := r.write(child); err != nil {
			return err
		}
	}
	// No line end follows here: the one behind a closing boundary belongs to the epilogue, or to the boundary
	// around this multipart, which brings its own.
	r.f.put("\r\n--")
	r.f.put(pl.boundary)
	r.f.put("--")
	if p.Epilogue != "" {
		r.f.end()
		r.f.b = appendText(r.f.b, asciiText(p.Epilogue))
	}
	return nil
}

// asciiText makes a preamble or an epilogue fit to be sent: it has no encoding of its own.
// What it holds beyond ASCII is lost, for there is nowhere to say what charset it would be in. Only readers
// from before MIME show it at all.
func asciiText(s string) string {
	var v survey
	v.text(s)
	if v.high+v.control == 0 && v.longest <= maxBodyLine {
		return s
	}
	var b strings.Builder
	width := 0
	for _, c := range s {
		switch {
		case c == '\n':
			width = -1
		case width == maxBodyLine:
			b.WriteByte('\n')
			width = 0
		}
		if c >= 0x7f || c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			c = '?'
		}
		b.WriteRune(c)
		width++
	}
	return b.String()
}

// writeBody writes a leaf's content, encoded.
// An attachment that cannot be read and a connection that broke must not be taken for each other: one is the
// author's fault and final, the other may be tried again. So errors of reading are wrapped with the part's
// name, and those of w are given back as they came.
func (pl *plan) writeBody(w io.Writer, buffers *copyBuffers) (int64, error) {
	if pl.enc == encNested {
		return pl.nested.WriteTo(w)
	}
	rc, err := pl.open()
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	var failed readError
	r := io.Reader(&readWatch{rc, &failed})
	if b, ok := rc.(bytesReader); ok {
		r = b // memory does not fail
	}
	n, closed, err := buffers.copyBody(w, r, pl.enc, pl.isText)
	if failed.err != nil {
		return n, pl.wrap(failed.err)
	}
	// RFC 5321, 4.1.1.4: the end of the data is found behind a line end. The body of a message without
	// multiparts is the one that nothing follows.
	if err == nil && pl.last && !closed {
		m, err := io.WriteString(w, "\r\n")
		return n + int64(m), err
	}
	return n, err
}

// A readWatch tells errors of reading from those of writing.
// Its errors win over those of the writer: what follows a failed read may well fail for that reason alone.
type readWatch struct {
	r      io.Reader
	failed *readError
}

type readError struct{ err error }

// Read keeps the error, for what copies sees only one of the two.
func (r *readWatch) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.failed.err = err
	}
	return n, err
}

// bodySize tells how much writeBody writes. For base64 and binary of a known length nothing is read.
// The size is announced to servers (RFC 1870, 6) before the first octet goes out, so it has to be right, and is
// measured where it cannot be computed.
func (pl *plan) bodySize(buffers *copyBuffers) (int64, error) {
	if pl.enc == encNested {
		return pl.nested.Size()
	}
	if !pl.isText && (pl.enc == encBase64 || pl.enc == encBinary) {
		if n, ok, err := pl.rawSize(); ok || err != nil {
			if pl.enc == encBinary {
				return n, err
			}
			lines := (n + 56) / 57 // RFC 2045, 6.8: 57 octets make a line of 76 characters
			return (n+2)/3*4 + 2*lines, err
		}
	}
	return pl.writeBody(io.Discard, buffers)
}

// rawSize asks what was opened for its length.
func (pl *plan) rawSize() (int64, bool, error) {
	rc, err := pl.open()
	if err != nil {
		return 0, false, err
	}
	defer rc.Close()
	// A length is believed only of what cannot be another one while it is written: memory, and regular files.
	// Pipes and devices answer Stat as well, with a size of 0.
	switch r := rc.(type) {
	case interface{ Len() int }:
		return int64(r.Len()), true, nil
	case statter:
		if info, err := r.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size(), true, nil
		}
	}
	return 0, false, nil
}
