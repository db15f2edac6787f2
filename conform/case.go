package conform

import (
	"embed"
	"encoding/base64"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/postrider/postrider/internal/dialogue"
)

// The cases are text: cases/*.txt, in blocks like
//
//	== rset-forgets-sender  RFC 5321, 4.1.1.5
//	RSET forgets the sender.
//	after: mail
//	C: RSET
//	S: 250
//	C: RCPT TO:<{from}>
//	S: 5xx
//
// The lines are those of a dialogue whose replies are told by their codes
// (internal/dialogue). Settings stand before them: after says what has gone before
// (nothing, greeting, clear, hello, mail, rcpt; secure is hello in TLS where there
// is TLS, and without the credentials; a stranger is there and has said MAIL), needs
// which extensions must be announced ("!DSN": must not), kept how many messages with the case's token the recipient
// must then have, holds what must be in them, repeat how often the lines are said.
// Words in braces are put in for each run: see Config.values.

//go:embed cases/*.txt
var files embed.FS

// A Case is one rule, and what of it a server must show.
type Case struct {
	Name   string // unique: "rset-forgets-sender"
	Title  string // the rule, in a sentence
	Source string // where it comes from: an RFC's section or a CVE

	after  string
	needs  []string
	kept   string // "", "0", "1" or "0-1"
	holds  string
	repeat int
	lines  string // with words in braces
}

// Cases returns all cases, file by file. They are the same in each run.
func Cases() []Case { return append([]Case(nil), allCases()...) }

var allCases = sync.OnceValue(func() []Case {
	var all []Case
	entries, err := files.ReadDir("cases")
	for _, e := range entries {
		text, readErr := files.ReadFile(path.Join("cases", e.Name()))
		if readErr != nil {
			err = readErr
			break
		}
		_, blocks, _ := strings.Cut("\n"+string(text), "\n== ")
		for block := range strings.SplitSeq(blocks, "\n== ") {
			all = append(all, parseCase(block))
		}
	}
	if err != nil {
		panic(err) // the files are part of the program
	}
	return all
})

// parseCase reads a block.
func parseCase(block string) Case {
	head, rest, _ := strings.Cut(block, "\n")
	name, source, _ := strings.Cut(head, "  ")
	c := Case{Name: name, Source: strings.TrimSpace(source), after: "hello", repeat: 1}
	c.Title, rest, _ = strings.Cut(rest, "\n")
	for line := range strings.Lines(rest) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch {
		case !ok || c.lines != "" || len(key) == 1 || strings.HasPrefix(line, "C|"):
			c.lines += line
		case key == "after":
			c.after = value
		case key == "needs":
			c.needs = strings.Fields(value)
		case key == "kept":
			c.kept = value
		case key == "holds":
			c.holds = value
		case key == "repeat":
			c.repeat, _ = strconv.Atoi(value)
		}
	}
	c.lines = strings.TrimRight(c.lines, "\n") + "\n"
	return c
}

// preludes are what goes before a case, in the notation of the cases. Each begins
// with that of the state that it names.
var preludes = map[string]struct{ after, lines string }{
	"nothing":     {},
	"greeting":    {"nothing", "S: 220\n"},
	"clear":       {"greeting", "C: EHLO {client}\nS: 250\n"},
	"hello":       {"clear", "{hello}"},
	"secure":      {"clear", "{secure}"},
	"mail":        {"hello", "C: MAIL FROM:<{from}>\nS: 250\n"},
	"secure-mail": {"secure", "C: MAIL FROM:<{from}>\nS: 250\n"},
	// A server that asks everybody for credentials refuses MAIL, and then RCPT.
	"stranger": {"secure", "C: MAIL FROM:<{from}>\nS: 250 4xx 5xx\n"},
	"rcpt":     {"mail", "C: RCPT TO:<{rcpt}>\nS: 250 251\n"},
}

const (
	intoTLS = "C: STARTTLS\nS: 220\nC: <tls>\nC: EHLO {client}\nS: 250\n"
	logIn   = "C: AUTH PLAIN {plain}\nS: 235\n"
)

// prelude returns what leads to a state.
func prelude(state string) string {
	p := preludes[state]
	if p.after == "" {
		return p.lines
	}
	return prelude(p.after) + p.lines
}

// relays tells whether the case is about mail for another domain.
func (c *Case) relays() bool {
	return c.after == "stranger" || strings.Contains(strings.ToLower(c.lines), "{relay")
}

// mails tells whether the case says MAIL.
func (c *Case) mails() bool {
	return strings.Contains(strings.ToUpper(prelude(c.after)+c.lines), "C: MAIL FROM")
}

// script makes a dialogue of the case. A session that has not ended by itself is
// ended with QUIT: a reply too many, or one too few, shows there.
func (c *Case) script(values *strings.Replacer) (*dialogue.Script, error) {
	text := prelude(c.after) + strings.Repeat(c.lines, c.repeat)
	if !strings.HasSuffix(text, "<close>\n") {
		text += "C: QUIT\nS: 221 <close>\n"
	}
	// Twice: what is put in holds words in braces itself.
	text = values.Replace(values.Replace(text))
	return dialogue.Parse(c.Name, "# "+c.Title+"\n"+text)
}

// values are the words in braces.
func (c *Config) values(o *offers, token string) *strings.Replacer {
	hello, secure := "", ""
	if o.startTLS {
		secure = intoTLS
	}
	if o.helloTLS {
		hello = intoTLS
	}
	if c.User != "" {
		hello += logIn
	}
	over := o.size() + 1
	relayLocal, relayDomain := cutAddress(c.RelayTo)
	_, here := cutAddress(c.Rcpt)
	return strings.NewReplacer(
		"{relay}", c.RelayTo, "{relay-local}", relayLocal, "{relay-domain}", relayDomain, "{RELAY}", strings.ToUpper(c.RelayTo),
		"{here}", here, "{self}", o.self, "{twin}", o.twin, "{twin-ascii}", o.twinASCII,
		"{hello}", hello, "{secure}", secure, "{token}", token,
		"{client}", "client.example.org", "{from}", c.from(), "{rcpt}", c.Rcpt,
		"{plain}", base64.StdEncoding.EncodeToString([]byte("\x00"+c.User+"\x00"+c.Password)),
		"{over}", strconv.FormatInt(over, 10),
		"{over-lines}", fmt.Sprintf(`\{%d 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n}`, over/64+1),
	)
}

// cutAddress parts an address at its last at sign.
func cutAddress(a string) (local, domain string) {
	i := strings.LastIndexByte(a, '@')
	return a[:max(i, 0)], a[i+1:]
}
