package mail

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Messages in pieces, and messages whose content is elsewhere (RFC 2046, 5.2.2 and 5.2.3).

// JoinPartial puts a message together that was sent in pieces, as message/partial; they may come in any order, and more
// than once. The result is what was sent: the fields of the first piece, with those of the message inside for all that
// tells about its content (RFC 2046, 5.2.2.1). The error says which piece is missing, or does not belong. Together they may
// have 256 MiB.
func JoinPartial(pieces ...*Message) (*Message, error) {
	if len(pieces) == 0 {
		return nil, fmt.Errorf("mail: no pieces of a message")
	}
	// RFC 2046, 5.2.2: the identifier holds the pieces together, so that those of two messages are never mixed.
	id, total := pieces[0].Body.Param("id"), 0
	numbered := make(map[int]*Message)
	for _, m := range pieces {
		p := m.Body
		n, err := strconv.Atoi(p.Param("number"))
		if p.Type() != "message/partial" || err != nil || n < 1 || n > 100_000 {
			return nil, fmt.Errorf("mail: %.60q is no piece of a message", m.Subject)
		}
		if p.Param("id") != id {
			return nil, fmt.Errorf("mail: a piece of %.60q among those of %.60q", p.Param("id"), id)
		}
		if t, err := strconv.Atoi(p.Param("total")); err == nil {
			total = max(total, t) // only the last piece has to say it
		}
		numbered[n] = cmp.Or(numbered[n], m) // the same piece may have come twice, by two ways
	}
	if total == 0 {
		return nil, fmt.Errorf("mail: no piece of %.60q says how many there are", id)
	}
	var readers []io.Reader
	for n := 1; n <= total; n++ {
		m := numbered[n]
		if m == nil {
			return nil, fmt.Errorf("mail: piece %d of %d of %.60q is missing", n, total, id)
		}
		rc, err := m.Body.Reader()
		if err != nil {
			return nil, err
		}
		defer rc.Close()
		readers = append(readers, rc)
	}
	// What is in the pieces begins with the header of the message inside, of which some fields count and others do not.
	inner, err := Parse(io.MultiReader(readers...))
	if err != nil {
		return nil, err
	}
	return Parse(io.MultiReader(strings.NewReader(joinHeaders(numbered[1].Header, inner.Header)+"\r\n"), inner.Body.raw()))
}

// joinHeaders gives the header of the message in pieces.
func joinHeaders(outer, inner Header) string {
	// RFC 2046, 5.2.2.1 names these; all others are of the message that was sent, which the first piece has them from.
	inside := func(f Field) bool {
		_, content := cutPrefixFold(f.name, "Content-")
		named := func(name string) bool { return equalFold(f.name, name) }
		return content || slices.ContainsFunc([]string{"Subject", "Message-ID", "Encrypted", "MIME-Version"}, named)
	}
	var b strings.Builder
	for f := range outer.All() {
		if !inside(f) && f.name != "" {
			b.WriteString(strings.TrimRight(Header{fields: []Field{f}}.String(), "\r\n") + "\r\n")
		}
	}
	for f := range inner.All() {
		if inside(f) {
			b.WriteString(strings.TrimRight(Header{fields: []Field{f}}.String(), "\r\n") + "\r\n")
		}
	}
	return b.String()
}

// raw gives the body as it is in the message that was parsed.
func (p *Part) raw() io.Reader { return p.src.section(p.begin, p.end) }

// External tells where the content of a message/external-body is, in words and addresses as its parameters have them; "" for
// any other part. Nothing is fetched: whoever wrote the message would learn who reads it, and when.
func (p *Part) External() string {
	if p.Type() != "message/external-body" {
		return ""
	}
	// What comes out is shown to people: controls and line ends would make two lines of one.
	get := func(name string) string { return cleanLine(p.Param(name)) }
	switch access := toLower(get("access-type")); access {
	case "url": // RFC 2017
		return strings.Map(urlRune, get("url"))
	// RFC 2046, 5.2.3.2: these three name a file on a host, in three parameters.
	case "ftp", "anon-ftp", "tftp":
		dir := strings.Trim(get("directory"), "/")
		if dir != "" {
			dir += "/"
		}
		return "ftp://" + get("site") + "/" + dir + get("name")
	case "mail-server":
		return "a message to " + get("server")
	case "":
		return "elsewhere"
	default:
		return strings.TrimSpace(access + " " + get("name"))
	}
}
