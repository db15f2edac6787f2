package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Message is a message, to be composed as a literal or as [Parse] read it. Only From is required.
//
// The fields of a Message are decoded: text in UTF-8, identifiers without angle brackets. The body is either Body, a tree
// of any shape, or what Text, HTML, Attachments and Invitation make; a message that was parsed has both, and Body is what is written.
type Message struct {
	From, ReplyTo, To, Cc []Address // From may name several authors; then Sender is required (RFC 5322, 3.6.2)
	Bcc                   []Address // gets the message by its envelope; is never written
	Sender                Address   // who really sent it, if that is not the one author
	Subject               string
	Date                  time.Time // now, if zero
	ID                    string    // Message-ID without its angle brackets; a new one if empty
	InReplyTo, References []string  // other messages' IDs

	// Header holds further fields, and all fields of a message that was parsed. A field above that is set wins over the
	// same one here, in its place; one that is empty leaves it alone. MIME-Version, Content-Type and
	// Content-Transfer-Encoding are made from the body, whatever is here.
	Header Header

	Text        string       // the text for people, with any line ends; if it is empty and HTML is not, TextFromHTML makes it
	HTML        string       // the same as HTML; pictures in Attachments are shown by their CID
	Attachments []Attachment // with CID: part of the HTML (multipart/related); without: files (multipart/mixed)

	// Invitation is a calendar object (RFC 5545) with the METHOD of RFC 5546: REQUEST, CANCEL, REPLY. Readers that know it
	// show it instead of the text (RFC 6047), others have it as the attachment invite.ics. Parse leaves it empty.
	Invitation string

	HTMLOnly bool // no text is made out of HTML; readers of plain text then see none
	Flowed   bool // Text is written as format=flowed (RFC 3676): its lines are paragraphs, which readers wrap to their width

	// Binary and UTF8 ask for forms that are shorter and that not every host behind the server takes, which then returns the
	// message. A server that does not offer them gets the usual form.
	Binary bool // attachments go without an encoding to a server with BINARYMIME (RFC 3030)
	UTF8   bool // fields go in UTF-8 to a server with SMTPUTF8 (RFC 6532), not only where an address needs it

	Body    *Part    // the general shape, any depth; used instead of all that is above if set
	Defects []Defect // what Parse found odd, and how it was read; at most 100
}

// An Attachment is a file that goes with a message. Nothing is read before the message is written.
type Attachment struct {
	Name string // the file name that the reader sees; it may be empty
	Type string // the media type; found by the name's extension if empty, else application/octet-stream
	CID  string // the Content-ID, without angle brackets, under which HTML shows it: <img src="cid:…">. Empty: a plain file

	// Open opens the content. It is called each time the message is written, by several goroutines at once if it is written
	// so, and must give the same octets each time.
	Open func() (io.ReadCloser, error)

	part *Part // what it was parsed from
}

// FromFile makes an attachment of a file. The file is opened when the message is written.
// The name that readers see is the last element of the path. A file that is not there is an error of writing,
// not of this.
func FromFile(name string) Attachment {
	return Attachment{Name: filepath.Base(name), Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

// FromFS makes an attachment of a file in fsys. The file is opened when the message is written.
// So an embed.FS, whose content cannot change, makes a message whose form is good for ever.
func FromFS(fsys fs.FS, name string) Attachment {
	return Attachment{Name: path.Base(name), Open: func() (io.ReadCloser, error) { return fsys.Open(name) }}
}

// FromBytes makes an attachment of bytes, which must not change until the message is written.
// They are not copied. Nil makes an empty file.
func FromBytes(name string, b []byte) Attachment {
	return Attachment{Name: name, Open: func() (io.ReadCloser, error) { return bytesReader{bytes.NewReader(b)}, nil }}
}

// Part gives the part that the attachment was parsed from; nil if it was made.
func (a Attachment) Part() *Part { return a.part }

// A bytesReader is an open file over bytes.
type bytesReader struct{ *bytes.Reader }

// Close does nothing: there is nothing to let go of.
func (bytesReader) Close() error { return nil }

// A statter is an open file that knows its length.
type statter interface{ Stat() (fs.FileInfo, error) }

// Media gives the attachment's media type: Type, or what the name's extension stands for.
// It is never empty. What it says is the sender's word: a file may hold something else than its type and name
// tell.
func (a Attachment) Media() string {
	if a.Type != "" {
		return a.Type
	}
	ext := toLower(path.Ext(a.Name))
	// What the system's tables say differs from one machine to the next: the usual ones are the same everywhere.
	if t := mediaTypes[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		t, _, _ = strings.Cut(t, ";")
		return t
	}
	return "application/octet-stream"
}

// These are the registered names of the IANA, by the extensions that people attach.
var mediaTypes = map[string]string{
	".7z": "application/x-7z-compressed", ".avif": "image/avif", ".bmp": "image/bmp", ".csv": "text/csv",
	".doc":  "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".eml": "message/rfc822",
	".epub": "application/epub+zip", ".gif": "image/gif", ".gz": "application/gzip", ".htm": "text/html", ".html": "text/html",
	".ics": "text/calendar", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript", ".json": "application/json",
	".md": "text/markdown", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".odt": "application/vnd.oasis.opendocument.text",
	".pdf": "application/pdf", ".png": "image/png", ".ppt": "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", ".svg": "image/svg+xml",
	".tar": "application/x-tar", ".tif": "image/tiff", ".tiff": "image/tiff", ".txt": "text/plain", ".vcf": "text/vcard",
	".wav": "audio/wav", ".webp": "image/webp", ".xls": "application/vnd.ms-excel",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xml": "application/xml", ".zip": "application/zip",
}

// Recipients gives the bare addresses of To, Cc and Bcc, each once, in their order: whom the envelope is for. Where one
// of the three is empty, the field of that name in Header counts. Of a message that was resent they are those of the last
// Resent-To, Resent-Cc and Resent-Bcc instead. Addresses are the same if their domains differ only in case.
// The list is nil if there is nobody. Bcc is in it and never in what is written: that is all that makes it
// blind (RFC 5322, 3.6.3). A local part that differs in case may be another mailbox (RFC 5321, 2.4), so it is
// kept.
func (m *Message) Recipients() []string {
	var out []string
	seen := make(map[string]bool)
	add := func(list []Address) {
		for _, a := range list {
			local, domain := cutAddress(a.Address)
			key := local + "@" + strings.ToLower(domain)
			if a.Address != "" && !seen[key] {
				seen[key] = true
				out = append(out, a.Address)
			}
		}
	}
	if add(m.resent("to", "cc", "bcc")); len(out) > 0 {
		return out
	}
	for _, one := range []struct {
		list []Address
		name string
	}{{m.To, "To"}, {m.Cc, "Cc"}, {m.Bcc, "Bcc"}} {
		list := one.list
		if len(list) == 0 && m.Header.Has(one.name) {
			for f := range m.Header.Named(one.name) {
				more, _ := new(Parser).Addresses(f.body)
				list = append(list, more...)
			}
		}
		add(list)
	}
	return out
}

// Originator gives the bare address of who sends the message, which is what its envelope is from: the last Resent-Sender
// or Resent-From, else Sender, else the first author; "" if there is nobody (RFC 5322, 3.6.2 and 3.6.6).
func (m *Message) Originator() string {
	list := slices.Concat(m.resent("sender"), m.resent("from"), []Address{m.Sender}, m.From)
	for _, a := range list {
		if a.Address != "" {
			return a.Address
		}
	}
	return ""
}

// resent gives the addresses in fields of the first block of Resent fields, which ends where another field, or a name
// that the block has, begins the next one (RFC 5322, 3.6.6).
func (m *Message) resent(want ...string) []Address {
	var list []Address
	names := make(map[string]bool)
	for i := range m.Header.fields {
		f := &m.Header.fields[i]
		name, ok := cutPrefixFold(f.name, "Resent-")
		name = toLower(name)
		if !ok && len(names) > 0 || names[name] {
			break
		}
		if !ok {
			continue
		}
		names[name] = true
		if slices.Contains(want, name) {
			more, _ := new(Parser).Addresses(f.body)
			list = append(list, more...)
		}
	}
	// RFC 5322, 3.6.6: Resent-From is required; without it nobody has resent anything.
	if !names["from"] {
		return nil
	}
	return list
}

// newID makes a Message-ID: 128 random bits, and the domain of an author, so that no host is told (RFC 5322, 3.6.4).
// RFC 5322, 3.6.4 suggests the host's own name to the right of the @; random bits make it unique without one.
func newID(from []Address) string { return string(appendID(make([]byte, 0, 96), from)) }

// appendID appends what newID makes.
func appendID(b []byte, from []Address) []byte {
	e := entropies.Get().(*entropy)
	random := e.take()
	entropies.Put(e)
	b = hex.AppendEncode(b, random[:])
	b = append(b, '@')
	spec := ""
	if len(from) > 0 {
		spec, _, _ = toASCII(from[0].Address)
	}
	_, domain := cutAddress(spec)
	if domain == "" || len(domain) > 255 {
		domain = "localhost.invalid" // never a real one; writing will refuse such an author anyway
	}
	return append(b, domain...)
}

// An entropy is random octets of crypto/rand that nobody has used yet: asking the system for each 16 of them is a tenth of what
// a short message costs.
type entropy struct {
	octets [512]byte
	used   int
}

var entropies = sync.Pool{New: func() any { return &entropy{used: len(entropy{}.octets)} }}

// take gives 16 octets, each once.
func (e *entropy) take() (random [16]byte) {
	if e.used == len(e.octets) {
		rand.Read(e.octets[:]) // it does not fail: crypto/rand ends the program instead
		e.used = 0
	}
	e.used += copy(random[:], e.octets[e.used:])
	return random
}
