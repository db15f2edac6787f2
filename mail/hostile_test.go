package mail

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/growth"
)

// Hostile messages: each must be read in time and memory that grow as its length does, within the limits, and must be
// told as what it is. Times are compared with each other, at n and 2n, never with a clock.

// A hostile is a kind of message that has broken other parsers, of any size.
type hostile struct {
	name string
	n    int
	make func(n int) string
	want DefectKind // "" for none in particular
}

var hostiles = []hostile{
	{"multiparts in each other", 5000, nested, DefectLimit},
	{"very many multiparts in each other", 50000, nested, DefectLimit},
	{"parts", 100000, func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", n) + "--b--\n"
	}, DefectLimit},
	{"messages in each other", 10000, func(n int) string { return strings.Repeat("Content-Type: message/rfc822\n\n", n) + "x\n" }, ""},
	{"one field", 4 << 20, func(n int) string { return "From: a@b\nX: " + strings.Repeat("x", n) + "\n\nbody\n" }, DefectLimit},
	{"one folded field", 500000, func(n int) string { return "From: a@b\nSubject: s" + strings.Repeat("\n x", n) + "\n\nbody\n" }, DefectLimit},
	{"fields", 100000, func(n int) string { return strings.Repeat("X: y\n", n) + "\nbody\n" }, DefectLimit},
	{"Received fields", 20000, func(n int) string { return strings.Repeat("Received: from a by b; x\n", n) + "\nbody\n" }, DefectLimit},
	{"encoded words", 20000, func(n int) string { return "Subject: " + strings.Repeat("=?utf-8?q?=C3=A4?= ", n) + "\n\n" }, ""},
	{"beginnings of encoded words", 100000, func(n int) string { return "Subject: " + strings.Repeat("=?a?q?", n) + "\n\n" }, ""},
	{"question marks in an encoded word", 100000, func(n int) string { return "Subject: " + strings.Repeat("=?a?q?x???????????", n/2) + "\n\n" }, ""},
	{"encoded words of other charsets", 10000, func(n int) string {
		return "Subject: " + strings.Repeat("=?iso-8859-1?q?=E4?= =?koi8-r?b?xA==?= ", n) + "\n\n"
	}, ""},
	{"addresses", 20000, func(n int) string { return "To: " + strings.Repeat("Ann <ann@example.com>, ", n) + "\n\n" }, ""},
	{"comments in each other", 100000, func(n int) string { return "To: " + strings.Repeat("(", n) + "\n\n" }, DefectAddress},
	{"comments", 50000, func(n int) string { return "To: a@b " + strings.Repeat("(a)", n) + "\n\n" }, ""},
	{"closed comments in each other", 50000, func(n int) string { return "To: " + strings.Repeat("(", n) + strings.Repeat(")", n) + " a@b\n\n" }, ""},
	{"quotes", 100001, func(n int) string { return "To: " + strings.Repeat(`"\`, n) + "\n\n" }, DefectAddress},
	{"angle brackets", 100000, func(n int) string { return "To: " + strings.Repeat("<", n) + "\n\n" }, DefectAddress},
	{"angle brackets with quotes", 50000, func(n int) string { return "To: " + strings.Repeat(`<"`, n) + "\n\n" }, DefectAddress},
	// Both lengths are below the limit of a line; what is cut there is read in another way.
	{"a domain literal", 100000, func(n int) string { return "To: a@[" + strings.Repeat("a", n) + "]\n\n" }, ""},
	{"open domain literals", 50000, func(n int) string { return "To: " + strings.Repeat("a@[", n) + "\n\n" }, DefectAddress},
	{"a phrase of many words", 100000, func(n int) string { return "To: " + strings.Repeat("a ", n) + "<a@b>\n\n" }, ""},
	{"groups in each other", 50000, func(n int) string { return "To: " + strings.Repeat("a:", n) + strings.Repeat(";", n) + "\n\n" }, DefectAddress},
	{"at signs", 100000, func(n int) string { return "To: " + strings.Repeat("@", n) + "\n\n" }, DefectAddress},
	{"dots", 100000, func(n int) string { return "To: a" + strings.Repeat(".", n) + "@b\n\n" }, DefectAddress},
	{"parameters", 50000, func(n int) string { return "Content-Type: text/plain" + strings.Repeat("; a=b", n) + "\n\n" }, DefectLimit},
	{"pieces of a parameter", 20000, func(n int) string {
		var b strings.Builder
		b.WriteString("Content-Type: text/plain")
		for i := range n {
			fmt.Fprintf(&b, "; name*%d=x", i)
		}
		return b.String() + "\n\n"
	}, DefectLimit},
	{"spaces in a parameter", 100000, func(n int) string { return "Content-Type: text/plain; a=" + strings.Repeat("b ", n) + "\n\n" }, ""},
	{"comments in a parameter", 100000, func(n int) string { return "Content-Type: text/plain" + strings.Repeat("(", n) + "\n\n" }, ""},
	{"boundaries of nothing", 500000, func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat("--\n", n) + "--b--\n"
	}, ""},
	{"padding", 1 << 20, func(n int) string {
		return "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("=", n) + "\n"
	}, ""},
	{"garbage in base64", 200000, func(n int) string {
		return "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("YQ!\x80", n) + "\n"
	}, ""},
	{"soft line breaks", 500000, func(n int) string {
		return "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=\n", n) + "\n"
	}, ""},
	{"escapes", 500000, func(n int) string {
		return "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=41", n) + "\n"
	}, ""},
	{"spaces in quoted-printable", 1 << 20, func(n int) string {
		return "Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat(" ", n) + "x\n"
	}, ""},
	{"empty lines", 1 << 20, func(n int) string { return "\n" + strings.Repeat("\n", n) }, ""},
	{"carriage returns", 1 << 20, func(n int) string { return "\n" + strings.Repeat("\r", n) }, ""},
	{"UTF-7", 100000, func(n int) string { return "Content-Type: text/plain; charset=utf-7\n\n" + strings.Repeat("+AGE", n) }, ""},
	{"ISO-2022", 100000, func(n int) string {
		return "Content-Type: text/plain; charset=iso-2022-jp\n\n" + strings.Repeat("\x1b$B", n)
	}, ""},
	{"identifiers", 50000, func(n int) string { return "References: " + strings.Repeat("<a@b>", n) + "\n\n" }, ""},
	{"broken identifiers", 100000, func(n int) string { return "References: " + strings.Repeat("a ", n) + "\n\n" }, ""},
	{"lines that are no fields", 100000, func(n int) string { return "X: y\n" + strings.Repeat("garbage\nX: y\n", n/2) + "\n" }, ""},
	{"headers without end", 20000, func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nX: y\n", n)
	}, DefectLimit},
}

// kind gives the maker of a kind of hostile message.
func kind(name string) func(n int) string {
	return hostiles[slices.IndexFunc(hostiles, func(h hostile) bool { return h.name == name })].make
}

// nested makes n multiparts in each other, each closed.
func nested(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	b.WriteString("\nx\n")
	for i := n - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\n", i)
	}
	return b.String()
}

// read does all that reading a message can mean.
func read(t *testing.T, s string) *Message {
	m, err := Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Body.Walk() {
		if p.IsMultipart() {
			continue
		}
		rc, err := p.Reader()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rc); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestHostile(t *testing.T) {
	for _, h := range hostiles {
		s := h.make(h.n)
		m := read(t, s)
		found := h.want == ""
		for _, d := range m.Defects {
			found = found || d.Kind == h.want
		}
		if !found {
			t.Errorf("%s: no defect of the kind %s among %v", h.name, h.want, m.Defects)
		}
		if len(m.Defects) > maxDefects {
			t.Errorf("%s: %d defects", h.name, len(m.Defects))
		}
		at, err := ParseAt(strings.NewReader(s), int64(len(s)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(at.Defects), fmt.Sprint(m.Defects); got != want || at.Text != m.Text {
			t.Errorf("%s: ParseAt and Parse differ: %s, %s", h.name, got, want)
		}
	}
}

// What is kept of a message is less than three times its length, however it is made.
func TestHostileMemory(t *testing.T) {
	for _, h := range []hostile{
		{"multiparts in each other", 5000, nested, ""},
		{"very many multiparts in each other", 100000, nested, ""},
		{"parts", 200000, kind("parts"), ""},
		{"messages in each other", 20000, kind("messages in each other"), ""},
		{"encoded words", 100000, kind("encoded words"), ""},
		{"one field", 20 << 20, kind("one field"), ""},
	} {
		s := h.make(h.n)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := Parse(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		kept, made := int64(after.HeapAlloc)-int64(before.HeapAlloc), after.TotalAlloc-before.TotalAlloc
		t.Logf("%s: %d octets in, %d kept, %d allocated", h.name, len(s), kept, made)
		if made > 3*uint64(len(s)) {
			t.Errorf("%s: %d octets allocated for %d", h.name, made, len(s))
		}
		runtime.KeepAlive(m)
	}
}

// Time and memory grow with the length, not with its square.
func TestHostileGrowth(t *testing.T) {
	for _, h := range hostiles {
		growth.Linear(t, h.name, h.n, func(n int) func() {
			s := h.make(n)
			return func() { read(t, s) }
		})
	}
}

// Places in a message where something that is repeated may cost more than it is long.
var places = []string{
	"%s", "To: %s\n\n", "Subject: %s\n\n", "Date: %s\n\n", "References: %s\n\n", "Content-Type: text/plain; %s\n\n", "\n%s",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\n%s", "Content-Type: text/html\n\n%s", "Content-Type: text/plain; format=flowed\n\n%s",
	"Content-Transfer-Encoding: base64\n\n%s", "Content-Transfer-Encoding: quoted-printable\n\n%s", "Content-Type: text/plain; charset=iso-2022-kr\n\n%s",
}

// Anything at all, over and over: four times as much of it takes about four times as long. One quick look finds what is worth
// measuring well.
func FuzzGrowth(f *testing.F) {
	for _, s := range []string{"(", "\"<", "=?a?q?", "a@[", "--b\n", "a=b*0;", " =\n", "<b>", "<a href=x>", "begin 644 a\n", "\x1b$B", "> \n", "+AG-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, unit string) {
		if unit == "" || len(unit) > 100 {
			return
		}
		for _, place := range places {
			prepare := func(n int) func() {
				s := fmt.Sprintf(place, strings.Repeat(unit, n/len(unit)+1))
				return func() {
					m := read(t, s)
					m.Preview()
					m.Body.Files()
					m.WriteTo(io.Discard)
				}
			}
			const n = 8 << 10
			few, many := prepare(n), prepare(4*n)
			took := func(f func()) time.Duration {
				begin := time.Now()
				f()
				return time.Since(begin)
			}
			few() // caches
			if a, b := min(took(few), took(few)), min(took(many), took(many)); b > 9*a {
				growth.Linear(t, fmt.Sprintf("%q of %q", place, unit), 4*n, prepare)
			}
		}
	})
}

// A reader that fails leaves what was read before.
func TestParseReadError(t *testing.T) {
	r := io.MultiReader(strings.NewReader("From: a@b\nSubject: s\n\ntext"), failing{})
	m, err := Parse(r)
	if err == nil || m == nil || m.Subject != "s" || m.Text != "text" {
		t.Errorf("got %+v, %v", m, err)
	}
	short := bytes.NewReader([]byte("From: a@b\n\ntext"))
	m, err = ParseAt(short, 1000)
	if err != nil || m.Text != "text" {
		t.Errorf("a file shorter than was said: got %q, %v", m.Text, err)
	}
}

// A failing reader fails.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
