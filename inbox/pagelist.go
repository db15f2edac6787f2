package inbox

import (
	"context"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"
)

// The page's list: rows, and the URLs that lead from one piece of it to the
// next. What it says of a message is the sender's word, shortened and made
// harmless.

// A row is a message in the list.
type row struct {
	*Entry
	URL     string
	Who     string
	Whom    string // the envelope's first recipient, and how many more there are
	Initial string
	Hue     uint32 // of the sender's disc: one of eight
	Subject string
}

// list makes the view of a list.
func (p *page) list(r *http.Request) (*view, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	if at := param(r, "skip"); at != "" {
		if err := p.seek(r.Context(), &q, at); err != nil {
			return nil, err
		}
	}
	return p.listed(r, q)
}

// listed makes the view of what a query finds.
func (p *page) listed(r *http.Request, q Query) (*view, error) {
	// The list and its counts are read one after the other: mail that arrives between
	// them is told of by an event, and then both are read again.
	found, err := p.inbox.list(r.Context(), q)
	if err != nil {
		return nil, err
	}
	stats, err := p.inbox.Store.Stats(r.Context())
	if err != nil {
		return nil, err
	}
	v := &view{Query: strings.TrimSpace(param(r, "query")), Total: found.Total, Stats: stats, SMTP: p.inbox.SMTP, Behind: p.inbox.behind(found.Unindexed)}
	// Settings of applications ask for the two apart.
	v.Host, v.Port, _ = strings.Cut(v.SMTP, ":")
	// The page lists the newest first, from whichever end it was read.
	if q.OldestFirst {
		slices.Reverse(found.Entries)
	}
	for i := range found.Entries {
		v.Rows = append(v.Rows, rowOf(&found.Entries[i], v.Query))
	}
	if len(v.Rows) == 0 {
		return v, nil
	}
	// Beyond a bound is at least the message that it is the id of.
	if !q.OldestFirst && found.More || q.OldestFirst && q.After != "" {
		v.Older = "./" + parameters(v.Query, "before", v.Rows[len(v.Rows)-1].ID)
	}
	if q.OldestFirst && found.More || q.Before != "" {
		v.Newer = "./" + parameters(v.Query, "order", "oldest", "after", v.Rows[0].ID)
	}
	return v, nil
}

// seek moves the upper bound of a query down, so that about this part of what is
// within its bounds is left out. It goes by time, between the newest and the oldest,
// for to count them would take longer with each message; ids begin with the
// millisecond (ULID), and a bound need not be the id of a message.
func (p *page) seek(ctx context.Context, q *Query, skip string) error {
	at, err := strconv.ParseFloat(skip, 64)
	if err != nil || !(at >= 0 && at <= 1) {
		return refuse(http.StatusBadRequest, "skip is a number from 0 to 1")
	}
	end := func(oldest bool) (int64, error) {
		one := *q
		one.Limit, one.OldestFirst = 1, oldest
		found, err := p.inbox.Store.List(ctx, one)
		if err != nil || len(found.Entries) == 0 {
			return 0, err
		}
		id, err := ulid.ParseStrict(found.Entries[0].ID)
		return int64(id.Time()), err
	}
	newest, err := end(false)
	if err != nil || newest == 0 {
		return err
	}
	oldest, err := end(true)
	if err != nil {
		return err
	}
	// All of that millisecond is below the bound.
	var bound ulid.ULID
	if err := bound.SetTime(uint64(newest-int64(at*float64(newest-oldest))) + 1); err != nil {
		return err
	}
	if id := bound.String(); q.Before == "" || id < q.Before {
		q.Before = id
	}
	return nil
}

// listAround makes the view of the list beside a message: the newest, unless it is
// not among them. Then it is the first row, so that what is next to it is there.
func (p *page) listAround(r *http.Request, id string) (*view, error) {
	v, err := p.list(r)
	if err != nil || slices.ContainsFunc(v.Rows, func(r row) bool { return r.ID == id }) {
		return v, err
	}
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	// From below the message above it.
	above, err := p.inbox.Store.List(r.Context(), Query{Match: q.Match, After: id, OldestFirst: true, Limit: 1})
	if err != nil || len(above.Entries) == 0 {
		return v, err
	}
	q.Before, q.After, q.OldestFirst = above.Entries[0].ID, "", false
	around, err := p.listed(r, q)
	if err != nil || len(around.Rows) == 0 || around.Rows[0].ID != id {
		return v, err // the query does not find it
	}
	return around, nil
}

// one makes the view of a single row, for when its message has changed.
func (p *page) one(r *http.Request) (*view, error) {
	e, err := p.inbox.Store.Entry(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	// One that was not indexed yet when the row was asked for is read here and now.
	if e.Summary == nil {
		if e.Summary, err = p.inbox.summary(r.Context(), e); err != nil {
			return nil, err
		}
	}
	query := strings.TrimSpace(param(r, "query"))
	return &view{Query: query, Rows: []row{rowOf(e, query)}}, nil
}

// Filters are the searches that are one click away. Two of them say how many
// messages there are, which the head of the list would have to say anyway.
func (v *view) Filters() []tab {
	filter := func(query, label string, count int) tab {
		return tab{Name: query, Label: label, URL: "./" + parameters(query), Current: v.Query == query, Count: count}
	}
	return []tab{filter("", "All", v.Stats.Messages), filter("is:unread", "Unread", v.Stats.Unread), filter("has:attachment", "Files", 0)}
}

// places are the inboxes and tags that there are, each a search away.
type places struct{ Inboxes, Tags []tab }

// maxPlaces is how many of each are listed; who has more searches for them.
const maxPlaces = 200

// places makes the view of the menu: what can be done with all that is found, and
// what else there is to look at. It is made when it is opened, for counting takes
// longer than a list may.
func (p *page) places(r *http.Request) (*view, error) {
	v, err := p.list(r)
	if err != nil {
		return nil, err
	}
	count := func(word string, counts func(context.Context) ([]Count, error)) (out []tab, err error) {
		list, err := counts(r.Context())
		for _, c := range list[:min(len(list), maxPlaces)] {
			if c.Name == "" {
				continue // the inbox without a name: there is no word for it in a search
			}
			query := term(word+":", c.Name)
			out = append(out, tab{Name: query, Label: c.Name, URL: "./" + parameters(query), Current: v.Query == query, Count: c.Messages})
		}
		return out, err
	}
	v.Places = &places{}
	if v.Places.Inboxes, err = count("inbox", p.inbox.Store.Inboxes); err != nil {
		return nil, err
	}
	v.Places.Tags, err = count("tag", p.inbox.Store.Tags)
	return v, err
}

// term writes a condition of a search for exactly that text, after a word such as tag:.
func term(word, text string) string { return word + `"` + strings.ReplaceAll(text, `"`, "") + `"` }

// Found says how many match, as far as they are counted.
func (v *view) Found() string {
	if v.Total >= MaxTotal {
		return strconv.Itoa(MaxTotal) + "+"
	}
	return strconv.Itoa(v.Total)
}

// parameters returns the query of a URL: what was searched for, and more.
func parameters(query string, more ...string) string {
	// What is searched for goes along everywhere: it is what "back" leads to.
	values := url.Values{}
	if query != "" {
		values.Set("query", query)
	}
	for i := 0; i+1 < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// rowOf makes a row. What it says of the sender comes from the message, which
// anybody may write as they like; the envelope stands in where that says nothing.
// Whom it is for the envelope says alone: what an application sends is often all
// from one address, and told apart by who gets it. The disc helps the eye: one colour
// for one address, whatever name it gives.
func rowOf(e *Entry, query string) row {
	r := row{Entry: e, URL: "messages/" + e.ID + parameters(query)}
	address := e.Envelope.From
	if s := e.Summary; s != nil {
		r.Subject = s.Subject
		if len(s.From) > 0 {
			r.Who, address = s.From[0].Name, s.From[0].Address
		}
	}
	if r.Who = oneLine(r.Who, 200); r.Who == "" {
		r.Who = oneLine(address, 200)
	}
	if r.Who == "" {
		r.Who = "Mail system" // the null sender: a report (RFC 5321, 4.5.5)
	}
	if to := e.Envelope.To; len(to) > 0 {
		if r.Whom = oneLine(to[0].Address, 200); len(to) > 1 {
			r.Whom += " +" + strconv.Itoa(len(to)-1)
		}
	}
	// Any hash will do that is the same tomorrow.
	sum := fnv.New32a()
	sum.Write([]byte(strings.ToLower(address)))
	r.Hue = sum.Sum32() % 8
	r.Initial = "?"
	for _, c := range r.Who {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			r.Initial = string(unicode.ToUpper(c))
			break
		}
	}
	return r
}

// stamp is a time as the page has it before the script puts it into the
// reader's own zone and words.
func stamp(t time.Time) string { return t.Format("2 Jan 2006 15:04") }

// The name of a row's element, for the script.
func (r row) Element() string { return "m-" + r.ID }

// TagLinks are the tags, each with a search for it.
func (r row) TagLinks() []span {
	var out []span
	for _, tag := range r.Tags {
		out = append(out, span{tag, "./" + parameters(term("tag:", tag))})
	}
	return out
}
