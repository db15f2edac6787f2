// Package dialogue reads and plays SMTP dialogues written as RFC 5321 writes
// them.
//
// A script is a text of lines that begin with who says them:
//
//	# RSET forgets the sender.                     RFC 5321, 4.1.1.5
//	S: 220 mx.example.com *
//	C: EHLO client.example.org
//	S: ...
//	C: MAIL FROM:<ann@example.com>
//	S: 250 2.1.0 *
//
// One player takes the client's part against a server, or the server's part
// against a client; the lines of the other part are what it expects. In them "*"
// stands for any text, and a line "S: ..." for the lines of a reply up to its
// last. Lines of one part that follow each other go out in one write, so that a
// pipelined batch is written as such. Said lines may hold the escapes \r \n \t \0
// \xHH, \{1000 x} (x a thousand times) and \\; "C| text" is said without a line
// end. "C: <close>" and "S: <close>" end the connection, "C: <tls>" begins TLS on
// both sides; the constants below name the other ways to end.
//
// The first comment is the title. Comments "# key: value" before the first line
// set up the play: "plays" says for which side the script is (both, server,
// client, send), "with" which features, "delivers" how many messages a server must
// have delivered at the end, "split: no" that it depends on what comes together. "E: text" follows a command whose caller must get an
// error that holds the text, "R: address fate" says a recipient's fate.
package dialogue

import (
	"embed"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Reading. A script is source: a line that cannot be read is an error with its
// number, never skipped, since a test that silently says less still passes.

//go:embed script/*.txt
var files embed.FS

// A Script is one dialogue. Nothing changes it once it has been parsed, so that
// any number of players may share it.
type Script struct {
	Name  string // of its file, without the extension
	Title string
	// "plays" is always there; of the others only what the script says.
	Set   map[string]string // "plays", "with", "delivers", …
	Steps []Step
}

// A Step is one line of a script.
type Step struct {
	Line int    // in the file, from 1
	Who  byte   // 'C', 'S', 'E' or 'R'
	Text string // escapes resolved; for 'S' and expected lines, a pattern
	Open bool   // no line end is sent after it
}

// Marks that are not said but done, but for Any, which is a pattern: the rest of
// a reply, up to its last line.
const (
	Close = "<close>"
	TLS   = "<tls>"
	// TryTLS begins TLS with a server that may rather have closed the connection:
	// then the script ends, if all that it still expects may be the end. With one
	// that refused to (Player.Codes) the script goes on as it is. "<tls NAME>" and
	// "<try-tls NAME>" ask for the host of that name, whatever it is made of.
	TryTLS = "<try-tls>"
	// HalfClose says no more and goes on to listen: FIN, and under TLS a close_notify.
	// Cut ends the connection below TLS, without the word that no more comes; Reset
	// does so by RST.
	HalfClose = "<half-close>"
	Cut       = "<cut>"
	Reset     = "<reset>"
	Any       = "..."
)

// is tells whether the step is mark, which may hold a name.
func (s Step) is(mark string) bool {
	return s.Text == mark || strings.HasPrefix(s.Text, mark[:len(mark)-1]+" ") && strings.HasSuffix(s.Text, ">")
}

func (s Step) tls() bool { return s.is(TLS) || s.is(TryTLS) }

// name is what stands in the mark, "" if nothing does.
func (s Step) name() string {
	_, name, _ := strings.Cut(s.Text, " ")
	return strings.TrimSuffix(name, ">")
}

// Scripts returns all the dialogues of this package, in the order of their names.
// They are parsed anew for each call. An error is a mistake in one of the files,
// and then there are none.
func Scripts() ([]*Script, error) {
	entries, err := files.ReadDir("script")
	if err != nil {
		return nil, err
	}
	var all []*Script
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("script", e.Name()))
		if err != nil {
			return nil, err
		}
		s, err := Parse(strings.TrimSuffix(e.Name(), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Parse reads a script; name is what its errors call it. An error names the line
// that cannot be read. A script without a title or without a line is one too:
// nobody could say what such a test is for.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name, Set: map[string]string{"plays": "both"}}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "":
		case line[0] == '#':
			s.comment(strings.TrimSpace(line[1:]))
		default:
			step, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("dialogue: %s:%d: %v", name, i+1, err)
			}
			step.Line = i + 1
			s.Steps = append(s.Steps, step)
		}
	}
	if s.Title == "" || len(s.Steps) == 0 {
		return nil, fmt.Errorf("dialogue: %s: a script needs a title and a line", name)
	}
	return s, nil
}

// comment takes a comment: the title, a setting, or nothing. Settings end where
// the dialogue begins, so that a remark with a colon in its middle sets nothing.
func (s *Script) comment(text string) {
	if s.Title == "" {
		s.Title = text
		return
	}
	key, value, ok := strings.Cut(text, ": ")
	if ok && len(s.Steps) == 0 && !strings.Contains(key, " ") {
		s.Set[key] = value
	}
}

// Has tells whether the script is played with a feature, and its value: "size"
// of "with: tls size=1000" has "1000", "tls" has "". Who plays a script asks for
// the features that it knows; one that nobody asks for has no effect.
func (s *Script) Has(feature string) (value string, ok bool) {
	for word := range strings.FieldsSeq(s.Set["with"]) {
		name, value, _ := strings.Cut(word, "=")
		if name == feature {
			return value, true
		}
	}
	return "", false
}

// Said returns how many octets the client's lines have.
func (s *Script) Said() (octets int) {
	for _, step := range s.Steps {
		if step.Who == 'C' {
			octets += len(step.Text)
		}
	}
	return octets
}

// Plays tells whether the script is for a side: "server", "client" or "send". A
// script for both leaves out send, which has a message to compose and therefore
// says more than a bare client.
func (s *Script) Plays(side string) bool {
	plays := s.Set["plays"]
	return plays == side || plays == "both" && side != "send"
}

// parseStep reads one line: who says it, then a colon, or a bar where no line end
// is sent.
func parseStep(line string) (Step, error) {
	if len(line) < 2 || !strings.ContainsRune("CSER", rune(line[0])) || line[1] != ':' && line[1] != '|' {
		return Step{}, fmt.Errorf("a line begins with C: S: E: R: or C|, not %q", line)
	}
	text, err := Unescape(strings.TrimPrefix(line[2:], " "))
	return Step{Who: line[0], Text: text, Open: line[1] == '|'}, err
}

// Unescape resolves backslash escapes. They exist because a script is a text that
// editors and git may touch: what must be exact to the octet is spelt out.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("a backslash at the end")
		}
		switch s[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case '{':
			run, rest, _ := strings.Cut(s[i+1:], "}")
			count, what, ok := strings.Cut(run, " ")
			n, err := strconv.Atoi(count)
			if err != nil || !ok {
				return "", fmt.Errorf(`\{ needs a count, a space, a text and }`)
			}
			if what, err = Unescape(what); err != nil {
				return "", err
			}
			b.WriteString(strings.Repeat(what, n))
			// On the brace; the loop steps over it.
			i = len(s) - len(rest) - 1
		case 'x':
			if i+2 >= len(s) {
				return "", fmt.Errorf(`\x needs two digits`)
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", err
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", fmt.Errorf("unknown escape \\%c", s[i])
		}
	}
	return b.String(), nil
}

// Match tells whether line is what pattern stands for: "*" is any text, also none.
// There is no escape for an asterisk, as no reply has one. Each asterisk may try
// every place; lines are short, and patterns have one or two.
func Match(pattern, line string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return line == pattern
	}
	if !strings.HasPrefix(line, head) {
		return false
	}
	line = line[len(head):]
	for i := 0; i <= len(line); i++ {
		if Match(rest, line[i:]) {
			return true
		}
	}
	return false
}
