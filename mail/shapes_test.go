package mail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// Which parts lie in which, and what is made beside what was given.

// What is given as fields lies in the nesting that readers expect.
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
	// An encoding that was changed, or that nobody knows, is not kept: the octets would not be in it.
	for _, encoding := range []string{"8bit", "x-own"} {
		m, _ := Parse(strings.NewReader("From: a@example.com\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\nGrüße\r\n"))
		m.Body.Header.Replace("Content-Transfer-Encoding", "7bit")
		if got := written(t, m); !isASCII(got) || back(t, m).Text != "Grüße\n" {
			t.Errorf("changed from %s to 7bit: got\n%s", encoding, got)
		}
	}
	// What cannot be a field does not become one, whatever it is.
	odd, _ := Parse(strings.NewReader("From: a@example.com\r\nX-\xe4: y\r\nno field\r\nX-Long" + strings.Repeat("g", 90) + ": y\r\nSubject: s\r\n\r\nx\r\n"))
	got, _ := Parse(strings.NewReader(written(t, odd)))
	for f := range got.Header.All() {
		if n := f.Name(); !slices.Contains([]string{"From", "Subject", "Date", "Message-ID", "MIME-Version"}, n) {
			t.Errorf("a field %q was made", n)
		}
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
