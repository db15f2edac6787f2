package mail

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The plan of a body: each part with the encoding and the boundary that it will be written with. It is made before
// anything is laid out, for the header of the message comes first and tells about it.
//
// All that can be wrong with a body is found here, so that nothing has been written when it is said. Content is
// opened and read for the plan only where it decides something: text for its encoding, and what is written as
// it is for its boundary. Attachments go as base64 unseen: reading a large file twice costs more than the
// octets that base64 adds.

// A plan is how one part is written.
// A plan belongs to one form of a message; the Part it points to may be in others, and is not changed.
type plan struct {
	part     *Part
	text     *string // the content, if it is in memory
	isText   bool    // its line ends are line ends, to be made CRLF
	enc      transferEncoding
	boundary string
	media    string // the media type to write, where the part's own field is not kept
	parts    []*plan
	nested   *frozen // for encNested
	last     bool    // the message ends with it, and so must end with a line end
	label    string  // what the part is called in errors
}

// body plans the message's body. It is nil for a message that is nothing but text, which needs none.
// A message that was parsed has both Body and Text; Body is the whole of it and wins.
func (r *renderer) body() (*plan, error) {
	m := r.m
	if m.Body != nil {
		return r.plan(m.Body, "", 0)
	}
	if m.HTML == "" && len(m.Attachments) == 0 && m.Invitation == "" && !m.Flowed {
		return nil, nil
	}
	root, err := m.tree()
	if err != nil {
		return nil, err
	}
	return r.plan(root, "", 0)
}

// maxNesting is how deep a body that is written may be.
const maxNesting = 1000

// plan plans one part and all below it. path is its place, as [Part.Walk] gives it.
// The children come first: which boundary will do depends on how they are written.
func (r *renderer) plan(p *Part, path string, depth int) (*plan, error) {
	pl := &plan{part: p, label: "part " + path}
	if path == "" {
		pl.label, pl.last = "the body", len(p.Parts) == 0
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("%s lies deeper than %d multiparts", pl.label, maxNesting)
	}
	// A mistake in a field is told with the part that it is in, before anything is opened.
	for i := range p.Header.fields {
		if err := p.Header.fields[i].validRaw(); err != nil {
			return nil, fmt.Errorf("%s: %w", pl.label, err)
		}
	}
	if len(p.Parts) == 0 {
		return pl, r.leaf(pl)
	}
	if p.Open != nil {
		return nil, fmt.Errorf("%s has both Open and Parts", pl.label)
	}
	for i, child := range p.Parts {
		if child == nil {
			return nil, fmt.Errorf("%s: its part %d is nil", pl.label, i+1)
		}
		below := strconv.Itoa(i + 1)
		if path != "" {
			below = path + "." + below
		}
		one, err := r.plan(child, below, depth+1)
		if err != nil {
			return nil, err
		}
		pl.parts = append(pl.parts, one)
		pl.enc = max(pl.enc, one.carries())
	}
	// RFC 2046, 5: a type that is no multipart has no parts, and readers would show the boundaries as text.
	// Only where nothing was said may we say it.
	if pl.media = p.Type(); !strings.HasPrefix(pl.media, "multipart/") {
		if p.Header.Has("Content-Type") {
			return nil, fmt.Errorf("%s has Parts and is a %s", pl.label, pl.media)
		}
		pl.media = "multipart/mixed"
	}
	return pl, r.chooseBoundary(pl, path)
}

// chooseBoundary finds a boundary that occurs in no part: the part's own if it has one that will do, else a hash of
// the Message-ID and the path. It contains "=_", which neither base64 nor quoted-printable can (RFC 2045, 6.7).
// A hash instead of random octets makes all forms of a message alike, and a message that is written twice the
// same to the octet. Candidates are tried, not trusted: an author can put the boundary of one message into the
// text of another.
func (r *renderer) chooseBoundary(pl *plan, path string) error {
	id := r.id
	if id == "" {
		id = r.m.Header.Value("Message-ID")
	}
	candidate := pl.part.Param("boundary")
	if !validBoundary(candidate) {
		candidate = ""
	}
	// 144 bits collide with nothing by chance: if ten of them are in the parts, somebody has made the parts so.
	for n := range 10 {
		if candidate == "" {
			sum := sha256.Sum256(fmt.Appendf(make([]byte, 0, 128), "%s\x00%s\x00%d", id, path, n))
			candidate = "=_" + base64.RawURLEncoding.EncodeToString(sum[:18])
		}
		found, err := pl.holds(candidate, pl.part.src)
		if err != nil {
			return err
		}
		if !found {
			pl.boundary = candidate
			return nil
		}
		candidate = ""
	}
	return fmt.Errorf("%s: no boundary is to be found that its parts do not hold", pl.label)
}

// validBoundary: RFC 2046, 5.1.1.
// A space is allowed inside and not at the end, where relays drop it.
func validBoundary(s string) bool {
	for i := range len(s) {
		if !isLetterDigit(s[i]) && strings.IndexByte("'()+_,-./:=? ", s[i]) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 70 && s[len(s)-1] != ' '
}

// holds says whether a part below holds a word where it is written as it is. Parts of the source that the boundary comes
// from cannot: they would not have been read so.
// RFC 2046, 5.1.1: a boundary must not appear in any part that it encloses; anywhere in a line is as bad here,
// since that is simpler to be sure of.
func (pl *plan) holds(word string, src *source) (bool, error) {
	if strings.Contains(pl.part.Preamble, word) || strings.Contains(pl.part.Epilogue, word) {
		return pl.part.src == nil || pl.part.src != src, nil
	}
	for _, child := range pl.parts {
		if found, err := child.holds(word, src); found || err != nil {
			return found, err
		}
		if child.boundary == word {
			return true, nil
		}
	}
	// Neither encoding can hold "=_" (RFC 2045, 6.7 and 6.8): "_" is not in base64's alphabet, and "=" is
	// always followed by digits or a line end in the other.
	if len(pl.parts) > 0 || pl.enc == encBase64 || pl.enc == encQuoted {
		return false, nil
	}
	if pl.text != nil {
		return strings.Contains(*pl.text, word), nil
	}
	if pl.enc == encNested {
		found := wordFinder{word: word}
		_, err := pl.nested.WriteTo(&found)
		return found.found, err
	}
	if src != nil && pl.enc == encRaw && pl.part.src == src {
		return false, nil
	}
	rc, err := pl.open()
	if err != nil {
		return false, err
	}
	defer rc.Close()
	found, err := contains(rc, word)
	return found, pl.wrap(err)
}

// A wordFinder looks for a word in what is written to it.
// It keeps as many octets as a word may have begun with, so a word in two pieces is found.
type wordFinder struct {
	word  string
	tail  []byte
	found bool
}

// Write never fails.
func (f *wordFinder) Write(b []byte) (int, error) {
	f.tail = append(f.tail, b...)
	f.found = f.found || strings.Contains(string(f.tail), f.word)
	if n := len(f.tail) - len(f.word) + 1; n > 0 {
		f.tail = append(f.tail[:0], f.tail[n:]...)
	}
	return len(b), nil
}

// leaf decides how a part without parts is written.
// Strings are looked at where they are; what Open gives is read once for the look and once more for the
// writing.
func (r *renderer) leaf(pl *plan) error {
	p := pl.part
	pl.media = p.Type()
	pl.text = p.str
	if p.Open != nil {
		pl.text = nil
	}
	pl.isText = strings.HasPrefix(pl.media, "text/") && !p.file
	message := strings.HasPrefix(pl.media, "message/")
	var s survey
	switch {
	case pl.text != nil:
		s.text(*pl.text)
	case p.Open == nil && p.src != nil:
		done, err := r.parsedLeaf(pl)
		if done || err != nil {
			return err
		}
		fallthrough
	// What Open gives is trusted to be the same when it is written; that is what its comment asks for.
	case pl.isText || message:
		rc, err := pl.open()
		if err != nil {
			return err
		}
		_, err = io.Copy(&s, rc)
		rc.Close()
		if err != nil {
			return pl.wrap(err)
		}
		// A CR as the very last octet is one that ends no line by CRLF.
		if s.cr {
			s.bareCR = true
		}
	default:
		r.octets(pl)
		return nil
	}
	switch {
	case message:
		return r.message822(pl, &s)
	case strings.HasPrefix(pl.media, "multipart/"):
		// It had no parts when it was read, and cannot have an encoding (RFC 2045, 6.4): it goes as the text that it is.
		pl.media, pl.isText = "text/plain", true
	case !pl.isText:
		r.octets(pl)
		return nil
	}
	// QUIRK: text with CRs alone comes from old Macs and from progress bars that were piped into mail. It was
	// sent like that in an encoding, so making line ends of them would change what was signed or hashed.
	if s.bareCR && p.src != nil {
		s.control++ // a CR in text that was parsed stays one
		pl.isText = false
	}
	pl.enc = s.choose(r.form.eightBit)
	r.gains.eightBit = r.gains.eightBit || pl.enc != enc7bit && s.choose(true) == enc8bit
	return nil
}

// octets plans what is not text: it is not read before it is written, for base64 carries anything, as binary does where that
// is asked for and taken. A body that is nothing but such a part has to end with a line end, which would be one more octet.
func (r *renderer) octets(pl *plan) {
	pl.enc = encBase64
	if r.m.Binary && !pl.last {
		r.gains.binary = true
		if r.form.binary {
			pl.enc = encBinary
		}
	}
}

// carries tells which of 7bit, 8bit and binary the octets are that a part is written in: the multiparts around it say the
// same (RFC 2045, 6.4).
func (pl *plan) carries() transferEncoding {
	switch {
	case pl.enc <= encBinary:
		return pl.enc
	case pl.enc == encRaw && pl.part.encoding == "8bit", pl.enc == encNested && pl.nested.form.eightBit && pl.nested.gains.eightBit:
		return enc8bit
	}
	return enc7bit
}

// parsedLeaf keeps a part as it was read, if its transfer encoding was not changed and its octets can be sent.
// Decoding and encoding again would give the same content in other octets, and signatures over the part would no longer fit.
// What cannot be sent so, as binary or lines that are too long, has to be encoded all the same.
func (r *renderer) parsedLeaf(pl *plan) (bool, error) {
	p := pl.part
	if encodingName(p.Header.Value("Content-Transfer-Encoding")) != p.encoding || !knownEncoding(p.encoding) {
		return false, nil
	}
	var s survey
	if _, err := io.Copy(&s, p.src.section(p.begin, p.end)); err != nil {
		return false, pl.wrap(err)
	}
	clean := s.control == 0 && !s.bareCR && !s.cr && max(s.longest, s.width) <= maxBodyLine && p.encoding != "binary"
	if clean && s.high > 0 && p.encoding == "8bit" {
		r.gains.eightBit = true
		clean = r.form.eightBit
	} else {
		clean = clean && s.high == 0
	}
	if clean {
		pl.enc = encRaw
	}
	return clean, nil
}

// maxNested is how many messages in messages are taken apart to be written; what lies deeper goes as octets.
// Each level is parsed and laid out while the one around it is: the bound keeps a chain of forwards from
// costing n².
const maxNested = 5

// message822 plans a message in the message: it may have no encoding but the identity (RFC 2046, 5.2.1), so one that is
// not 7bit is taken apart and written anew, its own parts encoded.
// QUIRK: some gateways and phones encode whole messages in base64 in spite of the rule; many readers then show
// nothing but a file of that name.
func (r *renderer) message822(pl *plan, s *survey) error {
	if e := s.choose(r.form.eightBit); (e == enc7bit || e == enc8bit) && !s.bareCR {
		pl.enc, pl.isText = e, true
		return nil
	}
	if pl.media != "message/rfc822" && pl.media != "message/global" {
		pl.enc = encBase64 // RFC 2046, 5.2 leaves it to each type; the newer ones allow it (RFC 6532, 3.7)
		return nil
	}
	rc, err := pl.open()
	if err != nil {
		return err
	}
	defer rc.Close()
	m, err := Parse(rc)
	if err != nil {
		return pl.wrap(err)
	}
	if r.nesting < maxNested {
		nested := &frozen{}
		if nested.freeze(m, form{eightBit: r.form.eightBit}, r.nesting+1) == nil { // why it cannot be written does not matter here
			pl.nested = nested
		}
	}
	if pl.nested == nil {
		// It has no author, or something else that writing refuses: as octets it still gets there.
		pl.enc, pl.media = encBase64, "application/octet-stream"
		return nil
	}
	pl.enc = encNested
	r.gains.eightBit = r.gains.eightBit || pl.nested.gains.eightBit
	return nil
}

// open opens the part's content: what was parsed as it lies in the message if it is to be written so.
// Who wrote the Open is told if it breaks its promise, instead of a panic with nil somewhere else.
func (pl *plan) open() (io.ReadCloser, error) {
	if pl.enc == encRaw {
		return io.NopCloser(pl.part.src.section(pl.part.begin, pl.part.end)), nil
	}
	rc, err := pl.part.Reader()
	if err == nil && rc == nil {
		err = errors.New("Open gave neither a reader nor an error")
	}
	return rc, pl.wrap(err)
}

// wrap says which part an error of reading comes from, by its file name if it has one.
// The name comes first because it is what the author knows the attachment by.
func (pl *plan) wrap(err error) error {
	if err == nil {
		return nil
	}
	if name := pl.part.Name(); name != "" {
		return fmt.Errorf("mail: attachment %q: %w", name, err)
	}
	return fmt.Errorf("mail: %s: %w", pl.label, err)
}
