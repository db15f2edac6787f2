package inbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/smtp"
)

// Sessions: what was said while a message came in, kept with it. What comes
// before the first MAIL is told with every message of the session, of the rest
// what belongs to the message. Each has its limit; what is over it is counted.

const (
	maxOpening     = 8 << 10  // octets of what came before the first MAIL
	maxTransaction = 16 << 10 // of what came since the last MAIL
)

// A Session is the SMTP session that brought a message.
type Session struct {
	ID       string // as in logs
	Protocol string // as Received fields have it (RFC 3848): ESMTPS
	TLS      string // version and cipher suite; "" in the clear
	Started  time.Time
	Lines    []SessionLine
}

// A SessionLine is one line of a session. Secrets are masked, and of the message
// nothing is in it.
type SessionLine struct {
	After      time.Duration // since the session started
	FromClient bool
	Text       string
}

// append writes the first line of a session as it is kept: what it is, by tabs, none of
// which can stand in an id, a protocol or the names of TLS. Its lines follow, each behind
// its time, > for the client and < for the server.
func (s *Session) append(b []byte) []byte {
	b = append(b, s.ID...)
	b = append(append(b, '\t'), s.Protocol...)
	b = append(append(b, '\t'), s.TLS...)
	b = append(b, '\t')
	return strconv.AppendInt(b, s.Started.UnixMicro(), 10)
}

// ParseSession reads what Entry.Session has. A list's Entry has the id alone, and
// so has the Session then. An error says that the text is none of these.
func ParseSession(text string) (*Session, error) {
	first, rest, _ := strings.Cut(text, "\n")
	s := &Session{ID: first}
	// Databases hold this form: another number of pieces would be another version's.
	if head := strings.Split(first, "\t"); len(head) == 4 {
		started, err := strconv.ParseInt(head[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("inbox: session: %w", err)
		}
		s.ID, s.Protocol, s.TLS, s.Started = head[0], head[1], head[2], time.UnixMicro(started)
	}
	for line := range strings.SplitSeq(rest, "\n") {
		if line == "" {
			continue
		}
		after, said, ok := strings.Cut(line[1:], " ")
		micros, err := strconv.ParseInt(after, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("inbox: session: %.20q is no line of one", line)
		}
		s.Lines = append(s.Lines, SessionLine{time.Duration(micros) * time.Microsecond, line[0] == '>', said})
	}
	return s, nil
}

// Extensions returns the extensions that the client made use of, by their names in
// the reply to EHLO, in alphabetical order.
func (s *Session) Extensions() []string {
	used := map[string]bool{}
	for _, l := range s.Lines {
		verb, arg, _ := strings.Cut(strings.ToUpper(l.Text), " ")
		switch {
		case !l.FromClient:
		// Asked for is used, whether it was granted or not: the transcript tells how it went.
		case verb == "STARTTLS", verb == "AUTH":
			used[verb] = true
		case verb == "BDAT":
			used["CHUNKING"] = true
		case verb == "MAIL", verb == "RCPT":
			for _, p := range strings.Fields(arg)[min(1, len(strings.Fields(arg))):] {
				name, value, _ := strings.Cut(p, "=")
				// RFC 6152 and RFC 3030 share the parameter, so that its value is what tells them apart.
				if name == "BODY" {
					name = value
				}
				if extension := parameterOf[name]; extension != "" {
					used[extension] = true
				}
			}
		}
	}
	var list []string
	for name := range used {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// parameterOf says whose a parameter of MAIL or RCPT is; of BODY the value.
var parameterOf = map[string]string{
	"SIZE": "SIZE", "8BITMIME": "8BITMIME", "BINARYMIME": "BINARYMIME", "SMTPUTF8": "SMTPUTF8", "AUTH": "AUTH", "REQUIRETLS": "REQUIRETLS",
	"RET": "DSN", "ENVID": "DSN", "NOTIFY": "DSN", "ORCPT": "DSN", "BY": "DELIVERBY", "HOLDFOR": "FUTURERELEASE", "HOLDUNTIL": "FUTURERELEASE",
	"MT-PRIORITY": "MT-PRIORITY",
}

// A recorder listens to the sessions of servers. The zero recorder is ready. It is asked
// for its record at each line of each session, which must not make them wait for each
// other.
type recorder struct {
	open sync.Map // of *record, by the session's id
	n    atomic.Int64
}

// A record is one session so far. Its lock is held for a line at a time.
type record struct {
	mu           sync.Mutex
	started      time.Time
	opening      []byte
	transaction  []byte
	left         int // lines that were over the limit
	inMail       bool
	sender       string   // of the transaction, as it was said
	recipients   []string // likewise
	chunks       bool     // one of them has come
	conversation *smtp.Conn
}

// begin opens a record, which ends with its session.
func (rec *recorder) begin(ctx context.Context, c *smtp.Conn) {
	// The session's context ends with its connection, however that goes: no record is left behind by a client that
	// vanishes.
	rec.open.Store(c.ID(), &record{started: time.Now(), conversation: c})
	rec.n.Add(1)
	context.AfterFunc(ctx, func() {
		rec.open.Delete(c.ID())
		rec.n.Add(-1)
	})
}

// count returns how many sessions are open.
func (rec *recorder) count() int64 { return rec.n.Load() }

// of returns the record of a session, nil if there is none.
func (rec *recorder) of(id string) *record {
	r, _ := rec.open.Load(id)
	found, _ := r.(*record)
	return found
}

// line notes one line.
func (rec *recorder) line(l smtp.Line) {
	r := rec.of(l.Session)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A session may bring thousands of messages. Each is kept with how the session began
	// and with its own transaction; what is between, the next MAIL takes the place of.
	if l.FromClient {
		switch verb, _, _ := strings.Cut(l.Text, " "); strings.ToUpper(verb) {
		case "MAIL":
			r.inMail, r.transaction, r.left = true, r.transaction[:0], 0
		case "EHLO", "HELO", "LHLO", "STARTTLS", "AUTH":
			r.inMail = false
		}
	}
	to, limit := &r.opening, maxOpening
	if r.inMail {
		to, limit = &r.transaction, maxTransaction
	}
	// Bounded before it is stored, and said at the end: a client that chatters costs no
	// more than one that does not, and nobody takes the transcript for all there was.
	if len(*to)+len(l.Text) > limit {
		r.left++
		return
	}
	mark := byte('<')
	if l.FromClient {
		mark = '>'
	}
	b := strconv.AppendInt(append(*to, '\n', mark), l.Time.Sub(r.started).Microseconds(), 10)
	b = append(b, ' ')
	for i := range len(l.Text) {
		// It is one line here whatever the client put into it.
		if c := l.Text[i]; c != '\n' && c != '\r' {
			b = append(b, c)
		}
	}
	*to = b
}

// text returns what is kept of a session with the message that it has brought.
func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Session{ID: r.conversation.ID(), Protocol: r.conversation.Protocol(), Started: r.started}
	if state := r.conversation.TLS(); state != nil {
		s.TLS = tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)
	}
	// One piece of memory for all of it: this runs for each message, while its sender waits.
	var b strings.Builder
	b.Grow(128 + len(r.opening) + len(r.transaction))
	b.Write(s.append(make([]byte, 0, 128)))
	b.Write(r.opening)
	b.Write(r.transaction)
	if r.left > 0 {
		fmt.Fprintf(&b, "\n<%d (%d lines more)", time.Since(r.started).Microseconds(), r.left)
	}
	if !utf8.ValidString(b.String()) {
		return strings.ToValidUTF8(b.String(), "\uFFFD")
	}
	return b.String()
}

// Attach has a server tell the Inbox of its sessions, and carry out the faults
// that are set. It puts itself before what the server's OnConnect, OnCommand and
// Trace are, and must be called before the server serves. Several servers may be
// attached. Without it messages are kept without their sessions, and no fault but
// those at the end of a message happens.
func (in *Inbox) Attach(s *smtp.Server) {
	onConnect, onCommand, trace := s.OnConnect, s.OnCommand, s.Trace
	s.OnConnect = func(ctx context.Context, c *smtp.Conn) error {
		in.sessions.begin(ctx, c)
		in.meter.sessions.Add(1)
		if err := in.faults.meet(ctx, occasion{conn: c, verb: "CONNECT", subjects: []string{addressOf(c)}}); err != nil || onConnect == nil {
			return err
		}
		return onConnect(ctx, c)
	}
	s.OnCommand = func(ctx context.Context, c *smtp.Conn, verb, arg string) error {
		// Rules that are set while a transaction is under way do not know whom it is for.
		if in.faults.set.Load() {
			if err := in.faults.meet(ctx, in.sessions.occasion(c, verb, arg)); err != nil {
				return err
			}
		}
		if onCommand == nil {
			return nil
		}
		return onCommand(ctx, c, verb, arg)
	}
	s.Trace = func(l smtp.Line) {
		in.sessions.line(l)
		if trace != nil {
			trace(l)
		}
	}
}

// occasion returns what a rule is compared with at a command: the sender, the recipient,
// those of the transaction, the client's name.
func (rec *recorder) occasion(c *smtp.Conn, verb, arg string) occasion {
	o := occasion{conn: c, verb: verb}
	r := rec.of(c.ID())
	if r == nil {
		return o // the session has ended: nobody hears the reply
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	address := func() string {
		_, path, _ := strings.Cut(arg, "<")
		path, _, _ = strings.Cut(path, ">")
		return path
	}
	switch verb {
	case "MAIL":
		r.sender, r.recipients, r.chunks = address(), nil, false
		o.subjects = []string{r.sender}
	case "RCPT":
		to := address()
		if len(r.recipients) < maxWordsTo {
			r.recipients = append(r.recipients, to)
		}
		o.sender, o.subjects = r.sender, []string{to}
	case "DATA", "BDAT":
		o.sender, o.subjects, o.goesOn = r.sender, slices.Clone(r.recipients), r.chunks
		r.chunks = verb == "BDAT"
	default:
		o.subjects = []string{arg}
	}
	return o
}
