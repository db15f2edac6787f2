package local

import (
	"bytes"
	"strings"
	"testing"
)

// written is what a lineWriter makes of a message that comes in pieces of n octets.
func written(t *testing.T, in string, n int, mbox bool) string {
	t.Helper()
	var out bytes.Buffer
	l := &lineWriter{w: &out, mbox: mbox}
	for len(in) > 0 {
		piece := in[:min(n, len(in))]
		in = in[len(piece):]
		if m, err := l.Write([]byte(piece)); m != len(piece) || err != nil {
			t.Fatalf("got %d and %v, want %d", m, err, len(piece))
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 3*maxHeld)
	for in, want := range map[string]string{
		"":                                    "",
		"a":                                   "a\n",
		"a\r\nb\n":                            "a\nb\n",
		"return-PATH : <x>\r\n\tmore\r\nA: b": "A: b\n",
		"\r\nReturn-Path: text":               "\nReturn-Path: text\n",
		"\nFrom x\n>>From y\n>From":           "\n>From x\n>>>From y\n>From\n",
		"\n" + long + "From \n" + long:        "\n" + long + "From \n" + long + "\n",
		"Return-Path: " + long + "\nA: b\n":   "A: b\n",
	} {
		for _, n := range []int{1, 7, 1 << 20} {
			if got := written(t, in, n, true); got != want {
				t.Errorf("%.60q in pieces of %d: got %.60q, want %.60q", in, n, got, want)
			}
		}
	}
}

// However a message comes in, the same goes out, and nothing in an mbox looks like a separator.
func FuzzLines(f *testing.F) {
	f.Add("From: a\r\n\r\nFrom b\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		whole := written(t, in, len(in)+1, true)
		if got := written(t, in, 3, true); got != whole {
			t.Errorf("%q: got %q in pieces, %q at once", in, got, whole)
		}
		if strings.HasPrefix(whole, "From ") || strings.Contains(whole, "\nFrom ") {
			t.Errorf("%q: got %q", in, whole)
		}
	})
}
