package mail_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// The suites for messages, fields and addresses; those of whole messages are in messagesuites_test.go.

const stalwart = "headers/stalwart-mail-parser/"

// suites are all, in the order of the page.
var suites = slices.Concat(messageSuites(), []suite{
	{"mime4j: content", "the decoded octets of each part, messages in messages included", decodedSuite, []reason{
		{"white space at the end of a boundary does not count (RFC 2046, 5.1.1), so the line that lacks one is it", []string{"long-boundary", "weird-boundary"}},
		{"a line with more behind the boundary is text: the boundary of a multipart inside may begin like that of the outer one", []string{"ending-boundaries"}},
		{"a multipart without its first boundary is read as text, or has one part less", []string{"missing-inner-boundary", "multipartemptypart"}},
		{"a line that is no field, with no field behind it, begins the body and is not dropped", []string{"noheader", "bad-header-separator"}},
		{"a line that is no field, with a field behind it, is passed over", []string{"malformedHeaderStartsBody-nocrlfcrlf"}},
	}},
	{"MimeKit: mbox", "each message of an mbox, by its offsets", mboxSuite, nil},
	{"MimeKit: partial", "a message out of its pieces", partialSuite, nil},
	{"mail-parser: addresses", "names and addresses", addressTable, []reason{
		{"a comment is kept as a name where there is no other, not joined to one that there is", []string{"Pete", "A Group", "Nathaniel Borenstein", "Name (comment)"}},
		{"a comment in an address is no part of it, and white space in one is none (RFC 5322, 4.4)", []string{"machine(comment)", "@node.test"}},
		{"a comment in an empty group is nobody", []string{"Hidden recipients"}},
		{"white space inside an encoded word is text", []string{"=?ISO-8859-2?Q?_b?="}},
		{"mailto: in angle brackets is read as the address that is meant", []string{"<mailto:"}},
	}},
	{"mail-parser: content types", "type and parameters", contentTypeTable, []reason{
		{"a parameter's language is not kept (RFC 2231, 5)", []string{"title*=us-ascii'en-us'", "title*0*=us-ascii'en'"}},
		{"a charset is named by the first piece alone (RFC 2231, 4.1)", []string{"versi%F3n"}},
		{"white space between encoded words is not shown (RFC 2047, 6.2)", []string{"w6k="}},
		{"a type without a subtype, or with other characters than tokens have, is none, and read as text/plain (RFC 2045, 5.2)", []string{"test/\n", "text/\n", "text/;", "text/ ;", "name=value", `want ["="]`, "á/é"}},
		{"white space in a quote that does not close is dropped", []string{"inva/lid; name"}},
		{"names of parameters that no grammar has", []string{"malicious/attempt", "test/encoded"}},
	}},
	{"mail-parser: dates", "the moment", dateTable, []reason{
		{"numbers that are no date are not made one", []string{"4 8 15 16 23 42"}},
		{"a line end is white space here, where fields are unfolded before", []string{"(invalid)\ncomment"}},
		{"a whole Received field is no date; ParseReceived finds the one in it", []string{"by 2002:"}},
		{"EST5EDT is a name of a time zone file, not of a zone", []string{"EST5EDT"}},
	}},
	{"mail-parser: identifiers", "the identifiers", idTable, nil},
	{"mail-parser: texts", "the decoded text", textTable, []reason{
		{"no space is put before an encoded word that is stuck to a word", []string{"[SUSPECTED SPAM]=?"}},
	}},
	{"mail-parser: lists of words", "the words", listTable, nil},
	{"mail-parser: Received", "hosts, address, identifier, recipient, date", receivedTable, receivedReasons},
	{"isemail", "whether it is an address (RFC 5322, obsolete forms included)", isemailSuite, []reason{
		{"controls in quoted strings, which RFC 5322, 4.1 has as obsolete, are refused", []string{"\x00", "\x7f", "\n", "\a"}},
		{"a quoted pair may be any character of UTF-8 (RFC 6532, 3.2)", []string{"©"}},
		{"a domain with a slash is no host's", []string{"iana/icann"}},
	}},
	{"EmailValidator", "whether it is an address", eguliasSuite, []reason{
		{"a quoted pair outside of quotes is none", []string{"fab\\\\ ien", `fab\ ien`}},
		{"quoted words with dots between them are the obsolete form of RFC 5322, 4.4", []string{`"test".`}},
		{"any character beyond ASCII may be in a local part (RFC 6532, 3.2)", []string{"║"}},
	}},
}, reportSuites)

// receivedReasons explain where Received fields are read otherwise.
var receivedReasons = []reason{
	{"a year of two digits, a zone's name and the order of ctime are read as people mean them; the table has other years or drops the zone", []string{"Feb 07 10:18:12 2003", "26 Mar 03", "Sep 14 14:36:56 EDT 2018", "14:22:21 PST", "27 Feb 04", "Nov 13 14:50:12 2005", "Nov 13 15:38:52 2005", "08:15:21 PDT"}},
	{"a slash is part of an identifier", []string{" id EE/20", " id 8B/57", " id 52/92"}},
	{"an IPv4 address in IPv6's form is one of IPv4", []string{"::ffff:"}},
	{"names are kept as they stand, addresses and ports with them", []string{"[10.128.128.81]:50999", "Unknown/Local"}},
	{"nothing is taken out of a comment that is not about the sending host", []string{"(qmail ", "from userid"}},
	{"the first of two clauses of one name counts", []string{"by alpha by uid"}},
	{"what is behind the date is not read", []string{"for <asrg@ietf.org>\n"}},
	{"an underscore instead of white space is one", []string{"_ by testintranator"}},
	{"fractions of a second are passed over", []string{"07:53:55.516"}},
	{"<address> is a recipient without a domain", []string{"for <address>"}},
}

func addressTable(t *testing.T, dir string, s *scores) {
	var rows []struct {
		Header   string
		Expected json.RawMessage
	}
	readJSON(t, filepath.Join(dir, stalwart, "address.json"), &rows)
	type pair struct{ Name, Address string } // null is ""
	for _, row := range rows {
		var want struct {
			List  []pair
			Group []struct{ Addresses []pair }
		}
		json.Unmarshal(row.Expected, &want) // null is an empty list
		for _, g := range want.Group {
			want.List = append(want.List, g.Addresses...)
		}
		var list []mail.Address
		for _, p := range want.List {
			list = append(list, mail.Address(p))
		}
		got, _ := new(mail.Parser).Addresses(row.Header)
		s.equal(row.Header, got, list)
	}
}

func contentTypeTable(t *testing.T, dir string, s *scores) {
	var rows []struct {
		Header   string
		Expected *struct {
			Type       string      `json:"c_type"`
			Subtype    *string     `json:"c_subtype"`
			Attributes [][2]string `json:"attributes"`
		}
	}
	readJSON(t, filepath.Join(dir, stalwart, "content_type.json"), &rows)
	for _, row := range rows {
		p := mail.Part{Header: mail.ParseHeader("Content-Type: " + row.Header)}
		if e := row.Expected; e != nil && (e.Type == "inline" || e.Type == "attachment") {
			p := mail.Part{Header: mail.ParseHeader("Content-Disposition: " + row.Header)}
			got, want := []string{p.Disposition()}, []string{e.Type}
			for _, a := range e.Attributes {
				got, want = append(got, p.Name()), append(want, a[1])
			}
			s.equal(row.Header, got, want)
			continue
		}
		if row.Expected == nil {
			s.equal(row.Header, p.Type(), "text/plain")
			continue
		}
		got, want := []string{p.Type()}, []string{strings.ToLower(row.Expected.Type)}
		if row.Expected.Subtype != nil {
			want[0] += "/" + strings.ToLower(*row.Expected.Subtype)
		}
		for _, a := range row.Expected.Attributes {
			got, want = append(got, p.Param(a[0])), append(want, a[1])
		}
		s.equal(row.Header, got, want)
	}
}

// A dateRow is a date as the tables have it.
type dateRow struct {
	Year, Month, Day, Hour, Minute, Second int
	Before                                 bool `json:"tz_before_gmt"`
	TZHour                                 int  `json:"tz_hour"`
	TZMinute                               int  `json:"tz_minute"`
}

func (e *dateRow) time() time.Time {
	if e == nil {
		return time.Time{}
	}
	offset := (e.TZHour*60 + e.TZMinute) * 60
	if e.Before {
		offset = -offset
	}
	return time.Date(e.Year, time.Month(e.Month), e.Day, e.Hour, e.Minute, e.Second, 0, time.FixedZone("", offset)).UTC()
}

func dateTable(t *testing.T, dir string, s *scores) {
	var rows []struct {
		Header   string
		Expected *dateRow
	}
	readJSON(t, filepath.Join(dir, stalwart, "date.json"), &rows)
	for _, row := range rows {
		got, _ := mail.ParseDate(row.Header) // with an error it is the zero time
		s.equal(row.Header, got.UTC(), row.Expected.time())
	}
}

func idTable(t *testing.T, dir string, s *scores) {
	var rows []struct {
		Header   string
		Expected json.RawMessage
	}
	readJSON(t, filepath.Join(dir, stalwart, "id.json"), &rows)
	for _, row := range rows {
		var want []string
		if json.Unmarshal(row.Expected, &want) != nil {
			want = make([]string, 1)
			json.Unmarshal(row.Expected, &want[0])
		}
		s.equal(row.Header, parsed(t, "References: "+row.Header+"\n").References, want)
	}
}

func textTable(t *testing.T, dir string, s *scores) {
	var rows []struct{ Header, Expected string }
	readJSON(t, filepath.Join(dir, stalwart, "unstructured.json"), &rows)
	for _, row := range rows {
		h := mail.ParseHeader("X: " + row.Header)
		s.equal(row.Header, strings.Fields(h.Text("X")), strings.Fields(row.Expected))
	}
}

func listTable(t *testing.T, dir string, s *scores) {
	var rows []struct {
		Header   string
		Expected []string
	}
	readJSON(t, filepath.Join(dir, stalwart, "list.json"), &rows)
	for _, row := range rows {
		var got []string
		h := mail.ParseHeader("Keywords: " + row.Header)
		for word := range strings.SplitSeq(h.Text("Keywords"), ",") {
			if word = strings.Join(strings.Fields(word), " "); word != "" {
				got = append(got, word)
			}
		}
		s.equal(row.Header, got, row.Expected)
	}
}

func receivedTable(t *testing.T, dir string, s *scores) {
	type host struct{ Name, IPAddr string }
	var rows []struct {
		Header   string
		Expected *struct {
			From, By, Helo host
			IP             string `json:"from_ip"`
			For            string `json:"for_"`
			ID             string
			Date           *dateRow
		}
	}
	readJSON(t, filepath.Join(dir, stalwart, "received.json"), &rows)
	name := func(got string, want host) (string, string) {
		if want == (host{}) {
			return "", "" // where the table has nothing there may be something
		}
		return strings.ToLower(strings.Trim(got, "[]")), strings.ToLower(want.Name + want.IPAddr)
	}
	for _, row := range rows {
		e, r := row.Expected, mail.ParseReceived(row.Header)
		got, want := []string{r.ID, r.For}, []string{e.ID, e.For}
		for _, one := range []struct {
			got  string
			want host
		}{{r.From, e.From}, {r.By, e.By}, {r.Hello, e.Helo}} {
			g, w := name(one.got, one.want)
			got, want = append(got, g), append(want, w)
		}
		if e.IP != "" {
			got, want = append(got, r.IP.String()), append(want, e.IP)
		}
		if e.Date != nil {
			got, want = append(got, r.Date.UTC().String()), append(want, e.Date.time().String())
		}
		s.equal(row.Header, got, want)
	}
}

func isemailSuite(t *testing.T, dir string, s *scores) {
	var table struct {
		Cases []struct {
			Address string
			Valid   bool `json:"header_addr_spec_valid"`
		}
	}
	readJSON(t, filepath.Join(dir, "addresses/isemail/cases.json"), &table)
	for _, one := range table.Cases {
		_, err := mail.ParseAddress(one.Address)
		s.equal(one.Address, err == nil, one.Valid)
	}
}

func eguliasSuite(t *testing.T, dir string, s *scores) {
	var table struct{ Valid, Invalid []json.RawMessage }
	readJSON(t, filepath.Join(dir, "addresses/egulias/cases.json"), &table)
	for i, raw := range slices.Concat(table.Valid, table.Invalid) {
		var address string
		if json.Unmarshal(raw, &address) != nil {
			var o struct{ Address string }
			json.Unmarshal(raw, &o)
			address = o.Address
		}
		_, err := mail.ParseAddress(address)
		s.equal(address, err == nil, i < len(table.Valid))
	}
}

// parsed parses a message.
func parsed(t *testing.T, raw string) *mail.Message {
	t.Helper()
	m, err := mail.Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mboxSuite(t *testing.T, dir string, s *scores) {
	dir = filepath.Join(dir, "mime", "mimekit", "mbox")
	for _, name := range []string{"content-length", "issue1189"} {
		raw := readFile(t, dir, name+".mbox.txt")
		var want []struct{ BeginOffset, EndOffset int }
		readJSON(t, filepath.Join(dir, name+".unix-offsets.json"), &want)
		i := 0
		for m, err := range mail.Mbox(bytes.NewReader(raw)) {
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(m)
			if err != nil || i == len(want) {
				t.Fatalf("%s: message %d: %v", name, i+1, err)
			}
			text := strings.ReplaceAll(string(raw[want[i].BeginOffset:want[i].EndOffset]), "\n>From ", "\nFrom ") // quoted
			s.equal(fmt.Sprintf("%s %d", name, i+1), strings.Trim(string(got), "\n"), strings.Trim(text, "\n"))
			i++
		}
	}
	for name, want := range map[string]int{"simple": 3, "unmunged": 2} {
		n := 0
		for range mail.Mbox(bytes.NewReader(readFile(t, dir, name+".mbox.txt"))) {
			n++
		}
		s.equal(name, n, want)
	}
}
