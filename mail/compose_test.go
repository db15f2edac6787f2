package mail

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
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
		strings.Repeat("long", 60) + ".txt", "100%'s*.txt", "ü.txt", `c:\dir\x.txt`, "trailing ", "émoji 👍.png", "a;b=c.txt", "(comment).txt", `x:\"`, strings.Repeat("a", 50) + "." + strings.Repeat("b", 30), "why?.pdf",
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
		// Readers that know no RFC 2231 look for a plain name, and go by its extension.
		plain := regexp.MustCompile(`\sname=(\S+|"[^"\\]+")\r\n`).FindStringSubmatch(s)
		if plain == nil || !strings.HasSuffix(strings.Trim(plain[1], `"`), path.Ext(plainName(name))) || len(plain[1]) > 62 {
			t.Errorf("%q: got the plain name %q in\n%s", name, plain, s)
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
		{"lines of 998 and CRLF", strings.Repeat("=", 998) + "\r\n", ""},
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
	for _, bad := range []string{"", "a", "@b", "a@", "a b@c", "a@b c", "a@@b", "a..b@c", ".a@b", "a@b..c", "a@-b", "a@[x", "a@[1.2.3.4.5]", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%eth0]", "a@[x400:y]", `"a"b@c`, "a@b>", "a@b,c@d",
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
