package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// What is written: each case that some other library gets wrong, and the rules of the RFCs about lines and encodings.

// base is a message that everything is tried out on; its octets are the same each time.
func base() *Message {
	return &Message{
		From: List("Ann Example <ann@example.com>"), To: List("bob@example.net"), Subject: "Minutes", Text: "Hello.\n",
		Date: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), ID: "1@example.com",
	}
}

// written writes a message, which must be fit to be sent.
func written(t *testing.T, m *Message) string {
	t.Helper()
	var b bytes.Buffer
	n, err := m.WriteTo(&b)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	if n != int64(b.Len()) {
		t.Errorf("WriteTo says %d octets and wrote %d", n, b.Len())
	}
	checkLines(t, m.Subject, b.Bytes())
	head, _, _ := strings.Cut(b.String(), "\r\n\r\n")
	for line := range strings.Lines(head) {
		line = strings.TrimRight(line, "\r\n")
		if len(line) > 78 && strings.ContainsAny(strings.TrimLeft(line, " "), " ") && !strings.Contains(line, "@") && !strings.Contains(line, "://") {
			t.Errorf("a line of the header has %d characters: %q", len(line), line)
		}
	}
	return b.String()
}

// back writes a message and parses it again.
func back(t *testing.T, m *Message) *Message {
	t.Helper()
	got, err := Parse(strings.NewReader(written(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Defects) > 0 {
		t.Errorf("what was written has defects: %v", got.Defects)
	}
	return got
}

func TestComposeSmall(t *testing.T) {
	const want = "Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n" +
		"From: Ann Example <ann@example.com>\r\n" +
		"To: bob@example.net\r\n" +
		"Subject: Minutes\r\n" +
		"Message-ID: <1@example.com>\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"\r\n" +
		"Hello.\r\n"
	if got := written(t, base()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Subjects come back as they went, and keep to the lengths of lines.
func TestSubjects(t *testing.T) {
	for _, subject := range []string{
		"", "plain", "Grüße", strings.Repeat("Привет мир ", 60) + "конец", strings.Repeat("x", 1200), strings.Repeat("é", 700),
		"=?utf-8?q?looks_like_one?=", "before =?x?= after", "=?", "a =?utf-8?b?YQ==?= b ü =?", strings.Repeat("word ", 300) + "end",
		" leading", "trailing ", "two  spaces", "tab\there", strings.Repeat(" ", 100), "a" + strings.Repeat(" ", 100) + "b",
		"日本語のとても長い件名がここにありますので折り返さなければなりません。もっと長くしましょう。", "emoji 👩‍👩‍👧‍👦 👍🏽 " + strings.Repeat("👍🏽", 40),
		"a\x7fb\x01c", "ü a ü b ü", "ü  ü", "a ü", "ü a", "a ü ", "\u00a0", "= ? _ \"", strings.Repeat("ab ", 30) + "ü " + strings.Repeat("cd ", 30) + "e",
		"https://example.com/" + strings.Repeat("path/", 40), "Re: [list] " + strings.Repeat("=?", 50),
	} {
		m := base()
		m.Subject = subject
		if got := back(t, m); got.Subject != subject {
			t.Errorf("got  %q\nwant %q", got.Subject, subject)
		}
	}
}

var encodedWordForm = regexp.MustCompile(`=\?[^ ?]+\?[qb]\?[^ ?]*\?=`)

func TestEncodedWordsAreShortAndWhole(t *testing.T) {
	m := base()
	m.Subject = strings.Repeat("Ж", 300) + strings.Repeat("a€ ", 100)
	for _, w := range encodedWordForm.FindAllString(written(t, m), -1) {
		if len(w) > 75 {
			t.Errorf("%d characters: %s", len(w), w)
		}
		if s := new(Parser).words(w); strings.Contains(s, "\ufffd") {
			t.Errorf("a character is split: %s", w)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, name := range []string{
		"minutes.pdf", `Отчёт "2026"; ½ — очень длинное имя файла, которое не помещается в одну строку.pdf`, `a"b\c.txt`, "a b.txt", "=?utf-8?q?x?=.txt",
		strings.Repeat("long", 60) + ".txt", "100%'s*.txt", "ü.txt", `c:\dir\x.txt`, "trailing ", "émoji 👍.png", "a;b=c.txt", "(comment).txt", `x:\"`,
	} {
		m := base()
		m.Attachments = []Attachment{FromBytes(name, []byte("content"))}
		s := written(t, m)
		got := back(t, m)
		if len(got.Attachments) != 1 || got.Attachments[0].Name != name {
			t.Errorf("%q: got %+v in\n%s", name, got.Attachments, s)
		}
		if !isASCII(name) && !strings.Contains(s, "filename*") {
			t.Errorf("%q is not written as RFC 2231 wants it:\n%s", name, s)
		}
		if strings.Contains(s, `="=?`) {
			t.Errorf("%q: an encoded word in quotes, which RFC 2047 forbids:\n%s", name, s)
		}
	}
}

// Whatever can be set refuses line breaks and NULs, and says where they were.
func TestInjection(t *testing.T) {
	for _, bad := range []string{"x\r\nBcc: evil@example.com", "x\ny", "x\ry", "x\x00y", "\n", "\r\n"} {
		cases := map[string]func(m *Message){
			"Subject":     func(m *Message) { m.Subject = bad },
			"From":        func(m *Message) { m.From[0].Name = bad },
			"To":          func(m *Message) { m.To = []Address{{Address: "a@b" + bad}} },
			"Cc":          func(m *Message) { m.Cc = []Address{{Address: `"` + bad + `"@b.c`}} },
			"Reply-To":    func(m *Message) { m.ReplyTo = List(bad) },
			"Sender":      func(m *Message) { m.Sender = Address{Address: bad + "@b"} },
			"Message-ID":  func(m *Message) { m.ID = bad + "@b" },
			"References":  func(m *Message) { m.References = []string{"a@b", bad + "@b"} },
			"In-Reply-To": func(m *Message) { m.InReplyTo = []string{bad} },
			"X-Test":      func(m *Message) { m.Header = Fields("X-Test", bad) },
			"List-Post":   func(m *Message) { m.Header = Fields("List-Post", bad) },
			"name":        func(m *Message) { m.Header = Fields("X"+bad, "v") },
			"attachment":  func(m *Message) { m.Attachments = []Attachment{FromBytes(bad, nil)} },
			"type": func(m *Message) {
				m.Attachments = []Attachment{{Name: "a", Type: "text/" + bad, Open: FromBytes("", nil).Open}}
			},
			"CID": func(m *Message) {
				m.HTML = "x"
				m.Attachments = []Attachment{{CID: bad, Open: FromBytes("", nil).Open}}
			},
			"Content-Type": func(m *Message) {
				m.Body = TextPart("text/plain; x=\""+bad+"\"", "x")
			},
			"Content-Description": func(m *Message) {
				m.Body = &Part{Header: Fields("Content-Description", bad)}
			},
		}
		for name, set := range cases {
			m := base()
			set(m)
			var b bytes.Buffer
			n, err := m.WriteTo(&b)
			if err == nil {
				t.Errorf("%s with %q was written:\n%s", name, bad, b.String())
				continue
			}
			if n != 0 || b.Len() != 0 {
				t.Errorf("%s with %q: %d octets were written before the error", name, bad, n)
			}
			if !strings.HasPrefix(err.Error(), "mail: ") || name[0] < 'a' && !strings.Contains(err.Error(), name) {
				t.Errorf("%s with %q: the error does not say so: %v", name, bad, err)
			}
		}
	}
}

func TestNamesAreValidated(t *testing.T) {
	for _, name := range []string{"", "X:Y", "X Y", "X\tY", "Ü", "X\x7f", ":", strings.Repeat("x", 200)} {
		h := Fields(name, "value")
		if err := h.Validate(); err == nil {
			t.Errorf("the name %q is taken", name)
		}
		m := base()
		m.Header = h
		if _, err := m.WriteTo(io.Discard); err == nil {
			t.Errorf("the name %q was written", name)
		}
	}
}

// The encoding is chosen by the content.
func TestEncodings(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"ASCII", "plain\ntext\n", ""},
		{"lines of 998", strings.Repeat("x", 998) + "\n", ""},
		{"a line of 999", strings.Repeat("x", 999) + "\n", "quoted-printable"},
		{"2,000 characters in a line", strings.Repeat("word ", 400), "quoted-printable"},
		{"German", "Grüße aus Köln, es geht uns gut.\n", "quoted-printable"},
		{"Chinese", "这是一个用中文写的邮件正文。\n", "base64"},
		{"NUL", "a long enough text with a nul in it \x00 here", "quoted-printable"},
		{"bare CR", "a\rb\n", ""},
		{"CRLF", "a\r\nb\r\n", ""},
		{"empty", "", ""},
		{"dots", ".\n..\n.x\n", ""},
		{"From", "From here\n>From there\n", ""},
	} {
		m := base()
		m.Text = c.text
		s := written(t, m)
		got := ""
		if _, rest, ok := strings.Cut(s, "Content-Transfer-Encoding: "); ok {
			got, _, _ = strings.Cut(rest, "\r\n")
		}
		if got != c.want {
			t.Errorf("%s: got the encoding %q, want %q", c.name, got, c.want)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(c.text, "\r\n", "\n"), "\r", "\n")
		if text := back(t, m).Text; strings.TrimSuffix(text, "\n") != strings.TrimSuffix(want, "\n") {
			t.Errorf("%s: got %q, want %q", c.name, text, want)
		}
	}
}

// Structured fields are written as they are, whatever is in them looks like.
func TestStructuredFields(t *testing.T) {
	long := "<https://example.com/unsubscribe/" + strings.Repeat("0123456789", 12) + ">, <mailto:list@example.com?subject=unsubscribe>"
	m := base()
	m.Header = Fields("List-Unsubscribe", long, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click", "Auto-Submitted", "auto-generated")
	for i := range 40 {
		m.References = append(m.References, fmt.Sprintf("%d.%s@example.com", i, strings.Repeat("x", 40)))
	}
	s := written(t, m)
	if strings.Contains(s, "=?") {
		t.Errorf("something is encoded:\n%s", s)
	}
	got := back(t, m)
	if v := got.Header.Value("List-Unsubscribe"); v != long {
		t.Errorf("List-Unsubscribe: got %q, want %q", v, long)
	}
	if !slices.Equal(got.References, m.References) {
		t.Errorf("References: got %q", got.References)
	}
	for _, bad := range []string{"<https://exämple.com/>", strings.Repeat("x", 1000)} {
		m.Header = Fields("List-Unsubscribe", bad)
		if _, err := m.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "List-Unsubscribe") {
			t.Errorf("%.30q: got the error %v", bad, err)
		}
	}
}

func TestBccIsNotWritten(t *testing.T) {
	m := base()
	m.Bcc = List("secret@example.org")
	m.Cc = List("c@example.org, BOB@example.net, bob@EXAMPLE.net")
	m.Header = Fields("Bcc", "other@example.org", "Resent-Bcc", "third@example.org")
	if s := written(t, m); strings.Contains(strings.ToLower(s), "bcc") || strings.Contains(s, "secret") || strings.Contains(s, "other") {
		t.Errorf("Bcc is written:\n%s", s)
	}
	got := m.Recipients()
	if want := []string{"bob@example.net", "c@example.org", "BOB@example.net", "secret@example.org"}; !slices.Equal(got, want) {
		t.Errorf("recipients: got %q, want %q", got, want)
	}
}

func TestAddressesWritten(t *testing.T) {
	m := base()
	m.From = []Address{{"Doe, \"Jo\" \\ x", "jo@example.com"}}
	m.To = []Address{
		{"Jürgen Müller", "j@example.com"}, {"=?utf-8?q?x?=", "b@example.com"}, {"", `"a b"@example.com`}, {strings.Repeat("Long Name ", 20) + "x", "c@example.com"},
		{"a.b", "d@[192.0.2.1]"}, {"tab\tname", "e@[IPv6:::1]"}, {strings.Repeat("名", 60), "f@example.com"},
	}
	for i := range 50 {
		m.To = append(m.To, Address{"", fmt.Sprintf("someone%d@example.com", i)})
	}
	got := back(t, m)
	if !slices.Equal(got.From, m.From) || !slices.Equal(got.To, m.To) {
		t.Errorf("got %q %q", got.From, got.To)
	}
	for _, bad := range []string{"", "a", "@b", "a@", "a b@c", "a@b c", "a@@b", "a..b@c", ".a@b", "a@b..c", "a@-b", "a@[x", "a@[1.2.3.4.5]", `"a"b@c`, "a@b>", "a@b,c@d",
		"a@[300.1.1.1]", strings.Repeat("a", 400) + "@b", "a@b\u2028c", "\xff@b"} {
		m.To = []Address{{Address: bad}}
		if _, err := m.WriteTo(io.Discard); err == nil && bad != "a@b\u2028c" {
			t.Errorf("the address %q was written", bad)
		} else if err != nil && !strings.Contains(err.Error(), "To: address") {
			t.Errorf("the address %q: the error does not name it: %v", bad, err)
		}
	}
}

func TestNeedsUTF8(t *testing.T) {
	m := base()
	m.To = List("bob@exämple.net")
	f, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	type adapter interface {
		Adapt(offered func(string) bool) (io.WriterTo, []string, error)
	}
	none := func(string) bool { return false }
	all := func(string) bool { return true }
	if _, uses, err := f.(adapter).Adapt(none); err != nil || len(uses) != 0 {
		t.Errorf("a domain alone: got %v, %v; it becomes A-labels", uses, err)
	}
	if s := written(t, m); !strings.Contains(s, "To: bob@xn--exmple-cua.net\r\n") {
		t.Errorf("the domain is not in A-labels:\n%s", s)
	}
	m.To = List("jürgen@example.net")
	if f, err = m.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.(adapter).Adapt(none); err == nil || !strings.Contains(err.Error(), "jürgen@example.net") || !strings.Contains(err.Error(), "SMTPUTF8") {
		t.Errorf("without SMTPUTF8: got the error %v", err)
	}
	form, uses, err := f.(adapter).Adapt(all)
	if err != nil || !slices.Equal(uses, []string{"SMTPUTF8"}) {
		t.Fatalf("with SMTPUTF8: got %v, %v", uses, err)
	}
	var b bytes.Buffer
	if _, err := form.WriteTo(&b); err != nil || !strings.Contains(b.String(), "To: jürgen@example.net\r\n") {
		t.Errorf("got %v\n%s", err, b.String())
	}
	m = base()
	m.Text = "Grüße\n"
	f, _ = m.Freeze()
	form, uses, err = f.(adapter).Adapt(all)
	if err != nil || !slices.Equal(uses, []string{"8BITMIME"}) {
		t.Fatalf("8-bit text: got %v, %v", uses, err)
	}
	b.Reset()
	form.WriteTo(&b)
	if s := b.String(); !strings.Contains(s, "Content-Transfer-Encoding: 8bit\r\n") || !strings.HasSuffix(s, "Grüße\r\n") {
		t.Errorf("got\n%s", s)
	}
	if id := regexp.MustCompile("Message-ID: .*").FindString(s(f)); !strings.Contains(b.String(), id) {
		t.Errorf("the 8-bit form has another identity than %s", id)
	}
}

func s(w io.WriterTo) string {
	var b strings.Builder
	w.WriteTo(&b)
	return b.String()
}

// Shapes: which parts lie in which.
func TestShapes(t *testing.T) {
	file := FromBytes("a.pdf", []byte("pdf"))
	picture := FromBytes("p.png", []byte("png"))
	picture.CID = "p@x"
	for _, c := range []struct {
		name       string
		text, html string
		files      []Attachment
		want       string
	}{
		{"text", "t", "", nil, "text/plain"},
		{"HTML", "", "h", nil, "text/html"},
		{"both", "t", "h", nil, "multipart/alternative(text/plain text/html)"},
		{"text and file", "t", "", []Attachment{file}, "multipart/mixed(text/plain application/pdf)"},
		{"file alone", "", "", []Attachment{file}, "multipart/mixed(application/pdf)"},
		{"HTML and picture", "", "h", []Attachment{picture}, "multipart/related(text/html image/png)"},
		{"everything", "t", "h", []Attachment{file, picture}, "multipart/mixed(multipart/alternative(text/plain multipart/related(text/html image/png)) application/pdf)"},
		{"picture without HTML", "t", "", []Attachment{picture}, "multipart/mixed(text/plain image/png)"},
	} {
		m := base()
		m.Text, m.HTML, m.Attachments, m.HTMLOnly = c.text, c.html, c.files, true
		got := back(t, m)
		if s := shape(got.Body); s != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
		if strings.TrimSuffix(got.Text, "\n") != c.text || strings.TrimSuffix(got.HTML, "\n") != c.html || len(got.Attachments) != len(c.files) {
			t.Errorf("%s: got text %q, HTML %q, %d attachments", c.name, got.Text, got.HTML, len(got.Attachments))
		}
	}
}

func shape(p *Part) string {
	if !p.IsMultipart() {
		return p.Type()
	}
	var below []string
	for _, child := range p.Parts {
		below = append(below, shape(child))
	}
	return p.Type() + "(" + strings.Join(below, " ") + ")"
}

func TestTree(t *testing.T) {
	m := base()
	m.Body = &Part{
		Header: Fields("Content-Type", "multipart/x-own; note=kept"), Preamble: "before", Epilogue: "after",
		Parts: []*Part{
			TextPart("text/plain; format=flowed", "flowed \ntext\n"),
			{Parts: []*Part{TextPart("text/x-code", "=_ü"), {Header: Fields("Content-Type", "application/x-y", "Content-Description", "Größe"), Open: FromBytes("", []byte{0, 1, 2}).Open}}},
		},
	}
	got := back(t, m)
	if s, want := shape(got.Body), "multipart/x-own(text/plain multipart/mixed(text/x-code application/x-y))"; s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	if got.Body.Preamble != "before" || strings.TrimSpace(got.Body.Epilogue) != "after" || got.Body.Param("note") != "kept" {
		t.Errorf("got preamble %q, epilogue %q, note %q", got.Body.Preamble, got.Body.Epilogue, got.Body.Param("note"))
	}
	if p := got.Body.At("2.2"); p == nil || p.Header.Text("Content-Description") != "Größe" {
		t.Errorf("part 2.2: got %+v", p)
	}
	if s, _ := got.Body.At("2.1").Text(); s != "=_ü" {
		t.Errorf("part 2.1: got %q", s)
	}
	if p := got.Body.At("1"); p.Param("format") != "flowed" || p.Param("charset") != "utf-8" {
		t.Errorf("part 1: got the parameters %q %q", p.Param("format"), p.Param("charset"))
	}
}

// A boundary that a text holds is not taken.
func TestBoundaryInText(t *testing.T) {
	m := base()
	m.Attachments = []Attachment{FromBytes("a", []byte("x"))}
	first := back(t, m).Body.Param("boundary")
	m.Text = "--" + first + "\nnot a boundary\n--" + first + "--\n"
	got := back(t, m)
	if b := got.Body.Param("boundary"); b == first || !strings.Contains(b, "=_") {
		t.Errorf("got the boundary %q again", b)
	}
	if got.Text != strings.TrimSuffix(m.Text, "\n")+"\n" {
		t.Errorf("got the text %q", got.Text)
	}
	m.Body = &Part{Header: Fields("Content-Type", "multipart/mixed; boundary=own"), Parts: []*Part{TextPart("text/plain", "x"), {Header: Fields("Content-Type", "text/plain"), Open: FromBytes("", []byte("\n--own\n")).Open}}}
	if b := back(t, m).Body.Param("boundary"); b == "own" {
		t.Error("the caller's boundary is taken though a part holds it")
	}
}

func TestReadErrorAborts(t *testing.T) {
	broken := errors.New("disk on fire")
	m := base()
	m.Attachments = []Attachment{{Name: "big.bin", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 200000)), iotest.ErrReader(broken))), nil
	}}}
	f, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteTo(io.Discard); !errors.Is(err, broken) || !strings.Contains(err.Error(), "big.bin") {
		t.Errorf("WriteTo: got %v", err)
	}
	if _, err := f.(interface{ Size() (int64, error) }).Size(); !errors.Is(err, broken) {
		t.Errorf("Size: got %v", err)
	}
	m.Attachments = []Attachment{FromFile("testdata/there is no such file")}
	if _, err := m.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: got %v", err)
	}
}

// What is frozen writes the same octets each time, as many as Size says, from several goroutines at once.
func TestFrozen(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	m := &Message{From: List("a@example.com"), Text: strings.Repeat("ü und mehr\n", 20000), HTML: "<p>x", Attachments: []Attachment{
		FromBytes("a.bin", big), FromBytes("b.txt", []byte("text\n")), FromBytes("empty", nil),
		{Name: "c.bin", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(iotest.OneByteReader(bytes.NewReader(big[:5000]))), nil
		}},
	}}
	f, err := m.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	want := s(f)
	size, err := f.(interface{ Size() (int64, error) }).Size()
	if err != nil || size != int64(len(want)) {
		t.Errorf("Size: got %d, %v; written are %d", size, err, len(want))
	}
	if !f.(interface{ Repeatable() bool }).Repeatable() {
		t.Error("not repeatable")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := s(f); got != want {
				t.Error("written twice it differs")
			}
		})
	}
	wg.Wait()
	checkLines(t, "frozen", []byte(want))
	got, _ := Parse(strings.NewReader(want))
	if len(got.Defects) > 0 || got.Text != m.Text || len(got.Attachments) != 4 {
		t.Fatalf("read again: %v, %d attachments, text of %d", got.Defects, len(got.Attachments), len(got.Text))
	}
	for i, w := range []string{string(big), "text\n", "", string(big[:5000])} {
		rc, _ := got.Attachments[i].Open()
		if b, err := io.ReadAll(rc); string(b) != w || err != nil {
			t.Errorf("attachment %d: got %d octets, %v; want %d", i, len(b), err, len(w))
		}
	}
	if m.ID != "" || !m.Date.IsZero() {
		t.Error("Freeze has changed the message")
	}
	if got.ID == "" || !strings.HasSuffix(got.ID, "@example.com") {
		t.Errorf("the identifier is %q, its domain should be the author's", got.ID)
	}
}

func TestAuthors(t *testing.T) {
	m := base()
	m.From = nil
	if _, err := m.Freeze(); err == nil || !strings.Contains(err.Error(), "From") {
		t.Errorf("no author: got %v", err)
	}
	m.From = List("a@example.com, b@example.com")
	if _, err := m.Freeze(); err == nil || !strings.Contains(err.Error(), "Sender") {
		t.Errorf("two authors and no sender: got %v", err)
	}
	m.Sender = Address{"", "a@example.com"}
	if got := back(t, m); len(got.From) != 2 || got.Sender != m.Sender {
		t.Errorf("got %v %v", got.From, got.Sender)
	}
}

// Unchanged, what was parsed is written to the octet; changed, all but the change is.
func TestRoundTrip(t *testing.T) {
	const raw = "Received: from a by b;\r\n\tTue, 1 Jul 2003 10:52:37 +0200\r\nDKIM-Signature: v=1; a=x;\r\n b=abc=\r\n" +
		"from:   Ann   <ann@example.com>\r\nSUBJECT: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200 (CEST)\r\nMessage-Id:<1@example.com>\r\n" +
		"Mime-Version: 1.0 (x)\r\nX-Odd:\ta\r\nContent-Type: multipart/signed; boundary=\"b\";\r\n\tprotocol=x\r\nX-Last: y\r\n\r\npreamble\r\n--b\r\n" +
		"Content-Type:text/plain;charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\nGr=FC=DFe \r\n--b\r\n\r\nplain\r\n\r\n--b--\r\nepilogue\r\n"
	m, err := Parse(strings.NewReader(raw))
	if err != nil || len(m.Defects) > 0 {
		t.Fatal(err, m.Defects)
	}
	if got := written(t, m); got != raw {
		t.Errorf("got\n%q\nwant\n%q", got, raw)
	}
	m.Subject = "New"
	m.To = List("bob@example.net")
	want := strings.Replace(raw, "SUBJECT: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Subject: New", 1)
	want = strings.Replace(want, "from: ", "To: bob@example.net\r\nfrom: ", 1)
	if got := written(t, m); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestForwardedMessage(t *testing.T) {
	for _, inner := range []string{
		"From: a@b.c\r\nSubject: s\r\n\r\nplain\r\n",
		"From: a@b.c\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n",
		"From: a@b.c\r\n\r\n" + strings.Repeat("x", 2000) + "\r\n",
	} {
		m := base()
		m.Attachments = []Attachment{FromBytes("fwd.eml", []byte(inner))}
		got := back(t, m)
		a := got.Attachments[0]
		if a.Type != "message/rfc822" || a.Name != "fwd.eml" {
			t.Fatalf("got %+v", a)
		}
		if e := a.Part().Encoding(); e != "7bit" {
			t.Errorf("RFC 2046 forbids the encoding %q of a message", e)
		}
		rc, _ := a.Open()
		fwd, err := Parse(rc)
		want, _ := Parse(strings.NewReader(inner))
		if err != nil || strings.TrimSpace(fwd.Text) != strings.TrimSpace(want.Text) || fwd.From[0] != want.From[0] {
			t.Errorf("got %+v, want %+v", fwd, want)
		}
	}
}

func parsedFile(t *testing.T, path string) *Message {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, string(raw))
}

// HTML alone gets a text beside it, unless that is not wanted.
func TestTextBesideHTML(t *testing.T) {
	m := base()
	m.Text, m.HTML = "", "<h1>Hi</h1><p>"+strings.Repeat("word ", 300)+"</p>"
	got := back(t, m)
	if s := shape(got.Body); s != "multipart/alternative(text/plain text/html)" || got.Text != "Hi\n==\n\n"+strings.TrimSpace(strings.Repeat("word ", 300))+"\n" {
		t.Errorf("got %s with the text %q", s, got.Text)
	}
	m.HTMLOnly = true
	if s := shape(back(t, m).Body); s != "text/html" {
		t.Errorf("HTMLOnly: got %s", s)
	}
}

const calendar = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//y\nMETHOD:req\n uest\nBEGIN:VEVENT\nUID:1@example.com\nSUMMARY:Café\nEND:VEVENT\nEND:VCALENDAR\n"

func TestInvitation(t *testing.T) {
	m := base()
	m.HTML, m.Invitation, m.Attachments = "<p>Hello.", calendar, []Attachment{FromBytes("agenda.pdf", []byte("x"))}
	got := back(t, m)
	if s := shape(got.Body); s != "multipart/mixed(multipart/alternative(text/plain text/html text/calendar) application/pdf application/ics)" {
		t.Fatalf("got %s", s)
	}
	want := strings.ReplaceAll(calendar, "\n", "\r\n")
	for _, path := range []string{"1.3", "3"} {
		p := got.Body.At(path)
		if s := opened(t, Attachment{Open: p.Reader}); s != want || p.Param("method") != "REQUEST" {
			t.Errorf("part %s: method %q, %q", path, p.Param("method"), s)
		}
	}
	if p := got.Body.At("3"); p.Name() != "invite.ics" || p.Disposition() != "attachment" {
		t.Errorf("the file is %q, %s", p.Name(), p.Disposition())
	}
	m = &Message{From: m.From, Invitation: calendar}
	if s := shape(back(t, m).Body); s != "multipart/mixed(text/calendar application/ics)" {
		t.Errorf("alone: got %s", s)
	}
	for _, bad := range []string{"x", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nMETHOD:REQUEST\n", "BEGIN:VCALENDAR\nMETHOD:a b\nEND:VCALENDAR"} {
		m.Invitation = bad
		if _, err := m.Freeze(); err == nil || !strings.Contains(err.Error(), "METHOD") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestUnsubscribe(t *testing.T) {
	m := base()
	if err := m.Header.Unsubscribe("https://example.com/u?id=1&x=%3C", "mailto:leave@example.com?subject=1"); err != nil {
		t.Fatal(err)
	}
	s := written(t, m)
	if !strings.Contains(s, "List-Unsubscribe: <https://example.com/u?id=1&x=%3C>,\r\n <mailto:leave@example.com?subject=1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n") {
		t.Errorf("got\n%s", s)
	}
	if err := m.Header.Unsubscribe("mailto:leave@example.com"); err != nil || m.Header.Has("List-Unsubscribe-Post") {
		t.Errorf("mailto alone: got %v\n%s", err, m.Header)
	}
	for _, bad := range [][]string{nil, {""}, {"javascript:x"}, {"https://x/ y"}, {"https://x/\r\nBcc: y"}, {"https://x/>"}, {"https://ü/"}, {"https://x/" + strings.Repeat("x", 2000)}, {"https://x/", "ftp://y"}} {
		if err := m.Header.Unsubscribe(bad...); err == nil || m.Header.Value("List-Unsubscribe") != "<mailto:leave@example.com>" {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// endless gives n octets without having them.
type endless struct{ n int64 }

func (e *endless) Read(b []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := int(min(e.n, int64(len(b))))
	clear(b[:n])
	e.n -= int64(n)
	return n, nil
}

// Writing takes the same memory whatever the size of what is attached.
func TestMemoryOfAnAttachment(t *testing.T) {
	const size = 1 << 30
	m := base()
	m.Attachments = []Attachment{{Name: "disk.img", Open: func() (io.ReadCloser, error) { return io.NopCloser(&endless{size}), nil }}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := m.WriteTo(io.Discard)
	runtime.ReadMemStats(&after)
	if err != nil || n < size/3*4 {
		t.Errorf("got %d octets, %v", n, err)
	}
	if made := after.TotalAlloc - before.TotalAlloc; made > 4<<20 {
		t.Errorf("%d octets were allocated", made)
	}
}
