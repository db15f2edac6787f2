// Package spool keeps a message while it is looked at: its beginning in memory, the rest in a file.
package spool

import (
	"bytes"
	"io"
	"os"
	"runtime"
)

// Memory is how many octets are kept in memory. Most mail is shorter and never touches the disk.
const Memory = 64 << 10

// A Spool keeps what was written to it. The zero Spool is empty. Once written it may be read by several goroutines at
// once; Close frees the file and must be called even after an error of Write.
type Spool struct {
	head bytes.Buffer
	file *os.File // nil: all is in memory
	tail int64    // octets in file
}

// Read makes a Spool of all that r gives. After an error, which is r's or the disk's, there is none, and no file stays.
func Read(r io.Reader) (*Spool, error) {
	s := new(Spool)
	if _, err := io.Copy(s, r); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Write implements io.Writer. A write is in memory or in the file as a whole, so that ReadAt has one border to mind.
func (s *Spool) Write(p []byte) (int, error) {
	if s.file == nil {
		if s.head.Len()+len(p) <= Memory {
			return s.head.Write(p)
		}
		f, err := os.CreateTemp("", "postrider-spool-*")
		if err != nil {
			return 0, err
		}
		// Where a file can be removed while it is open nothing is left behind,
		// whatever happens; elsewhere it goes with the last reference.
		if os.Remove(f.Name()) != nil {
			runtime.AddCleanup(s, func(name string) { os.Remove(name) }, f.Name())
		}
		s.file = f
	}
	n, err := s.file.Write(p)
	s.tail += int64(n)
	return n, err
}

// Len returns the octets that were written.
func (s *Spool) Len() int64 { return int64(s.head.Len()) + s.tail }

// ReadAt implements io.ReaderAt.
func (s *Spool) ReadAt(p []byte, off int64) (n int, err error) {
	if head := s.head.Bytes(); off >= 0 && off < int64(len(head)) {
		n = copy(p, head[off:])
		off += int64(n)
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		return n, io.EOF
	}
	m, err := io.NewSectionReader(s.file, 0, s.tail).ReadAt(p[n:], off-int64(s.head.Len()))
	return n + m, err
}

// WriteTo implements io.WriterTo. It may be called again.
func (s *Spool) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.head.Bytes())
	if err != nil || s.file == nil {
		return int64(n), err
	}
	m, err := io.Copy(w, io.NewSectionReader(s.file, 0, s.tail))
	if err == nil && m != s.tail {
		err = io.ErrUnexpectedEOF
	}
	return int64(n) + m, err
}

// Close frees the file, if there is one.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	// It is closed first, because Windows refuses to remove a file that is open; elsewhere it is gone already.
	err := s.file.Close()
	_ = os.Remove(s.file.Name())
	return err
}
