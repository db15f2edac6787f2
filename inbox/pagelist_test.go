package inbox_test

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// The page's list: its rows, and where they lead.

// rows returns the ids of the rows that a page of the list has.
func rows(t *testing.T, r *running, path string) []string {
	t.Helper()
	a := r.ask("GET", path, "")
	if a.StatusCode != 200 {
		t.Fatalf("%s: %s %s", path, a.Status, a.body)
	}
	var ids []string
	for _, row := range regexp.MustCompile(`<li[^>]* data-id="([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		ids = append(ids, row[1])
	}
	return ids
}

// A row says for whom its message is: the envelope's recipient, and how many more there
// are. A name in it does not turn round what stands beside it.
func TestRowRecipients(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct {
		to   []string
		want string
	}{
		{[]string{"bob+shop@example.net"}, "to <bdi>bob+shop@example.net</bdi>"},
		{[]string{"bob@example.net", "carol@example.net"}, "to <bdi>bob@example.net +1</bdi>"},
		{[]string{"bob@example.net", "carol@example.net", "dan@example.net"}, "to <bdi>bob@example.net +2</bdi>"},
	} {
		if _, err := r.deliver(smtp.NewEnvelope("ann@example.com", c.to...), "To: list@example.org\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, who, _ := strings.Cut(r.ask("GET", "/list", "").body, `<span class="who">`)
		if who, _, _ = strings.Cut(html.UnescapeString(who), "</span></span>"); who != "<bdi>ann@example.com</bdi> <span>"+c.want {
			t.Errorf("to %q the row says %s, want %s", c.to, who, c.want)
		}
	}
}

// Beside a message is the list that it is in: a link to an old one leads to its
// neighbours too.
func TestListAround(t *testing.T) {
	r := start(t, nil)
	for range 60 {
		r.mustDeliver("Subject: apple\n\nHello\n")
	}
	r.mustDeliver("Subject: pear\n\nHello\n")
	all := rows(t, r, "/list?limit=1000")
	for _, c := range []struct {
		path string
		want []string
	}{
		{all[3], all[:50]}, {all[55], all[55:]}, {all[55] + "?query=apple", all[55:]}, {all[60], all[60:]},
		{all[55] + "?query=pear", all[:1]}, {all[55] + "?query=plum", nil}, {all[55] + "?before=" + all[50], all[51:]},
	} {
		if got := rows(t, r, "/messages/"+c.path); !slices.Equal(got, c.want) {
			t.Errorf("beside %s are %d rows, %q, want %q", c.path, len(got), got, c.want)
		}
	}
}

// skip= leads into the middle of the list by time: to more of what is older the less of it
// is left out, always in the list's order, and what is said of a part counts within it.
func TestListAt(t *testing.T) {
	r := start(t, nil)
	rows := func(query string) []string { return rows(t, r, "/list?limit=1000&"+query) }
	if got := rows("skip=0.5"); len(got) != 0 {
		t.Errorf("the middle of nothing has %q", got)
	}
	// Ids begin with the millisecond, of which there are to be several.
	first := r.mustDeliver("Subject: x\n\nHello\n")
	for n := 1; ; n++ {
		if id := r.mustDeliver("Subject: x\n\nHello\n"); n > 10 && id[:9] > first[:9] {
			break
		}
	}
	all := rows("")
	for _, c := range []struct {
		bounds string
		of     []string
	}{{"", all}, {"&before=" + all[2], all[3:]}, {"&after=" + all[len(all)-3], all[:len(all)-3]}} {
		last := c.of
		for _, at := range []string{"0", "0.1", "0.5", "0.9", "1"} {
			got := rows("skip=" + at + c.bounds)
			if len(got) == 0 || !slices.Equal(got, last[len(last)-min(len(got), len(last)):]) {
				t.Errorf("skip=%s%s: %q, want an end of %q", at, c.bounds, got, last)
			}
			if at == "0" && len(got) != len(c.of) || at == "1" && len(got) == len(c.of) {
				t.Errorf("skip=%s%s: %d of %d messages", at, c.bounds, len(got), len(c.of))
			}
			last = got
		}
	}
	for _, at := range []string{"x", "-0.1", "1.1", "NaN", "Inf"} {
		if a := r.ask("GET", "/list?skip="+at, ""); a.StatusCode != 400 || !strings.Contains(a.body, "from 0 to 1") {
			t.Errorf("skip=%s: %s %s, want 400", at, a.Status, a.body)
		}
	}
}
