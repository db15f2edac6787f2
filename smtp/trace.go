package smtp

import (
	"crypto/rand"
	"regexp"
	"strings"
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

// authForm is AUTH with nothing but a mechanism (RFC 4422, 3.1), or the beginning of it. A
// client that writes it in another way is refused, and has said its password all the same.
var authForm = regexp.MustCompile(`(?i)^[ \t]*AUTH(?:$| [A-Z0-9_-]{1,20}(?:$| )|)`)

// isAuth tells whether authForm matches: every line of a session is asked about.
func isAuth(line string) bool {
	line = strings.TrimLeft(line, " \t")
	return len(line) >= 4 && strings.EqualFold(line[:4], "AUTH")
}

// maskAuth hides what AUTH says after the mechanism.
func maskAuth(line string) string {
	begin := authForm.FindString(line)
	if len(begin) == 0 || len(begin) == len(line) && !strings.HasSuffix(line, " ") {
		return line
	}
	return strings.TrimSuffix(begin, " ") + " " + masked
}

// traceCommand tells of a command. A client that does not look at the reply to AUTH goes on
// with its credentials, though nobody has asked for them: what follows AUTH and is no
// command is not to be seen.
func (c *Conn) traceCommand(line string) {
	name, _, _ := strings.Cut(line, " ")
	key, ok := keyOf(name)
	switch {
	case isAuth(line):
		c.secrets, line = true, maskAuth(line)
	case ok && verbs[key] != nil:
		c.secrets = false
	case c.secrets:
		line = masked
	}
	c.trace(true, line)
}

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
