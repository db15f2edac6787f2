package dialogue

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Playing. What is said and what is heard are independent of each other, as on a
// real connection: a goroutine hears all the time, so that a side that answers
// before it has been told everything (RFC 2920, 3.1: a pipelined batch) blocks
// nobody. Only TLS makes a script wait, because its octets are not lines.

// A Player takes one part of a script on a connection. It plays once: Play closes
// the connection. Its fields are not to be changed while it plays.
type Player struct {
	Role    byte          // 'C' or 'S': whose lines it says
	Conn    net.Conn      // closed at the end
	TLS     *tls.Config   // for "<tls>"
	Split   bool          // say everything a byte at a time
	Codes   bool          // expected lines are codes of whole replies, not text: see Codes in reply.go
	Timeout time.Duration // for each expected line; 30 seconds if zero

	last  string      // the last line said, for errors
	code  string      // of the last reply that was expected by its code
	toTLS atomic.Bool // STARTTLS was said, and its reply is the last line in clear
	ear   *ear        // hears what the other side says
	buf   []byte      // heard, and not expected yet
}

// Play plays the script and returns an error that names the line at which it
// went wrong; nil if everything came as it is written. The connection is closed
// when it returns. What the other side says after the last line is not looked at.
func (p *Player) Play(s *Script) error {
	// Conn is read at the end, not here: TLS puts another one in its place.
	defer func() { p.Conn.Close() }()
	if !slices.ContainsFunc(s.Steps, func(step Step) bool { return step.tls() }) {
		p.TLS = nil
	}
	p.listen()
	for i := 0; i < len(s.Steps); {
		step := s.Steps[i]
		var err error
		switch {
		case step.Who != 'C' && step.Who != 'S':
			i++ // for the other side's driver
		case step.is(TLS):
			err = p.startTLS(step)
			i++
		case step.is(TryTLS):
			if p.code != "" && p.code != "220" {
				// It was refused: what follows is said as it was before.
			} else if p.startTLS(step) != nil {
				return p.ended(s.Steps[i+1:])
			}
			i++
		case step.Text == Close && step.Who == p.Role:
			return nil
		case step.Who == p.Role && (step.Text == HalfClose || step.Text == Cut || step.Text == Reset):
			p.end(step.Text)
			i++
		case step.Text == Close:
			err = p.expectClose()
			i++
		case step.Who == p.Role:
			// One write for all of them is what a pipelining client does, and what tells a
			// server that reads too far, or too little, from one that does not.
			n := p.batch(s.Steps[i:])
			err = p.say(s, s.Steps[i:i+n])
			i += n
		default:
			err = p.expect(step)
			i++
		}
		if err != nil {
			return &Mismatch{s.Name, step.Line, p.last, err}
		}
	}
	return nil
}

// A Mismatch is the error of a play that went another way than the script.
type Mismatch struct {
	Script string
	Line   int    // where, from 1
	After  string // the last line that was said before; "" if none was
	Err    error  // what came, and what should have
}

func (m *Mismatch) Error() string { return fmt.Sprintf("%s:%d: %v", m.Script, m.Line, m.Err) }

// Unwrap returns Err.
func (m *Mismatch) Unwrap() error { return m.Err }

// ended tells whether a script may end where the connection has.
func (p *Player) ended(rest []Step) error {
	for _, step := range rest {
		if step.Who != p.Role && !strings.Contains(step.Text, Close) {
			return &Mismatch{"", step.Line, p.last, fmt.Errorf("got the end of the connection, want %q", step.Text)}
		}
	}
	return nil
}

// end ends the connection in a way that is not Close. A pipe, which has no halves,
// is closed.
func (p *Player) end(how string) {
	conn := p.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
		// Both halves are closed, that of TLS and that below it: QUIRK: Exim waits for the second.
		if how == HalfClose {
			secure.CloseWrite()
		}
	}
	switch half, ok := conn.(interface{ CloseWrite() error }); {
	case how == HalfClose && ok:
		half.CloseWrite()
		return
	case how == Reset:
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}
	conn.Close()
}

// batch counts the steps that go out in one write. A mark is none of them, as it
// is done and not said.
func (p *Player) batch(steps []Step) int {
	n := 0
	for n < len(steps) && steps[n].Who == p.Role && !strings.HasPrefix(steps[n].Text, "<") {
		n++
	}
	return max(n, 1)
}

// say writes lines; a pattern among them is said with some text in its place.
func (p *Player) say(s *Script, steps []Step) error {
	var out []byte
	for i, step := range steps {
		// The line before has the code that a reply of several lines repeats on each
		// (RFC 5321, 4.2.1).
		if step.Text == Any && i > 0 {
			out = append(out, p.announce(s, steps[i-1].Text[:3])...)
			continue
		}
		text := step.Text
		if p.Role == 'S' {
			// Only a server's lines are patterns: a client's asterisk is its own, as in
			// the "*" that cancels AUTH (RFC 4954, 4).
			text = strings.ReplaceAll(text, "*", "ok")
		}
		out = append(out, text...)
		p.last = text
		if strings.EqualFold(text, "STARTTLS") {
			p.toTLS.Store(true)
		}
		if !step.Open {
			out = append(out, '\r', '\n')
		}
	}
	p.Conn.SetWriteDeadline(time.Now().Add(p.timeout()))
	for len(out) > 0 {
		n := len(out)
		if p.Split {
			n = 1
		}
		if _, err := p.Conn.Write(out[:n]); err != nil {
			// The other side may have heard enough; what it said decides.
			return nil
		}
		out = out[n:]
	}
	return nil
}

// announce is what a server says for "S: ...": the rest of a reply to EHLO, with
// the features of the script (RFC 5321, 4.1.1.1). What nearly every server has is
// always among them, so that scripts need not say it.
func (p *Player) announce(s *Script, code string) string {
	words := []string{"SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING"}
	if _, ok := s.Has("tls"); ok {
		words = append(words, "STARTTLS")
	}
	if _, ok := s.Has("auth"); ok {
		words = append(words, "AUTH PLAIN LOGIN")
	}
	if offers, ok := s.Has("offers"); ok {
		words = append(words, strings.Split(offers, ",")...)
	}
	return code + "-" + strings.Join(words, "\r\n"+code+"-") + "\r\n" + code + " ENHANCEDSTATUSCODES\r\n"
}

// expect reads what step stands for. A line that was not ended (Open) has no end
// to wait for, so that its length says how much is read.
func (p *Player) expect(step Step) error {
	want := step.Text
	if p.Codes {
		return p.expectReplies(want)
	}
	if step.Open {
		got, err := p.take(func(b []byte) int {
			if len(b) < len(want) {
				return 0
			}
			return len(want)
		})
		if err != nil || got != want {
			return fmt.Errorf("got %q (%v), want %q", got, err, want)
		}
		return nil
	}
	for {
		got, err := p.line()
		if err != nil {
			return fmt.Errorf("got %v, want %q", err, want)
		}
		if want == Any {
			if len(got) > 3 && got[3] == '-' {
				continue // a line of a reply that goes on
			}
			return nil
		}
		if !Match(want, got) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	}
}

// timeout is for a peer that hangs; a play that goes well never waits for it.
func (p *Player) timeout() time.Duration {
	if p.Timeout == 0 {
		return 30 * time.Second
	}
	return p.Timeout
}

// line returns the next line that the other side has said, without its CRLF. One
// that ended in LF alone keeps it, and so is not what was written: RFC 5321, 2.3.8
// knows no other line end than CRLF.
func (p *Player) line() (string, error) {
	s, err := p.take(func(b []byte) int { return bytes.IndexByte(b, '\n') + 1 })
	return strings.TrimSuffix(s, "\r\n"), err
}

// take waits until enough finds enough in what was heard, and returns it. After
// an error it returns what is there, for the message.
func (p *Player) take(enough func([]byte) int) (string, error) {
	for {
		if n := enough(p.buf); n > 0 {
			s := string(p.buf[:n])
			p.buf = p.buf[n:]
			return s, nil
		}
		switch said, deaf, err := p.ear.heard(); {
		case len(said) > 0:
			p.buf = append(p.buf, said...)
			continue
		case deaf:
			p.listen() // TLS has not begun after all
			continue
		case err != nil:
			return string(p.buf), err
		}
		select {
		case <-p.ear.more:
		case <-time.After(p.timeout()):
			return string(p.buf), fmt.Errorf("nothing said in %v", p.timeout())
		}
	}
}

// alert begins a record of TLS that says why there is none (RFC 8446, 5.1 and 6.2). It
// may hold a LF: 10 is unexpected_message.
const alert = "\x15\x03"

// expectClose waits for the other side to end the connection. How it does so is
// no matter: one that closes with unread input resets it, and a pipe has an error
// of its own. One that waits for a handshake may first say in TLS's words that there
// is none.
func (p *Player) expectClose() error {
	got, err := p.line()
	if err == nil && p.toTLS.Load() && strings.HasPrefix(got, alert) {
		got, err = p.line()
	}
	if err == nil {
		return fmt.Errorf("got %q, want the end of the connection", got)
	}
	if !ends(err) {
		return fmt.Errorf("got %v, want the end of the connection", err)
	}
	return nil
}

// listen hears what the other side says, all the time, so that neither waits for
// the other to listen. It stops before a switch to TLS: what comes then belongs to
// TLS.
func (p *Player) listen() {
	if p.TLS == nil {
		p.ear = listen(p.Conn, nil)
	} else {
		p.ear = listen(p.Conn, p.beforeTLS)
	}
}

// beforeTLS tells whether a line is the last before TLS: STARTTLS heard by a
// server, or the reply to it heard by a client (RFC 3207, 4: 220).
func (p *Player) beforeTLS(line string) bool {
	return p.Role == 'S' && line == "STARTTLS\r\n" || p.Role == 'C' && p.toTLS.Load() && strings.HasPrefix(line, "220 ") && strings.HasSuffix(line, "\n")
}

// startTLS does the handshake of this side's part, and listens to what comes out
// of it. No greeting follows (RFC 3207, 4.2): the script goes on with EHLO.
func (p *Player) startTLS(step Step) error {
	if p.TLS == nil {
		return fmt.Errorf("the player has no TLS configuration")
	}
	if name := step.name(); name != "" {
		// Nobody has a certificate for a name that is none, and no secret is said.
		p.TLS = p.TLS.Clone()
		p.TLS.ServerName, p.TLS.InsecureSkipVerify = name, true
	}
	p.Conn.SetDeadline(time.Now().Add(p.timeout()))
	var conn *tls.Conn
	if p.Role == 'S' {
		conn = tls.Server(p.Conn, p.TLS)
	} else {
		conn = tls.Client(p.Conn, p.TLS)
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	p.Conn.SetDeadline(time.Time{})
	p.Conn, p.TLS = conn, nil
	p.toTLS.Store(false)
	p.listen()
	return nil
}
