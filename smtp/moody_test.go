package smtp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// A moody server keeps what it takes and refuses what it likes. It speaks the protocol
// itself, so that it can be wrong about anything but what it remembers.
type moody struct {
	conn       net.Conn
	out        io.Writer // conn if nil
	extensions string    // "PIPELINING LIMITS+RCPTMAX=2"
	lmtp       bool
	// mood answers a verb: a code, or 0 for yes, or -1 to hang up. The end of a
	// message is "."; over LMTP once for each recipient.
	mood func(verb, arg string) int

	taken map[string]int // "sender recipient message" to how often; read it when served
	last  string         // the last message, all of it
	hasty string         // what was said before the reply to it was in, without PIPELINING

	rd     *bufio.Reader
	w      *bufio.Writer
	from   string
	to     []string
	chunks strings.Builder
	open   bool // a transaction is
	gone   bool // hung up
}

func (m *moody) serve() {
	defer m.conn.Close()
	if m.out == nil {
		m.out = m.conn
	}
	m.taken = map[string]int{}
	m.rd, m.w = bufio.NewReaderSize(m.conn, 1<<20), bufio.NewWriter(m.out)
	fmt.Fprint(m.w, "220 moody\r\n")
	for !m.gone {
		// Replies go out when the client has nothing more to say.
		if m.rd.Buffered() == 0 && m.w.Flush() != nil {
			return
		}
		line, err := m.rd.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		m.hear(verb, arg)
		if m.rd.Buffered() > 0 && !strings.Contains(m.extensions, "PIPELINING") {
			m.hasty = line
		}
	}
}

func (m *moody) hear(verb, arg string) {
	switch verb {
	case "EHLO", "LHLO":
		fmt.Fprint(m.w, "250-moody\r\n")
		for x := range strings.FieldsSeq(m.extensions) {
			fmt.Fprintf(m.w, "250-%s\r\n", strings.ReplaceAll(x, "+", " "))
		}
		fmt.Fprint(m.w, "250 HELP\r\n")
	case "MAIL":
		if m.open {
			fmt.Fprint(m.w, "503 nested\r\n")
		} else if m.say(verb, arg, 250) {
			m.from, m.open = arg, true
		}
	case "RCPT":
		if !m.open {
			fmt.Fprint(m.w, "503 no sender\r\n")
		} else if m.say(verb, arg, 250) {
			m.to = append(m.to, arg)
		}
	case "DATA":
		if len(m.to) == 0 {
			fmt.Fprint(m.w, "503 nobody\r\n")
		} else if m.say(verb, arg, 354) {
			m.data()
		}
	case "BDAT":
		m.bdat(arg)
	case "RSET":
		m.reset()
		fmt.Fprint(m.w, "250 ok\r\n")
	case "QUIT":
		m.say(verb, arg, 221)
		m.w.Flush()
		m.gone = true
	default:
		fmt.Fprint(m.w, "250 ok\r\n")
	}
}

func (m *moody) reset() {
	m.from, m.to, m.open = "", nil, false
	m.chunks.Reset()
}

// say gives the answer of the mood, and reports whether it was yes.
func (m *moody) say(verb, arg string, yes int) bool {
	if m.gone {
		return false
	}
	code := m.mood(verb, arg)
	switch {
	case code == 0:
		fmt.Fprintf(m.w, "%d ok\r\n", yes)
		return true
	case code > 0:
		fmt.Fprintf(m.w, "%d no\r\n", code)
	}
	if code == -1 || code == 421 {
		m.w.Flush()
		m.conn.Close()
		m.gone = true
	}
	return false
}

// take is the end of a message, which is known by its first line.
func (m *moody) take(message string) {
	m.last = message
	message, _, _ = strings.Cut(message, "\r\n")
	each := [][]string{m.to}
	if m.lmtp {
		each = nil
		for _, rcpt := range m.to {
			each = append(each, []string{rcpt})
		}
	}
	for _, rcpts := range each {
		if m.say(".", strings.Join(rcpts, " "), 250) {
			for _, rcpt := range rcpts {
				m.taken[m.from+" "+rcpt+" "+message]++
			}
		}
	}
	m.reset()
}

func (m *moody) data() {
	m.w.Flush()
	var b strings.Builder
	for {
		line, err := m.rd.ReadString('\n')
		if err != nil {
			m.gone = true
			return
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	m.take(b.String())
}

func (m *moody) bdat(arg string) {
	size, last, _ := strings.Cut(arg, " ")
	n, _ := strconv.Atoi(size)
	b := make([]byte, n)
	if _, err := io.ReadFull(m.rd, b); err != nil {
		m.gone = true
		return
	}
	m.chunks.Write(b)
	switch {
	case len(m.to) == 0:
		fmt.Fprint(m.w, "503 nobody\r\n") // and the transaction stays open
	case last != "":
		m.take(m.chunks.String())
	case !m.say("BDAT", arg, 250):
		m.to = nil
	}
}
