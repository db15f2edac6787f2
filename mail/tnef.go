package mail

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

// TNEF: what Outlook and Exchange pack a message's attachments into when they think that everybody has Outlook
// ([MS-OXTNEF]). It is a row of attributes: a level, what it is, how long it is, octets, a checksum. Those of an attachment
// follow the one that begins it.
//
// Attributes are read one by one and their content is passed over, but for names: a file is where its attribute lies.

const (
	tnefSignature    = 0x223e9f78
	tnefMessage      = 1 // levels
	tnefAttachment   = 2
	tnefBegin        = 0x9002 // attAttachRendData: an attachment begins
	tnefTitle        = 0x8010 // attAttachTitle: its name, in an 8-bit charset
	tnefData         = 0x800f // attAttachData: its content
	tnefProperties   = 0x9005 // attAttachment: properties of MAPI
	mapiLongName     = 0x3707
	mapiMIMEType     = 0x370e
	mapiContentID    = 0x3712
	mapiString8      = 0x1e
	mapiUnicode      = 0x1f
	maxTNEFValue     = 64 << 10 // of what is kept while it is looked at
	maxTNEFAttribute = 10_000
)

// findTNEF finds the files in TNEF. What is cut or broken ends it: the files before that are there.
func findTNEF(r *bufio.Reader) ([]embedded, error) {
	t := tnef{r: r}
	// Other files are sent under the name winmail.dat too: without the signature there is nothing in it for us.
	signature := t.number(4)
	t.number(2) // a key that nothing refers to
	if t.err != nil || signature != tnefSignature {
		return nil, t.failure()
	}
	for n := 0; n < maxTNEFAttribute && len(t.files) < maxFiles; n++ {
		level := t.number(1)
		id := t.number(4)
		size := int64(t.number(4))
		if t.err != nil || level != tnefMessage && level != tnefAttachment {
			break
		}
		t.attribute(level, id&0xffff, size)
		t.number(2) // the checksum
	}
	t.finish()
	return t.files, t.failure()
}

// A tnef is the reading of one.
type tnef struct {
	r     *bufio.Reader
	at    int64
	err   error
	file  *embedded // the attachment that is open
	files []embedded
}

// failure gives the error of reading; that the content is too short is none.
func (t *tnef) failure() error {
	if errors.Is(t.err, io.EOF) || errors.Is(t.err, io.ErrUnexpectedEOF) {
		return nil
	}
	return t.err
}

// number reads a number of 1, 2 or 4 octets, the lowest first.
func (t *tnef) number(octets int) uint32 {
	b := t.octets(octets)
	// Where the content ends too soon the rest is zeros; err tells, and whoever reads numbers looks at it.
	var whole [4]byte
	copy(whole[:], b)
	return binary.LittleEndian.Uint32(whole[:])
}

// octets reads what is short.
func (t *tnef) octets(n int) []byte {
	if t.err != nil {
		return nil
	}
	b := make([]byte, n)
	var got int
	got, t.err = io.ReadFull(t.r, b)
	t.at += int64(got)
	return b[:got]
}

// pass passes over n octets.
func (t *tnef) pass(n int64) {
	if t.err != nil {
		return
	}
	var got int64
	got, t.err = io.CopyN(io.Discard, t.r, n)
	t.at += got
}

// attribute reads one attribute.
func (t *tnef) attribute(level, id uint32, size int64) {
	begin := t.at
	// The size is the sender's word and may be 4 GiB: no more is kept than a name can need.
	kept := int(min(size, maxTNEFValue))
	switch {
	// Attributes of the message repeat what its own header says, and those before the first attachment belong to none.
	case level != tnefAttachment:
	case id == tnefBegin:
		t.finish()
		t.file = &embedded{}
	case t.file == nil:
	case id == tnefTitle:
		if t.file.name == "" {
			t.file.name = latin(t.octets(kept))
		}
	case id == tnefProperties:
		t.properties(t.octets(kept))
	case id == tnefData:
		t.file.begin, t.file.end = begin, begin+size
	}
	t.pass(size - (t.at - begin))
	if t.err != nil && t.file != nil {
		t.file.end = min(t.file.end, t.at) // what there is of it
	}
}

// finish lists the attachment that is open, if it has content.
func (t *tnef) finish() {
	if t.file != nil && t.file.end > 0 {
		if t.file.name == "" {
			t.file.name = "unnamed"
		}
		t.files = append(t.files, *t.file)
	}
	t.file = nil
}

// latin reads a string that ends at a NUL, in the 8-bit charset of most of the world's Outlooks.
func latin(b []byte) string {
	// QUIRK: the charset is told in a property that comes later, if at all; names beyond ASCII have a Unicode one beside them.
	s, _, _ := strings.Cut(string(b), "\x00")
	out, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return ""
	}
	return out
}

// properties reads the names among MAPI's properties ([MS-OXTNEF], 2.1.3.4): a count, then a type and an identifier each,
// and its values. It stops at the first that cannot be read.
func (t *tnef) properties(b []byte) {
	// A length that is too long ends it: all that follows would be read from the wrong place.
	take := func(n int) []byte {
		if n < 0 || n > len(b) {
			b = nil
			return nil
		}
		out := b[:n]
		b = b[n:]
		return out
	}
	number := func() int {
		if v := take(4); v != nil {
			return int(int32(binary.LittleEndian.Uint32(v)))
		}
		return 0
	}
	for count := min(number(), 1000); count > 0 && len(b) >= 8; count-- {
		tag := number()
		kind, id := tag&0xffff, tag>>16&0xffff
		if id >= 0x8000 { // named: a GUID, then a number or a string
			take(16)
			if number() == 0 {
				take(4)
			} else {
				take((number() + 3) &^ 3)
			}
		}
		// The bit 0x1000 says that there are several values; strings and octets are counted even if there is one.
		values := 1
		fixed, ok := mapiSizes[kind&^0x1000]
		if !ok || kind&0x1000 != 0 {
			values = min(number(), 1000)
		}
		for range values {
			if ok {
				take(fixed)
				continue
			}
			n := number()
			t.property(id, kind, take(n))
			take(-n & 3) // values are whole words
		}
	}
}

// mapiSizes are the types whose values have one length: numbers, dates, errors and GUIDs, in whole words.
var mapiSizes = map[int]int{0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0a: 4, 0x0b: 4, 0x14: 8, 0x40: 8, 0x48: 16}

// property takes a property of the attachment that is of use. The long name wins over the title, which has eight letters
// and three.
func (t *tnef) property(id, kind int, value []byte) {
	var s string
	switch kind {
	case mapiString8:
		s = latin(value)
	case mapiUnicode:
		units := make([]uint16, len(value)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(value[2*i:])
		}
		s, _, _ = strings.Cut(string(utf16.Decode(units)), "\x00")
	}
	switch {
	case s == "":
	case id == mapiLongName:
		t.file.name = s
	case id == mapiMIMEType:
		t.file.media = toLower(s)
	case id == mapiContentID:
		t.file.cid = trimID(s)
	}
}
