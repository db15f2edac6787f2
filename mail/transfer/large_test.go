package transfer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/transform"
)

// Large inputs go other ways than small ones: by blocks of lines, through code for vectors. What comes out must be the same.

// octetByOctet filters with one octet of input at a time, which is the careful way.
func octetByOctet(t *testing.T, filter transform.Transformer, src []byte) string {
	t.Helper()
	b, err := io.ReadAll(transform.NewReader(iotest.OneByteReader(bytes.NewReader(src)), filter))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lines gives base64 in lines of a width.
func lines(raw []byte, width int, end string) []byte {
	var b bytes.Buffer
	s := base64.StdEncoding.EncodeToString(raw)
	for len(s) > width {
		b.WriteString(s[:width] + end)
		s = s[width:]
	}
	b.WriteString(s + end)
	return b.Bytes()
}

func TestBase64Large(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	raw := make([]byte, 70_001)
	for i := range raw {
		raw[i] = byte(random.Uint32())
	}
	for _, n := range []int{0, 1, 56, 57, 58, 767, 768, 769, 57 * 64, 57*64 + 1, 4096, 30_000, len(raw)} {
		for _, width := range []int{0, 4, 60, 200, 1000, -1} {
			got := all(&Base64Encoder{Width: width}, raw[:n])
			if want := octetByOctet(t, &Base64Encoder{Width: width}, raw[:n]); got != want {
				t.Errorf("%d octets in lines of %d: at once %d, octet by octet %d", n, width, len(got), len(want))
			}
			if back := all(&Base64Decoder{}, []byte(got)); back != string(raw[:n]) {
				t.Errorf("%d octets in lines of %d come back as %d", n, width, len(back))
			}
		}
		for _, end := range []string{"\r\n", "\n", " \r\n", "\r\n\r\n", ""} {
			for _, width := range []int{76, 75, 64, 4, 3000} {
				if back := all(&Base64Decoder{}, lines(raw[:n], width, end)); back != string(raw[:n]) {
					t.Errorf("%d octets in lines of %d that end in %q come back as %d", n, width, end, len(back))
				}
			}
		}
	}
}

// Something odd anywhere in much that is not: the careful way tells what is right.
func TestBase64LargeAndOdd(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	clean := lines(bytes.Repeat([]byte("The minutes of the meeting. "), 400), 76, "\r\n")
	for _, odd := range []string{"!", "!!", "\x80", "=", "==", "===", "\n", "\n!!\n", " ", "A", "\r", "-", "____\n", "\x00", strings.Repeat("=", 300), strings.Repeat("*\n", 2000)} {
		for range 30 {
			at := random.IntN(len(clean) + 1)
			src := bytes.Join([][]byte{clean[:at], []byte(odd), clean[at:]}, nil)
			var fast, careful Base64Decoder
			got, want := all(&fast, src), octetByOctet(t, &careful, src)
			if got != want || fast.Strange != careful.Strange {
				t.Fatalf("%q at %d: at once %d octets and %d strange, octet by octet %d and %d", odd, at, len(got), fast.Strange, len(want), careful.Strange)
			}
		}
	}
}

// The same for all filters: text of many kilobytes, cut anywhere.
func TestLarge(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	pieces := []string{"a line of text\r\n", ".\r\n", "..x\r\n", "=41=\r\n", "grüße ", "\n", "\r", "YWJj\r\n", strings.Repeat("x", 500), "\t \r\n", "#86)C\r\n", "\r\n.", "=", " "}
	for name, filter := range filters {
		for range 5 {
			var src []byte
			for len(src) < 20_000 {
				src = append(src, pieces[random.IntN(len(pieces))]...)
			}
			want := all(filter(), src)
			r := NewReader(iotest.HalfReader(bytes.NewReader(src)), filter())
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want {
				t.Errorf("%s: through a Reader %d octets, %v, at once %d", name, len(got), err, len(want))
			}
			var w strings.Builder
			out := transform.NewWriter(&w, filter())
			for rest := src; len(rest) > 0; {
				n := 1 + random.IntN(min(len(rest), 3000))
				if _, err := out.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := out.Close(); err != nil || w.String() != want {
				t.Errorf("%s: through a Writer %d octets, %v, at once %d", name, w.Len(), err, len(want))
			}
		}
	}
}

var errSource = errors.New("the source fails")

// What was read before an error is given first, then the error, again and again.
func TestReaderErrors(t *testing.T) {
	r := NewReader(io.MultiReader(strings.NewReader("YWJj\r\nZGVm"), iotest.ErrReader(errSource)), &Base64Decoder{})
	b, err := io.ReadAll(r)
	if string(b) != "abcdef" || !errors.Is(err, errSource) {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errSource) {
		t.Errorf("once more: got %v", err)
	}
}

// A still stands still, whatever room it has; a short waits for more than there will ever be.
type (
	still struct{ transform.NopResetter }
	short struct{ transform.NopResetter }
)

func (still) Transform(_, src []byte, _ bool) (int, int, error) { return 0, 0, transform.ErrShortDst }
func (short) Transform(_, src []byte, _ bool) (int, int, error) { return 0, 0, transform.ErrShortSrc }

// Filters of the caller's that never go on end in an error, not in a loop.
func TestReaderOfBrokenFilters(t *testing.T) {
	for name, filter := range map[string]transform.Transformer{"still": still{}, "short": short{}} {
		if b, err := io.ReadAll(NewReader(strings.NewReader(strings.Repeat("x", 100_000)), filter)); err == nil || len(b) > 0 {
			t.Errorf("%s: got %d octets, %v", name, len(b), err)
		}
	}
	if _, err := Append(nil, short{}, []byte("x")); !errors.Is(err, transform.ErrShortSrc) {
		t.Errorf("Append: got %v", err)
	}
}

// A destination that is too small grows, however much a filter makes of little.
func TestAppendGrows(t *testing.T) {
	marker := strings.Repeat("end of line\n", 100)
	if got, want := all(&EOL{Marker: marker}, bytes.Repeat([]byte("\n"), 500)), strings.Repeat(marker, 500); got != want {
		t.Errorf("got %d octets, want %d", len(got), len(want))
	}
	if got, err := Append([]byte("before "), &Stuffer{}, []byte(".")); string(got) != "before .." || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
