package inbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The query language: one for the page, the JSON interface and the command line.
//
//	invoice from:ann -is:read               all of them, and no read ones
//	"your order" OR subject:confirm         a phrase, or a word of the subject
//	to:(bob OR carol) has:attachment        of one field, either
//	header:X-Campaign=spring after:2026-11-01 larger:1M
//
// What cannot be read is told with the place at which it stands, and nothing is
// guessed: a misspelt field would otherwise find nothing, or delete too much.

// An Op says how an Expr is made.
type Op string

// Every is the zero Op: it holds for every message.
const (
	Every Op = ""
	And   Op = "and"  // all of Of
	Or    Op = "or"   // any of Of
	Not   Op = "not"  // not the one in Of
	Is    Op = "term" // what Term says
)

// An Expr is a condition on messages. The zero Expr holds for every one.
type Expr struct {
	Op   Op
	Of   []Expr
	Term Term
}

// A Term is a condition on one field.
//
//	""                    Text is in the subject, an address, the text, the user's name, the Message-ID or the client's address
//	subject body          Text is in it
//	from                  Text is in a From address or the envelope's sender
//	to                    Text is in a To address or a recipient of the envelope
//	cc                    Text is in a Cc address
//	bcc                   Text is in a recipient whom no field of the message names
//	header                the field Name is there, with Text in it unless that is ""
//	id                    Text is the message's id or its Message-ID, or without an @ is in that
//	user ip               Text is in who authenticated, or what the client's address begins with
//	inbox                 Text is the inbox that it is in, whatever the case
//	tag                   Text is one of its tags, whatever the case
//	is                    Text is "unread", "read" or "tagged"
//	has                   Text is "attachment"
//	before after          it arrived before Time, or then and later
//	larger smaller        it has more octets than Size, or fewer
//
// A text is in a field if its words stand there one after the other; case and
// accents do not count. If it was not in Quotes, the last word may be the
// beginning of a longer one, from three letters on, and in subjects and addresses
// a single word may be any part of one. ParseQuery has an address be in Quotes that
// somebody has written to its end.
type Term struct {
	Field  string
	Name   string // in lower case
	Text   string
	Quotes bool
	Time   time.Time
	Size   int64
}

// A QueryError says what ParseQuery could not read.
type QueryError struct {
	At   int // the character that it is about, counted from 1
	Text string

	instead string // the query as it would be read; "" if nobody knows what was meant
}

// Error implements error. It is told to whoever wrote the query, and so has no
// package before it.
func (e *QueryError) Error() string {
	return fmt.Sprintf("character %d: %s", e.At, e.Text)
}

const (
	maxQuery = 4096 // octets
	maxTerms = 100
	maxDepth = 20
)

// fields are those that a term can name, and how it is read.
var fields = map[string]func(p *parser, t *Term, at int) error{
	"from": text, "to": text, "cc": text, "bcc": text, "subject": text, "body": text, "user": text, "ip": text, "id": text, "inbox": whole,
	"header": header, "tag": whole, "before": date, "after": date, "larger": size, "smaller": size,
	"is":  oneOf("unread", "read", "tagged"),
	"has": oneOf("attachment"),
}

const fieldList = "from, to, cc, bcc, subject, body, header, id, user, ip, inbox, tag, is, has, before, after, larger, smaller"

// ParseQuery reads a query. Dates and times without a zone are in that of now,
// from which "2h" and "today" are counted. The error is a *QueryError.
func ParseQuery(query string, now time.Time) (Expr, error) {
	p := &parser{query: query, now: now}
	if len(query) > maxQuery {
		return Expr{}, &QueryError{At: 1, Text: fmt.Sprintf("the query has more than %d octets", maxQuery)}
	}
	if !utf8.ValidString(query) {
		return Expr{}, &QueryError{At: 1, Text: "the query is not UTF-8"}
	}
	if p.space(); p.rest() == "" {
		return Expr{}, nil
	}
	e, err := p.or("")
	if err != nil {
		return Expr{}, err
	}
	if p.rest() != "" { // only a parenthesis ends an expression early
		return Expr{}, p.wrong(p.at, "this ) has no ( before it")
	}
	return e, nil
}

// A parser goes over a query once.
type parser struct {
	query        string
	at           int // octets read
	now          time.Time
	terms, depth int
}

func (p *parser) rest() string { return p.query[p.at:] }

// space skips what parts terms.
func (p *parser) space() { p.at = len(p.query) - len(strings.TrimLeftFunc(p.rest(), unicode.IsSpace)) }

// wrong is an error about the octet at.
func (p *parser) wrong(at int, format string, args ...any) error {
	return &QueryError{At: p.place(at), Text: fmt.Sprintf(format, args...)}
}

// place counts the characters up to the octet at, from 1.
func (p *parser) place(at int) int { return utf8.RuneCountInString(p.query[:at]) + 1 }

// keyword takes a word in capitals, if it comes next and is followed by a space.
func (p *parser) keyword(word string) bool {
	rest, ok := strings.CutPrefix(p.rest(), word)
	if r, _ := utf8.DecodeRuneInString(rest); !ok || rest != "" && !unicode.IsSpace(r) && r != '(' {
		return false
	}
	p.at += len(word)
	p.space()
	return true
}

// or reads one or more alternatives. field is what a parenthesis was prefixed with.
func (p *parser) or(field string) (Expr, error) {
	if p.depth++; p.depth > maxDepth {
		return Expr{}, p.wrong(p.at, "more than %d parentheses in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	var of []Expr
	for {
		e, err := p.and(field)
		if err != nil {
			return e, err
		}
		of = append(of, e)
		at := p.at
		if !p.keyword("OR") {
			return join(Or, of), nil
		}
		if p.rest() == "" || p.rest()[0] == ')' {
			return e, p.misplaced(at, "OR", "after")
		}
	}
}

// and reads terms up to OR, a parenthesis or the end.
func (p *parser) and(field string) (Expr, error) {
	var of []Expr
	for {
		e, err := p.not(field)
		if err != nil {
			return e, err
		}
		of = append(of, e)
		p.space()
		at := p.at
		and := p.keyword("AND")
		ended := p.rest() == "" || p.rest()[0] == ')'
		switch {
		case and && ended:
			return e, p.misplaced(at, "AND", "after")
		case ended:
			return join(And, of), nil
		case !and && p.keyword("OR"):
			p.at = at // it is for who reads alternatives
			return join(And, of), nil
		}
	}
}

// misplaced is an error about a word between terms that has none on one of its sides.
func (p *parser) misplaced(at int, word, side string) error {
	return p.wrong(at, "%s wants something %s it; to look for the word, write %q", word, side, strings.ToLower(word))
}

// not reads what is excluded, or what is not.
func (p *parser) not(field string) (Expr, error) {
	at := p.at
	if p.keyword("NOT") || strings.HasPrefix(p.rest(), "-") || strings.HasPrefix(p.rest(), "!") {
		if p.at == at {
			p.at++
		}
		if r, _ := utf8.DecodeRuneInString(p.rest()); p.rest() == "" || unicode.IsSpace(r) || r == ')' {
			return Expr{}, p.wrong(at, "what is excluded must follow at once, as in -draft")
		}
		if p.depth++; p.depth > maxDepth {
			return Expr{}, p.wrong(p.at, "more than %d exclusions in each other", maxDepth)
		}
		defer func() { p.depth-- }()
		e, err := p.not(field)
		return Expr{Op: Not, Of: []Expr{e}}, err
	}
	if strings.HasPrefix(p.rest(), "(") {
		return p.group(field)
	}
	return p.term(field)
}

// group reads what stands in parentheses.
func (p *parser) group(field string) (Expr, error) {
	at := p.at
	p.at++
	p.space()
	if p.rest() == "" || p.rest()[0] == ')' {
		return Expr{}, p.wrong(at, "there is nothing in this parenthesis")
	}
	e, err := p.or(field)
	if err != nil {
		return e, err
	}
	if p.rest() == "" {
		return e, p.wrong(at, "this ( has no ) after it")
	}
	p.at++
	return e, nil
}

// term reads one field and what it is asked for.
func (p *parser) term(field string) (Expr, error) {
	at := p.at
	for _, word := range []string{"OR", "AND"} {
		if p.keyword(word) {
			return Expr{}, p.misplaced(at, word, "before")
		}
	}
	if p.terms++; p.terms > maxTerms {
		return Expr{}, p.wrong(at, "more than %d terms", maxTerms)
	}
	name, ok := p.fieldName()
	if ok && field != "" {
		return Expr{}, p.wrong(at, "%s: stands within the parenthesis of %s:", name, field)
	}
	if !ok {
		name = field
	}
	t := Term{Field: name}
	read := text
	if name != "" {
		if read = fields[name]; read == nil {
			return Expr{}, p.noField(name, at)
		}
		if strings.HasPrefix(p.rest(), "(") { // a word does not begin with one
			return p.group(name)
		}
	}
	valueAt := p.at
	if err := p.value(&t); err != nil {
		return Expr{}, err
	}
	switch {
	case t.Text == "" && t.Quotes:
		return Expr{}, p.wrong(valueAt, "there is nothing in these quotes")
	case t.Text == "":
		return Expr{}, p.wrong(at, "%s: wants something to look for", name)
	}
	if err := read(p, &t, valueAt); err != nil {
		return Expr{}, err
	}
	return Expr{Op: Is, Term: t}, nil
}

// noField is the error about a term with a field that there is not.
func (p *parser) noField(name string, at int) error {
	valueAt := p.at
	if err := p.value(&Term{}); err != nil {
		return err
	}
	if err := p.elsewhere(at, valueAt); err != nil {
		return err
	}
	return p.wrong(at, "there is no field %q; to look for the text put it in quotes, for a field of the header write header:%[1]s=…. The fields are %s", name, fieldList)
}

// fieldName takes letters before a colon; those of a header's field may have hyphens
// between them. 12:30 and http://… are no fields.
func (p *parser) fieldName() (string, bool) {
	name, rest, ok := strings.Cut(p.rest(), ":")
	if !ok || name == "" || strings.HasPrefix(rest, "//") {
		return "", false
	}
	for i := range len(name) {
		if c := name[i] | 0x20; (c < 'a' || c > 'z') && name[i] != '-' {
			return "", false
		}
	}
	p.at += len(name) + 1
	return strings.ToLower(name), true
}

// value takes a phrase in quotes, or what follows up to a space or a parenthesis.
// For header:NAME=value the name comes first, and the value may be in quotes.
func (p *parser) value(t *Term) error {
	if t.Field == "header" {
		end := strings.IndexFunc(p.rest(), func(r rune) bool { return r == '=' || r == '"' || r == '(' || r == ')' || unicode.IsSpace(r) })
		if end < 0 {
			end = len(p.rest())
		}
		t.Name = strings.ToLower(p.rest()[:end])
		p.at += end
		if t.Text = t.Name; !strings.HasPrefix(p.rest(), "=") {
			return nil
		}
		p.at++
	}
	if strings.HasPrefix(p.rest(), `"`) {
		phrase, _, ok := strings.Cut(p.rest()[1:], `"`)
		if !ok {
			return p.wrong(p.at, "this quote is not closed")
		}
		p.at += len(phrase) + 2
		t.Text, t.Quotes = phrase, true
		return nil
	}
	end := strings.IndexFunc(p.rest(), func(r rune) bool { return r == '(' || r == ')' || r == '"' || unicode.IsSpace(r) })
	if end < 0 {
		end = len(p.rest())
	}
	t.Text = p.rest()[:end]
	p.at += end
	return nil
}

// join makes one of several; a single one stays what it is.
func join(op Op, of []Expr) Expr {
	if len(of) == 1 {
		return of[0]
	}
	return Expr{Op: op, Of: of}
}

// text reads what is looked for among words.
func text(p *parser, t *Term, at int) error {
	if !strings.ContainsFunc(t.Text, isWord) {
		return p.wrong(at, "%q has no letter or digit to look for", t.Text)
	}
	t.Quotes = t.Quotes || isWholeAddress(t)
	return nil
}

// isWholeAddress tells whether a term is an address, or the end of one, that does not
// go on: who looks for ann@example.com does not mean example.company. Nor could a store
// afford to look: most messages have a word that begins with com. A country has two
// letters, which begin nothing anyway.
func isWholeAddress(t *Term) bool {
	last := strings.LastIndexByte(t.Text, '.')
	if last < 0 || !strings.Contains(t.Text, "@") && !slices.Contains([]string{"from", "to", "cc", "bcc"}, t.Field) {
		return false
	}
	// The ends that most addresses have, and those kept free for tests (RFC 6761, 6). Of
	// another the last word may go on, which takes longer.
	return slices.Contains([]string{"com", "net", "org", "edu", "gov", "mil", "int", "info", "biz", "app", "dev", "test", "example", "invalid", "localhost", "local"},
		strings.ToLower(t.Text[last+1:]))
}

// isWord tells what words are made of; everything else parts them.
func isWord(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.M, unicode.Co) }

// header reads NAME or NAME=value.
func header(p *parser, t *Term, at int) error {
	if !strings.ContainsFunc(t.Name, isWord) {
		return p.wrong(at, "header: wants the name of a field, as in header:X-Campaign=spring")
	}
	if strings.Contains(p.query[at:p.at], "=") {
		return text(p, t, at+len(t.Name)+1)
	}
	t.Text = ""
	return nil
}

// whole takes what is there: tags need not be made of letters.
func whole(_ *parser, t *Term, _ int) error {
	t.Text = strings.ToLower(t.Text)
	return nil
}

// oneOf reads one of some words, in the singular or the plural.
func oneOf(values ...string) func(p *parser, t *Term, at int) error {
	return func(p *parser, t *Term, at int) error {
		for _, v := range values {
			if strings.EqualFold(t.Text, v) || strings.EqualFold(t.Text, v+"s") {
				t.Text = v
				return nil
			}
		}
		// Within a parenthesis its field is elsewhere.
		if start := at - len(t.Field) - 1; start >= 0 && strings.EqualFold(p.query[start:at], t.Field+":") {
			if err := p.elsewhere(start, at); err != nil {
				return err
			}
		}
		return p.wrong(at, "%s:%s is not known; it is %s:%s", t.Field, t.Text, t.Field, strings.Join(values, " or "+t.Field+":"))
	}
}

// size reads octets, or a number with k, M or G behind it, in powers of ten.
func size(p *parser, t *Term, at int) error {
	number := strings.TrimRight(strings.ToLower(t.Text), "b")
	factor := 1.0
	for i, unit := range []string{"k", "m", "g"} {
		if n, ok := strings.CutSuffix(number, unit); ok {
			number, factor = n, []float64{1e3, 1e6, 1e9}[i]
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0 && n*factor <= 1e15) { // nor NaN
		return p.wrong(at, "%q is no size: give octets, or 10k, 2.5M, 1G", t.Text)
	}
	t.Size = int64(n * factor)
	return nil
}

// date reads a day, a time, or how long ago.
func date(p *parser, t *Term, at int) error {
	day := time.Date(p.now.Year(), p.now.Month(), p.now.Day(), 0, 0, 0, 0, p.now.Location())
	switch strings.ToLower(t.Text) {
	case "today":
		t.Time = day
		return nil
	case "yesterday":
		t.Time = day.AddDate(0, 0, -1)
		return nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006/01/02", "2006-01", "2006"} {
		if when, err := time.ParseInLocation(layout, t.Text, p.now.Location()); err == nil && when.Year() >= 1970 {
			t.Time = when
			return nil
		}
	}
	ago := t.Text
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			t.Time = p.now.AddDate(0, 0, -n)
			return nil
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		t.Time = p.now.Add(-d)
		return nil
	}
	return p.wrong(at, "%q is no date: give 2026-11-24, 2026-11-24T15:04, today, 7d or 2h", t.Text)
}
