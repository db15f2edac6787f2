package sqlite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// A message on its way in. Up to a mebibyte it is gathered in memory and goes
// into the database; what is larger goes on into a file in bodies/. All sessions
// together hold no more than a fixed sum: when that is used up, whoever needs
// more than its first 64 KiB writes to a file earlier. So a thousand slow
// senders of large messages cost files, not memory.
//
// Nothing is put before the message or taken from it: the octets that are kept are
// the octets that came, so that a signature over them still holds (RFC 6376, 3.7).

const (
	inline = 1 << 20  // octets of a message that lies in the database at most
	share  = 64 << 10 // what any session may hold
	budget = 64 << 20 // what all sessions may hold above their shares
)

// classes are the sizes of buffers. The last one is a little over what the database
// takes, so that the end of such a message is seen in it. Steps of four keep the
// copying on the way up below half of what is read.
var classes = [...]int{4 << 10, 16 << 10, share, 256 << 10, inline + maxLines + 512}

// A spool is used by all sessions at once. left may be below zero for a moment,
// while somebody who asked for too much gives it back.
type spool struct {
	dir   string
	left  atomic.Int64 // of budget
	pools [len(classes)]sync.Pool
}

// newSpool returns a spool that keeps its files in dir, which must be there.
func newSpool(dir string) *spool {
	s := &spool{dir: dir}
	s.left.Store(budget)
	return s
}

// A buffer is memory of one class; it goes back to its pool after use.
type buffer struct {
	bytes []byte
	class int
}

// A body is a message that has been read to its end. It is either in memory or
// in a file that has been synced, whose name has not.
type body struct {
	data   []byte // lines, and behind them the message if it is not in a file
	lines  int    // octets of data that come before the message
	packed bool   // data is packed; if not, it is short, and the writer will
	file   string // "" if it is in memory
	size   int64  // of the message
	buffer *buffer
}

// take returns a buffer of a class, or nil if the budget is used up. Classes up to
// the share are never refused: a session that was let in can always begin.
func (s *spool) take(class int) *buffer {
	if size := classes[class]; size > share && s.left.Add(int64(-size)) < 0 {
		s.left.Add(int64(size))
		return nil
	}
	if b, ok := s.pools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, classes[class]), class}
}

// give returns a buffer to its pool, and its size to the budget.
func (s *spool) give(b *buffer) {
	if size := classes[b.class]; size > share {
		s.left.Add(int64(size))
	}
	s.pools[b.class].Put(b)
}

// first returns the buffer to begin with for a message that says it has hint
// octets. A session is believed up to its share, so that a claim costs nothing.
func (s *spool) first(hint int64) *buffer {
	class := 0
	for classes[class] < share && int64(classes[class]) <= hint {
		class++
	}
	return s.take(class)
}

// grow moves what is in b to the next class; nil if that cannot be had, and then
// b is still the caller's. Otherwise b must not be used again.
func (s *spool) grow(b *buffer) *buffer {
	if b.class == len(classes)-1 {
		return nil
	}
	bigger := s.take(b.class + 1)
	if bigger != nil {
		copy(bigger.bytes, b.bytes)
		s.give(b)
	}
	return bigger
}

// receive reads msg to its end and puts lines before it, which are no longer than
// maxLines. After an error nothing is left of it. What is in memory must be given
// back with release; hint is octets of msg, 0 if nothing is known.
func (s *spool) receive(lines string, msg io.Reader, hint int64) (*body, error) {
	b := s.first(int64(len(lines)) + max(hint, 0))
	n := copy(b.bytes, lines)
	for {
		if n == len(b.bytes) {
			bigger := s.grow(b)
			if bigger == nil {
				return s.spill(b, lines, n, msg)
			}
			b = bigger
		}
		m, err := some(msg, b.bytes[n:])
		n += m
		if n-len(lines) > inline {
			return s.spill(b, lines, n, msg)
		}
		// Only a valid end of data gives EOF; a connection that broke has another
		// error, so that half of a message is never taken for a whole one.
		if err == io.EOF {
			return &body{data: b.bytes[:n], lines: len(lines), size: int64(n - len(lines)), buffer: b}, nil
		}
		if err != nil {
			s.give(b)
			return nil, fmt.Errorf("sqlite: reading the message: %w", err)
		}
	}
}

// some reads at least one octet, or returns an error. A reader may return neither,
// as io.Reader allows; one that does so for ever is broken.
func some(r io.Reader, p []byte) (int, error) {
	for range 100 {
		if n, err := r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// spill writes what of the message is in b, up to n and behind lines, and the rest
// of msg to a file and syncs it. b is what the rest is copied through. The sync is here and not in the writer, so that
// a large message delays its own session and no other. Its name is made durable
// by the writer, one sync of the directory for a whole batch.
func (s *spool) spill(b *buffer, lines string, n int, msg io.Reader) (*body, error) {
	defer s.give(b)
	name := strings.ToLower(rand.Text())
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, named(fmt.Errorf("sqlite: %w", err))
	}
	out := &body{data: []byte(lines), lines: len(lines), file: name}
	// What is counted is what was written: the size of the message. By position, as
	// SQLite writes too: what fails there is the disk, never a connection.
	write := func(p []byte) error {
		n, err := f.WriteAt(p, out.size)
		out.size += int64(n)
		return err
	}
	// Whatever goes wrong, no half of a message stays.
	fail := func(err error) (*body, error) {
		f.Close()
		s.remove(name)
		return nil, err
	}
	if err := write(b.bytes[len(lines):n]); err != nil {
		return fail(named(fmt.Errorf("sqlite: %w", err)))
	}
	// io.Copy would tell neither a failing reader from a failing disk, nor use b.
	for ended := false; !ended; {
		n, readErr := some(msg, b.bytes)
		if err := write(b.bytes[:n]); err != nil {
			return fail(named(fmt.Errorf("sqlite: %w", err)))
		}
		if ended = readErr == io.EOF; readErr != nil && !ended {
			return fail(fmt.Errorf("sqlite: reading the message: %w", readErr))
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fail(named(fmt.Errorf("sqlite: %w", err)))
	}
	return out, nil
}

// pack has data packed, unless it is short, and gives back the memory of what it was
// before.
func (s *spool) pack(b *body, p *packer) {
	if len(b.data) < packSmall {
		return
	}
	was, data := b.buffer, b.data
	// There may be no room that large; then p makes some.
	room := s.first(int64(len(data)))
	b.data, b.buffer, b.packed = p.pack(data, room.bytes[:0]), room, true
	if was != nil {
		s.give(was)
	}
}

// release gives a body's memory back. Once it has been committed or given up
// nobody may look at its data.
func (s *spool) release(b *body) {
	if b.buffer != nil {
		s.give(b.buffer)
		b.buffer, b.data = nil, nil
	}
}

// remove deletes a file that no message needs. If it cannot be deleted now, it
// is swept away when the database is opened next.
func (s *spool) remove(name string) { os.Remove(filepath.Join(s.dir, name)) }

// files returns the names of all files. There is nothing else in the directory:
// it is made by us and read by nobody else.
func (s *spool) files() (map[string]bool, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names, nil
}

// open returns the bytes of the message of a size that is in a file. One that is shorter
// would be read as a message that ends there.
func (s *spool) open(name string, size int64) (*fileBody, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%w: %s has %d octets of %d", ErrCorrupt, name, info.Size(), size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fileBody{f, size}, nil
}

// A fileBody is an inbox.Body over a file.
type fileBody struct {
	*os.File
	size int64
}

func (b *fileBody) Size() int64 { return b.size }

// A memoryBody is an inbox.Body over bytes that came out of the database.
type memoryBody struct{ *bytes.Reader }

func (memoryBody) Close() error { return nil }
