package smtp

import "bytes"

// Messages that go in circles (RFC 5321, 6.3). Every server that a message passes
// puts a Received field before it, and their number is all that tells a loop from a
// long way. It is the Server that counts, whatever its Handler does with messages:
// one that forwards them by itself must not be half of a loop either.

var errLoop = &Error{Code: 554, Enhanced: "5.4.6", Text: "too many hops, this message goes in circles"}

// hops counts the Received fields of a message that comes in pieces, cut anywhere.
type hops struct {
	most   int
	seen   int
	line   [len(receivedName)]byte // the beginning of the line under way
	n      int                     // octets of it
	inBody bool
}

const receivedName = "received:"

// pass takes the next piece, and returns errLoop if it holds a field too many. It costs
// a search for each line of the header, and nothing for the body.
func (h *hops) pass(b []byte) error {
	for len(b) > 0 && !h.inBody {
		end := bytes.IndexByte(b, '\n')
		if end < 0 { // the rest of the line is still to come
			h.n += copy(h.line[h.n:], b)
			break
		}
		begin := b[:min(end, len(h.line))]
		if h.n > 0 {
			h.n += copy(h.line[h.n:], b[:end])
			begin, h.n = h.line[:h.n], 0
		}
		// An empty line ends the header; its LF is here, its CR in the line.
		switch {
		case len(begin) == 0 || len(begin) == 1 && begin[0] == '\r':
			h.inBody = true
		case begin[0]|0x20 == 'r' && bytes.EqualFold(begin, []byte(receivedName)):
			h.seen++
		}
		b = b[end+1:]
	}
	if h.looping() {
		return errLoop
	}
	return nil
}

// looping tells whether the message has passed too many. It stays so: what is read on is
// read to be dropped.
func (h *hops) looping() bool { return h.seen > h.most }
