package smtp

import (
	"crypto/rand"
	"time"
)

// A Line is one line of a session as it passed, for a Trace function. Secrets
// are masked before a Line is made; of a message only its size is told.
type Line struct {
	Session    string // Conn.ID on a server; of the Client's making on a client
	Time       time.Time
	FromClient bool
	Text       string // without CRLF
}

// masked stands for what must not be seen.
const masked = "***"

// newID returns an id for a session: 13 letters and digits, unguessable and
// unique for all practical purposes.
func newID() string {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	var b [13]byte
	rand.Read(b[:]) // never fails
	for i, c := range b {
		b[i] = digits[c&31]
	}
	return string(b[:])
}
