package inbox

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("", 3600))

// is makes a term.
func is(field, text string) Expr { return Expr{Op: Is, Term: Term{Field: field, Text: text}} }

func both(of ...Expr) Expr   { return Expr{Op: And, Of: of} }
func either(of ...Expr) Expr { return Expr{Op: Or, Of: of} }
func not(e Expr) Expr        { return Expr{Op: Not, Of: []Expr{e}} }

func quoted(field, text string) Expr {
	e := is(field, text)
	e.Term.Quotes = true
	return e
}

func at(field, text string, when time.Time) Expr {
	e := is(field, text)
	e.Term.Time = when
	return e
}

func octets(field, text string, n int64) Expr {
	e := is(field, text)
	e.Term.Size = n
	return e
}

func inHeader(name, text string, quotes bool) Expr {
	return Expr{Op: Is, Term: Term{Field: "header", Name: name, Text: text, Quotes: quotes}}
}

func TestParseQuery(t *testing.T) {
	midnight := noon.Add(-12 * time.Hour)
	for _, c := range []struct {
		query string
		want  Expr
	}{
		{"", Expr{}}, {"  \t", Expr{}},
		{"a", is("", "a")}, {" a b ", both(is("", "a"), is("", "b"))}, {"a AND b", both(is("", "a"), is("", "b"))},
		{"a OR b", either(is("", "a"), is("", "b"))}, {"a b OR c", either(both(is("", "a"), is("", "b")), is("", "c"))},
		{"a (b OR c)", both(is("", "a"), either(is("", "b"), is("", "c")))}, {"((a))", is("", "a")}, {"(a)(b)", both(is("", "a"), is("", "b"))},
		{"-a", not(is("", "a"))}, {"!a", not(is("", "a"))}, {"NOT a", not(is("", "a"))}, {"--a", not(not(is("", "a")))},
		{"-(a b)", not(both(is("", "a"), is("", "b")))}, {"a-b", is("", "a-b")},
		{"or and not", both(is("", "or"), is("", "and"), is("", "not"))}, {"ORDER", is("", "ORDER")},
		{`"a b"`, quoted("", "a b")}, {`"OR"`, quoted("", "OR")}, {`a"b"`, both(is("", "a"), quoted("", "b"))},
		{"ann@example.COM", quoted("", "ann@example.COM")}, {"ann@mail.exam", is("", "ann@mail.exam")}, {"ann@com", is("", "ann@com")}, {"example.com", is("", "example.com")},
		{"to:example.com", quoted("to", "example.com")}, {"to:com", is("to", "com")}, {"body:example.com", is("body", "example.com")}, {"header:to=a@b.test", inHeader("to", "a@b.test", true)},
		{"FROM:Ann", is("from", "Ann")}, {`subject:"a b"`, quoted("subject", "a b")}, {"subject:(a OR b)", either(is("subject", "a"), is("subject", "b"))},
		{"subject:(a -b)", both(is("subject", "a"), not(is("subject", "b")))}, {"-from:a", not(is("from", "a"))},
		{"12:30", is("", "12:30")}, {"http://a.example/x", is("", "http://a.example/x")}, {":x", is("", ":x")},
		{"header:X-Y", inHeader("x-y", "", false)}, {"(header:x)", inHeader("x", "", false)}, {"header:x y", both(inHeader("x", "", false), is("", "y"))}, {"subject:(12:30)", is("subject", "12:30")}, {"header:X-Y=z", inHeader("x-y", "z", false)}, {`header:x="a b"`, inHeader("x", "a b", true)},
		{"tag:Ü", is("tag", "ü")}, {`tag:"!"`, quoted("tag", "!")}, {"has:attachments", is("has", "attachment")}, {"is:READ", is("is", "read")},
		{"larger:10", octets("larger", "10", 10)}, {"larger:0", octets("larger", "0", 0)}, {"smaller:1.5M", octets("smaller", "1.5M", 1_500_000)}, {"larger:2kB", octets("larger", "2kB", 2000)},
		{"after:2026-11-02", at("after", "2026-11-02", time.Date(2026, 11, 2, 0, 0, 0, 0, noon.Location()))},
		{"before:2026-11-02T10:20", at("before", "2026-11-02T10:20", time.Date(2026, 11, 2, 10, 20, 0, 0, noon.Location()))},
		{"before:2026-11-02T10:20:00Z", at("before", "2026-11-02T10:20:00Z", time.Date(2026, 11, 2, 10, 20, 0, 0, time.UTC))},
		{"after:today", at("after", "today", midnight)}, {"after:yesterday", at("after", "yesterday", midnight.AddDate(0, 0, -1))},
		{"after:2h", at("after", "2h", noon.Add(-2*time.Hour))}, {"after:7d", at("after", "7d", noon.AddDate(0, 0, -7))},
	} {
		got, err := ParseQuery(c.query, noon)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseQuery(%q) = %+v, %v; want %+v", c.query, got, err, c.want)
		}
	}
}

// Who waits looks again at what has come since, unless older messages may have changed.
func TestSince(t *testing.T) {
	const id, when = "01M8K5YNDP003F98VP9ADP8F9D", 1795940111798
	later := at("after", "", time.UnixMilli(when))
	for _, c := range []struct {
		match Expr
		id    string
		want  Expr
	}{
		{Expr{}, id, both(Expr{}, later)}, {not(is("", "a")), id, both(not(is("", "a")), later)}, {is("", "tag"), id, both(is("", "tag"), later)},
		{is("", "a"), "", is("", "a")}, {is("tag", "a"), id, is("tag", "a")}, {both(is("", "a"), not(is("is", "read"))), id, both(is("", "a"), not(is("is", "read")))},
	} {
		if got := since(c.match, c.id); !reflect.DeepEqual(got, c.want) {
			t.Errorf("since(%+v, %q) = %+v, want %+v", c.match, c.id, got, c.want)
		}
	}
}

// What cannot be read is explained, at the character that it is about.
func TestParseQueryErrors(t *testing.T) {
	for _, c := range []struct {
		query string
		at    int
		text  string // a part of it
	}{
		{"a fron:b", 3, `no field "fron"`}, {"Reply-To:", 1, "header:reply-to=…"}, {`label:"a`, 7, "not closed"}, {"addressed:(a b)", 1, "from:… OR"}, {"is:(untagged)", 5, "is:unread or"}, {"from:", 1, "from: wants something"}, {"über from:", 6, "from: wants"}, {"from: a", 1, "from: wants"},
		{`a "b`, 3, "not closed"}, {`""`, 1, "nothing in these quotes"}, {"(a", 1, "no ) after it"}, {"a)", 2, "no ( before it"}, {"a ()", 3, "nothing in this"},
		{"a OR", 3, "wants something after"}, {"OR a", 1, "wants something before"}, {"(a OR )", 4, "wants something after"}, {"a AND", 3, "wants something after"}, {"(a AND )", 4, "wants something after"}, {"a AND OR b", 7, "wants something before"}, {"AND a", 1, "AND wants something before"}, {"a AND AND b", 7, "AND wants"}, {"a OR AND b", 6, "AND wants"}, {"(AND a)", 2, `write "and"`}, {"NOT OR a", 5, "OR wants something before"}, {"header:x=%", 10, "no letter or digit"}, {"header:x\"a", 9, "not closed"}, {"subject:(a (", 12, "nothing in this"},
		{"a -", 3, "follow at once"}, {"a - b", 3, "follow at once"}, {"NOT", 1, "follow at once"}, {"%", 1, "no letter or digit"},
		{"is:new", 4, "is:unread or is:read"}, {"has:x", 5, "has:attachment"}, {"larger:x", 8, "is no size"}, {"larger:-1", 8, "is no size"}, {"larger:nan", 8, "is no size"}, {"smaller:NaNk", 9, "is no size"}, {"larger:2e9M", 8, "is no size"},
		{"after:soon", 7, "is no date"}, {"after:-5d", 7, "is no date"}, {"after:100000d", 7, "is no date"}, {"after:-2h", 7, "is no date"}, {"before:1969-01-01", 8, "is no date"}, {"header:=x", 8, "wants the name"}, {"header:x=", 1, "wants something"},
		{"from:(subject:a)", 7, "within the parenthesis"}, {strings.Repeat("(", 50), 21, "parentheses"}, {strings.Repeat("-", 50) + "a", 21, "exclusions"},
		{strings.Repeat("a ", 101), 201, "100 terms"}, {strings.Repeat("a", 5000), 1, "4096 octets"}, {"a\xff", 1, "UTF-8"},
	} {
		_, err := ParseQuery(c.query, noon)
		e, ok := errors.AsType[*QueryError](err)
		if !ok || e.At != c.at || !strings.Contains(e.Text, c.text) {
			t.Errorf("ParseQuery(%.40q): %v; want character %d: …%s…", c.query, err, c.at, c.text)
		}
	}
}

// Who types another program's words is told ours, and the search as it would be read.
func TestParseQueryInstead(t *testing.T) {
	for query, want := range map[string]string{
		"addressed:ann": "(from:ann OR to:ann OR cc:ann OR bcc:ann)", `ä -addressed:"a b" x`: `ä -(from:"a b" OR to:"a b" OR cc:"a b" OR bcc:"a b") x`,
		"message-id:<a@b.example>": "id:<a@b.example>", "Reply-To:ann": "header:reply-to=ann", "!X-Campaign:a%db": "!header:x-campaign=a%db",
		"is:untagged": "-is:tagged", "a !IS:Untagged": "a !-is:tagged", "has:tags": "is:tagged", "label:a": "tag:a",
		"fron:ann": "", "is:new": "", "addressed:": "", "is:(untagged)": "",
	} {
		_, err := ParseQuery(query, noon)
		e, ok := errors.AsType[*QueryError](err)
		if !ok || e.instead != want || want != "" && !strings.HasSuffix(e.Text, " here") {
			t.Errorf("ParseQuery(%q): %+v; want %q in its place", query, err, want)
			continue
		}
		if _, err := ParseQuery(want, noon); err != nil {
			t.Errorf("in place of %q comes %q: %v", query, want, err)
		}
	}
}

// Whatever is typed is read or explained, at a place that is there.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"a b OR (c -d)", `subject:"x y" header:a=b`, "larger:1M after:7d", "from:(a OR b) is:unread", "((", `"`, "-!-a", "tag:x OR"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		e, err := ParseQuery(query, noon)
		if err != nil {
			q, ok := errors.AsType[*QueryError](err)
			if !ok || q.At < 1 || q.At > len([]rune(query))+1 || q.Text == "" {
				t.Fatalf("ParseQuery(%q): %v", query, err)
			}
			return
		}
		if (e.Op == Every) != (strings.TrimSpace(query) == "") {
			t.Fatalf("ParseQuery(%q) = %+v: only an empty query is every message", query, e)
		}
	})
}
