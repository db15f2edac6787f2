package mail

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
)

// Which parts are shown and which are attached (RFC 8621, 4.1.4).

// leaf makes a part for the views: a letter, to be known by, and its fields.
func leaf(letter, media, disposition string) *Part {
	p := TextPart(media, letter)
	if disposition != "" {
		p.Header.Append("Content-Disposition", disposition)
	}
	return p
}

// letters tells which parts a list has.
func letters(list []*Part) string {
	var out []string
	for _, p := range list {
		out = append(out, *p.str)
	}
	return strings.Join(out, " ")
}

func TestView(t *testing.T) {
	multi := func(kind string, parts ...*Part) *Part { return newMultipart("multipart/"+kind, parts) }
	for _, c := range []struct {
		name                    string
		body                    *Part
		text, html, attachments string
	}{
		{"nothing", nil, "", "", ""},
		{"a text", leaf("A", "text/plain", ""), "A", "A", ""},
		{"a file alone", leaf("A", "application/pdf", ""), "", "", "A"},
		{"an alternative", multi("alternative", leaf("A", "text/plain", ""), leaf("B", "text/html", "")), "A", "B", ""},
		{"an alternative of HTML alone", multi("alternative", leaf("A", "text/html", "")), "A", "A", ""},
		{"an alternative of text alone", multi("alternative", leaf("A", "text/plain", "")), "A", "A", ""},
		{"an invitation among alternatives", multi("alternative", leaf("A", "text/plain", ""), leaf("B", "text/calendar", "")), "A", "A", "B"},
		{"texts with files between them", multi("mixed", leaf("A", "text/plain", ""), leaf("B", "image/png", "inline"), leaf("C", "text/plain", ""), leaf("D", "text/plain", "attachment"), leaf("E", "text/plain", "inline; filename=e.txt")), "A B C", "A B C", "D E"},
		{"sounds and films with names", multi("mixed", leaf("A", "text/plain", ""), leaf("B", "audio/ogg", "inline; filename=b.ogg"), leaf("C", "video/mp4", "inline; filename=c.mp4"), leaf("D", "application/pdf", "inline; filename=d.pdf")), "A B C", "A B C", "D"},
		{"pictures of HTML", multi("related", leaf("A", "text/html", ""), leaf("B", "image/png", ""), leaf("C", "text/plain", "")), "A", "A", "B C"},
		// The example of the RFC.
		{"all of it", multi("mixed", leaf("A", "text/plain", "inline"),
			multi("mixed",
				multi("alternative",
					multi("mixed", leaf("B", "text/plain", "inline"), leaf("C", "image/jpeg", "inline"), leaf("D", "text/plain", "inline")),
					multi("related", leaf("E", "text/html", ""), leaf("F", "image/jpeg", ""))),
				leaf("G", "image/jpeg", "attachment"), leaf("H", "application/x-excel", ""), leaf("J", "message/rfc822", "")),
			leaf("K", "text/plain", "inline")), "A B C D K", "A E K", "C F G H J"},
	} {
		v := c.body.View()
		if text, html, attachments := letters(v.Text), letters(v.HTML), letters(v.Attachments); text != c.text || html != c.html || attachments != c.attachments {
			t.Errorf("%s: got text %q, HTML %q, attachments %q, want %q, %q, %q", c.name, text, html, attachments, c.text, c.html, c.attachments)
		}
	}
}

// A header that the Reader has read too far, because its empty line is missing, is read again as the body.
func TestReaderHeaderWithoutEmptyLine(t *testing.T) {
	body := strings.Repeat("a line of the body that is no field\n", 5000)
	for _, r := range []io.Reader{strings.NewReader("Subject: s\n" + body), iotest.HalfReader(strings.NewReader("Subject: s\n" + body))} {
		rd, err := NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		for p, err := range rd.Parts() {
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Text()
			if s != body || err != nil {
				t.Errorf("got %d octets of %d, %v", len(s), len(body), err)
			}
		}
		if rd.Message.Subject != "s" || len(rd.Message.Defects) != 1 {
			t.Errorf("got %q, %v", rd.Message.Subject, rd.Message.Defects)
		}
	}
	// The same out of a file, through the window.
	m, err := ParseAt(strings.NewReader("Subject: s\n"+body), int64(len(body)+11))
	if err != nil || m.Text != body || m.Subject != "s" {
		t.Errorf("out of a file: got %q with %d octets, %v", m.Subject, len(m.Text), err)
	}
}

func TestFromFS(t *testing.T) {
	fsys := fstest.MapFS{"dir/minutes.pdf": {Data: []byte("pdf")}}
	a := FromFS(fsys, "dir/minutes.pdf")
	if a.Name != "minutes.pdf" || a.Media() != "application/pdf" || string(contentOf(a)) != "pdf" {
		t.Errorf("got %q, %s, %q", a.Name, a.Media(), contentOf(a))
	}
	m := base()
	m.Attachments = []Attachment{FromFS(fsys, "none.pdf")}
	f, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "none.pdf") {
		t.Errorf("a file that is not there: got %v", err)
	}
	if _, err := f.(interface{ Size() (int64, error) }).Size(); err == nil {
		t.Error("a file that is not there has a size")
	}
}

// What a decoder of the user's own gave comes before its error.
func TestDecoderFails(t *testing.T) {
	p := Parser{Decoder: decoderOf}
	m, err := p.Parse(strings.NewReader("Content-Transfer-Encoding: x-broken\n\nabcdef"))
	if err != nil || m.Text != "abc" || len(m.Defects) != 1 || m.Defects[0].Kind != DefectEncoding {
		t.Errorf("got %q, %v, %v", m.Text, m.Defects, err)
	}
	rc := m.Body.openSmall(&p)
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if !errors.Is(err, errBroken) || string(b) != "abc" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestErrorsAreForPeople(t *testing.T) {
	_, dateErr := ParseDate(strings.Repeat("no date\n", 30))
	for _, s := range []string{dateErr.Error(), Defect{DefectDate, 5, "x"}.String(), Defect{DefectDate, -1, "x"}.String()} {
		if len(s) > 120 || s == "" {
			t.Errorf("got %q", s)
		}
	}
	for b, want := range map[byte]string{'\r': "a carriage return", '\n': "a line feed", 0: "a NUL", 7: "the character 0x07"} {
		if got := controlName(b); got != want {
			t.Errorf("%q: got %q, want %q", b, got, want)
		}
	}
	for in, want := range map[string]string{"7bit": "", " Base64 ": "base64", "quotedprintable": "quoted-printable", "8-bit": "8bit", "7-Bit": "", "base64; x=y": "base64", "quoted_printable (c)": "quoted-printable", "x-own": "x-own"} {
		if got := encodingName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Zones are read by name or number; what is not known is UTC.
func TestZones(t *testing.T) {
	for zone, want := range map[string]int{"+0530": 19800, "-0800": -28800, "+05:30": 19800, "+02": 7200, "EST": -18000, "EDT": -14400, "CDT": -18000, "CST": -21600, "MDT": -21600, "MST": -25200, "PDT": -25200, "PST": -28800,
		"CET": 3600, "CEST": 7200, "EET": 7200, "MSK": 10800, "JST": 32400, "GMT": 0, "Z": 0, "A": 0, "XYZ": 0, "-0000": 0, "+9999": 0, "+1x": 0, "": 0} {
		d, err := ParseDate("Sat, 21 Nov 2026 09:00:00 " + zone)
		if _, got := d.Zone(); err != nil || got != want || d.Hour() != 9 {
			t.Errorf("%q: got %d seconds, %v, want %d", zone, got, err, want)
		}
	}
}

// One's own program may name the recipients in the header alone.
func TestRecipientsOfHeader(t *testing.T) {
	m := Message{Header: Fields("To", "Ann <a@example.com>, b@example.com", "Cc", "B@EXAMPLE.com", "Bcc", "c@example.com", "Cc", "d@example.com")}
	if got, want := m.Recipients(), []string{"a@example.com", "b@example.com", "B@EXAMPLE.com", "d@example.com", "c@example.com"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := m.Originator(); got != "" {
		t.Errorf("nobody sends it: got %q", got)
	}
	m.From, m.Sender = List("x@example.com"), Address{Address: "s@example.com"}
	if got := m.Originator(); got != "s@example.com" {
		t.Errorf("got %q", got)
	}
}

// No two messages have one identifier, however many are made or written at once, and each is written whole.
func TestNewIDs(t *testing.T) {
	const n, each = 8, 500
	ids := make(chan string, 2*n*each)
	m := &Message{From: List("ann@example.com"), Text: "x"}
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			for range each {
				ids <- newID(m.From)
				var b strings.Builder
				if _, err := m.WriteTo(&b); err != nil {
					t.Error(err)
				}
				h := ParseHeader(b.String())
				ids <- trimID(h.Value("Message-ID"))
			}
		})
	}
	group.Wait()
	close(ids)
	seen := make(map[string]bool)
	for id := range ids {
		if seen[id] || len(id) != 32+len("@example.com") {
			t.Fatalf("got %q, seen %v", id, seen[id])
		}
		seen[id] = true
	}
}
