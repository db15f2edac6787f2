package sqlite

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// Beginnings become words where that pays: in phrases, and where something is excluded.
// What they find is the same either way, and is tested with everything else.
func TestBeginnings(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	id, err := db.Inbox().Add(t.Context(), &inbox.Arrival{Envelope: smtp.Envelope{From: "ann@example.com"}}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Inbox().Index(t.Context(), []inbox.Indexed{{ID: id, Words: inbox.Words{Subject: "order orders", From: mail.List("ann@example.com"),
		Body: "hello hellos many1 many2 many3 many4 many5 few1 few2 few3 few4"}}}); err != nil {
		t.Fatal(err)
	}
	word := func(words string, begins bool) expression {
		return expression{column: "body", words: strings.Fields(words), begins: begins}
	}
	hello, few, gone := word("hello", true), word("few", true), word("gone", true)
	for _, c := range []struct {
		e    expression
		want string
	}{
		{hello, `body:"hello"*`},
		{join("OR", hello, gone), `(body:"hello"*) OR (body:"gone"*)`},
		{word("say hello", true), `(body:"say hello") OR (body:"say hellos")`},
		{word("say hello", false), `body:"say hello"`},
		{word("say gone", true), `mark:"` + otherMark + `none"`},
		{word("hello many", true), `body:"hello many"*`},
		{word("hello few", true), `(body:"hello few1") OR (body:"hello few2") OR (body:"hello few3") OR (body:"hello few4")`},
		{word("hello Grüß", true), `body:"hello Grüß"*`}, {word("hello Ａｂ", true), `body:"hello Ａｂ"*`},
		{join("NOT", word("HELLOS", true), few), `(body:"hellos") NOT ((body:"few1") OR (body:"few2") OR (body:"few3") OR (body:"few4"))`},
		{join("NOT", hello, gone), `(body:"hello") OR (body:"hellos")`},
		{join("NOT", gone, hello), `mark:"` + otherMark + `none"`},
		{join("NOT", word("many", true), word("few1", false)), `(body:"many"*) NOT (body:"few1")`},
		{join("AND", word("few1", true), join("NOT", word("few2", true), gone)), `(body:"few1") AND (body:"few2")`},
		{join("NOT", word("few1", true), join("AND", hello, gone)), `body:"few1"`},
		{join("NOT", join("OR", expression{column: "subject", words: []string{endMark + "rder"}, begins: true}, gone), word("x", false)),
			`((subject:"` + endMark + `rder") OR (subject:"` + endMark + `rders")) NOT (body:"x")`},
	} {
		var got expression
		err := db.moment(t.Context(), func(conn *conn) (err error) {
			got, err = db.search.shards[0].words(conn, c.e)
			return err
		})
		if err != nil || got.String() != c.want {
			t.Errorf("%s becomes %s (%v), want %s", c.e, got, err, c.want)
		}
	}
}

// The ends of words are those of each word by itself, and no more than are worth it.
func TestEnds(t *testing.T) {
	const e = " " + endMark
	for text, want := range map[string]string{
		"abcde, fghi": e + "bcde" + e + "cde" + e + "ghi", "ab abc": "", "abcd会efgh": e + "bcd" + e + "fgh", "Größe": e + "röße" + e + "öße",
		strings.Repeat("a", maxEndWord+1) + " abcd": e + "bcd",
	} {
		if got := ends(text); got != want {
			t.Errorf("the ends of %q are %q, want %q", text, got, want)
		}
	}
	if got := strings.Count(ends(strings.Repeat("abcd ", maxEnds+5)), endMark); got != maxEnds {
		t.Errorf("%d ends of a long list, want %d", got, maxEnds)
	}
	if got := strings.Count(ends(strings.Repeat("a", maxEndWord)), endMark); got != maxEndWord-3 {
		t.Errorf("%d ends of the longest word, want %d", got, maxEndWord-3)
	}
}

// What is excluded is subtracted from one word of what is wanted, where there is one.
func TestWithout(t *testing.T) {
	word := func(words ...string) expression { return expression{column: "body", words: words} }
	excluded := word("x", "y")
	for _, c := range []struct {
		e    expression
		want string
	}{
		{word("a"), `(body:"a") NOT (body:"x y")`},
		{word("on", "its", "way"), `((body:"on") NOT (body:"x y")) AND (body:"on its way")`},
		{expression{words: []string{"on", "its"}, begins: true}, `(("on") NOT (body:"x y")) AND ("on its"*)`},
		{join("AND", word("on", "its"), word("a")), `(body:"on its") AND ((body:"a") NOT (body:"x y"))`},
		{join("AND", word("on", "its"), word("the", "way")), `((body:"on") NOT (body:"x y")) AND (body:"on its") AND (body:"the way")`},
		{join("OR", word("a"), word("b")), `((body:"a") OR (body:"b")) NOT (body:"x y")`},
		{join("AND", join("OR", word("a"), word("b")), word("on", "its")), `((body:"on") NOT (body:"x y")) AND ((body:"a") OR (body:"b")) AND (body:"on its")`},
		{nothing(), nothing().String()},
	} {
		before := c.e.String()
		if got := c.e.without(excluded).String(); got != c.want {
			t.Errorf("%s without %s is\n%s, want\n%s", c.e, excluded, got, c.want)
		}
		if c.e.String() != before {
			t.Errorf("%s has become %s", before, c.e)
		}
	}
}
