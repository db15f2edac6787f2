package mail

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The forms of a message for servers that take more than 7bit.

// adapted gives the form for a server with these extensions, and what it uses.
func adapted(t *testing.T, m *Message, extensions ...string) (string, []string) {
	t.Helper()
	f, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	form, uses, err := f.(interface {
		Adapt(offered func(string) bool) (io.WriterTo, []string, error)
	}).Adapt(func(name string) bool { return slices.Contains(extensions, name) })
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := form.WriteTo(&b)
	size, sizeErr := form.(interface{ Size() (int64, error) }).Size()
	if err != nil || sizeErr != nil || n != int64(b.Len()) || size != n {
		t.Fatalf("%d octets written, %d told, size %d: %v, %v", b.Len(), n, size, err, sizeErr)
	}
	return b.String(), uses
}

func TestBinaryForm(t *testing.T) {
	content := append(bytes.Repeat([]byte("line\n\r\x00=_"), 100), strings.Repeat("x", 2000)...)
	m := base()
	m.Text = "Grüße\n"
	m.Attachments = []Attachment{FromBytes("a.bin", content)}
	all := []string{"8BITMIME", "BINARYMIME", "CHUNKING"}
	if s, uses := adapted(t, m, all...); !slices.Equal(uses, []string{"8BITMIME"}) || !strings.Contains(s, "base64") {
		t.Errorf("not asked for: uses %v in\n%.500s", uses, s)
	}
	m.Binary = true
	for _, fewer := range [][]string{nil, {"BINARYMIME"}, {"CHUNKING"}} {
		if s, uses := adapted(t, m, fewer...); len(uses) > 0 || !strings.Contains(s, "base64") {
			t.Errorf("with %v: uses %v in\n%.500s", fewer, uses, s)
		}
	}
	s, uses := adapted(t, m, all...)
	if !slices.Equal(uses, []string{"BINARYMIME"}) || !strings.Contains(s, string(content)) || strings.Contains(s, "base64") {
		t.Errorf("uses %v in\n%.500s", uses, s)
	}
	got, _ := Parse(strings.NewReader(s))
	if len(got.Attachments) != 1 || !bytes.Equal(contentOf(got.Attachments[0]), content) || got.Text != "Grüße\n" || len(got.Defects) > 0 {
		t.Errorf("read as %q with %d files, %v", got.Text, len(got.Attachments), got.Defects)
	}
	// RFC 2045, 6.4: the multipart says what the widest of its parts is.
	if e := got.Body.Encoding(); e != "binary" {
		t.Errorf("the multipart says %s", e)
	}
}

// A boundary is looked for in what goes as it is, even in files.
func TestBinaryFormHoldsNoBoundary(t *testing.T) {
	m := base()
	m.Binary = true
	m.Attachments = []Attachment{FromBytes("a.bin", nil)}
	plain, _ := adapted(t, m, "BINARYMIME", "CHUNKING")
	parsed, _ := Parse(strings.NewReader(plain))
	content := "\r\n--" + parsed.Body.Param("boundary") + "--\r\nrest"
	m.Attachments = []Attachment{FromBytes("a.bin", []byte(content))}
	s, _ := adapted(t, m, "BINARYMIME", "CHUNKING")
	got, _ := Parse(strings.NewReader(s))
	if len(got.Attachments) != 1 || string(contentOf(got.Attachments[0])) != content {
		t.Errorf("the file is cut at a boundary in it:\n%s", s)
	}
}

// A body that is one file alone has to end with a line end, and so is encoded in any form.
func TestBinaryFormOfOneFile(t *testing.T) {
	m := base()
	m.Binary = true
	m.Body = &Part{Header: Fields("Content-Type", "image/png"), Open: FromBytes("", []byte("png")).Open}
	if s, uses := adapted(t, m, "BINARYMIME", "CHUNKING"); len(uses) > 0 || !strings.HasSuffix(s, "\r\n\r\ncG5n\r\n") {
		t.Errorf("uses %v in\n%s", uses, s)
	}
}

func TestEightBitMultipart(t *testing.T) {
	m := base()
	m.Text, m.HTML = "Grüße\n", "<p>Grüße\n"
	s, uses := adapted(t, m, "8BITMIME")
	got, _ := Parse(strings.NewReader(s))
	if !slices.Equal(uses, []string{"8BITMIME"}) || got.Body.Encoding() != "8bit" || got.Text != m.Text {
		t.Errorf("uses %v in\n%s", uses, s)
	}
	// What must be encoded all the same asks for nothing.
	long := base()
	long.HTML = strings.Repeat("ü", 1000)
	if s, uses := adapted(t, long, "8BITMIME"); len(uses) > 0 || !isASCII(s) {
		t.Errorf("a line that is too long: uses %v in\n%s", uses, s)
	}
	// The same message inside another: its own parts are 8bit, and what is around them says so.
	outer := got.Forward(Address{Address: "ann@example.com"})
	s, uses = adapted(t, outer, "8BITMIME")
	if !slices.Equal(uses, []string{"8BITMIME"}) || strings.Count(s, "Content-Transfer-Encoding: 8bit") < 5 {
		t.Errorf("forwarded: uses %v in\n%s", uses, s)
	}
	if s, uses := adapted(t, outer); len(uses) > 0 || !isASCII(s) || strings.Contains(s, "8bit") {
		t.Errorf("forwarded to a server without 8BITMIME: uses %v in\n%s", uses, s)
	}
}

func TestUTF8Form(t *testing.T) {
	name := "Jürgen Müller-Lüdenscheidt von und zu Gröning auf Schloß Übersee"
	m := base()
	m.To = []Address{{name, "j@exämple.net"}, {"日本語", "n@example.net"}, {"a, ü", "q@example.net"}}
	m.Subject = strings.Repeat("日本語の件名。 ", 30) + strings.Repeat("ы", 100) + " =?x?= \xff ende"
	m.Attachments = []Attachment{FromBytes("Отчёт \"2026\".pdf", []byte("pdf"))}
	m.Header = Fields("X-Own", "Größe "+strings.Repeat("ä", 200))
	if s, uses := adapted(t, m, "SMTPUTF8", "8BITMIME"); len(uses) > 0 || !isASCII(s) {
		t.Errorf("not asked for: uses %v in\n%s", uses, s)
	}
	for _, why := range []func(m *Message){
		func(m *Message) { m.UTF8 = true },
		func(m *Message) { m.Cc = List("jürgen@example.com") },
	} {
		own := *m
		why(&own)
		s, uses := adapted(t, &own, "SMTPUTF8", "8BITMIME")
		if !slices.Equal(uses, []string{"SMTPUTF8"}) || !utf8.ValidString(s) {
			t.Errorf("uses %v", uses)
		}
		for _, want := range []string{"Jürgen", "日本語 <n@example.net>", `"a, ü" <q@example.net>`, `filename="Отчёт \"2026\".pdf"`, "X-Own: Größe", "j@xn--exmple-cua.net"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s is missing in\n%s", want, s)
			}
		}
		head, _, _ := strings.Cut(s, "\r\n\r\n")
		for line := range strings.Lines(head) {
			if n := utf8.RuneCountInString(line); n > 80 || len(line) > 1000 {
				t.Errorf("a line of %d characters: %s", n, line)
			}
		}
		got, _ := Parse(strings.NewReader(s))
		if got.Subject != strings.ToValidUTF8(m.Subject, "\ufffd") || got.To[0].Name != name || got.Attachments[0].Name != m.Attachments[0].Name || len(got.Defects) > 0 {
			t.Errorf("read as %q, %q, %q, %v in\n%s", got.Subject, got.To, got.Attachments[0].Name, got.Defects, s)
		}
	}
}

// What was read in UTF-8 goes on in UTF-8 where it can, octet by octet, and encoded where it cannot.
func TestUTF8FormOfParsed(t *testing.T) {
	const raw = "From: Jürgen <jürgen@example.com>\r\nSubject: Grüße\r\nMessage-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\n\r\nx\r\n"
	m, _ := Parse(strings.NewReader(raw))
	if s, uses := adapted(t, m, "SMTPUTF8"); !strings.HasPrefix(s, strings.TrimSuffix(raw, "\r\nx\r\n")) || !slices.Equal(uses, []string{"SMTPUTF8"}) {
		t.Errorf("uses %v in\n%s", uses, s)
	}
}
