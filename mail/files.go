package mail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail/transfer"
)

// Files that MIME knows nothing of: uuencoded or in yEnc in the text, from before it and from news, and those of Outlook's
// winmail.dat (tnef.go).
//
// They are looked for when somebody asks, in one pass over a part's content, and kept as where they lie in it: memory does
// not grow with them.

// maxFiles is how many files of one part are listed.
const maxFiles = 1000

// Files gives the files that a part's content holds in a form of its own: uuencoded or in yEnc in a text, or in TNEF, as
// winmail.dat. They have names, and types by these names, and are decoded when they are opened. Of a yEnc file in several
// parts it gives the one part that is here. At most 1,000 files are listed. Without any the list is nil; an error is one
// of reading the content.
func (p *Part) Files() ([]Attachment, error) {
	// What Outlook sends is told by its type, or by its name where a gateway has made the type a general one.
	find := findEncoded
	switch media := p.Type(); {
	case p.IsMultipart():
		return nil, nil
	case media == "application/ms-tnef" || media == "application/vnd.ms-tnef" || equalFold(p.Name(), "winmail.dat"):
		find = findTNEF
	case !strings.HasPrefix(media, "text/"):
		return nil, nil
	}
	// One pass finds the places; the files themselves are decoded by who opens them.
	rc, err := p.Reader()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	pieces, err := find(bufio.NewReaderSize(rc, windowSize))
	if err != nil {
		return nil, fmt.Errorf("mail: files in a part: %w", err)
	}
	var files []Attachment
	for _, one := range pieces {
		// The name is raw octets of a text: it may hold anything.
		a := Attachment{Name: cleanLine(strings.ToValidUTF8(one.name, "\ufffd")), Type: one.media, CID: one.cid}
		a.Open = func() (io.ReadCloser, error) { return p.openEmbedded(one) }
		files = append(files, a)
	}
	return files, nil
}

// The ways in which a file can lie in a content.
const (
	asItIs     = 0
	inUUencode = 'u'
	inBase64   = 'b'
	inYenc     = 'y'
)

// An embedded is a file that was found: octets of a part's content, from begin to end.
type embedded struct {
	begin, end       int64
	form             byte
	name, media, cid string
}

// openEmbedded opens a part's content where a file lies in it.
func (p *Part) openEmbedded(e embedded) (io.ReadCloser, error) {
	rc, err := p.Reader()
	if err != nil {
		return nil, err
	}
	// A part is a stream, decoded on the way: there is no other way to a place in it.
	if _, err := io.CopyN(io.Discard, rc, e.begin); err != nil {
		rc.Close()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("mail: a file in a part: %w", err)
	}
	// What follows the file in the part is text again, and not the decoder's.
	r := io.LimitReader(rc, e.end-e.begin)
	switch e.form {
	case inUUencode:
		r = transfer.NewReader(r, &transfer.UUDecoder{})
	case inBase64:
		r = transfer.NewReader(r, &transfer.Base64Decoder{})
	case inYenc:
		r = transfer.NewReader(r, &transfer.YencDecoder{})
	}
	return struct {
		io.Reader
		io.Closer
	}{r, rc}, nil
}

// findEncoded looks for uuencoded and yEnc files in a text. A file counts when its end has come, and if no line of it is
// anything else: what only begins like one is text.
func findEncoded(r *bufio.Reader) ([]embedded, error) {
	var files []embedded
	var open embedded // begun, if its name is not empty
	var at int64
	begins := true
	for len(files) < maxFiles {
		line, err := r.ReadSlice('\n')
		start := at
		at += int64(len(line))
		whole := begins && !errors.Is(err, bufio.ErrBufferFull)
		begins = !errors.Is(err, bufio.ErrBufferFull)
		text := bytes.TrimRight(line, "\r\n")
		// A file that turns out to be none may be text with another one in it: each line is looked at once, as the beginning or
		// as more of what has begun.
		switch {
		case !whole:
			open = embedded{} // no line of an encoding is that long
		case open.name == "":
			open = beginsFile(text)
			open.begin = at
		case open.isEnd(text):
			open.end = start
			files, open = append(files, open), embedded{}
		case !open.isLine(text):
			open = beginsFile(text)
			open.begin = at
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
	return files, nil
}

// beginsFile reads the line that a file begins with; the name is empty if it is none.
func beginsFile(line []byte) embedded {
	s := string(line[:min(len(line), 1000)])
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "begin", "begin-base64":
		// The mode tells it from prose: "begin at noon" has none.
		mode, name, _ := strings.Cut(rest, " ")
		if _, err := strconv.ParseUint(mode, 8, 12); err != nil || len(mode) < 3 || trimSpace(name) == "" {
			return embedded{}
		}
		if word == "begin" {
			return embedded{form: inUUencode, name: trimSpace(name)}
		}
		return embedded{form: inBase64, name: trimSpace(name)}
	case "=ybegin":
		// The name is last and may hold spaces.
		fields, name, ok := strings.Cut(rest, "name=")
		if !ok || !strings.Contains(fields, "size=") || trimSpace(name) == "" {
			return embedded{}
		}
		return embedded{form: inYenc, name: trimSpace(name)}
	}
	return embedded{}
}

// isEnd says that a line ends the file.
func (e *embedded) isEnd(line []byte) bool {
	switch e.form {
	case inUUencode:
		return string(line) == "end"
	case inYenc:
		return bytes.HasPrefix(line, []byte("=yend "))
	}
	return string(line) == "===="
}

// isLine says that a line can be one of the file.
func (e *embedded) isLine(line []byte) bool {
	switch e.form {
	case inUUencode:
		_, ok := transfer.UUEncoded(line)
		return ok
	case inYenc:
		return !bytes.HasPrefix(line, []byte("=ybegin "))
	}
	for _, c := range line {
		if !isLetterDigit(c) && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return true
}
