package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/internal/spool"
)

// What was written is read again, from memory and from the file, across the border and beyond the end.
func TestSpool(t *testing.T) {
	for _, size := range []int{0, 1, spool.Memory - 1, spool.Memory, spool.Memory + 1, 3 * spool.Memory} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7)
		}
		// A chunk that does not divide the border, so that the head is not full when the file begins.
		s, err := spool.Read(iotest.OneByteReader(bytes.NewReader(want[:min(size, 100)])))
		if err != nil {
			t.Fatal(err)
		}
		for rest := want[min(size, 100):]; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
			if _, err := s.Write(rest[:min(len(rest), 1000)]); err != nil {
				t.Fatal(err)
			}
		}
		if s.Len() != int64(size) {
			t.Errorf("%d octets: got the length %d", size, s.Len())
		}
		if err := iotest.TestReader(io.NewSectionReader(s, 0, s.Len()), want); err != nil {
			t.Errorf("%d octets: %v", size, err)
		}
		for range 2 {
			var got bytes.Buffer
			if n, err := s.WriteTo(&got); err != nil || n != int64(size) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d octets: WriteTo gave %d, %v, and other octets: %v", size, n, err, !bytes.Equal(got.Bytes(), want))
			}
		}
		if n, err := s.ReadAt(make([]byte, 10), int64(size)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d octets: reading behind the end gave %d, %v", size, n, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%d octets: %v", size, err)
		}
	}
}

// No file stays behind, whatever happens.
func TestSpoolLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	broken := errors.New("broken")
	long := bytes.NewReader(make([]byte, 2*spool.Memory))
	if s, err := spool.Read(io.MultiReader(long, iotest.ErrReader(broken))); s != nil || !errors.Is(err, broken) {
		t.Errorf("got %v, %v; want the reader's error", s, err)
	}
	s, err := spool.Read(bytes.NewReader(make([]byte, 2*spool.Memory)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("these stay: %v, %v", left, err)
	}
}

// Without a place for the file a long message is an error, and a short one is none.
func TestSpoolNoRoom(t *testing.T) {
	none := t.TempDir() + "/none"
	t.Setenv("TMPDIR", none)
	t.Setenv("TMP", none)
	if _, err := spool.Read(bytes.NewReader(make([]byte, spool.Memory+1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one of the file system", err)
	}
	if _, err := spool.Read(bytes.NewReader(make([]byte, spool.Memory))); err != nil {
		t.Error(err)
	}
}
