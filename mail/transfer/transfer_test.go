package transfer

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/transform"
	"pgregory.net/rapid"
)

// filters are all that there are, each in all its ways.
var filters = map[string]func() transform.Transformer{
	"base64 encoder":         func() transform.Transformer { return &Base64Encoder{} },
	"base64 encoder, 4":      func() transform.Transformer { return &Base64Encoder{Width: 4} },
	"base64 encoder, 200":    func() transform.Transformer { return &Base64Encoder{Width: 200} },
	"base64 encoder, none":   func() transform.Transformer { return &Base64Encoder{Width: -1} },
	"base64 decoder":         func() transform.Transformer { return &Base64Decoder{} },
	"quoted encoder":         func() transform.Transformer { return &QuotedEncoder{} },
	"quoted encoder, binary": func() transform.Transformer { return &QuotedEncoder{Binary: true} },
	"quoted decoder":         func() transform.Transformer { return &QuotedDecoder{} },
	"line ends":              func() transform.Transformer { return &EOL{} },
	"line ends, LF":          func() transform.Transformer { return &EOL{Marker: "\n"} },
	"stuffer":                func() transform.Transformer { return &Stuffer{} },
	"unstuffer":              func() transform.Transformer { return &Unstuffer{} },
	"uuencode decoder":       func() transform.Transformer { return &UUDecoder{} },
	"yEnc decoder":           func() transform.Transformer { return &YencDecoder{} },
	"wrapper":                func() transform.Transformer { return &Wrapper{} },
	"wrapper, 3":             func() transform.Transformer { return &Wrapper{Width: 3} },
	"quoted wrapper":         func() transform.Transformer { return &QuotedWrapper{} },
	"quoted wrapper, 4":      func() transform.Transformer { return &QuotedWrapper{Width: 4} },
}

// all filters the whole of src at once.
func all(t transform.Transformer, src []byte) string {
	b, err := Append(nil, t, src)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// text draws octets that matter to one filter or another.
func text() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"\r\n", "\n", "\r", ".", "..", "\r\n.", "\r\n.\r\n", " ", "\t", "=", "=\r\n", "= \r\n", "=4", "=41", "=3D", "=zz", "YQ==", "YWJj", "#86)C\n", "begin 644 x\n", "\nend\n", "=y", "\n=yend\n", strings.Repeat("M", 120), "a", "é", "--", "__", "\x00", " \r\n"}),
		rapid.StringMatching(`[a-zA-Z0-9+/]{0,200}`), rapid.StringN(0, 10, -1))
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "pieces"), "") })
}

// However the input is cut and however small the room for the output is, the result is the same.
func TestChunks(t *testing.T) {
	for name, make := range filters {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			src := []byte(text().Draw(t, "src"))
			want := all(make(), src)
			f := make()
			var out bytes.Buffer
			room := rapid.IntRange(16, 100).Draw(t, "room")
			for rest := src; ; {
				n := rapid.IntRange(0, len(rest)).Draw(t, "n")
				last := n == len(rest)
				for piece := rest[:n]; ; {
					dst := [100]byte{}
					nDst, nSrc, err := f.Transform(dst[:room], piece, last)
					out.Write(dst[:nDst])
					piece = piece[nSrc:]
					if err == transform.ErrShortDst {
						continue
					}
					if err != nil || len(piece) > 0 {
						t.Fatalf("%v, %d octets left", err, len(piece))
					}
					break
				}
				if rest = rest[n:]; last {
					break
				}
			}
			if out.String() != want {
				t.Fatalf("in pieces: got %q, at once: %q", out.String(), want)
			}
			for _, r := range []io.Reader{NewReader(iotest.OneByteReader(bytes.NewReader(src)), make()), transform.NewReader(bytes.NewReader(src), make()), NewReader(iotest.DataErrReader(bytes.NewReader(src)), make())} {
				got, err := io.ReadAll(r)
				if err != nil || string(got) != want {
					t.Fatalf("read: got %q, %v, at once: %q", got, err, want)
				}
			}
		}))
	}
}

// What is encoded is decoded to what it was.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := text().Draw(t, "src")
		for _, pair := range [][2]transform.Transformer{
			{&Base64Encoder{}, &Base64Decoder{}}, {&Base64Encoder{Width: -1}, &Base64Decoder{}}, {&Base64Encoder{Width: 8}, &Base64Decoder{}},
			{&QuotedEncoder{}, &QuotedDecoder{}}, {&QuotedEncoder{Binary: true}, &QuotedDecoder{}}, {&Stuffer{}, &Unstuffer{}},
		} {
			encoded := all(pair[0], []byte(src))
			if got := all(pair[1], []byte(encoded)); got != src {
				t.Fatalf("%T: %q became %q and came back as %q", pair[0], src, encoded, got)
			}
			if _, ok := pair[0].(*Stuffer); ok {
				if strings.Contains("\r\n"+encoded, "\r\n.\r\n") {
					t.Fatalf("%q holds the end of the data", encoded)
				}
				continue
			}
			for line := range strings.SplitSeq(encoded, "\r\n") {
				if len(line) > 76 && !isEndless(pair[0]) {
					t.Fatalf("%T: a line of %d characters", pair[0], len(line))
				}
				if strings.ContainsAny(line, "\r\n") || strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
					t.Fatalf("%T: the line %q may be changed on its way", pair[0], line)
				}
			}
		}
	})
}

func isEndless(t transform.Transformer) bool {
	e, ok := t.(*Base64Encoder)
	return ok && e.Width < 0
}

// The standard library reads what we write.
func TestAgainstStandard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := text().Draw(t, "src")
		qp := all(&QuotedEncoder{Binary: true}, []byte(src))
		if got, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(qp))); err != nil || string(got) != src {
			t.Fatalf("quoted-printable %q: got %q, %v, want %q", qp, got, err, src)
		}
		b64 := all(&Base64Encoder{}, []byte(src))
		if got, err := base64.StdEncoding.DecodeString(b64); err != nil || string(got) != src {
			t.Fatalf("base64 %q: got %q, %v, want %q", b64, got, err, src)
		}
	})
}

func TestBase64Lenient(t *testing.T) {
	for _, c := range []struct {
		in, want string
		strange  int
	}{
		{"", "", 0}, {"YWJj", "abc", 0}, {"YQ==", "a", 0}, {"YQ", "a", 2}, {"YWI", "ab", 1}, {"Y", "", 3}, {"Y W\r\nJ\tj", "abc", 0},
		{"YW!J#j", "abc", 2}, {"YWJj\r\nYWJj\r\n", "abcabc", 0}, {"YQ==\r\n-- \r\nfooter with text\r\n", "a", 16},
		{"YW\nJj++++\n--ft", "abc\xfb\xef\xbe", 4}, {"YWJj\r\n--\r\nfooter\r\n", "abc", 8}, {"YWJj\r\n____\r\nlist\r\n", "abc", 8}, {"YQ=\r\n=", "a", 0}, {"====", "", 4}, {"YQ=YQ==", "a", 2},
		{strings.Repeat("YWJj", 19) + "\r\n" + strings.Repeat("YWJj", 19) + "\n", strings.Repeat("abc", 38), 0},
	} {
		d := &Base64Decoder{}
		if got := all(d, []byte(c.in)); got != c.want || d.Strange != c.strange {
			t.Errorf("%q: got %q with %d strange, want %q with %d", c.in, got, d.Strange, c.want, c.strange)
		}
	}
}

func TestQuotedLenient(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a=3Db", "a=b"}, {"a=3db", "a=b"}, {"a=\r\nb", "ab"}, {"a=\nb", "ab"}, {"a= \t\r\nb", "ab"}, {"a=", "a"}, {"a=4", "a=4"}, {"a=zz", "a=zz"}, {"a=4\r\nb", "a=4\r\nb"},
		{"a  \r\nb", "a\r\nb"}, {"a\t\nb", "a\nb"}, {"a  b", "a  b"}, {"a  ", "a"}, {"==3D", "=="}, {"a\rb", "a\rb"}, {"é=C3=A9", "éé"}, {"= x", "= x"},
		{strings.Repeat(" ", 2000) + "x", strings.Repeat(" ", 2000) + "x"}, {"=\r\n=\r\n=\r\nx", "x"}, {strings.Repeat("0", 153), strings.Repeat("0", 153)}, {"a\r\n\r\nb", "a\r\n\r\nb"}, {"=0D=0A", "\r\n"},
	} {
		if got := all(&QuotedDecoder{}, []byte(c.in)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestQuotedEncoder(t *testing.T) {
	for _, c := range []struct{ in, text, binary string }{
		{"a\r\nb", "a\r\nb", "a=0D=0Ab"}, {"a\nb", "a=0Ab", "a=0Ab"}, {"a\rb", "a=0Db", "a=0Db"}, {"a \r\n", "a=20\r\n", "a =0D=0A"}, {"a b", "a b", "a b"}, {"a ", "a=20", "a=20"},
		{"a\t", "a=09", "a=09"}, {"=", "=3D", "=3D"}, {"é", "=C3=A9", "=C3=A9"}, {"\r", "=0D", "=0D"}, {strings.Repeat("x", 77), strings.Repeat("x", 75) + "=\r\nxx", strings.Repeat("x", 75) + "=\r\nxx"},
	} {
		if got := all(&QuotedEncoder{}, []byte(c.in)); got != c.text {
			t.Errorf("text %q: got %q, want %q", c.in, got, c.text)
		}
		if got := all(&QuotedEncoder{Binary: true}, []byte(c.in)); got != c.binary {
			t.Errorf("binary %q: got %q, want %q", c.in, got, c.binary)
		}
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filter   transform.Transformer
		in, want string
	}{
		{&EOL{}, "a\nb\rc\r\nd\n\re\r\r\n", "a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\n"},
		{&EOL{Marker: "\n"}, "a\r\nb\rc\n", "a\nb\nc\n"},
		{&EOL{Marker: "<br>"}, "a\r\nb", "a<br>b"},
		{&Stuffer{}, ".a\r\n.\r\n..b\r\nc.\n.d", "..a\r\n..\r\n...b\r\nc.\n.d"},
		{&Unstuffer{}, "..a\r\n..\r\n...b\r\n.x\r\n.\rc\r\n.\r\nafter", ".a\r\n.\r\n..b\r\nx\r\n\rc\r\n"},
		{&Unstuffer{}, ".\r\nafter", ""},
		{&Unstuffer{}, "\n.\n.\r\n.", "\n.\n.\r\n"},
		{&Wrapper{Width: 3}, "abcdefg\nh\r\n", "abc\r\ndef\r\ng\r\nh\r\n"},
		{&Wrapper{}, strings.Repeat("x", 77), strings.Repeat("x", 76) + "\r\nx\r\n"},
		{&QuotedWrapper{Width: 6}, "ab=3Dcdefg\r\nh", "ab=3D=\r\ncdefg\r\nh=\r\n"},
	} {
		if got := all(c.filter, []byte(c.in)); got != c.want {
			t.Errorf("%T %q: got %q, want %q", c.filter, c.in, got, c.want)
		}
	}
}

// Filters chain, as readers and as writers.
func TestChain(t *testing.T) {
	want := "Hello=C3=A9 =\r\n"
	var b bytes.Buffer
	w := transform.NewWriter(&b, transform.Chain(&EOL{}, &QuotedEncoder{}))
	io.WriteString(w, "x\n.é\n")
	w.Close()
	if got := b.String(); got != "x\r\n.=C3=A9\r\n" {
		t.Errorf("written: got %q", got)
	}
	r := transform.NewReader(strings.NewReader(want), transform.Chain(&QuotedDecoder{}, &Base64Encoder{}, &Base64Decoder{}))
	if got, err := io.ReadAll(r); string(got) != "Helloé " || err != nil {
		t.Errorf("read: got %q, %v", got, err)
	}
}

func FuzzFilters(f *testing.F) {
	for _, s := range []string{"", "YWJj", "=41 \r\n", "\r\n.\r\n", "a\rb\nc"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		for name, make := range filters {
			want := all(make(), src)
			random := rand.New(rand.NewPCG(seed, 0))
			filter := make()
			var out bytes.Buffer
			for rest := src; ; {
				n := random.IntN(len(rest) + 1)
				last := n == len(rest)
				for piece := rest[:n]; ; {
					var dst [64]byte
					nDst, nSrc, err := filter.Transform(dst[:16+random.IntN(48)], piece, last)
					out.Write(dst[:nDst])
					piece = piece[nSrc:]
					if err == nil {
						break
					}
					if err != transform.ErrShortDst {
						t.Fatalf("%s: %v", name, err)
					}
				}
				if rest = rest[n:]; last {
					break
				}
			}
			if out.String() != want {
				t.Fatalf("%s of %q: got %q in pieces, %q at once", name, src, out.String(), want)
			}
		}
	})
}

func benchmark(b *testing.B, t transform.Transformer, src []byte) {
	dst := make([]byte, 4*len(src)+1024)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		t.Reset()
		if _, _, err := t.Transform(dst, src, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFilters(b *testing.B) {
	raw := bytes.Repeat([]byte{0, 1, 200, 255, 77}, 20000)
	lines := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog and comes back again tomorrow.\r\n", 1000))
	encoded := []byte(all(&Base64Encoder{}, raw))
	for _, c := range []struct {
		name string
		t    transform.Transformer
		src  []byte
	}{
		{"base64encode", &Base64Encoder{}, raw}, {"base64decode", &Base64Decoder{}, encoded}, {"quotedencode", &QuotedEncoder{}, lines},
		{"quoteddecode", &QuotedDecoder{}, lines}, {"eol", &EOL{}, lines}, {"stuff", &Stuffer{}, lines}, {"unstuff", &Unstuffer{}, lines},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.t, c.src) })
	}
}

// What is older than MIME, and what is younger and not of it.
func TestUUDecoder(t *testing.T) {
	for in, want := range map[string]string{
		"begin 644 x\n#86)C\n`\nend\n": "abc", "#86)C": "abc", "#86)C\r\n!80``\r\n": "abca", "#86)CX\n": "abc", "\"86)\n": "ab", "end\n#86)C\n": "", "text, small\n#86)C\n": "abc",
		strings.Repeat("M", 200) + "\n#86)C\n": "abc", "": "",
	} {
		if got := all(&UUDecoder{}, []byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestYencDecoder(t *testing.T) {
	for in, want := range map[string]string{
		"=ybegin line=128 size=3 name=x\r\n\x8b\x8c\x8d\r\n=yend size=3\r\n": "abc", "\x8b\r\n\x8c": "ab", "=\x6a=\x7d": "\x00\x13", "\x8b=y": "a\x0f", "": "",
	} {
		if got := all(&YencDecoder{}, []byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
