package mail

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Each parser meets what nobody thought of, and keeps its promises: it does not fail, what it says of a message from a
// file is what it says of one in memory, and what is written is read back as it was.

func FuzzParse(f *testing.F) {
	for _, h := range hostiles {
		f.Add([]byte(h.make(3)))
	}
	f.Add([]byte("From: a@b\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\np\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\ne"))
	f.Add([]byte("From: =?utf-8?q?=C3=A4?= <a@b.c>\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\nxMXb\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := parseBoth(t, "fuzzed", raw)
		if again := describe(t, m); again == "" {
			t.Fatal("nothing")
		}
		for _, d := range m.Defects {
			if d.Offset < -1 || d.Offset > int64(len(raw)) {
				t.Errorf("%v lies outside of %d octets", d, len(raw))
			}
		}
		// An identity, so that it can be written at all.
		m.From = []Address{{"", "a@example.com"}}
		m.Sender = Address{}
		m.ReplyTo, m.To, m.Cc = nil, nil, nil
		m.ID, m.InReplyTo, m.References = "1@example.com", nil, nil
		m.Header.Remove("From")
		m.Header.Remove("Message-ID")
		var out bytes.Buffer
		if _, err := m.WriteTo(&out); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		checkLines(t, "fuzzed", out.Bytes())
		back, _ := Parse(bytes.NewReader(out.Bytes()))
		var again bytes.Buffer
		back.Date = m.Date
		if _, err := back.WriteTo(&again); err != nil {
			t.Fatalf("written and read it cannot be written again: %v", err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "A: b\r\n", "A: b\r\n c\r\nD: e", " x\nA:b\n\nbody", "From x\nA : b\n", "A\n", "A: b\n garbage\ngarbage\nC: d\n", "\x80: x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := ParseHeader(s)
		var b strings.Builder
		for field := range h.All() {
			b.WriteString(field.Raw())
			if v := field.Value(); strings.ContainsAny(v, "\r\n") {
				t.Errorf("the value %q holds a line end", v)
			}
			if v := field.Text(); badByte(v) >= 0 || !utf8.ValidString(v) {
				t.Errorf("the text %q of %q is none", v, field.Raw())
			}
		}
		if !strings.HasPrefix(s, b.String()) {
			t.Errorf("read %q, written %q", s, b.String())
		}
		if h.Validate() == nil {
			var w bytes.Buffer
			if _, err := h.WriteTo(&w); err != nil || w.String() != b.String() {
				t.Errorf("WriteTo gives %q, %v", w.String(), err)
			}
		}
	})
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"a@b", "Ann <a@b>, c@d", `"a, b" <"x y"@[1.2.3.4]>`, "g: a@b, c@d;", "a@b (c)", "<@x,@y:a@b>", "Doe, J <a@b>", "a@b <a@b>", "=?utf-8?q?=C3=A4_<x@y>?= <a@b>", "ü@ü", "a.b@c . d", "<<a@b>>", "a;b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lenient, _ := new(Parser).Addresses(s)
		for _, a := range lenient {
			if badByte(a.Name) >= 0 {
				t.Errorf("the name %q holds a line end or NUL", a.Name)
			}
		}
		strict, err := ParseAddressList(s)
		if err != nil {
			return
		}
		if !utf8.ValidString(s) {
			return
		}
		for _, a := range strict {
			if a.Validate() != nil {
				continue // a literal that RFC 5322 allows and RFC 5321 does not
			}
			folded := folder{}
			folded.start("To")
			if _, err := folded.address(a, true); err != nil {
				continue // a domain that is none in A-labels
			}
			back, err := ParseAddressList(string(folded.b[3:]))
			if err != nil || len(back) != 1 || back[0].Name != strings.ToValidUTF8(a.Name, "\ufffd") || isASCII(a.Address) && back[0].Address != a.Address {
				t.Errorf("%q: %q is written as %q and read as %q, %v", s, a, folded.b, back, err)
			}
			if one, err := ParseAddress(a.String()); err == nil && isASCII(a.Name) && one.Address != a.Address {
				t.Errorf("%q reads as %q", a.String(), one)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "ü", "=?utf-8?q?x?=", " a ", "a  b", strings.Repeat("x", 100), "=?a?b?c", "?==?", "\x01", "a\tb", "0      " + strings.Repeat("0", 75)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = new(Parser).words(s)
		if badByte(s) >= 0 || len(s) > 10000 {
			return
		}
		b, err := appendField(nil, "Subject", s)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if len(line) > 80 || !strings.HasSuffix(line, "\r\n") || !isASCII(line) || strings.TrimSpace(line) == "" {
				t.Errorf("%q is written with the line %q", s, line)
			}
		}
		if got, want := ParseHeader(string(b)).Text("Subject"), strings.ToValidUTF8(s, "\ufffd"); got != want {
			t.Errorf("%q is written as %q and read as %q", s, b, got)
		}
	})
}

func FuzzParameters(f *testing.F) {
	for _, s := range []string{"", "a b", `"\`, "ü", "=?utf-8?q?x?=", strings.Repeat("x", 200), "a*b'c%d", "a;b=c", "x\t"} {
		f.Add("attachment; filename="+s, s)
	}
	f.Fuzz(func(t *testing.T, field, value string) {
		var d defects
		l := new(Parser).params(field, &d)
		var values [2]string
		new(Parser).find(field, [2]string{"filename", "name"}, &values, nil)
		if want := [2]string{l.get("filename"), l.get("name")}; values != want && len(d.list) == 0 {
			t.Errorf("%q: find gives %q, params %q", field, values, want)
		}
		if badByte(value) >= 0 || len(value) > 10000 {
			return
		}
		folded := folder{}
		folded.start("Content-Disposition")
		if err := folded.params("attachment", []param{{"filename", value}, {"size", "1"}}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(folded.b) + "\r\n") {
			if len(line) > 80 || !isASCII(line) {
				t.Errorf("%q is written with the line %q", value, line)
			}
		}
		_, body, _ := strings.Cut(string(folded.b), ":")
		back := new(Parser).params(body, nil)
		if want := []param{{"filename", strings.ToValidUTF8(value, "\ufffd")}, {"size", "1"}}; !slices.Contains(back.params, want[0]) || !slices.Contains(back.params, want[1]) {
			t.Errorf("%q is written as %q and read as %q", value, folded.b, back.params)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Tue, 1 Jul 2003 10:52:37 +0200", "1 Jan 70 0:0 GMT", "Mon Jan  2 15:04:05 2006", "(x) 1-Jan-2006 1.2.3 PST", "99", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			return
		}
		if y := d.Year(); y < 0 || y > 9999 {
			t.Fatalf("%q is read as %v", s, d)
		}
		if back, err := ParseDate(string(appendDate(nil, d))); err != nil || !back.Equal(d) {
			t.Errorf("%q is read as %v, written and read as %v, %v", s, d, back, err)
		}
	})
}
