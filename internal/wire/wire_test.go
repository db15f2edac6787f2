package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/internal/growth"
	"github.com/postrider/postrider/internal/wire"
)

// all reads a message to its end.
func all(d *wire.Data) (b []byte, err error) {
	for {
		piece, err := d.Next()
		if err == io.EOF {
			return b, nil
		} else if err != nil {
			return b, err
		}
		b = append(b, piece...)
	}
}

func readAll(src io.Reader, limit int64, maxLine int) (string, string, error) {
	rd := wire.NewReader(src, nil)
	var d wire.Data
	d.Start(rd, limit, maxLine)
	b, err := all(&d)
	return string(b), string(rd.Peek()), err
}

// slowData is the obvious reader: a byte at a time, by the letter of RFC 5321.
func slowData(in string) (out string, rest string, err error) {
	var b strings.Builder
	bol := true
	for i := 0; i < len(in); {
		line, ok := "", false
		for j := i; j < len(in); j++ {
			if in[j] == '\n' && (j == i || in[j-1] != '\r') {
				return "", "", wire.ErrLineEnd
			}
			if in[j] == '\r' && j+1 < len(in) && in[j+1] != '\n' {
				return "", "", wire.ErrLineEnd
			}
			if in[j] == '\n' {
				line, ok = in[i:j+1], true
				break
			}
		}
		if !ok {
			return b.String(), "", io.ErrUnexpectedEOF
		}
		i += len(line)
		if line == ".\r\n" && bol {
			return b.String(), in[i:], nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	return b.String(), "", io.ErrUnexpectedEOF
}

// slowLoose is the obvious reader where a bare CR or LF is text: lines are what
// CRLF parts, and nothing else is.
func slowLoose(in string) (out string, rest string, err error) {
	var b strings.Builder
	odd := false
	for {
		line, more, ok := strings.Cut(in, "\r\n")
		if !ok {
			return "", "", io.ErrUnexpectedEOF
		}
		if line == "." && odd {
			return "", "", wire.ErrLineEnd
		} else if line == "." {
			return b.String(), more, nil
		}
		// A dot before CR at the end may still become the end, once it is known what follows.
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		odd, in = strings.HasSuffix(line, "\r"), more
		if odd && strings.HasPrefix(in, ".\r") && len(in) > 2 {
			return "", "", wire.ErrLineEnd
		}
	}
}

func checkAgainstSlow(t *testing.T, in string) {
	t.Helper()
	checkReading(t, in, slowData, func(*wire.Data) {})
	checkReading(t, in, slowLoose, (*wire.Data).Loose)
}

// splits are the ways in which octets may arrive: whole, one by one, and in two
// pieces parted anywhere.
func splits(in string) map[string]io.Reader {
	all := map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)),
		"halves": iotest.HalfReader(strings.NewReader(in)), "data with error": iotest.DataErrReader(strings.NewReader(in))}
	for i := 1; i < min(len(in), 60); i++ {
		all["split at "+strconv.Itoa(i)] = io.MultiReader(strings.NewReader(in[:i]), strings.NewReader(in[i:]))
	}
	return all
}

func checkReading(t *testing.T, in string, slow func(string) (string, string, error), set func(*wire.Data)) {
	t.Helper()
	want, rest, wantErr := slow(in)
	for name, src := range splits(in) {
		rd := wire.NewReader(src, nil)
		var d wire.Data
		d.Start(rd, 1<<40, 1<<40)
		set(&d)
		b, err := all(&d)
		got, left := string(b), string(rd.Peek())
		if !errors.Is(err, wantErr) {
			t.Fatalf("%s: %.200q: got error %v, want %v", name, in, err, wantErr)
		}
		if wantErr != nil {
			continue
		}
		if got != want || !strings.HasPrefix(rest, left) {
			t.Fatalf("%s: %.200q: got %q and %q left, want %q and %q", name, in, got, left, want, rest)
		}
	}
}

var dataCases = []string{
	// Behind lines of one length what is shorter lies where the next one might end.
	"abcd\r\nabcd\r\n.\r\nQ\r\n", "abcd\r\nabcd\r\nx\r\n.\r\nNOOP\r\n", "abcd\r\nabcd\r\n\r\n.b\r\n.\r\n", "abcd\r\nabcd\r\na\nb\r\n.\r\n",
	"abcd\r\nabcd\r\na\rb\r\n.\r\n", "abcd\r\nabcd\r\n\n.\n\n\r\n.\r\n", "abcd\r\nabcd\r\nabcd\n\n.\r\n", "abcd\r\nabcd\r\nab\r\n\r\n.\r\n",
	".\r\n", "a\r\n.\r\n", "..\r\n.\r\n", ".a\r\n.\r\n", "a\r\n..\r\n.\r\nNOOP\r\n", "a\n.\r\n", "a\r.\r\n", "\r\n.\r\n", "\r\n.\n", "\r\n.\r", ".", "", "a\r\n.\r\r\n",
	"\r\r\n.\r\n", "\r\r\n.\rx", "\r\r\n..\r\n.\r\n", "\n\r\n.\r\n", "a\n.\r\nb\r\n.\r\n", "a\r\n.\nb\r\n.\r\n", "\r\r\r\n\r\n.\r\n", "a\r\n\x00.\r\n.\r\n", "....\r\n.\r\n", "a\r\n.b\r\n.\r\n", "\n", "\r", "a", ".\r", ".\n", ".\rx",
	strings.Repeat("0123456789abcdef\r\n", 10000) + ".\r\n", strings.Repeat("..\r\n", 10000) + ".\r\nrest", strings.Repeat("x", 200000) + "\r\n.\r\n",
}

func TestData(t *testing.T) {
	for _, in := range dataCases {
		checkAgainstSlow(t, in)
	}
}

func FuzzData(f *testing.F) {
	for _, in := range dataCases[:39] {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) { checkAgainstSlow(t, in) })
}

func TestDataLimits(t *testing.T) {
	in := "0123456789\r\n0123456789\r\n.\r\nNOOP\r\n"
	if _, _, err := readAll(strings.NewReader(in), 24, 12); err != nil {
		t.Errorf("at the limits: got %v", err)
	}
	for name, c := range map[string]struct {
		limit int64
		line  int
		want  error
	}{"size": {23, 12, wire.ErrTooBig}, "line": {24, 11, wire.ErrTooLong}} {
		for _, src := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			rd := wire.NewReader(src, nil)
			var d wire.Data
			d.Start(rd, c.limit, c.line)
			if _, err := all(&d); err != c.want {
				t.Errorf("%s: got %v, want %v", name, err, c.want)
			}
			if err := d.Drain(100); err != nil {
				t.Errorf("%s: drain: got %v", name, err)
			}
			if line, err := rd.ReadLine(100); string(line) != "NOOP" {
				t.Errorf("%s: after the drain: got %q, %v, want NOOP", name, line, err)
			}
		}
	}
	var d wire.Data
	d.Start(wire.NewReader(strings.NewReader(strings.Repeat("x\r\n", 100000)), nil), 10, 100)
	all(&d)
	if err := d.Drain(50); err != wire.ErrTooBig {
		t.Errorf("drain over its bound: got %v, want ErrTooBig", err)
	}
}

// What is stuffed comes out of the unstuffing as it was, with its line ends
// repaired, in whatever pieces it was written.
func checkStuff(t *testing.T, in string, piece int) {
	t.Helper()
	var out, plain bytes.Buffer
	for _, s := range []*wire.Stuffer{wire.NewStuffer(&out), wire.NewRepairer(&plain)} {
		for rest := in; rest != ""; {
			n := min(piece, len(rest))
			if k, err := s.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatalf("Write of %d: got %d, %v", n, k, err)
			}
			rest = rest[n:]
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n"), "\n", "\r\n")
	if want != "" && !strings.HasSuffix(want, "\r\n") {
		want += "\r\n"
	}
	got, rest, err := readAll(&out, 1<<40, 1<<40)
	if got != want || rest != "" || err != nil {
		t.Fatalf("%.200q in pieces of %d: got %q, %v, want %q", in, piece, got, err, want)
	}
	if plain.String() != want {
		t.Fatalf("%.200q repaired in pieces of %d: got %q, want %q", in, piece, plain.String(), want)
	}
}

func TestStuffer(t *testing.T) {
	for _, in := range append(dataCases, "a\rb\nc\r\nd\r\r\n\n\r.\r.\n.", "end", "dot\r\n.", ".\r\n.\n.\r.") {
		for _, piece := range []int{1, 2, 3, 1 << 20} {
			if piece < 3 && len(in) > 1000 {
				continue
			}
			checkStuff(t, in, piece)
		}
	}
}

func FuzzStuffer(f *testing.F) {
	for _, in := range dataCases[:39] {
		f.Add(in, 2)
	}
	f.Fuzz(func(t *testing.T, in string, piece int) { checkStuff(t, in, max(1, piece%100)) })
}

func TestReadLine(t *testing.T) {
	rd := wire.NewReader(iotest.HalfReader(strings.NewReader("one\r\n\r\n"+strings.Repeat("x", 100000)+"\r\ntwo\r\nlast")), nil)
	for _, want := range []string{"one", "", "too long", "two", "EOF"} {
		line, err := rd.ReadLine(1000)
		got := string(line)
		if err == wire.ErrTooLong {
			got = "too long"
		} else if err == io.ErrUnexpectedEOF {
			got = "EOF"
		}
		if got != want {
			t.Errorf("got %.20q (%v), want %q", line, err, want)
		}
	}
	for _, bad := range []string{"a\n", "a\rb\r\n", "\ra\r\n", "\n", "a\r\r\n"} {
		if line, err := wire.NewReader(strings.NewReader(bad), nil).ReadLine(100); err != wire.ErrLineEnd {
			t.Errorf("%q: got %q, %v, want ErrLineEnd", bad, line, err)
		}
	}
	if _, err := wire.NewReader(strings.NewReader(strings.Repeat("x", 3<<20)), nil).ReadLine(100); err != wire.ErrLineEnd {
		t.Errorf("no line end at all: got %v, want ErrLineEnd", err)
	}
	if line, err := wire.NewReader(strings.NewReader("abc\r\n"), nil).ReadLine(5); string(line) != "abc" {
		t.Errorf("at the limit: got %q, %v", line, err)
	}
}

// Readers that share a Budget read on without their large buffers, lines longer
// than the small one too, and give back what they took.
func TestBudget(t *testing.T) {
	budget := wire.NewBudget(200 << 10) // one large buffer
	text := strings.Repeat("0123456789abcde\r\n", 10000) + ".\r\n" + strings.Repeat("x", 10000) + "\r\n"
	read := func(rd *wire.Reader) string {
		var d wire.Data
		d.Start(rd, 1<<40, 1000)
		b, err := all(&d)
		if err != nil || len(b) != 170000 {
			t.Errorf("got %d octets and %v, want 170000", len(b), err)
		}
		line, err := rd.ReadLine(12288)
		if err != nil || len(line) != 10000 {
			t.Errorf("got a line of %d octets and %v, want 10000", len(line), err)
		}
		return string(b)
	}
	first, second := wire.NewReader(strings.NewReader(text), nil), wire.NewReader(strings.NewReader(text), nil)
	first.Budget, second.Budget = budget, budget
	if read(first) != read(second) {
		t.Error("what was read differs")
	}
	if large := cap(first.Peek()); large < 20<<10 {
		t.Errorf("the first has a buffer of %d octets, want the large one", large)
	}
	if small := cap(second.Peek()); small > 16<<10 {
		t.Errorf("the second has a buffer of %d octets, want at most 16 KiB", small)
	}
	first.Release()
	third := wire.NewReader(strings.NewReader(text), nil)
	third.Budget = budget
	read(third)
	if large := cap(third.Peek()); large < 20<<10 {
		t.Errorf("after a release: got a buffer of %d octets, want the large one", large)
	}
}

// What a Reader has held is another's when it is freed: it gives nothing more out.
func TestFree(t *testing.T) {
	budget := wire.NewBudget(200 << 10)
	for range 3 { // each needs all there is
		rd := wire.NewReader(strings.NewReader(strings.Repeat("0123456789abcde\r\n", 10000)), nil)
		rd.Budget = budget
		for range 1000 {
			if _, err := rd.ReadLine(100); err != nil {
				t.Fatal(err)
			}
		}
		if large := cap(rd.Peek()); large < 20<<10 {
			t.Errorf("got a buffer of %d octets, want the large one", large)
		}
		rd.Free()
		if line, err := rd.ReadLine(100); err == nil || rd.Buffered() != 0 {
			t.Errorf("after Free: got %q, and %d octets buffered, want an error", line, rd.Buffered())
		}
	}
}

func TestLineEnds(t *testing.T) {
	for in, want := range map[string]bool{"": true, "a\r\nb": true, "a\n": false, "\r": false, "a\rb": false, "\r\n\r\n": true, "\r\r\n": false,
		"abcd\r\nabcd\r\na\nb\r\n": false, "abcd\r\nabcd\r\na\rb\r\n": false, "abcd\r\nabcd\r\n\r\nab\r\n": true} {
		for _, piece := range []int{1, 2, 3, 100} {
			var l wire.LineEnds
			var err error
			for rest := in; rest != "" && err == nil; {
				n := min(piece, len(rest))
				err, rest = l.Check([]byte(rest[:n])), rest[n:]
			}
			if err == nil {
				err = l.Close()
			}
			if (err == nil) != want {
				t.Errorf("%q in pieces of %d: got %v", in, piece, err)
			}
		}
	}
}

func TestXtext(t *testing.T) {
	for _, s := range []string{"", "abc", "a+b=c d", "é"} {
		if got, err := wire.DecodeXtext(wire.EncodeXtext(s)); got != s || err != nil {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	for _, bad := range []string{"+", "+4", "+0D+0A", "+00", "+2b", "a=b", "a b", "+7F"} {
		if got, err := wire.DecodeXtext(bad); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func FuzzXtext(f *testing.F) {
	f.Add("a+2Bb")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := wire.DecodeXtext(s); err == nil {
			if again, err := wire.DecodeXtext(wire.EncodeXtext(d)); again != d || err != nil {
				t.Errorf("%q: decoded %q, again %q, %v", s, d, again, err)
			}
		}
	})
}

func BenchmarkData(b *testing.B) {
	in := strings.Repeat(strings.Repeat("x", 74)+"\r\n", 10000) + ".\r\n"
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var d wire.Data
		d.Start(wire.NewReader(strings.NewReader(in), nil), 1<<40, 1000)
		for d.Err() == nil {
			d.Next()
		}
		if d.Err() != io.EOF {
			b.Fatal(d.Err())
		}
	}
}

func BenchmarkStuffer(b *testing.B) {
	in := []byte(strings.Repeat(strings.Repeat("x", 74)+"\r\n", 10000))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		s := wire.NewStuffer(io.Discard)
		s.Write(in)
		s.Close()
	}
}

// Stuffing takes time in proportion to the message, whatever is odd in it.
func TestStufferGrowth(t *testing.T) {
	for name, odd := range map[string]string{"bare LF": "x\n", "bare CR": "\rx\r\n", "dots": ".\r\n", "mixed": "a\r\nb\n", "uneven": "abcd\r\nabcd\r\n\r\nab\r\n"} {
		growth.Linear(t, name, 40_000, func(n int) func() {
			in := []byte(strings.Repeat(odd, n))
			return func() {
				s := wire.NewStuffer(io.Discard)
				s.Write(in)
				s.Close()
			}
		})
	}
}

// A message whose every few lines are such that the next are overlooked is not read
// again for each of them: it takes about as long as another with as many dots.
func TestOverlookedGrowth(t *testing.T) {
	text := func(lines string) func() {
		in := strings.Repeat(lines, 2<<20/len(lines)) + ".\r\n"
		return func() {
			if _, _, err := readAll(strings.NewReader(in), 1<<30, 1000); err != nil {
				t.Error(err)
			}
		}
	}
	growth.Within(t, "overlooked lines", 20, text("abcde\r\nabc\r\n\r\n..\r\n"), text("abcd\r\nabcd\r\n\r\n..\r\n"))
}
