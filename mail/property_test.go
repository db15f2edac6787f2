package mail

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is written is read back as it was, whatever it was: parse(write(m)) = m, for messages of any shape.

// line draws text of one line: what people write, and what looks like syntax.
func line() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{" ", "  ", "\t", "=?", "?=", "=?utf-8?q?x?=", "\"", "\\", "<", ">", ",", ";", ":", "@", "(", ")", "=", "é", "日本語", "👩‍👩‍👧", "\u00a0", "\u2028", "\x7f", ".", "word", "--", "From "}),
		rapid.StringMatching(`[a-zA-Z0-9]{1,20}`), rapid.StringMatching(`[a-z]{70,120}`))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "") })
}

// body draws text of several lines.
func body() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		lines := rapid.SliceOfN(line(), 0, 8).Draw(t, "lines")
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			lines = append(lines, strings.Repeat("long ", 300))
		}
		return strings.Join(lines, "\n")
	})
}

func addresses(least int) *rapid.Generator[[]Address] {
	one := rapid.Custom(func(t *rapid.T) Address {
		local := rapid.OneOf(rapid.StringMatching(`[a-z0-9!#$%&'*+/=?^_{|}~-]{1,20}(\.[a-z0-9]{1,5})?`), rapid.Just(`"quoted \" part"`)).Draw(t, "local")
		domain := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9]{0,10}(\.[a-z]{2,5}){1,3}`), rapid.Just("[192.0.2.1]"), rapid.Just("[IPv6:2001:db8::1]")).Draw(t, "domain")
		return Address{strings.TrimSpace(line().Draw(t, "name")), local + "@" + domain}
	})
	return rapid.SliceOfN(one, least, 6)
}

func files() *rapid.Generator[[]Attachment] {
	one := rapid.Custom(func(t *rapid.T) Attachment {
		a := FromBytes(line().Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content"))
		a.Type = rapid.SampledFrom([]string{"application/pdf", "text/plain", "image/png", "application/x-own; a=b", "text/csv; charset=utf-8", "audio/x-y"}).Draw(t, "type")
		if rapid.Bool().Draw(t, "inline") {
			a.CID = rapid.StringMatching(`[a-z0-9]{1,20}@[a-z]{1,9}`).Draw(t, "cid")
		}
		return a
	})
	return rapid.SliceOfN(one, 0, 4)
}

func messages() *rapid.Generator[*Message] {
	return rapid.Custom(func(t *rapid.T) *Message {
		m := &Message{
			From: addresses(1).Draw(t, "from"), ReplyTo: addresses(0).Draw(t, "reply-to"), To: addresses(0).Draw(t, "to"), Cc: addresses(0).Draw(t, "cc"), Bcc: addresses(0).Draw(t, "bcc"),
			Subject: line().Draw(t, "subject"), Text: body().Draw(t, "text"), HTML: body().Draw(t, "html"), Attachments: files().Draw(t, "files"),
			Date: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "date"), 0).In(time.FixedZone("", 60*rapid.IntRange(-720, 840).Draw(t, "zone"))),
			ID:   rapid.StringMatching(`[a-zA-Z0-9.]{1,40}@[a-z.]{1,20}`).Draw(t, "id"), References: rapid.SliceOfN(rapid.StringMatching(`[a-z0-9]{1,80}@[a-z]{1,20}`), 0, 20).Draw(t, "references"),
			Header:   Fields("X-Own", line().Draw(t, "x-own"), "Comments", line().Draw(t, "comments")),
			HTMLOnly: true,
		}
		if len(m.From) > 1 {
			m.Sender = m.From[0]
		}
		return m
	})
}

func TestWriteThenParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := messages().Draw(t, "message")
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if why := unfit(out.Bytes()); why != "" {
			t.Fatalf("%s in\n%s", why, out.String())
		}
		got, err := Parse(bytes.NewReader(out.Bytes()))
		if err != nil || len(got.Defects) > 0 {
			t.Fatalf("%v %v\n%s", err, got.Defects, out.String())
		}
		if why := differs(m, got); why != "" {
			t.Fatalf("%s in\n%s", why, out.String())
		}
		// What was parsed is written to the octet.
		var again bytes.Buffer
		if _, err := got.WriteTo(&again); err != nil || again.String() != out.String() {
			t.Fatalf("written again (%v):\n%s\nit was\n%s", err, again.String(), out.String())
		}
	})
}

// unfit tells what keeps a message from being sent.
func unfit(b []byte) string {
	for line := range bytes.Lines(b) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(text) > 998 || bytes.ContainsAny(text, "\r\n\x00") || !isASCII(string(text)) {
			return fmt.Sprintf("the line %q", line)
		}
	}
	return ""
}

// differs tells in what two messages differ.
func differs(want, got *Message) string {
	for _, f := range []struct {
		name      string
		want, got any
	}{
		{"From", want.From, got.From}, {"Sender", want.Sender, got.Sender}, {"Reply-To", want.ReplyTo, got.ReplyTo}, {"To", want.To, got.To}, {"Cc", want.Cc, got.Cc}, {"Bcc", "[]", fmt.Sprint(got.Bcc)},
		{"Subject", want.Subject, got.Subject}, {"ID", want.ID, got.ID}, {"References", want.References, got.References}, {"X-Own", want.Header.Text("X-Own"), got.Header.Text("X-Own")},
		{"Comments", want.Header.Text("Comments"), got.Header.Text("Comments")}, {"Text", strings.TrimSuffix(want.Text, "\n"), strings.TrimSuffix(got.Text, "\n")},
		{"HTML", strings.TrimSuffix(want.HTML, "\n"), strings.TrimSuffix(got.HTML, "\n")}, {"date", want.Date.Unix(), got.Date.Unix()}, {"files", len(want.Attachments), len(got.Attachments)},
	} {
		if a, b := fmt.Sprintf("%q", f.want), fmt.Sprintf("%q", f.got); a != b && !(f.name != "Bcc" && a == "[]" && b == "[]") {
			return fmt.Sprintf("%s: got %s, want %s", f.name, b, a)
		}
	}
	left := slices.Clone(got.Attachments)
	for _, w := range want.Attachments {
		// Pictures come before files; each is found by all that it is.
		i := slices.IndexFunc(left, func(a Attachment) bool {
			wantType, _, _ := strings.Cut(w.Type, ";")
			return a.Name == w.Name && a.CID == w.CID && a.Type == wantType && slices.Equal(contentOf(a), contentOf(w))
		})
		if i < 0 {
			return fmt.Sprintf("the attachment %q with CID %q of the type %s is not found", w.Name, w.CID, w.Type)
		}
		left = slices.Delete(left, i, i+1)
	}
	return ""
}

func contentOf(a Attachment) []byte {
	rc, err := a.Open()
	if err != nil {
		return []byte(err.Error())
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// Trees of any shape come back with their shape, types and contents.
func TestTreesThenParse(t *testing.T) {
	var tree func(depth int) *rapid.Generator[*Part]
	tree = func(depth int) *rapid.Generator[*Part] {
		return rapid.Custom(func(t *rapid.T) *Part {
			if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
				if rapid.Bool().Draw(t, "is text") {
					return TextPart(rapid.SampledFrom([]string{"text/plain", "text/html; charset=utf-8", "text/x-own; a=b"}).Draw(t, "type"), body().Draw(t, "text"))
				}
				b := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "content")
				return &Part{Header: Fields("Content-Type", "application/x-own", "Content-Description", line().Draw(t, "description")), Open: FromBytes("", b).Open}
			}
			p := newMultipart("multipart/"+rapid.SampledFrom([]string{"mixed", "alternative", "related", "x-own"}).Draw(t, "kind"), rapid.SliceOfN(tree(depth-1), 1, 3).Draw(t, "parts"))
			p.Preamble = rapid.SampledFrom([]string{"", "This is MIME.", "two\nlines"}).Draw(t, "preamble")
			p.Epilogue = rapid.SampledFrom([]string{"", "the end"}).Draw(t, "epilogue")
			return p
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		m := base()
		m.Body = tree(4).Draw(t, "tree")
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		got, _ := Parse(bytes.NewReader(out.Bytes()))
		if why := unfit(out.Bytes()); why != "" || len(got.Defects) > 0 || shape(got.Body) != shape(m.Body) {
			t.Fatalf("%s, %v, got the shape %s of %s in\n%s", why, got.Defects, shape(got.Body), shape(m.Body), out.String())
		}
		for path, want := range m.Body.Walk() {
			p := got.Body.At(path)
			if want.IsMultipart() {
				if p.Preamble != strings.ReplaceAll(want.Preamble, "\n", "\r\n") {
					t.Fatalf("part %s: got the preamble %q, want %q", path, p.Preamble, want.Preamble)
				}
				continue
			}
			if strings.HasPrefix(want.Type(), "text/") {
				a, _ := p.Text()
				b, _ := want.Text()
				if !sameText(a, b) {
					t.Fatalf("part %s: got the text %q, want %q", path, a, b)
				}
				continue
			}
			if p.Header.Text("Content-Description") != want.Header.Text("Content-Description") || !bytes.Equal(contentOf(Attachment{Open: p.Reader}), contentOf(Attachment{Open: want.Reader})) {
				t.Fatalf("part %s differs in\n%s", path, out.String())
			}
		}
	})
}

// Whatever a server offers, the form for it is read back as what was written, and says how long it is.
func TestFormsThenParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := messages().Draw(t, "message")
		m.Binary, m.UTF8 = rapid.Bool().Draw(t, "binary"), rapid.Bool().Draw(t, "UTF-8")
		if rapid.Bool().Draw(t, "beyond ASCII") {
			m.Cc = append(m.Cc, Address{"", "jürgen@example.com"})
		}
		extensions := rapid.SliceOf(rapid.SampledFrom([]string{"8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"})).Draw(t, "extensions")
		f := &frozen{}
		if err := f.freeze(m, form{}, 0); err != nil {
			t.Fatal(err)
		}
		written, uses, err := f.Adapt(func(name string) bool { return slices.Contains(extensions, name) })
		if err != nil {
			if f.needs == "" || slices.Contains(extensions, "SMTPUTF8") {
				t.Fatal(err)
			}
			return
		}
		for _, name := range uses {
			if !slices.Contains(extensions, name) {
				t.Fatalf("it uses %s, which is not offered", name)
			}
		}
		var out bytes.Buffer
		n, err := written.WriteTo(&out)
		size, sizeErr := written.(*frozen).Size()
		if err != nil || sizeErr != nil || n != size || int(n) != out.Len() {
			t.Fatalf("%d octets, told %d and %d: %v, %v", out.Len(), n, size, err, sizeErr)
		}
		if len(uses) == 0 {
			if why := unfit(out.Bytes()); why != "" {
				t.Fatalf("%s in\n%s", why, out.String())
			}
		}
		got, err := Parse(bytes.NewReader(out.Bytes()))
		if err != nil || len(got.Defects) > 0 {
			t.Fatalf("%v %v\n%s", err, got.Defects, out.String())
		}
		if why := differs(m, got); why != "" {
			t.Fatalf("uses %v: %s in\n%s", uses, why, out.String())
		}
		// It adapts back to what any server takes.
		again, uses, err := written.(*frozen).Adapt(func(string) bool { return false })
		if f.needs != "" {
			if err == nil {
				t.Fatal("an address beyond ASCII goes to a server without SMTPUTF8")
			}
			return
		}
		var plain, back bytes.Buffer
		f.WriteTo(&plain)
		if err != nil || len(uses) > 0 {
			t.Fatalf("back to 7bit: uses %v, %v", uses, err)
		}
		if again.WriteTo(&back); back.String() != plain.String() {
			t.Fatalf("back to 7bit it is\n%s\nit was\n%s", back.String(), plain.String())
		}
	})
}

// A text is surveyed as a whole and in pieces, to the same end: the quick way by eight octets at a time sees what the
// slow one sees, wherever it is.
func TestSurveys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "12345678", " ", "\t", "=", "\x00", "\x7f", "é", "\xff", "\r", "\n", "\r\n", "\r\r\n"}), 0, 20)
		s := strings.Join(pieces.Draw(t, "pieces"), "")
		var whole, pieced survey
		whole.text(s)
		for rest := s; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			pieced.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		pieced.bareCR = pieced.bareCR || pieced.cr // one at the very end
		tell := func(s survey) []any { return []any{s.size, s.high, s.control, s.equals, s.bareCR} }
		if got, want := tell(whole), tell(pieced); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, in pieces %v", s, got, want)
		}
		if longest := max(pieced.longest, pieced.width); whole.longest < longest || !whole.bareCR && whole.longest != longest {
			t.Errorf("%q: the longest line has %d, in pieces %d", s, whole.longest, longest)
		}
	})
}
