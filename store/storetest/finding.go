package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/mail"
)

// What queries find: each field and each operator of the language, over messages
// that differ in what the language can tell apart.

// A sample is a message to be found: what is indexed of it, and how it came.
type sample struct {
	inbox.Indexed
	tags []string
	read bool
}

// samples are the messages, oldest first.
func samples() []sample {
	at := func(name, address string) []mail.Address { return []mail.Address{{Name: name, Address: address}} }
	return []sample{
		0: {Indexed: inbox.Indexed{Size: 100, Words: inbox.Words{From: at("Änn Bell", "ann@example.com"), To: at("Bob", "bob@shop.example.net"),
			Subject: "Minutes of March", Body: "Dear Bob, all is well.", ID: "<one@mail.example.com>", IP: "127.0.0.1",
			Header: mail.Fields("X-Campaign", "Spring sale", "List-Id", "<news.example.com>")}}},
		1: {Indexed: inbox.Indexed{Size: 5_000, Words: inbox.Words{From: at("", "shop@example.org"), To: at("", "carol@example.net"),
			Cc: at("Dan", "dan@example.net"), Subject: "Invoice 4711", Body: "Please pay: 100% of it", User: "app-1", IP: "192.0.2.7",
			Header: mail.Fields("X-Campaign", "autumn")}, Summary: inbox.Summary{Attachments: 1}}, tags: []string{"Billing", "to do"}},
		2: {Indexed: inbox.Indexed{Size: 5_001, Words: inbox.Words{From: at("会議室", "room@example.jp"), To: at("", "bob@shop.example.net"),
			Bcc: at("", "secret@example.net"), Subject: "明日の会議について", Body: "資料を送ります", IP: "2001:db8::7"}}, read: true},
		3: {Indexed: inbox.Indexed{Size: 2_000_000, Words: inbox.Words{From: at("Ann", "ann@example.com"), To: at("", "bob@shop.example.net"),
			Subject: "Minutes of April", Body: "Grüße an alle. invoices follow", Inbox: "shop"}}, tags: []string{"billing"}},
	}
}

// addSamples keeps and indexes them.
func addSamples(t *testing.T, s inbox.Store) []string {
	t.Helper()
	ctx := context.Background()
	var ids []string
	var list []inbox.Indexed
	for _, x := range samples() {
		a := arrival()
		a.Inbox = x.Words.Inbox
		id := add(t, s, a, strings.NewReader(strings.Repeat("x", int(x.Size))))
		if x.tags != nil {
			if _, err := s.Update(ctx, inbox.Change{Tags: &x.tags}, id); err != nil {
				t.Fatal(err)
			}
		}
		if unread := !x.read; x.read {
			if _, err := s.Update(ctx, inbox.Change{Unread: &unread}, id); err != nil {
				t.Fatal(err)
			}
		}
		x.ID = id
		ids, list = append(ids, id), append(list, x.Indexed)
	}
	if err := s.Index(ctx, list); err != nil {
		t.Fatalf("Index: %v", err)
	}
	return ids
}

// parse reads a query that is one.
func parse(t testing.TB, query string) inbox.Expr {
	t.Helper()
	e, err := inbox.ParseQuery(query, time.Now())
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return e
}

// finds wants a query to find the messages with these numbers.
func finds(t *testing.T, s inbox.Store, ids []string, query string, want ...int) {
	t.Helper()
	var wantIDs []string
	for _, i := range want {
		wantIDs = append(wantIDs, ids[i])
	}
	got, page := list(t, s, inbox.Query{Match: parse(t, query), OldestFirst: true})
	if !slices.Equal(got, wantIDs) || page.Total != len(want) {
		numbers := []int{}
		for _, id := range got {
			numbers = append(numbers, slices.Index(ids, id))
		}
		t.Errorf("%s finds %v, total %d; want %v", query, numbers, page.Total, want)
	}
}

// Each field, each operator, and what must be no pattern and no language.
func testFind(t *testing.T, s inbox.Store) {
	ids := addSamples(t, s)
	for _, c := range []struct {
		query string
		want  []int
	}{
		{"", []int{0, 1, 2, 3}},
		{"minutes", []int{0, 3}},
		{"MINUTES april", []int{3}},
		{"minutes AND april", []int{3}},
		{`"minutes of"`, []int{0, 3}},
		{`"of minutes"`, nil},
		{"inv", []int{1, 3}},
		{"voice", []int{1}}, // a part of a word, in subjects and addresses alone
		{`"inv"`, nil},
		{`"voice"`, nil},
		{"in", nil}, // two letters are a whole word
		{"4711", []int{1}}, {"471", []int{1}}, {"711", []int{1}},
		{"grusse", nil}, {"gruße", []int{3}}, {"GRÜSSE", nil}, {"ann", []int{0, 3}}, {"änn", []int{0, 3}},
		{"会議", []int{2}}, {"議", []int{2}}, {"資料", []int{2}}, {"議会", nil}, {"subject:会議", []int{2}}, {"from:会議室", []int{2}},
		{"from:ann", []int{0, 3}}, {"from:ann@example.com", []int{0, 3}}, {"from:@example.org", []int{1}}, {"from:bob", nil},
		{"to:bob", []int{0, 2, 3}}, {"to:shop", []int{0, 2, 3}}, {"to:bob@shop.exa", []int{0, 2, 3}}, {"cc:dan", []int{1}}, {"bcc:secret", []int{2}}, {"bcc:bob", nil},
		{"subject:of", []int{0, 3}}, {"subject:(march OR 4711)", []int{0, 1}}, {"body:invoice", []int{3}}, {"body:pay", []int{1}},
		{"header:x-campaign", []int{0, 1}}, {"header:X-Campaign=spring", []int{0}}, {`header:X-Campaign="spring sale"`, []int{0}},
		{"header:X-Campaign=sale", []int{0}}, {"header:X-Campaign=spr", []int{0}}, {"header:list-id=news.example", []int{0}}, {"header:list-id=spring", nil},
		{"header:x", nil}, {"spring", nil},
		{"id:one@mail.example.com", []int{0}}, {"id:<one@mail.example.com>", []int{0}}, {"id:" + ids[2], []int{2}}, {"id:" + strings.ToLower(ids[2]), []int{2}},
		{"user:app-1", []int{1}}, {"user:app", []int{1}}, {"app-1", []int{1}}, {"user:ann", nil},
		{"ip:192.0.2.7", []int{1}}, {"ip:192.0", []int{1}}, {"ip:2001:db8::7", []int{2}}, {"ip:10", nil}, {"ip:0.2.7", nil}, {"ip:192.0.2.77", nil}, {"ip:2001:db8::", []int{2}}, {"ip:2001:0db8", nil},
		{"tag:billing", []int{1, 3}}, {"tag:BILLING", []int{1, 3}}, {`tag:"to do"`, []int{1}}, {"tag:bill", nil},
		{"is:unread", []int{0, 1, 3}}, {"is:read", []int{2}}, {"is:tagged", []int{1, 3}}, {"-is:tagged", []int{0, 2}},
		{"has:attachment", []int{1}}, {"-has:attachments", []int{0, 2, 3}},
		{"larger:5000", []int{2, 3}}, {"larger:4999", []int{1, 2, 3}}, {"smaller:5k", []int{0}}, {"smaller:5001", []int{0, 1}}, {"larger:1M", []int{3}}, {"larger:3M", nil},
		{"after:1h", []int{0, 1, 2, 3}}, {"before:1h", nil}, {"after:yesterday before:2999-01-01", []int{0, 1, 2, 3}}, {"-before:2999", nil}, {"before:9999-12-31", []int{0, 1, 2, 3}}, {"after:9999-12-31", nil}, {"after:99999d", []int{0, 1, 2, 3}},
		{"inbox:shop", []int{3}}, {"inbox:sho", nil}, {"-inbox:shop", []int{0, 1, 2}},
		{"minutes OR 4711", []int{0, 1, 3}}, {"minutes -april", []int{0}}, {"-minutes", []int{1, 2}}, {"-minutes -invoice", []int{2}},
		{"-(minutes OR 4711)", []int{2}}, {"(minutes april) OR (minutes march)", []int{0, 3}}, {"-minutes OR april", []int{1, 2, 3}},
		{"minutes is:unread", []int{0, 3}}, {"is:read OR 4711", []int{1, 2}}, {"-(is:read OR 4711)", []int{0, 3}}, {"minutes tag:billing larger:1k", []int{3}},
		{"-(minutes larger:1M)", []int{0, 1, 2}}, {"NOT NOT minutes", []int{0, 3}}, {"larger:1M OR smaller:200", []int{0, 3}},
		// More alternatives than a store would look for one by one.
		{"tag:a OR tag:b OR tag:c OR tag:d OR tag:e OR tag:f OR tag:g OR tag:h OR tag:billing", []int{1, 3}},
		{"tag:a OR tag:b OR tag:c OR tag:d OR tag:e OR tag:f OR tag:g OR (april is:unread) OR is:read", []int{2, 3}},
		{`"minutes of" -april`, []int{0}}, {`"minutes of" -"of april"`, []int{0}}, {`"minutes of" -"march of"`, []int{0, 3}}, {`bob "minutes of" -"all is well"`, []int{3}}, {`"minutes of" -minutes`, nil},
		{`("minutes of" OR 4711) -"of april"`, []int{0, 1}}, {`"minutes of" -"of april" -"all is"`, nil}, {`subject:"minutes of" -body:"an alle"`, []int{0}}, {`header:x-campaign="spring sale" -"of april"`, []int{0}}, {`"minutes o" -march`, nil}, {`minutes of -march`, []int{3}},
		{"-tag:billing", []int{0, 2}}, {"minutes -tag:billing", []int{0}}, {`-tag:billing -tag:"to do"`, []int{0, 2}}, {`tag:billing -tag:"to do"`, []int{3}}, {`tag:billing tag:"to do"`, []int{1}}, {"is:unread -tag:billing", []int{0}},
		{"-tag:billing OR april", []int{0, 2, 3}}, {"-(minutes -tag:billing)", []int{1, 2, 3}}, {"-(-tag:billing)", []int{1, 3}}, {"inbox:shop -tag:billing", nil}, {"-inbox:shop -tag:billing", []int{0, 2}}, {"-(tag:billing inbox:shop)", []int{0, 1, 2}},
		{"m_nutes", nil}, {"minut*", []int{0, 3}}, {"100%", []int{1}}, {`"' OR 1=1 --"`, nil}, {"from:ann*", []int{0, 3}}, {"min-march", nil},
		{"subject:NEAR", nil}, {"near", nil}, {"a^b", nil},
	} {
		finds(t, s, ids, c.query, c.want...)
	}
}

// A term that no parser has read may have nothing to look for; no message has that.
func testFindNothing(t *testing.T, s inbox.Store) {
	addSamples(t, s)
	for _, field := range []string{"", "subject", "ip", "id", "tag", "inbox"} {
		if got, page := list(t, s, inbox.Query{Match: inbox.Expr{Op: inbox.Is, Term: inbox.Term{Field: field, Text: "-"}}}); len(got) != 0 || page.Total != 0 {
			t.Errorf("%q without a word finds %v", field, got)
		}
	}
}

// What changes is found as it is now, and what is deleted is found no more.
func testFindChanged(t *testing.T, s inbox.Store) {
	ctx := context.Background()
	ids := addSamples(t, s)
	no, tags := false, []string{"Done"}
	if _, err := s.Update(ctx, inbox.Change{Unread: &no, Tags: &tags}, ids[1]); err != nil {
		t.Fatal(err)
	}
	finds(t, s, ids, "is:read", 1, 2)
	finds(t, s, ids, "tag:billing", 3)
	finds(t, s, ids, "tag:done", 1)
	if _, err := s.Delete(ctx, ids[3]); err != nil {
		t.Fatal(err)
	}
	finds(t, s, ids, "minutes", 0)
	finds(t, s, ids, "tag:billing")
	finds(t, s, ids, "-4711", 0, 2)
	// What has not been indexed has no words yet.
	late := adds(t, s, 1)[0]
	finds(t, s, append(ids, late), "is:unread", 0, 4)
	finds(t, s, append(ids, late), "-4711", 0, 2)
	if _, err := s.DeleteAll(ctx); err != nil {
		t.Fatal(err)
	}
	finds(t, s, ids, "minutes OR is:tagged")
	more := addSamples(t, s)
	finds(t, s, more, "minutes", 0, 3)
}

// Bounds and limits hold for what is found too.
func testFindPages(t *testing.T, s inbox.Store) {
	ids := adds(t, s, 200)
	var all []inbox.Indexed
	for i, id := range ids {
		all = append(all, inbox.Indexed{ID: id, Words: inbox.Words{Subject: fmt.Sprintf("number%d of%d", i, i%2)}})
	}
	if err := s.Index(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	// As few have one tag as can be gathered, and too many the other.
	if n, err := s.Update(context.Background(), inbox.Change{Tags: &[]string{"few"}}, ids[180:]...); err != nil || n != 20 {
		t.Fatal(n, err)
	}
	for i := 0; i < len(ids); i += 2 {
		if _, err := s.Update(context.Background(), inbox.Change{Tag: []string{"many"}}, ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got, page := list(t, s, inbox.Query{Match: parse(t, "tag:few -tag:many"), Limit: 1}); got[0] != ids[199] || page.Total != 10 {
		t.Errorf("tag:few -tag:many: %v of %d; want %v of 10", got, page.Total, ids[199:])
	}
	for _, query := range []string{"of0", "of0 is:unread", "of0 OR is:read", "-of1", "is:unread -of1", "tag:many", "of0 tag:many", "tag:many -of1", "of0 is:tagged", "is:tagged -of1"} {
		e := parse(t, query)
		got, page := list(t, s, inbox.Query{Match: e, Limit: 10})
		if want := []string{ids[198], ids[196]}; !slices.Equal(got[:2], want) || len(got) != 10 || !page.More || page.Total != 100 {
			t.Errorf("%s: %d of %d, more %v, beginning with %v; want 10 of 100 from %v", query, len(got), page.Total, page.More, got[:2], want)
		}
		got, page = list(t, s, inbox.Query{Match: e, Limit: 10, Before: ids[6]})
		if want := []string{ids[4], ids[2], ids[0]}; !slices.Equal(got, want) || page.More || page.Total != 100 {
			t.Errorf("%s before the seventh: %v of %d, more %v; want %v", query, got, page.Total, page.More, want)
		}
		got, _ = list(t, s, inbox.Query{Match: e, Limit: 1, After: ids[6], OldestFirst: true})
		if want := ids[8:9]; !slices.Equal(got, want) {
			t.Errorf("%s, the first after the seventh: %v, want %v", query, got, want)
		}
	}
}
