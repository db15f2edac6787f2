package wire

import (
	"bytes"
	"io"
)

// A Stuffer writes a message as it goes out after DATA (RFC 5321, 4.5.2): a dot
// is added before each line that begins with one, and a CR or LF that stands
// alone becomes CRLF, so that what is text here cannot be an end elsewhere.
// With Plain it only repairs line ends, as chunks want it.
type Stuffer struct {
	w      io.Writer
	inLine bool // not at the beginning of a line
	cr     bool // a CR was seen and is not written yet
	plain  bool
	lines  lines
	odd    int // octets to look at line by line, because a CR among them is bare
}

// NewStuffer returns a Stuffer that writes to w, in pieces as large as it is
// given: w should buffer.
func NewStuffer(w io.Writer) *Stuffer { return &Stuffer{w: w} }

// NewRepairer returns a Stuffer that adds no dots.
func NewRepairer(w io.Writer) *Stuffer { return &Stuffer{w: w, plain: true} }

var (
	crlf    = []byte("\r\n")
	dot     = []byte(".")
	crlfDot = []byte("\r\n.\r\n")
)

// Write implements io.Writer. The count it returns is of p's octets.
func (s *Stuffer) Write(p []byte) (int, error) {
	done := 0
	if s.cr && len(p) > 0 {
		if p[0] == '\n' {
			done = 1
		}
		if err := s.endLine(); err != nil {
			return 0, err
		}
	}
	for done < len(p) {
		n, err := s.span(p[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (s *Stuffer) endLine() error {
	s.cr, s.inLine = false, false
	_, err := s.w.Write(crlf)
	return err
}

// span writes as much of p as needs no change but for what comes before it and
// after it, and returns how much of p it dealt with.
func (s *Stuffer) span(p []byte) (int, error) {
	if !s.inLine && !s.plain && p[0] == '.' {
		if _, err := s.w.Write(dot); err != nil {
			return 0, err
		}
	}
	if s.odd <= 0 {
		if end := s.clean(p); end > 0 {
			s.inLine = false
			_, err := s.w.Write(p[:end])
			return end, err
		}
	}
	n, err := s.one(p)
	s.odd -= n
	return n, err
}

// one deals with the first line of p.
func (s *Stuffer) one(p []byte) (int, error) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		i = len(p)
	}
	// The first CR must be the one before the LF.
	switch cr := bytes.IndexByte(p[:i], '\r'); {
	case cr >= 0 && (cr != i-1 || i == len(p)):
		return s.bareCR(p, cr)
	case i == len(p):
		s.inLine = true
		_, err := s.w.Write(p)
		return len(p), err
	case cr >= 0: // one good line, before one that is not
		s.inLine = false
		_, err := s.w.Write(p[:i+1])
		return i + 1, err
	}
	if _, err := s.w.Write(p[:i]); err != nil { // a bare LF
		return 0, err
	}
	return i + 1, s.endLine()
}

// window is how much is looked at before it is written: what still lies in the
// processor's cache, so that the other side works meanwhile.
const window = 256 << 10

// clean returns how many octets of p are whole lines that may go out as they are:
// each ends in CRLF, no other CR or LF is in them, none but the first begins with
// a dot. Where a CR is bare it leaves all it has seen to one, so that nothing is
// scanned twice.
func (s *Stuffer) clean(p []byte) int {
	p = p[:min(len(p), window)]
	run, clean := s.lines.run(p, 0, !s.plain)
	if !clean {
		s.odd = run.end
		return 0
	}
	return run.end
}

// bareCR writes p[:at]; p[at] is a CR that no LF follows, or not yet.
func (s *Stuffer) bareCR(p []byte, at int) (int, error) {
	if _, err := s.w.Write(p[:at]); err != nil {
		return 0, err
	}
	if at == len(p)-1 {
		s.cr, s.inLine = true, true
		return at + 1, nil
	}
	return at + 1, s.endLine()
}

// Close ends the last line if it is open and, unless plain, the message.
func (s *Stuffer) Close() error {
	open := s.cr || s.inLine
	s.cr, s.inLine = false, false
	var end []byte
	switch {
	case s.plain && open:
		end = crlf
	case s.plain:
		return nil
	case open:
		end = crlfDot
	default:
		end = crlfDot[2:]
	}
	_, err := s.w.Write(end)
	return err
}
