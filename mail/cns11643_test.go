package mail

import (
	"testing"
	"unicode"
)

// RFC 1922: a plane is called for by ESC $ ) G or ESC $ * H, and lasts to the end of the line.
func TestISO2022CNTraditional(t *testing.T) {
	for _, c := range [][2]string{
		{"\x1b$)G\x0ejW}$\x0f a.", "臺灣 a."},
		{"\x1b$)G\x0etm|UDcEF\x0f\x1b$*H\x1bN!!\x1bNrD.", "繁體中文乂龘."},
		{"\x1b$)G\x0e\x42\x21\x0f.", "\ufffd."},      // a picture of a control
		{"\x1b$)G\x0e\x7e\x7e\x0f.", "\ufffd."},      // beyond the last one
		{"\x1b$)G\x0eD\n!.", "D\n!."},                // half a character
		{"\x1b$)G\x0eD!\x0f\x1b$)A\x0eVP\x0f", "一中"}, // both halves of ISO-2022-CN in one line
		{"\x1b$+I\x1bO!!.", "\ufffd."},               // ISO-2022-CN-EXT: plane 3 is not known
	} {
		if got, ok := new(Parser).convert("iso-2022-cn", []byte(c[0])); got != c[1] || !ok {
			t.Errorf("%q: got %q, %v, want %q", c[0], got, ok, c[1])
		}
	}
}

// The table is right if it is a table at all: each ideograph of a plane is another one, and there are as many as the standard
// has. A run that began one too early or too late would give one twice, and one not.
func TestCNSIdeographs(t *testing.T) {
	seen := map[string][3]int{}
	for plane, want := range map[int]int{1: 5401, 2: 7650} {
		count, first, last := 0, 0, 0
		for hi := 0x21; hi < 0x7f; hi++ {
			for lo := 0x21; lo < 0x7f; lo++ {
				if plane == 1 && hi < 0x44 {
					continue // signs
				}
				s := decodeISO2022([]byte{0x1b, '$', ')', "GH"[plane-1], 0x0e, byte(hi), byte(lo)})
				r := []rune(s)
				if len(r) == 1 && r[0] == unicode.ReplacementChar {
					continue
				}
				if len(r) != 1 || !unicode.Is(unicode.Han, r[0]) {
					t.Fatalf("plane %d, %02x%02x: got %q, want an ideograph", plane, hi, lo, s)
				}
				if at, twice := seen[s]; twice {
					t.Errorf("plane %d, %02x%02x: got %s, which %x is too", plane, hi, lo, s, at)
				}
				seen[s] = [3]int{plane, hi, lo}
				count++
				if first == 0 {
					first = hi<<8 | lo
				}
				last = hi<<8 | lo
			}
		}
		if ends := map[int][2]int{1: {0x4421, 0x7d4b}, 2: {0x2121, 0x7244}}[plane]; count != want || first != ends[0] || last != ends[1] {
			t.Errorf("plane %d has %d ideographs from %x to %x, want %d from %x to %x", plane, count, first, last, want, ends[0], ends[1])
		}
	}
}
