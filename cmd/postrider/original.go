package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Messages that are complete when they come, from a file or from another program.
// The header is read, because the recipients may be in it; the body passes through
// as it is, however long. What is not changed keeps its octets: rewriting more
// would break signatures (RFC 6376, 3.7).

// maxHeader is how much of a header is read, as much as package mail takes.
const maxHeader = 1 << 20

// An original is a message as it was given. Its header may be changed.
type original struct {
	header mail.Header
	gap    string    // what is missing between the two: an empty line
	rest   io.Reader // the empty line and the body; read once

	// Where the message came out of a file the rest is there, as often as it is
	// wanted, and rest is nil.
	file   io.ReaderAt
	offset int64
	size   int64 // of the file
}

// readOriginal reads the header. A file must stay open as long as the message is
// used; anything else is read once.
func readOriginal(in io.Reader) (*original, error) {
	m := new(original)
	if f, ok := in.(*os.File); ok {
		info, err := f.Stat()
		if err == nil && info.Mode().IsRegular() {
			m.file, m.size = f, info.Size()
			// Standard input may have been read from before.
			if m.offset, err = f.Seek(0, io.SeekCurrent); err != nil {
				return nil, err
			}
		}
	}
	head, err := readHead(in)
	if err != nil {
		return nil, err
	}
	m.header = mail.ParseHeader(string(head))
	length := 0
	for f := range m.header.All() {
		length += len(f.Raw())
	}
	if rest := head[length:]; !bytes.HasPrefix(rest, []byte("\n")) && !bytes.HasPrefix(rest, []byte("\r\n")) {
		// Else the body's first line would be a field to those who read it strictly.
		if m.gap = "\r\n"; length > 0 && head[length-1] != '\n' {
			m.gap = "\r\n\r\n"
		}
	}
	if m.offset += int64(length); m.file == nil {
		m.rest = io.MultiReader(bytes.NewReader(head[length:]), in)
	}
	return m, nil
}

// readHead reads up to an empty line, or a little more: what is behind the header
// is found out by who parses it.
func readHead(in io.Reader) ([]byte, error) {
	r := bufio.NewReader(io.LimitReader(in, maxHeader))
	var head []byte
	for {
		line, err := r.ReadSlice('\n')
		head = append(head, line...)
		switch blank := len(bytes.TrimRight(line, "\r\n")) == 0; {
		case err == bufio.ErrBufferFull:
			continue
		case err != nil && err != io.EOF:
			return nil, fmt.Errorf("reading the message: %w", err)
		case err == io.EOF && len(head) >= maxHeader:
			return nil, errLongHeader
		case err == io.EOF, blank:
			// What the buffer has beyond it was taken from in too.
			more, _ := r.Peek(r.Buffered())
			return append(head, more...), nil
		}
	}
}

// errLongHeader is about a message that would not be one for its readers either.
var errLongHeader = errors.New("the message's header is longer than 1 MiB, or it has none")

// parsed reads the fields as those of a message without a body.
func (m *original) parsed() (*mail.Message, error) {
	return mail.Parse(strings.NewReader(m.header.String() + "\r\n"))
}

// withoutBcc takes out what nobody may see (RFC 5322, 3.6.3 and 3.6.6).
func (m *original) withoutBcc() {
	m.header.Remove("Bcc")
	m.header.Remove("Resent-Bcc")
}

// WriteTo implements io.WriterTo.
func (m *original) WriteTo(w io.Writer) (int64, error) {
	n, err := m.header.WriteTo(w)
	if err != nil {
		return n, err
	}
	gap, err := io.WriteString(w, m.gap)
	if n += int64(gap); err != nil {
		return n, err
	}
	rest := m.rest
	if m.file != nil {
		rest = io.NewSectionReader(m.file, m.offset, m.size-m.offset)
	}
	more, err := io.Copy(w, rest)
	return n + more, err
}

// Repeatable says whether it can be written again; smtp keeps a copy if not.
func (m *original) Repeatable() bool { return m.file != nil }

// Size tells the octets if they are known. Line ends may be repaired on the way,
// which makes it a little more: RFC 1870, 6 lets it be an estimate.
func (m *original) Size() (int64, error) {
	if m.file == nil {
		return 0, errors.ErrUnsupported
	}
	return int64(len(m.header.String())+len(m.gap)) + m.size - m.offset, nil
}
