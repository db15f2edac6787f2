package mail

import "fmt"

// A DefectKind says what rule was broken, in one or two words that do not change between versions.
//
// Programs may decide by it and count it; the texts are for people and do change. More kinds may come.
type DefectKind string

// The kinds of defects that reading a message can find.
const (
	DefectAddress   DefectKind = "address"   // an address that no grammar allows
	DefectBoundary  DefectKind = "boundary"  // a multipart without its boundary, its beginning or its end
	DefectCharset   DefectKind = "charset"   // an unknown charset, or text that is not in the one it claims
	DefectDate      DefectKind = "date"      // a date that cannot be read
	DefectDuplicate DefectKind = "duplicate" // a field that may occur once is there again
	DefectEncoding  DefectKind = "encoding"  // a transfer encoding that is unknown, not allowed here, or broken
	DefectHeader    DefectKind = "header"    // a line in the header that is no field
	DefectLimit     DefectKind = "limit"     // more than the Parser's limits allow
	DefectLine      DefectKind = "line"      // a line that is too long
	DefectParameter DefectKind = "parameter" // a parameter or a media type that cannot be read
)

// A Defect is something in a message that is not as the standards want it, and how it was read all the same.
type Defect struct {
	Kind   DefectKind
	Offset int64  // where in the message it is, in octets from its beginning; -1 if that is not known
	Text   string // what was odd and how it was read, in a sentence for people
}

// String gives the defect as one line for people.
// The zero Defect is none and is never in a list.
func (d Defect) String() string {
	if d.Offset < 0 {
		return fmt.Sprintf("%s: %s", d.Kind, d.Text)
	}
	return fmt.Sprintf("%s at octet %d: %s", d.Kind, d.Offset, d.Text)
}

// maxDefects bounds what a hostile message can make us keep. The last place is kept for saying so.
// A hundred is more than anyone reads, and few enough that a message of nothing but mistakes costs no more than
// others.
const maxDefects = 100

// A defects is where the parts of the parser put what they find; a nil one drops it.
// RFC 7103 is the reason to have them at all: handlers of mail that mend in silence disagree with each other,
// and that is what attackers use. So what was mended is told.
type defects struct {
	list []Defect
	base int64 // added to the offsets that come in
	end  int64 // no offset is behind this one, if it is not 0: text that was converted is longer than it was
}

// within says where what is read next lies in the message; within(0, 0) that it is all of it.
func (d *defects) within(begin, end int64) { d.base, d.end = begin, end }

// add keeps a defect. The texts are constants but for names of fields and types, so that a hostile message cannot make us
// keep itself a second time.
func (d *defects) add(kind DefectKind, offset int64, text string) {
	if d == nil || len(d.list) >= maxDefects {
		return
	}
	if len(d.list) == maxDefects-1 {
		kind, text = DefectLimit, "there are more defects than these"
	}
	if offset >= 0 {
		offset += d.base
		if d.end > 0 {
			offset = min(offset, d.end)
		}
	}
	d.list = append(d.list, Defect{Kind: kind, Offset: offset, Text: text})
}
