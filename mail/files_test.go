package mail

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/internal/peers"
)

// uuencode encodes as the program does, with spaces for 0 if they are wanted.
func uuencode(name, content string, zero byte) string {
	var b strings.Builder
	digit := func(n byte) {
		if n == 0 {
			b.WriteByte(zero)
			return
		}
		b.WriteByte(n + ' ')
	}
	fmt.Fprintf(&b, "begin 644 %s\n", name)
	for rest := content; rest != ""; {
		line := rest[:min(45, len(rest))]
		rest = rest[len(line):]
		digit(byte(len(line)))
		for i := 0; i < len(line); i += 3 {
			var c [3]byte
			copy(c[:], line[i:])
			digit(c[0] >> 2)
			digit(c[0]<<4&63 | c[1]>>4)
			digit(c[1]<<2&63 | c[2]>>6)
			digit(c[2] & 63)
		}
		b.WriteByte('\n')
	}
	digit(0)
	return b.String() + "\nend\n"
}

// yenc encodes as news programs do.
func yenc(name, content string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "=ybegin line=128 size=%d name=%s\r\n", len(content), name)
	for i := range len(content) {
		if c := content[i] + 42; c == 0 || c == '\n' || c == '\r' || c == '=' {
			b.WriteByte('=')
			b.WriteByte(c + 64)
		} else {
			b.WriteByte(c)
		}
		if i%128 == 127 {
			b.WriteString("\r\n")
		}
	}
	fmt.Fprintf(&b, "\r\n=yend size=%d\r\n", len(content))
	return b.String()
}

// allOctets holds each octet, three times over and a little more.
var allOctets = func() string {
	var b []byte
	for i := range 3*256 + 7 {
		b = append(b, byte(i))
	}
	return string(b)
}()

// listFiles gives the names and contents of the files in a part.
func listFiles(t *testing.T, p *Part) string {
	t.Helper()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, f.Name+"="+opened(t, f))
	}
	return strings.Join(out, "|")
}

func TestFilesInText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"none", "begin reading here\nend\n", ""},
		{"uuencode", "Hello.\n\n" + uuencode("a b.bin", allOctets, '`') + "Bye.\n", "a b.bin=" + allOctets},
		{"uuencode with spaces", uuencode("x", allOctets, ' '), "x=" + allOctets},
		{"spaces lost", strings.ReplaceAll(strings.ReplaceAll(uuencode("x", "abc\x00\x00\x00", ' '), "    \n", "\n"), " \nend", "\nend"), "x=abc\x00\x00\x00"},
		{"two", uuencode("a", "A", '`') + uuencode("b", "B", '`'), "a=A|b=B"},
		{"empty", uuencode("a", "", '`'), "a="},
		{"base64", "begin-base64 644 c.txt\naGVsbG8=\n====\n", "c.txt=hello"},
		{"base64 and a line of text", "begin-base64 644 c.txt\naGVs bG8=\n====\n", ""},
		{"yEnc", "Hello.\r\n" + yenc("my file.bin", allOctets) + "Bye.\r\n", "my file.bin=" + allOctets},
		{"yEnc in parts", "=ybegin part=1 total=2 line=128 size=6 name=p\r\n=ypart begin=1 end=3\r\n" + "\x8b\x8c\x8d\r\n=yend size=3 part=1\r\n", "p=abc"},
		{"no end", "begin 644 x\nabc\n", ""},
		{"a line between", "begin 644 x\nhello, this is text\n" + uuencode("y", "Y", '`'), "y=Y"},
		{"a long line", "begin 644 x\n" + strings.Repeat("M", 3*windowSize) + "\nend\n", ""},
		{"no mode", "begin x y\n`\nend\n", ""},
	} {
		m := parsed(t, "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n"+c.text)
		if got := listFiles(t, m.Body); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What Perl encodes is read.
func TestFilesOfPerl(t *testing.T) {
	cmd := peers.Command(t, peers.PerlMIME, "-0777", "-e", `binmode STDIN; print "begin 644 p\n", pack("u", <STDIN>), "`+"`"+`\nend\n"`)
	cmd.Stdin = strings.NewReader(allOctets)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := listFiles(t, TextPart("text/plain", string(text))); got != "p="+allOctets {
		t.Errorf("got %q", got)
	}
}

// tnefOf makes a winmail.dat; a property with the long name stands in front of the content of each file.
func tnefOf(files ...[2]string) []byte {
	var b []byte
	attribute := func(level byte, id uint32, data []byte) {
		b = append(b, level)
		b = binary.LittleEndian.AppendUint32(b, id)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
		sum := uint16(0)
		for _, c := range data {
			sum += uint16(c)
		}
		b = binary.LittleEndian.AppendUint16(b, sum)
	}
	b = binary.LittleEndian.AppendUint32(b, tnefSignature)
	b = append(b, 1, 0)
	attribute(1, 0x00089006, []byte{0, 0, 1, 0})
	for _, f := range files {
		attribute(2, 0x00069002, make([]byte, 14))
		attribute(2, 0x00018010, []byte("SHORT~1.TXT\x00"))
		name := utf16.Encode([]rune(f[0] + "\x00"))
		props := binary.LittleEndian.AppendUint32(nil, 3)
		props = append(props, 0x03, 0x00, 0x20, 0x0e, 9, 0, 0, 0) // a number
		props = append(props, 0x1e, 0x00, 0x01, 0x80)             // a named string: its GUID, kind, name
		props = append(props, make([]byte, 16)...)
		props = append(props, 1, 0, 0, 0, 2, 0, 0, 0, 'x', 0, 0, 0)
		props = append(props, 1, 0, 0, 0, 3, 0, 0, 0, 'y', 'z', 0, 0)
		props = append(props, 0x1f, 0x00, 0x07, 0x37, 1, 0, 0, 0)
		props = binary.LittleEndian.AppendUint32(props, uint32(2*len(name)))
		for _, u := range name {
			props = binary.LittleEndian.AppendUint16(props, u)
		}
		for len(props)%4 != 0 {
			props = append(props, 0)
		}
		attribute(2, 0x00069005, props)
		attribute(2, 0x0006800f, []byte(f[1]))
	}
	return b
}

func TestTNEF(t *testing.T) {
	m := base()
	raw := tnefOf([2]string{"Отчёт.txt", "hello"}, [2]string{"all.bin", allOctets})
	m.Attachments = []Attachment{{Name: "winmail.dat", Type: "application/ms-tnef", Open: FromBytes("", raw).Open}}
	p := back(t, m).Attachments[0].Part()
	if got := listFiles(t, p); got != "Отчёт.txt=hello|all.bin="+allOctets {
		t.Errorf("got %q", got)
	}
	// Cut anywhere it gives what is there, and never more.
	for n := range raw {
		p := &Part{Header: Fields("Content-Type", "application/ms-tnef"), Open: FromBytes("", raw[:n]).Open}
		if got := listFiles(t, p); len(got) > len(allOctets)+40 {
			t.Errorf("cut at %d: got %q", n, got)
		}
	}
	p = &Part{Header: Fields("Content-Type", "application/ms-tnef"), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(raw[:50]), iotest.ErrReader(io.ErrClosedPipe))), nil
	}}
	if _, err := p.Files(); err == nil {
		t.Error("an error of reading is lost")
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(uuencode("a", "abc", '`')+yenc("b", "def")), true)
	f.Add(tnefOf([2]string{"a", "b"}), false)
	f.Add([]byte("begin 000 0000000\nX\nend\n"), true) // a line whose spaces have got lost is 56 octets
	f.Fuzz(func(t *testing.T, raw []byte, text bool) {
		p := &Part{Header: Fields("Content-Type", map[bool]string{true: "text/plain", false: "application/ms-tnef"}[text]), Open: FromBytes("", raw).Open}
		files, err := p.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range files {
			if s := opened(t, a); len(s) > 32*len(raw) || badByte(a.Name) >= 0 {
				t.Errorf("%q holds %d octets out of %d", a.Name, len(s), len(raw))
			}
		}
	})
}

func TestFilesGrowth(t *testing.T) {
	for name, text := range map[string]func(n int) string{
		"beginnings":       func(n int) string { return strings.Repeat("begin 644 x\n", n) },
		"yEnc's beginning": func(n int) string { return strings.Repeat("=ybegin size=1 name=x\n", n) },
		"one file":         func(n int) string { return "begin 644 x\n" + strings.Repeat("!80``\n", n) + "`\nend\n" },
		"TNEF":             func(n int) string { return string(tnefOf(make([][2]string, n)...)) },
		"broken TNEF":      func(n int) string { return "\x78\x9f\x3e\x22\x00\x00" + strings.Repeat("\x02\x05\x90\x06\x00", n) },
	} {
		media := "text/plain"
		if strings.Contains(name, "TNEF") {
			media = "application/ms-tnef"
		}
		growth.Linear(t, name, 10000, func(n int) func() {
			s := text(n)
			return func() {
				if _, err := TextPart(media, s).Files(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestJoinPartial(t *testing.T) {
	dir := filepath.Join(peers.Corpora(t), "mime", "mimekit", "partial")
	for name, n := range map[string]int{"rfc2046": 2, "message-partial": 3} {
		var pieces []*Message
		for i := range n {
			pieces = append([]*Message{parsedFile(t, filepath.Join(dir, fmt.Sprintf("%s.%d.eml", name, i)))}, pieces...)
		}
		got, err := JoinPartial(append(pieces, pieces[0])...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := os.ReadFile(filepath.Join(dir, name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		m := parsed(t, string(want))
		if a, b := describeContent(t, got), describeContent(t, m); a != b {
			t.Errorf("%s: got\n%s\nwant\n%s", name, a, b)
		}
		if _, err := JoinPartial(pieces[1:]...); err == nil || !strings.Contains(err.Error(), "missing") && !strings.Contains(err.Error(), "how many") {
			t.Errorf("%s: with a piece missing: %v", name, err)
		}
	}
	for _, raw := range []string{"", "Content-Type: message/partial; id=x\n\n", "Content-Type: message/partial; id=x; number=1\n\n", "Content-Type: message/partial; id=x; number=9999999; total=2\n\n"} {
		if _, err := JoinPartial(parsed(t, raw)); err == nil {
			t.Errorf("%q is taken", raw)
		}
	}
	if _, err := JoinPartial(); err == nil {
		t.Error("no pieces are taken")
	}
}

// describeContent tells the content of a message and whom it is from.
func describeContent(t *testing.T, m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %q %q %q %v\n", m.From, m.Subject, m.ID, m.Header.Value("X-Weird-Header-1"), m.Date)
	for path, p := range m.Body.Walk() {
		content := ""
		if !p.IsMultipart() {
			content = strings.TrimRight(strings.ReplaceAll(opened(t, Attachment{Open: p.Reader}), "\r\n", "\n"), "\n")
		}
		fmt.Fprintf(&b, "%s %s %q %s\n", path, p.Type(), p.Name(), hex.EncodeToString([]byte(content))[:min(40, 2*len(content))])
	}
	return b.String()
}

func TestExternal(t *testing.T) {
	for media, want := range map[string]string{
		"text/plain": "", "message/external-body": "elsewhere",
		`message/external-body; access-type=URL; url="https://example.com/ a"`:                               "https://example.com/a",
		`message/external-body; access-type=ANON-FTP; site=ftp.example.com; directory="/pub/x"; name="a.ps"`: "ftp://ftp.example.com/pub/x/a.ps",
		`message/external-body; access-type=mail-server; server="s@example.com"`:                             "a message to s@example.com",
		`message/external-body; access-type=local-file; name="/etc/passwd"`:                                  "local-file /etc/passwd",
	} {
		if got := parsed(t, "Content-Type: "+media+"\n\n").Body.External(); got != want {
			t.Errorf("%s: got %q, want %q", media, got, want)
		}
	}
}

// Many pieces of nothing cost no more than they are.
func FuzzJoinPartial(f *testing.F) {
	f.Add("Content-Type: message/partial; id=x; number=1; total=2\n\nSubject: s\n\na", "Content-Type: message/partial; id=x; number=2; total=2\n\nb")
	f.Fuzz(func(t *testing.T, a, b string) {
		m, err := JoinPartial(parsed(t, a), parsed(t, b))
		if err == nil && m.Body == nil {
			t.Error("no message and no error")
		}
	})
}
