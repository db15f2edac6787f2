package sqlite

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func testPacker(t testing.TB) *packer {
	t.Helper()
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What goes in comes out, whatever it is and however long, lines and message apart.
func TestPack(t *testing.T) {
	p := testPacker(t)
	r := rand.NewChaCha8([32]byte{})
	noise := make([]byte, inline+maxLines)
	r.Read(noise)
	text := []byte(strings.Repeat("Subject: hello\r\n\r\nand so on\r\n", len(noise)/20))[:len(noise)]
	for _, size := range []int{0, 1, 100, packSmall - 1, packSmall, packSmall + 1, share, 300_000, len(noise)} {
		for i, data := range [][]byte{noise[:size], text[:size]} {
			for _, begins := range []int{0, size / 3, size} {
				lines, msg, err := p.unpack(p.pack(data, nil), int64(begins))
				if err != nil || lines != string(data[:begins]) || !bytes.Equal(msg, data[begins:]) {
					t.Errorf("%d octets of kind %d that begin at %d: %d and %d octets, %v", size, i, begins, len(lines), len(msg), err)
				}
			}
		}
	}
	// As older versions kept it.
	if lines, msg, err := p.unpack([]byte("abc"), -1); err != nil || lines != "" || string(msg) != "abc" {
		t.Errorf("unpacked: %q, %q, %v; want abc as it is", lines, msg, err)
	}
}

// A frame that is none, or shorter than its row says, is damage and no message.
func TestUnpackDamaged(t *testing.T) {
	p := testPacker(t)
	small := p.pack([]byte("Subject: x\r\n\r\nhello\r\n"), nil)
	large := p.pack(make([]byte, packSmall), nil)
	other, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(dictionaryID+1, []byte("another dictionary")))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data   []byte
		begins int64
	}{
		"no frame":               {[]byte("Subject: x\r\n"), 0},
		"cut off":                {large[:len(large)-1], 0},
		"begins behind it":       {large, packSmall + 1},
		"another dictionary's":   {other.EncodeAll([]byte("another dictionary"), nil), 0},
		"short: nothing":         {small[:1], 0},
		"short: cut off":         {small[:len(small)-1], 0},
		"short: begins behind":   {small, 1000},
		"short: says it is long": {append([]byte{isSmall, 0xff, 0xff, 0xff, 0x7f}, small[2:]...), 0},
	} {
		if _, msg, err := p.unpack(c.data, c.begins); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %q, %v; want ErrCorrupt", name, msg, err)
		}
	}
}

// Databases that exist hold frames made with this dictionary: it must stay as it is.
func TestDictionaryStays(t *testing.T) {
	const want = "9957bdf3491899f1"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(dictionary)))[:16]; got != want || dictionaryID != 1 {
		t.Errorf("dictionary %d has the sum %s, want 1 and %s: make another one, with a number of its own", dictionaryID, got, want)
	}
}

// The session of a small message, which is as long as the message, is packed to less than half.
func TestPackSession(t *testing.T) {
	p := testPacker(t)
	session := "\n<3 220 mx ESMTP ready\n>1163 EHLO app\n<1167 250-mx\n<1168 250-PIPELINING\n<1168 250-SIZE 52428800\n<1168 250-8BITMIME\n<1168 250-SMTPUTF8\n" +
		"<1168 250-CHUNKING\n<1169 250-ENHANCEDSTATUSCODES\n<1169 250-LIMITS RCPTMAX=1000\n<1169 250-HELP\n<1169 250 AUTH PLAIN LOGIN\n" +
		">1926 MAIL FROM:<app@shop.example>\n<1928 250 2.1.0 sender ok\n>1928 RCPT TO:<bob@example.net>\n<1929 250 2.1.5 recipient ok\n>1930 DATA\n<1930 354 go ahead"
	if n := len(p.pack([]byte(session), nil)); n > len(session)/2 {
		t.Errorf("%d octets are packed to %d, want less than half", len(session), n)
	}
}

// A session packs what is long, and leaves to the writer what is short.
func TestWhoPacks(t *testing.T) {
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpool(t.TempDir())
	for _, size := range []int{0, packSmall - 1, packSmall, packSmall + 1} {
		b, err := s.receive("", bytes.NewReader(make([]byte, size)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if s.pack(b, p); b.packed != (size >= packSmall) {
			t.Errorf("%d octets: packed is %v", size, b.packed)
		}
		s.release(b)
	}
}
