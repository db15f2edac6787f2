package sqlite

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func received(t *testing.T, s *spool, msg io.Reader, hint int64) *body {
	t.Helper()
	b, err := s.receive("", msg, hint)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Up to a mebibyte a message is in memory, above it in a file.
func TestSpoolBorder(t *testing.T) {
	s := newSpool(t.TempDir())
	for size, inFile := range map[int]bool{0: false, 1: false, 1 << 20: false, 1<<20 + 512: true, 5 << 20: true} {
		want := bytes.Repeat([]byte("a"), size)
		b := received(t, s, bytes.NewReader(want), 0)
		if b.size != int64(size) || (b.file != "") != inFile {
			t.Errorf("%d octets: size %d, file %q", size, b.size, b.file)
		}
		got := b.data
		if inFile {
			var err error
			if got, err = os.ReadFile(filepath.Join(s.dir, b.file)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d octets: %d came back, or others", size, len(got))
		}
		s.release(b)
	}
	if left := s.left.Load(); left != budget {
		t.Errorf("%d octets of the budget are left, want %d", left, budget)
	}
}

// However many large messages are on their way, memory for them is bounded: who
// comes when it is used up goes to a file after its share.
func TestSpoolBudget(t *testing.T) {
	s := newSpool(t.TempDir())
	msg := strings.Repeat("a", 1<<20)
	var held []*body
	memory, files := 0, 0
	for range 200 {
		b := received(t, s, strings.NewReader(msg), 0)
		held = append(held, b)
		if b.file != "" {
			files++
		} else {
			memory += len(b.buffer.bytes)
		}
	}
	if memory > budget || memory < budget*9/10 || files == 0 {
		t.Errorf("%d octets are held in memory and %d messages in files; want up to %d octets", memory, files, budget)
	}
	small := received(t, s, strings.NewReader(msg[:share-1]), 1<<40)
	if small.file != "" {
		t.Error("a small message went to a file")
	}
	for _, b := range append(held, small) {
		s.release(b)
	}
	if left := s.left.Load(); left != budget {
		t.Errorf("%d octets of the budget are left, want %d", left, budget)
	}
}

// Packed, a message gives back what it was read into, and released what it was packed into.
func TestSpoolPacked(t *testing.T) {
	s := newSpool(t.TempDir())
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 3000, 300_000, 1 << 20} {
		b := received(t, s, bytes.NewReader(bytes.Repeat([]byte("a"), size)), 0)
		s.pack(b, p)
		if held := budget - s.left.Load(); held != 0 {
			t.Errorf("%d octets: %d above its share are held when it is packed", size, held)
		}
		if s.release(b); s.left.Load() != budget {
			t.Errorf("%d octets: %d of the budget are left, want %d", size, s.left.Load(), budget)
		}
	}
}

// A message that breaks off leaves neither memory nor files taken.
func TestSpoolBrokenOff(t *testing.T) {
	s := newSpool(t.TempDir())
	broken := errors.New("gone")
	for _, size := range []int{0, 100, 70_000, 2 << 20} {
		_, err := s.receive("lines", io.MultiReader(strings.NewReader(strings.Repeat("a", size)), iotest.ErrReader(broken)), int64(size))
		if !errors.Is(err, broken) {
			t.Errorf("%d octets: %v, want %v", size, err, broken)
		}
	}
	if _, err := s.receive("", idle{}, 0); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	if left := s.left.Load(); left != budget {
		t.Errorf("%d octets of the budget are left, want %d", left, budget)
	}
	if files, err := s.files(); err != nil || len(files) != 0 {
		t.Errorf("files are left: %v, %v", files, err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestKeys(t *testing.T) {
	d := &DB{node: 0xfedcba9876543210}
	for _, key := range []int64{0, 1, 1 << 16, 1_800_000_000_000<<keyShift | 65535, 1<<63 - 1} {
		id := d.id(key)
		if got, err := d.key(id); err != nil || got != key || len(id) != 26 {
			t.Errorf("key %d has id %s, which is key %d, %v", key, id, got, err)
		}
	}
	if _, err := (&DB{node: 1}).key(d.id(5)); err == nil {
		t.Error("another database's id was taken for one of ours")
	}
}
