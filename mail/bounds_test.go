package mail

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// Limits at their last value and at the next one, and lengths that lie about what follows them.

// limited says whether a defect tells of a limit.
func limited(m *Message) bool {
	return slices.ContainsFunc(m.Defects, func(d Defect) bool { return d.Kind == DefectLimit })
}

// The defaults that the Parser's comment gives: what fits is whole, and one more is told of.
func TestDefaultLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		most int
		make func(n int) string
		size func(m *Message) int
	}{
		{"depth", 100, nested, func(m *Message) int {
			n := 0
			for p := m.Body; p.IsMultipart(); p = p.Parts[0] {
				n++
			}
			return n
		}},
		{"parts", 1000 - 2, kind("parts"), func(m *Message) int { return len(m.Body.Parts) }}, // the multipart is one, the rest another
		{"header fields", 10_000, kind("fields"), func(m *Message) int { return m.Header.Len() }},
		{"a line", 256<<10 - len("X: \n"), func(n int) string { return "X: " + strings.Repeat("x", n) + "\n\nbody\n" }, func(m *Message) int { return len(m.Header.Value("X")) }},
		{"a text", 16 << 20, func(n int) string { return "\n" + strings.Repeat("x", n) }, func(m *Message) int { return len(m.Text) }},
	} {
		m := parsed(t, c.make(c.most))
		if got := c.size(m); got != c.most || limited(m) {
			t.Errorf("%s: of %d there are %d, with %v", c.name, c.most, got, m.Defects)
		}
		m = parsed(t, c.make(c.most+2))
		if got := c.size(m); got > c.most+1 || !limited(m) {
			t.Errorf("%s: of %d there are %d, with %v", c.name, c.most+2, got, m.Defects)
		}
	}
}

// A Reader keeps to a Parser's limits as Parse does, of depth, parts and headers.
func TestReaderLimits(t *testing.T) {
	for _, p := range []Parser{{Depth: 1}, {Depth: 3}, {Parts: 1}, {Parts: 2}, {Parts: 3}, {HeaderBytes: 1}, {HeaderBytes: 40}, {HeaderFields: 1}, {HeaderFields: 2}, {LineBytes: 5}, {LineBytes: 30}} {
		for _, raw := range []string{
			nested(5), kind("parts")(6), kind("fields")(8), "Subject: 0123456789\nX: y\n\ntext",
			"From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: 1\nY: 2\nZ: 3\n\none\n--b\nContent-Type: multipart/x; boundary=c\n\n--c\n\ntwo\n--c--\n--b--\n",
		} {
			m, err := p.Parse(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			rd, err := p.NewReader(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for path, part := range m.Body.Walk() {
				want = append(want, fmt.Sprint(path, " ", part.Type(), " ", part.Header.Len()))
			}
			for part, err := range rd.Parts() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(rd.Path(), " ", part.Type(), " ", part.Header.Len()))
			}
			// A multipart in which no part follows is a text to Parse, whose path is 1; a Reader cannot know that yet.
			if len(want) == 1 && len(got) == 1 {
				want[0], got[0] = strings.TrimPrefix(want[0], "1"), strings.TrimPrefix(got[0], "1")
			}
			if !slices.Equal(got, want) || rd.Message.Header.String() != m.Header.String() || limited(rd.Message) != limited(m) {
				t.Errorf("%+v of %.60q: a Reader gives %q, %v; Parse %q, %v", p, raw, got, rd.Message.Defects, want, m.Defects)
			}
		}
	}
}

// RFC 5545, 3.1 and 3.6: METHOD is a property of the calendar, in any case, folded, with parameters; not one of an event.
func TestCalendarMethod(t *testing.T) {
	for in, want := range map[string]string{
		"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n": "REQUEST", "begin:vcalendar\nmethod:cancel\n": "CANCEL", "\ufeff\n\nBEGIN:VCALENDAR\nMETHOD:REPLY": "REPLY",
		"BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD;X-A=b:REQUEST\nBEGIN:VEVENT\n": "REQUEST", "BEGIN:VCALENDAR\nMET\n HOD:RE\n QUEST\n": "REQUEST",
		"": "", "METHOD:REQUEST\n": "", "BEGIN:VEVENT\nMETHOD:REQUEST\n": "", "BEGIN:VCALENDAR\nBEGIN:VTODO\nMETHOD:REQUEST\n": "", "BEGIN:VCALENDAR\nMETHOD:\n": "", "BEGIN:VCALENDAR\nMETHOD:a;b\n": "",
		"BEGIN:VCALENDAR\nX-METHOD:REQUEST\n": "", "BEGIN:VCALENDAR\nMETHOD: REQUEST\n": "", "BEGIN:VCALENDAR\nMETHOD:a\"; x=\"b\n": "",
	} {
		if got := calendarMethod(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// RFC 2046, 5.2.2: the pieces in any order give one message, as long as each is there.
func TestPiecesInAnyOrder(t *testing.T) {
	piece := func(n int, more, body string) *Message {
		return parsed(t, fmt.Sprintf("From: a@b\nSubject: outer %d\nMessage-ID: <%d@x>\nContent-Type: message/partial; id=\"abc\"; number=%d%s\n\n%s", n, n, n, more, body))
	}
	one := piece(1, "", "Subject: inner\nMessage-ID: <i@x>\nContent-Type: text/plain\n\nfirst ")
	two, three := piece(2, "; total=3", "second "), piece(3, "; total=3", "third")
	for _, order := range [][]*Message{{one, two, three}, {one, three, two}, {two, one, three}, {two, three, one}, {three, one, two}, {three, two, one}, {three, one, two, one, three}} {
		m, err := JoinPartial(order...)
		if err != nil || m.Subject != "inner" || m.ID != "i@x" || len(m.From) != 1 || m.Text != "first second third" {
			t.Errorf("got %v, %+v", err, m)
		}
	}
	for name, pieces := range map[string][]*Message{
		"none": nil, "no first": {two, three}, "no last": {one, two}, "no total": {one}, "not one": {one, two, three, base().Reply(me)},
		"another's": {one, two, parsed(t, "Content-Type: message/partial; id=other; number=3; total=3\n\nx")}, "number 0": {piece(0, "; total=1", "x")}, "number -1": {piece(-1, "; total=1", "x")},
		"a total that nobody can have": {piece(1, "; total=999999999", "x")},
	} {
		if len(pieces) > 3 {
			pieces[3] = parsed(t, "Subject: whole\n\nx")
		}
		if m, err := JoinPartial(pieces...); err == nil || !strings.HasPrefix(err.Error(), "mail: ") {
			t.Errorf("%s: got %+v, %v, want an error", name, m, err)
		}
	}
}

// tnefAttributes makes a winmail.dat with one file out of raw attributes: an identifier, a length that may lie, and octets.
func tnefAttributes(list ...struct {
	id   uint32
	size uint32
	data string
}) string {
	b := binary.LittleEndian.AppendUint32(nil, tnefSignature)
	b = append(b, 1, 0)
	for _, a := range list {
		b = append(b, tnefAttachment)
		b = binary.LittleEndian.AppendUint32(b, a.id)
		b = binary.LittleEndian.AppendUint32(b, a.size)
		b = append(append(b, a.data...), 0, 0)
	}
	return string(b)
}

// Lengths and counts of TNEF are the sender's word: none makes more of a file than there is, or of memory than a name needs.
func TestTNEFLies(t *testing.T) {
	type attribute = struct {
		id   uint32
		size uint32
		data string
	}
	word := func(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
	begin, data := attribute{tnefBegin, 1, "x"}, attribute{tnefData, 3, "abc"}
	title := attribute{tnefTitle, 6, "a.txt\x00"}
	properties := func(s string) attribute { return attribute{tnefProperties, uint32(len(s)), s} }
	long := func(s string) string {
		return word(1) + word(mapiLongName<<16|mapiString8) + word(1) + word(uint32(len(s))) + s
	}
	for name, c := range map[string]struct {
		list []attribute
		want string
	}{
		"as it is":                    {[]attribute{begin, title, data}, "a.txt=abc"},
		"no name":                     {[]attribute{begin, data}, "unnamed=abc"},
		"a long name":                 {[]attribute{begin, title, properties(long("long.txt")), data}, "long.txt=abc"},
		"a name beyond ASCII":         {[]attribute{begin, {tnefTitle, 4, "\xe4.x\x00"}, data}, "ä.x=abc"},
		"no beginning":                {[]attribute{title, data}, ""},
		"no content":                  {[]attribute{begin, title}, ""},
		"a length of 4 GiB":           {[]attribute{begin, title, {tnefData, 0xffffffff, "abc"}}, "a.txt=abc\x00\x00"},
		"a name of 4 GiB":             {[]attribute{begin, {tnefTitle, 0xfffffff0, "a.txt\x00"}, data}, ""},
		"properties without end":      {[]attribute{begin, title, properties(word(1 << 30)), data}, "a.txt=abc"},
		"a negative count":            {[]attribute{begin, title, properties(word(0xffffffff) + long("x")[4:]), data}, "a.txt=abc"},
		"a string longer than all":    {[]attribute{begin, title, properties(word(1) + word(mapiLongName<<16|mapiString8) + word(1) + word(1<<31-1) + "x"), data}, "a.txt=abc"},
		"a string of negative length": {[]attribute{begin, title, properties(word(1) + word(mapiLongName<<16|mapiString8) + word(1) + word(0x80000001) + "x"), data}, "a.txt=abc"},
		"very many values":            {[]attribute{begin, title, properties(word(1) + word(mapiLongName<<16|0x1000|mapiString8) + word(0x7fffffff)), data}, "a.txt=abc"},
		"a named property that lies":  {[]attribute{begin, title, properties(word(1) + word(0x8001<<16|mapiString8) + strings.Repeat("g", 16) + word(1) + word(0x7ffffffd)), data}, "a.txt=abc"},
		"each type of one length": {[]attribute{begin, properties(word(12) + word(0x02) + word(0) + word(0x03) + word(0) + word(0x04) + word(0) + word(0x05) + strings.Repeat("x", 8) + word(0x06) + strings.Repeat("x", 8) + word(0x07) + strings.Repeat("x", 8) +
			word(0x0a) + word(0) + word(0x0b) + word(0) + word(0x14) + strings.Repeat("x", 8) + word(0x40) + strings.Repeat("x", 8) + word(0x48) + strings.Repeat("x", 16) + long("behind.txt")[4:]), data}, "behind.txt=abc"},
		"two files": {[]attribute{begin, title, data, begin, {tnefTitle, 2, "b\x00"}, data}, "a.txt=abc|b=abc"},
	} {
		p := &Part{Header: Fields("Content-Type", "application/ms-tnef"), Open: FromBytes("", []byte(tnefAttributes(c.list...))).Open}
		if got := listFiles(t, p); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A part that was made can be read as often as one likes, as text too; one that cannot be opened says so each time.
func TestMadeParts(t *testing.T) {
	p := TextPart("text/plain; charset=utf-8", "Grüße\n")
	for range 2 {
		if s, err := p.Text(); s != "Grüße\n" || err != nil {
			t.Errorf("got %q, %v", s, err)
		}
	}
	p.Open = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
	if s, err := p.Text(); s != "" || err == nil {
		t.Errorf("a part that cannot be opened: got %q, %v", s, err)
	}
	tree := &Part{Header: Fields("Content-Type", "multipart/mixed"), Parts: []*Part{p, {Header: Fields("Content-Type", "multipart/x"), Parts: []*Part{p, p}}, p}}
	var all, some []string
	for path := range tree.Walk() {
		all = append(all, path)
	}
	for path := range tree.Walk() {
		if some = append(some, path); path == "2.1" {
			break
		}
	}
	if got := strings.Join(all, " "); got != " 1 2 2.1 2.2 3" || !slices.Equal(some, all[:4]) {
		t.Errorf("walked over %q, and to 2.1 over %q", all, some)
	}
	for _, path := range []string{"0", "4", "2.3", "1.1", "x", "2.", ".", "-1", "2.1.1", "99999999999999999999"} {
		if got := tree.At(path); got != nil {
			t.Errorf("there is a part %q: %v", path, got.Header)
		}
	}
}
