package mail

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
)

// The tables of fields that other projects test their parsers with. What is not agreed on is logged with the reason to
// be found in the log; the counts must not fall.

// check logs the count and fails if it is less than what was reached.
func (c *tally) check(t *testing.T, what string, reached int) {
	t.Helper()
	t.Logf("%s: %d of %d", what, c.agreed, c.of)
	if c.agreed < reached {
		t.Errorf("%s: it was %d", what, reached)
	}
}

const stalwart = "headers/stalwart-mail-parser"

func TestAddressTable(t *testing.T) {
	var rows []struct {
		Header   string          `json:"header"`
		Expected json.RawMessage `json:"expected"`
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "address.json"), &rows)
	type pair struct{ Name, Address *string }
	var c tally
	for _, row := range rows {
		var want struct {
			List  []pair
			Group []struct{ Addresses []pair }
		}
		json.Unmarshal(row.Expected, &want) // null is an empty list
		for _, g := range want.Group {
			want.List = append(want.List, g.Addresses...)
		}
		var w []Address
		for _, p := range want.List {
			var a Address
			if p.Name != nil {
				a.Name = *p.Name
			}
			if p.Address != nil {
				a.Address = *p.Address
			}
			w = append(w, a)
		}
		got, _ := new(Parser).Addresses(row.Header)
		ok := slices.Equal(got, w)
		c.add(ok)
		if !ok {
			t.Logf("%q:\n got %q\nwant %q", row.Header, got, w)
		}
	}
	c.check(t, "addresses", 42)
}

// A dateRow is a date as the tables have it.
type dateRow struct {
	Year, Month, Day, Hour, Minute, Second int
	Before                                 bool `json:"tz_before_gmt"`
	TZHour                                 int  `json:"tz_hour"`
	TZMinute                               int  `json:"tz_minute"`
}

func (e *dateRow) time() time.Time {
	offset := (e.TZHour*60 + e.TZMinute) * 60
	if e.Before {
		offset = -offset
	}
	return time.Date(e.Year, time.Month(e.Month), e.Day, e.Hour, e.Minute, e.Second, 0, time.FixedZone("", offset))
}

func TestDateTable(t *testing.T) {
	var rows []struct {
		Header   string `json:"header"`
		Expected *dateRow
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "date.json"), &rows)
	var c tally
	for _, row := range rows {
		got, ok := parseDate(row.Header)
		if row.Expected == nil {
			c.add(!ok)
			if ok {
				t.Logf("%q: got %v, want none", row.Header, got)
			}
			continue
		}
		want := row.Expected.time()
		c.add(got.Equal(want))
		if !got.Equal(want) {
			t.Logf("%q: got %v, want %v", row.Header, got, want)
		}
	}
	c.check(t, "dates", 36)
}

func TestContentTypeTable(t *testing.T) {
	var rows []struct {
		Header   string `json:"header"`
		Expected *struct {
			Type       string      `json:"c_type"`
			Subtype    *string     `json:"c_subtype"`
			Attributes [][2]string `json:"attributes"`
		} `json:"expected"`
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "content_type.json"), &rows)
	var c tally
	for _, row := range rows {
		l := new(Parser).params(row.Header, nil)
		if row.Expected == nil {
			major, minor, _ := strings.Cut(l.value, "/")
			ok := major == "" || minor == "" // what is read as text/plain
			c.add(ok)
			if !ok {
				t.Logf("%q: got %q, want none", row.Header, l.value)
			}
			continue
		}
		want := row.Expected.Type
		if row.Expected.Subtype != nil {
			want += "/" + *row.Expected.Subtype
		}
		ok := l.value == strings.ToLower(want)
		for _, a := range row.Expected.Attributes {
			ok = ok && l.get(strings.ToLower(a[0])) == a[1]
		}
		c.add(ok)
		if !ok {
			t.Logf("%q:\n got %q %q\nwant %q %q", row.Header, l.value, l.params, want, row.Expected.Attributes)
		}
	}
	c.check(t, "content types", 91)
}

func TestTextTable(t *testing.T) {
	var rows []struct {
		Header, Expected string
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "unstructured.json"), &rows)
	var c tally
	for _, row := range rows {
		h := ParseHeader("X: " + row.Header)
		got, want := h.Text("X"), row.Expected
		ok := strings.Join(strings.Fields(got), " ") == strings.Join(strings.Fields(want), " ")
		c.add(ok)
		if !ok {
			t.Logf("%q:\n got %q\nwant %q", row.Header, got, want)
		}
	}
	c.check(t, "texts", 27)
}

func TestIDTable(t *testing.T) {
	var rows []struct {
		Header   string
		Expected json.RawMessage
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "id.json"), &rows)
	var c tally
	for _, row := range rows {
		var want []string
		if json.Unmarshal(row.Expected, &want) != nil {
			var one string
			json.Unmarshal(row.Expected, &one)
			want = []string{one}
		}
		h := ParseHeader("X: " + row.Header)
		got := parseIDs(h.fields[0].body)
		c.add(slices.Equal(got, want))
		if !slices.Equal(got, want) {
			t.Logf("%q: got %q, want %q", row.Header, got, want)
		}
	}
	c.check(t, "ids", 11)
}

func TestAddressValidity(t *testing.T) {
	root := peers.Corpora(t)
	var isemail struct {
		Cases []struct {
			Address, Diagnosis string
			Valid              bool `json:"header_addr_spec_valid"`
		}
	}
	readJSON(t, filepath.Join(root, "addresses/isemail/cases.json"), &isemail)
	var c tally
	for _, one := range isemail.Cases {
		_, err := ParseAddress(one.Address)
		c.add((err == nil) == one.Valid)
		if (err == nil) != one.Valid {
			t.Logf("isemail %q (%s): got %v, want valid %v", one.Address, one.Diagnosis, err, one.Valid)
		}
	}
	c.check(t, "isemail", 156)
	var egulias struct {
		Valid   []json.RawMessage
		Invalid []json.RawMessage
	}
	readJSON(t, filepath.Join(root, "addresses/egulias/cases.json"), &egulias)
	c = tally{}
	for i, raw := range slices.Concat(egulias.Valid, egulias.Invalid) {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			var o struct{ Address string }
			json.Unmarshal(raw, &o)
			s = o.Address
		}
		want := i < len(egulias.Valid)
		_, err := ParseAddress(s)
		c.add((err == nil) == want)
		if (err == nil) != want {
			t.Logf("egulias %q: got %v, want valid %v", s, err, want)
		}
	}
	c.check(t, "egulias", 43)
}

func TestReceivedTable(t *testing.T) {
	type host struct {
		Name, IPAddr string `json:",omitempty"`
	}
	var rows []struct {
		Header   string
		Expected *struct {
			From, By, Helo *host
			IP             string `json:"from_ip"`
			For            string `json:"for_"`
			With, ID       string
			Date           *dateRow
		}
	}
	readJSON(t, filepath.Join(peers.Corpora(t), stalwart, "received.json"), &rows)
	var c tally
	for _, row := range rows {
		e, r := row.Expected, ParseReceived(row.Header)
		why := ""
		check := func(what, got, want string) {
			if !strings.EqualFold(got, want) && why == "" {
				why = what + ": got " + got + ", want " + want
			}
		}
		name := func(h *host) string {
			if h == nil {
				return ""
			}
			return h.Name + h.IPAddr
		}
		if e != nil {
			if e.From != nil {
				check("from", strings.Trim(r.From, "[]"), name(e.From))
			}
			if e.By != nil {
				check("by", strings.Trim(r.By, "[]"), name(e.By))
			}
			if e.Helo != nil {
				check("hello", strings.Trim(r.Hello, "[]"), name(e.Helo))
			}
			if e.IP != "" {
				check("IP", r.IP.String(), e.IP)
			}
			check("id", r.ID, e.ID)
			check("for", r.For, e.For)
			if e.Date != nil && !r.Date.Equal(e.Date.time()) {
				check("date", r.Date.String(), e.Date.time().String())
			}
		}
		c.add(why == "")
		if why != "" {
			t.Logf("%q:\n %s", row.Header, why)
		}
	}
	c.check(t, "Received", 1)
}
