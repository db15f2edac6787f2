package dialogue

import (
	"bytes"
	"net"
	"sync"
)

// Hearing. An ear keeps all that the other side says until somebody asks for it, so
// that it is never held back by a player who is still speaking: a server that is told
// twenty thousand commands in one write answers while they are written (RFC 2920, 3.1).

type ear struct {
	mu   sync.Mutex
	said []byte
	deaf bool          // it has stopped, because TLS may begin
	err  error         // why nothing more comes
	more chan struct{} // told when any of these has changed
}

// listen hears conn. With last it does so an octet at a time, so that nothing of a
// handshake is heard by mistake, and stops behind the first line that last is true of.
func listen(conn net.Conn, last func(line string) bool) *ear {
	e := &ear{more: make(chan struct{}, 1)}
	size := 4096
	if last != nil {
		size = 1
	}
	// It ends with the connection, or where it has gone deaf: the player closes the one.
	go func() {
		var line []byte
		for b := make([]byte, size); ; {
			n, err := conn.Read(b)
			deaf := false
			if last != nil {
				if bytes.HasSuffix(line, []byte("\n")) {
					line = line[:0]
				}
				line = append(line, b[:n]...)
				// It is decided before the line is heard, because TLS may begin as soon as it is.
				deaf = last(string(line))
			}
			e.hear(b[:n], deaf, err)
			if deaf || err != nil {
				return
			}
		}
	}()
	return e
}

func (e *ear) hear(b []byte, deaf bool, err error) {
	e.mu.Lock()
	e.said, e.deaf, e.err = append(e.said, b...), deaf, err
	e.mu.Unlock()
	select {
	case e.more <- struct{}{}:
	default: // it has been told already
	}
}

// heard returns what was said since it was asked last, and whether anything more may come.
func (e *ear) heard() (said []byte, deaf bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	said, e.said = e.said, nil
	return said, e.deaf, e.err
}
