package mail

import (
	"bytes"
	"strings"
)

// The index: where each part begins and ends, found in one pass over the lines (RFC 2046, 5.1). Multiparts lie in each
// other like the open levels of a stack; a line of dashes is compared with the boundaries of all of them, the outer
// ones first, so that a part that does not end cannot take in what is around it. There is no recursion: depth costs
// nothing but the limit.
//
// Bodies are not copied and not decoded here; a part is two offsets. What is odd is settled so that every octet
// of the message is in one part or the other, and told in a defect. The limits are the Parser's: a message
// cannot make us build more than they allow, whatever it says about itself.

// A level is a multipart whose end has not come yet.
type level struct {
	part     *Part
	boundary string
	children int // so far
}

// A region is a stretch of the message that the next boundary will end.
// There is always one that is open: the message is a row of them without gaps.
type region struct {
	kind  byte // 'b' the body of part, 'p' its preamble, 'e' its epilogue
	part  *Part
	begin int64
}

// An index is the work of one pass.
type index struct {
	p       *Parser
	lim     limits
	lines   lines
	header  Header // the message's own
	defects defects
	levels  []level
	lengths uint64 // a bit for the length, modulo 64, of each boundary that is open
	parts   int    // made so far
	passing bool   // the message is not kept, and so are neither parts nor what is between them
	room    [4]level
}

// run makes the tree.
// The message's own header describes the outermost part, so its Content fields are that part's (RFC 2045, 3).
func (x *index) run(root *Part) {
	x.levels = x.room[:0]
	x.part(root, nil)
	x.header, root.Header, root.whole = root.Header, contentFields(root.Header), true
	here := x.begin(root)
	for len(x.levels) > 0 {
		line, start, prior, ok := x.lines.dashes()
		if !ok {
			break
		}
		n, closing := x.match(line)
		// Two hyphens begin signatures and rules as well; most such lines are text.
		if n < 0 {
			continue
		}
		x.end(here, start, prior)
		// RFC 2046, 5.1.2: the boundary of an outer multipart ends all inner ones that are still open.
		x.unclosed(n+1, max(here.begin, start-int64(prior)))
		here = x.follow(n, closing)
	}
	x.end(here, x.lines.src.size, 0)
	x.unclosed(0, x.lines.src.size)
}

// follow goes on behind a boundary of level n.
func (x *index) follow(n int, closing bool) region {
	l := x.levels[n]
	x.levels = x.levels[:n+1]
	// The level is gone, and its boundary with it: a later line like it is text of what is around.
	if closing {
		x.levels = x.levels[:n]
		return region{'e', l.part, x.lines.offset()}
	}
	child := new(Part)
	x.part(child, l.part)
	x.levels[n].children++
	if !x.passing {
		if l.part.Parts == nil {
			l.part.Parts = make([]*Part, 0, 2) // the usual number
		}
		l.part.Parts = append(l.part.Parts, child)
	}
	// A message of nothing but boundary lines would otherwise become a tree a hundred times its size.
	if x.parts >= x.lim.parts {
		x.defects.add(DefectLimit, x.lines.offset(), "more parts than the limit, the rest is read as one part")
		x.levels = x.levels[:0] // no boundary counts any more
		return region{'b', child, x.lines.offset()}
	}
	return x.begin(child)
}

// begin opens a part behind its header: a multipart becomes a level.
func (x *index) begin(part *Part) region {
	at := x.lines.offset()
	part.begin = at
	if !strings.HasPrefix(part.media, "multipart/") {
		return region{'b', part, at}
	}
	boundary := part.boundary
	switch {
	case boundary == "":
		x.defects.add(DefectBoundary, at, "a multipart without a boundary, not taken apart")
		return region{'b', part, at}
	// The lines of each level are compared with the boundaries of all: depth times length is what a hostile
	// message costs.
	case len(x.levels) >= x.lim.depth:
		x.defects.add(DefectLimit, at, "deeper than the limit, not taken apart")
		return region{'b', part, at}
	}
	if part.encoding == "base64" || part.encoding == "quoted-printable" {
		// RFC 2045, 6.4: a multipart may have no encoding of its own; those that claim one have seldom been encoded.
		x.defects.add(DefectEncoding, at, "a multipart with a transfer encoding, which is ignored")
		part.encoding = ""
	}
	x.levels = append(x.levels, level{part: part, boundary: boundary})
	x.lengths |= 1 << (len(boundary) & 63)
	return region{'p', part, at}
}

// end closes a region at the boundary line that begins at start, or at the end of the message. The line end before a
// boundary belongs to it (RFC 2046, 5.1.1).
// A region may end before it begins, where two boundary lines follow each other without an empty line: it is
// empty then.
func (x *index) end(r region, start int64, prior int) {
	end := max(r.begin, start-int64(prior))
	switch r.kind {
	case 'b':
		r.part.end = end
	case 'p':
		r.part.Preamble = x.text(r.begin, end)
	case 'e':
		r.part.Epilogue = x.text(r.begin, end)
		r.part.end = end
	}
}

// unclosed gives up the levels from n on: their last boundary has not come.
// QUIRK: messages that were cut at a size limit, and senders that forget the last boundary, are so common that
// each reader shows what there is. RFC 2046, 5.1.1 requires the boundary all the same.
func (x *index) unclosed(n int, at int64) {
	for _, l := range x.levels[min(n, len(x.levels)):] {
		l.part.end = at
		if l.children == 0 {
			l.part.Preamble = "" // it is the body
			x.defects.add(DefectBoundary, at, "a multipart whose boundary never comes, read as text")
			continue
		}
		x.defects.add(DefectBoundary, at, "a multipart without its last boundary, ended here")
	}
	x.levels = x.levels[:min(n, len(x.levels))]
}

// match finds the level whose boundary the line is: -1 if there is none. The outermost wins.
// The outermost must win, or a part could imitate the multipart around it and hide what follows from other
// readers.
func (x *index) match(line []byte) (n int, closing bool) {
	s := bytes.TrimRight(line[2:], " \t\r\n") // RFC 2046, 5.1.1: transport may have added white space
	body, hasDashes := bytes.CutSuffix(s, []byte("--"))
	body = bytes.TrimRight(body, " \t") // of a boundary that ends in white space, which does not count
	// One look at a bit lets most lines go that are no boundary. The bits of levels that are closed stay, which
	// costs a comparison now and then and nothing else.
	if x.lengths&(1<<(len(s)&63)) == 0 && (!hasDashes || x.lengths&(1<<(len(body)&63)) == 0) {
		return -1, false
	}
	for i, l := range x.levels {
		// A boundary that itself ends in two hyphens is looked at as an opening one first.
		if string(s) == l.boundary {
			return i, false
		}
		if hasDashes && string(body) == l.boundary {
			return i, true
		}
	}
	return -1, false
}

// maxAside is how much of a preamble or an epilogue is kept.
// Preambles are "This is a multi-part message in MIME format."; a megabyte of one is an attack or a mistake.
const maxAside = 1 << 20

// text reads a stretch that is kept as a string.
func (x *index) text(begin, end int64) string {
	if end <= begin {
		return ""
	}
	if end-begin > maxAside {
		x.defects.add(DefectLimit, begin+maxAside, "a preamble or epilogue longer than the limit, cut")
		end = begin + maxAside
	}
	if x.passing {
		return ""
	}
	src := x.lines.src
	// In memory it is a piece of the message, not a copy.
	if src.at == nil {
		return src.data[begin:end]
	}
	b := make([]byte, end-begin)
	n, err := src.at.ReadAt(b, begin)
	if n < len(b) && src.err == nil {
		src.err = err
	}
	return string(b[:n])
}

// part reads a header into the part that it describes. The lines are then at its body.
func (x *index) part(part, parent *Part) {
	x.parts++
	start := x.lines.offset()
	block := x.block()
	x.defects.base = start
	header, used := parseHeader(block.text, &x.lim, &x.defects)
	x.defects.base = 0
	if used < len(block.text) && !block.cut {
		x.lines.back(start+int64(used), block.text[used:]) // the body begins before the empty line
	}
	part.Header, part.src, part.begin, part.end = header, x.lines.src, x.lines.offset(), x.lines.offset()
	// RFC 2045, 5.2: without Content-Type a part is text/plain.
	part.media = "text/plain"
	if parent != nil && parent.media == "multipart/digest" {
		part.media = "message/rfc822" // RFC 2046, 5.1.5
	}
	x.describe(part, start)
}

// describe reads the fields that the index needs.
// Only what decides about the structure is read now; the other parameters are read when somebody asks for them.
func (x *index) describe(part *Part, at int64) {
	if f := part.Header.index("Content-Type"); f >= 0 {
		x.defects.within(at, x.lines.offset())
		var want [2]string
		value := x.p.find(part.Header.fields[f].body, [2]string{"charset", "boundary"}, &want, &x.defects)
		x.defects.within(0, 0)
		part.charset = want[0]
		// RFC 2046, 5.1.1: a boundary does not end with white space, so a reader may drop what a relay has
		// added.
		if major, minor, ok := strings.Cut(value, "/"); ok && isTokenString(major) && minor != "" {
			part.media, part.boundary = value, strings.TrimRight(want[1], " \t")
		} else {
			x.defects.add(DefectParameter, at, "a media type that is none, read as "+part.media)
		}
	}
	if f := part.Header.index("Content-Transfer-Encoding"); f >= 0 {
		part.encoding = encodingName(part.Header.fields[f].Value())
		if part.encoding != "" && !knownEncoding(part.encoding) && (x.p == nil || x.p.Decoder == nil) {
			x.defects.add(DefectEncoding, at, "an unknown transfer encoding, read as none")
		}
	}
}

// A block is the text of a header.
type block struct {
	text string
	cut  bool // there was more than the limits allow, and it is gone
}

// block reads lines up to and with the first empty one; a boundary ends it too and is not taken.
// The text is a piece of the message wherever that is in memory and nothing has to be left out of it.
func (x *index) block() block {
	l := &x.lines
	start := l.offset()
	var kept []byte // only needed if the header is cut, or not in memory
	cut, width := false, 0
	inPlace := l.src.at == nil
	for {
		at := l.offset()
		line, begins, ok := l.next()
		if !ok {
			break
		}
		if begins {
			width = 0
			// QUIRK: parts whose header is followed by the next boundary at once, without the empty line that
			// RFC 2046, 5.1 wants.
			if len(x.levels) > 0 && len(line) > 2 && line[0] == '-' && line[1] == '-' {
				if n, _ := x.match(line); n >= 0 {
					l.back(at, "") // the line is in the window
					break
				}
			}
		}
		blank := begins && (line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n')
		width += len(line)
		// How much of this is more than a line, or a header, may have: all of it, if the limit was reached before.
		over := width - x.lim.lineBytes
		excess := max(0, over, int(l.offset()-start-x.lim.headerBytes))
		if excess > 0 && !cut {
			x.defects.add(DefectLimit, l.offset()-int64(excess), "a header longer than the limits, cut")
			cut = true
			if inPlace {
				kept = append(kept, l.src.data[start:at]...)
			}
		}
		if !inPlace || cut {
			kept = append(kept, line[:max(0, len(line)-excess)]...)
			// A line that was cut still ends, or the next field would be read as its rest.
			if over > 0 && over == excess && line[len(line)-1] == '\n' {
				kept = append(kept, '\n')
			}
		}
		if blank {
			break
		}
	}
	if inPlace && !cut {
		return block{l.src.data[start:l.offset()], false}
	}
	return block{stringOf(kept), cut}
}

// contentFields gives the fields of a message's header that describe its body.
// RFC 2045, 9: what describes a body begins with "Content-", the fields of later RFCs included.
func contentFields(h Header) Header {
	n, first, last := 0, 0, 0
	for i := range h.fields {
		if _, ok := cutPrefixFold(h.fields[i].name, "Content-"); ok {
			if n == 0 {
				first = i
			}
			n, last = n+1, i
		}
	}
	switch {
	case n == 0:
		return Header{}
	case n == last-first+1:
		// They stand together, as they nearly always do: a piece of the message's own will do, for nobody writes into it.
		return Header{fields: h.fields[first : last+1 : last+1]}
	}
	out := make([]Field, 0, n)
	for _, f := range h.fields {
		if _, ok := cutPrefixFold(f.name, "Content-"); ok {
			out = append(out, f)
		}
	}
	return Header{fields: out}
}

// isTokenString says that s is a token of RFC 2045, 5.1, of one character at least.
func isTokenString(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}
