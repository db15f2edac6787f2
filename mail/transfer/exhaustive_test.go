package transfer

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/transform"
)

// Filters are small machines, and small machines can be tried out whole: every short text of the octets that matter, cut at
// every place, held against a few lines of code that do the same without state.

// each calls f with every text of the letters, up to a length.
func each(letters []string, length int, f func(s string)) {
	f("")
	if length == 0 {
		return
	}
	for _, l := range letters {
		each(letters, length-1, func(s string) { f(l + s) })
	}
}

// rooms are the smallest outputs that the filters can be given.
var rooms = map[string]int{"base64 encoder": 6, "base64 decoder": 3, "quoted encoder": 14, "quoted wrapper": 4, "stuffer": 2, "wrapper": 2}

// Every cut of a text in three pieces, with the smallest room that there may be, gives what the whole gives.
func TestEverySplit(t *testing.T) {
	texts := []string{
		"a.\r\n..\r\n.\r\n=3D= \r\n.", ".\r\nYWJj\r\nYQ==\r\nx", "\r\r\n\n. \t\r\n =\t\n=4", "#86)C\r\nend\n=y\n=}a\r\n=", strings.Repeat("é", 13), "begin 644 x\n#86)C\n`\nend\n", "  \r\n  \r  =\r\n.\r.\r", "\r\n.\r",
	}
	for name, make := range filters {
		room := 1
		for prefix, n := range rooms {
			if strings.HasPrefix(name, prefix) {
				room = n
			}
		}
		for _, s := range texts {
			want := all(make(), []byte(s))
			for i := range len(s) + 1 {
				for j := i; j <= len(s); j++ {
					f := make()
					var out []byte
					for k, piece := range []string{s[:i], s[i:j], s[j:]} {
						for {
							dst := [16]byte{}
							nDst, nSrc, err := f.Transform(dst[:room], []byte(piece), k == 2)
							out, piece = append(out, dst[:nDst]...), piece[nSrc:]
							if err == nil && piece == "" {
								break
							}
							if err != transform.ErrShortDst {
								t.Fatalf("%s of %q, cut at %d and %d: %v with %q left", name, s, i, j, err, piece)
							}
							if nDst+nSrc == 0 {
								t.Fatalf("%s of %q, cut at %d and %d: stands still with room for %d", name, s, i, j, room)
							}
						}
					}
					if string(out) != want {
						t.Fatalf("%s of %q, cut at %d and %d: got %q, want %q", name, s, i, j, out, want)
					}
				}
			}
		}
	}
}

// LuaSocket's normalize, for any marker: each CRLF, LF and CR alone is one line end.
func TestEveryLineEnd(t *testing.T) {
	for _, marker := range []string{"", "\n", "\r", "\r\n", "<br>\r\n"} {
		is := marker
		if is == "" {
			is = "\r\n"
		}
		plain := strings.NewReplacer("\r\n", is, "\n", is, "\r", is)
		each([]string{"\r", "\n", "a"}, 7, func(s string) {
			if got, want := all(&EOL{Marker: marker}, []byte(s)), plain.Replace(s); got != want {
				t.Errorf("%q with %q: got %q, want %q", s, marker, got, want)
			}
		})
	}
}

// RFC 5321, 4.5.2: each dot that begins a line is doubled, and lines begin behind CRLF alone; taken away again they leave what
// there was, up to the first line that is a dot.
func TestEveryDot(t *testing.T) {
	begins := regexp.MustCompile(`(^|\r\n)\.`)
	end := regexp.MustCompile(`(?s)(^|\r\n)\.\r\n.*`)
	each([]string{".", "\r", "\n", "a"}, 7, func(s string) {
		stuffed := all(&Stuffer{}, []byte(s))
		if want := begins.ReplaceAllString(s, "$1.."); stuffed != want {
			t.Errorf("%q: stuffed %q, want %q", s, stuffed, want)
		}
		u := &Unstuffer{}
		if got := all(u, []byte(stuffed)); got != s || u.Ended {
			t.Errorf("%q: stuffed %q, unstuffed %q, ended %v", s, stuffed, got, u.Ended)
		}
		whole := stuffed
		if s != "" && !strings.HasSuffix(s, "\r\n") {
			whole += "\r\n"
		}
		want := all(&Unstuffer{}, []byte(whole))
		if got := all(u, []byte(whole+".\r\nQUIT\r\n")); got != want || !u.Ended {
			t.Errorf("%q with an end: got %q, ended %v, want %q", whole, got, u.Ended, want)
		}
		// And of any text at all, stuffed or not.
		kept := end.ReplaceAllString(s, "$1")
		want = begins.ReplaceAllString(kept, "$1")
		if got := all(u, []byte(s)); got != want || u.Ended != (kept != s) {
			t.Errorf("%q unstuffed: got %q, ended %v, want %q, %v", s, got, u.Ended, want, kept != s)
		}
	})
}

// What a wrapper breaks is what was there, in lines that are as long as they may be, and text that fits stays as it is.
func TestEveryWrap(t *testing.T) {
	each([]string{"\r", "\n", "\r\n", "a", "bc"}, 6, func(s string) {
		var want strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(s, "\r", "")) {
			line, ended := strings.CutSuffix(line, "\n")
			for len(line) > 3 {
				want.WriteString(line[:3] + "\r\n")
				line = line[3:]
			}
			if line != "" || ended {
				want.WriteString(line + "\r\n")
			}
		}
		if got := all(&Wrapper{Width: 3}, []byte(s)); got != want.String() {
			t.Errorf("%q: got %q, want %q", s, got, want.String())
		}
	})
	each([]string{"=41", "=3D", "a", "bc", "\r\n"}, 6, func(s string) {
		got := all(&QuotedWrapper{Width: 6}, []byte(s))
		for line := range strings.SplitSeq(got, "\r\n") {
			if len(line) > 6 {
				t.Errorf("%q is wrapped to %q, with a line of %d", s, got, len(line))
			}
		}
		if back, want := all(&QuotedDecoder{}, []byte(got)), all(&QuotedDecoder{}, []byte(s)); back != want {
			t.Errorf("%q is wrapped to %q, which is %q and not %q", s, got, back, want)
		}
	})
}

// RFC 2045, 6.7, rule by rule: what is written is ASCII in lines of at most 76, none ends in white space, soft breaks are the
// only breaks that the text has not, and it comes back as it was.
func TestEveryQuoted(t *testing.T) {
	fill := strings.Repeat("x", 70) // so that the limit of a line falls into what is tried
	for _, binary := range []bool{false, true} {
		each([]string{" ", "\t", "\r\n", "\n", "=", "é", "ab", "."}, 4, func(s string) {
			for _, s := range []string{s, fill + s + "yz", fill + "yz" + s} {
				got := all(&QuotedEncoder{Binary: binary}, []byte(s))
				for line := range strings.SplitSeq(got, "\r\n") {
					if len(line) > 76 || strings.TrimRight(line, " \t") != line || strings.ContainsAny(line, "\r\n") {
						t.Errorf("binary %v: %q is written with the line %q", binary, s, line)
					}
					for i := range len(line) {
						if c := line[i]; c != '\t' && (c < ' ' || c > '~') {
							t.Errorf("binary %v: %q is written with the octet %#x", binary, s, c)
						}
					}
				}
				if hard := strings.Count(got, "\r\n") - strings.Count(got, "=\r\n"); !binary && hard != strings.Count(s, "\r\n") || binary && hard != 0 {
					t.Errorf("binary %v: %q is written as %q, with %d line ends", binary, s, got, hard)
				}
				if back := all(&QuotedDecoder{}, []byte(got)); back != s {
					t.Errorf("binary %v: %q is written as %q and read as %q", binary, s, got, back)
				}
			}
		})
	}
}

// RFC 4648, 10, and every length around those at which lines and groups end.
func TestEveryBase64(t *testing.T) {
	for in, want := range map[string]string{"": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=", "foobar": "Zm9vYmFy"} {
		if got := all(&Base64Encoder{Width: -1}, []byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if got := all(&Base64Decoder{}, []byte(want)); got != in {
			t.Errorf("%q: got %q, want %q", want, got, in)
		}
	}
	content := make([]byte, 64*57+200)
	for i := range content {
		content[i] = byte(i * i >> 3)
	}
	for _, width := range []int{0, -1, 1, 4, 7, 8, 76, 998} {
		lines := map[int]int{0: 76, 1: 4, 7: 4, 998: 996}[width] // a line is whole groups, and one at least
		if lines == 0 {
			lines = width
		}
		for _, n := range []int{0, 1, 2, 3, 4, 56, 57, 58, 113, 114, 115, 64*57 - 1, 64 * 57, 64*57 + 1, len(content)} {
			s := base64.StdEncoding.EncodeToString(content[:n])
			var want strings.Builder
			for lines > 0 && s != "" {
				cut := min(lines, len(s))
				want.WriteString(s[:cut] + "\r\n")
				s = s[cut:]
			}
			want.WriteString(s)
			got := all(&Base64Encoder{Width: width}, content[:n])
			if got != want.String() {
				t.Errorf("%d octets in lines of %d: got %.200q", n, width, got)
			}
			if back := all(&Base64Decoder{}, []byte(got)); back != string(content[:n]) {
				t.Errorf("%d octets in lines of %d do not come back", n, width)
			}
		}
	}
}

// Each octet that is no base64 at each place of a group: it is skipped and counted (RFC 2045, 6.8), white space is not counted.
func TestEveryForeignOctet(t *testing.T) {
	for c := range 256 {
		octet := string([]byte{byte(c)})
		if octet == "=" || decodeTable[c] < 64 {
			continue
		}
		strange := 1
		if c <= ' ' {
			strange = 0
		}
		for at := 1; at < 8; at++ {
			d := &Base64Decoder{}
			if got := all(d, []byte("YWJjZGVm"[:at]+octet+"YWJjZGVm"[at:])); got != "abcdef" || d.Strange != strange {
				t.Errorf("%#x behind %d characters: got %q with %d strange, want %d", c, at, got, d.Strange, strange)
			}
		}
	}
}

// uu writes a line of uuencode as POSIX has it; zero is the character for 0.
func uu(b []byte, zero byte) string {
	letter := func(v byte) byte {
		if v &= 63; v != 0 {
			return v + ' '
		}
		return zero
	}
	out := []byte{letter(byte(len(b)))}
	for len(b) > 0 {
		var g [3]byte
		n := copy(g[:], b)
		b = b[n:]
		out = append(out, letter(g[0]>>2), letter(g[0]<<4|g[1]>>4), letter(g[1]<<2|g[2]>>6), letter(g[2]))
	}
	return string(out)
}

// Each length that a line can have, with both characters for 0, with its spaces lost at the end, and with a checksum behind it.
func TestEveryUULine(t *testing.T) {
	content := make([]byte, 63)
	for n := range len(content) + 1 {
		for i := range n {
			content[i] = byte(i * n * 7)
		}
		for _, zero := range []byte{' ', '`'} {
			line := uu(content[:n], zero)
			for _, form := range []string{line, strings.TrimRight(line, " "), line + "X", line + "\r"} {
				if got := all(&UUDecoder{}, []byte("begin 644 x\n"+form+"\nend\n"+line)); got != string(content[:n]) && (n > 0 || got != "") {
					t.Errorf("%q: got %q, want %q", form, got, content[:n])
				}
			}
		}
	}
	for line, want := range map[string]bool{"": true, "`": true, " ": true, "#86)C": true, "#86)CXX": true, "#86)CXXX": false, "#86)\x7f": false, "#86)a": false, "end": false, "\x1f": false, "aaaa": false} {
		if _, ok := UUEncoded([]byte(line)); ok != want {
			t.Errorf("%q is a line: got %v, want %v", line, ok, want)
		}
	}
}

// Each octet in yEnc, as it stands and escaped, at the beginning of a line and in it.
func TestEveryYencOctet(t *testing.T) {
	for c := range 256 {
		plain := byte(c + 42)
		want := string([]byte{byte(c), 'x', byte(c)})
		forms := []string{string([]byte{'=', plain + 64, 'x' + 42, '=', plain + 64})}
		if !strings.ContainsRune("\r\n=", rune(plain)) {
			forms = append(forms, string([]byte{plain, 'x' + 42, plain}))
		}
		for _, form := range forms {
			if strings.HasPrefix(form, "=y") || plain+64 == '\r' || plain+64 == '\n' {
				continue // a line of its own kind, or none at all
			}
			got := all(&YencDecoder{}, []byte("=ybegin line=128 size=3 name=x\r\n"+form+"\r\n=yend size=3\r\n"))
			if got != want {
				t.Errorf("%q: got %q, want %q", form, got, want)
			}
		}
	}
}

// After Reset a filter has forgotten everything but how it was made, whatever it was in the middle of.
func TestReset(t *testing.T) {
	for name, make := range filters {
		for _, s := range []string{"a", "YW", "=", "=4", " ", "\r", ".\r", "x.", "begin 644 x\n#86", "=y", strings.Repeat("x", 200)} {
			f := make()
			var dst [1024]byte
			if _, _, err := f.Transform(dst[:], []byte(s), false); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			const next = ".\r\nYWJj\r\n=41 b\n.c"
			f.Reset()
			nDst, _, err := f.Transform(dst[:], []byte(next), true)
			if want := all(make(), []byte(next)); string(dst[:nDst]) != want || err != nil {
				t.Errorf("%s, reset behind %q: got %q, %v, want %q", name, s, dst[:nDst], err, want)
			}
		}
	}
}

// A filter as a writer, closed where it likes, gives what it gives as a reader, whatever the size of the pieces.
func TestWritersAndReaders(t *testing.T) {
	src := strings.Repeat(".a b\tc=\r\n\n=C3=A9YWJj\r", 60)
	for name, make := range filters {
		want := all(make(), []byte(src))
		for _, size := range []int{1, 7, 1000} {
			var b bytes.Buffer
			w := transform.NewWriter(&b, make())
			for piece := range strings.SplitSeq(src, "") {
				fmt.Fprint(w, piece)
			}
			if err := w.Close(); err != nil || b.String() != want {
				t.Errorf("%s as a writer: %v, got %.60q, want %.60q", name, err, b.String(), want)
			}
			r := NewReader(io.MultiReader(strings.NewReader(src[:size]), strings.NewReader(src[size:])), make())
			var got []byte
			buf := bytes.Repeat([]byte{0}, size)
			for {
				n, err := r.Read(buf)
				got = append(got, buf[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s as a reader: %v", name, err)
				}
			}
			if string(got) != want {
				t.Errorf("%s as a reader by %d: got %.60q, want %.60q", name, size, got, want)
			}
		}
	}
}
