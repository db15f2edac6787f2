package smtp

import (
	"errors"
	"io"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/wire"
)

// What a message may be besides an io.WriterTo. Decorators pass these on.

// A Freezer is a message that still has something open (a date, an identity).
// Freeze fixes it and validates; what it returns writes the same bytes each time.
type Freezer interface {
	Freeze() (io.WriterTo, error)
}

// A Repeatable message that returns true may be written again and gives the
// same bytes.
type Repeatable interface {
	Repeatable() bool
}

// A Sizer knows the octets it will write. An error that is
// errors.ErrUnsupported means that it does not, any other that writing would fail.
type Sizer interface {
	Size() (int64, error)
}

// An Adapter is a message that has several forms. Adapt returns the best one for
// a server that offers those extensions (of 8BITMIME, BINARYMIME and SMTPUTF8)
// and which of them the form uses. It fails if no form will do.
type Adapter interface {
	Adapt(offered func(extension string) bool) (form io.WriterTo, uses []string, err error)
}

// Prepare returns msg frozen and repeatable: what every Sender that may try
// twice does first. A message that is neither is spooled, in memory up to 64 KiB,
// then in a temporary file, with its line ends repaired. If what it returns is an
// io.Closer, closing it frees the file.
func Prepare(msg io.WriterTo) (io.WriterTo, error) {
	msg, err := freeze(msg)
	if err != nil {
		return nil, err
	}
	if repeatable(msg) {
		return msg, nil
	}
	s := new(spooled)
	repair := wire.NewRepairer(s)
	if _, err = msg.WriteTo(repair); err == nil {
		err = repair.Close()
	}
	if err != nil {
		s.Close()
		return nil, temporary("spooling the message", err)
	}
	return s, nil
}

func repeatable(msg io.WriterTo) bool {
	r, ok := msg.(Repeatable)
	return ok && r.Repeatable()
}

func freeze(msg io.WriterTo) (io.WriterTo, error) {
	f, ok := msg.(Freezer)
	if !ok {
		return msg, nil
	}
	frozen, err := f.Freeze()
	if err != nil {
		return nil, permanent("the message", err)
	}
	return frozen, nil
}

// release closes what Prepare made, if it made something.
func release(prepared io.WriterTo) {
	if s, ok := prepared.(*spooled); ok {
		s.Close()
	}
}

// sizeOf returns a message's size, and whether it knows it.
func sizeOf(msg io.WriterTo) (n int64, known bool, err error) {
	s, ok := msg.(Sizer)
	if !ok {
		return 0, false, nil
	}
	n, err = s.Size()
	if errors.Is(err, errors.ErrUnsupported) {
		return 0, false, nil
	}
	return n, err == nil, err
}

// A spooled message was written to a Spool; closing it frees the file.
type spooled struct{ spool.Spool }

func (s *spooled) Repeatable() bool     { return true }
func (s *spooled) Size() (int64, error) { return s.Len(), nil }

// WithProgress returns msg with fn called as it is written, with the octets
// written so far. fn is called from the goroutine that writes.
func WithProgress(msg io.WriterTo, fn func(written int64)) io.WriterTo {
	return &progress{msg, fn}
}

type progress struct {
	msg io.WriterTo
	fn  func(int64)
}

func (p *progress) WriteTo(w io.Writer) (int64, error) {
	return p.msg.WriteTo(&progressWriter{w: w, fn: p.fn})
}

func (p *progress) Freeze() (io.WriterTo, error) {
	f, ok := p.msg.(Freezer)
	if !ok {
		return p, nil
	}
	frozen, err := f.Freeze()
	if err != nil {
		return nil, err
	}
	return &progress{frozen, p.fn}, nil
}

func (p *progress) Repeatable() bool { return repeatable(p.msg) }

func (p *progress) Size() (int64, error) {
	if s, ok := p.msg.(Sizer); ok {
		return s.Size()
	}
	return 0, errors.ErrUnsupported
}

func (p *progress) Adapt(offered func(string) bool) (io.WriterTo, []string, error) {
	a, ok := p.msg.(Adapter)
	if !ok {
		return p, nil, nil
	}
	form, uses, err := a.Adapt(offered)
	return &progress{form, p.fn}, uses, err
}

type progressWriter struct {
	w  io.Writer
	n  int64
	fn func(int64)
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	p.fn(p.n)
	return n, err
}
