package inbox

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider/internal/mailjson"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// The JSON interface, under /api/v1. Names are those of docs and of package
// mailjson; an error is {"error": "what is wrong"} with the status that fits.

const (
	apiPath   = "/api/v1/"
	maxPatch  = 64 << 10
	maxUpload = 64 << 20
	maxHead   = 256 << 10 // octets of an upload that are looked at for its addresses
	// maxUnindexed is how many messages a list reads itself.
	maxUnindexed = 100
)

// apiRoutes adds the paths of the interface, each with the parameters that it knows.
// Handlers return their errors, so that there is one place that turns an error into a
// status.
func (in *Inbox) apiRoutes(mux *http.ServeMux) {
	for pattern, handler := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"GET messages?query&limit&before&after&order": in.apiList,
		"POST messages?received":                      in.apiInject,
		"PATCH messages?query&all":                    in.apiUpdateMany,
		"DELETE messages?query&all":                   in.apiDeleteMany,
		"GET messages/wait?query&after&timeout":       in.apiWait,
		"GET messages/{id}":                           in.apiMessage,
		"PATCH messages/{id}":                         in.apiUpdate,
		"DELETE messages/{id}":                        in.apiDelete,
		"GET messages/{id}/raw":                       in.apiRaw,
		"GET messages/{id}/parts/{path}":              in.apiPart,
		"GET messages/{id}/session":                   in.apiSession,
		"GET messages/{id}/checks":                    in.apiChecks,
		"POST messages/{id}/release":                  in.apiRelease,
		"POST send":                                   in.apiSend,
		"GET tags":                                    in.apiTags,
		"GET inboxes":                                 in.apiInboxes,
		"GET faults":                                  in.apiFaults,
		"PUT faults":                                  in.apiSetFaults,
		"GET events":                                  in.apiEvents,
		"GET openapi.json":                            in.apiDocument,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		path, names, _ := strings.Cut(path, "?")
		mux.HandleFunc(method+" "+apiPath+path, func(w http.ResponseWriter, r *http.Request) {
			// Nothing here is a document: should a browser show it as one, it does nothing.
			w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
			err := knownOnly(r, strings.FieldsFunc(names, func(c rune) bool { return c == '&' }))
			if err == nil {
				err = handler(w, r)
			}
			if err != nil {
				in.fail(w, r, err)
			}
		})
	}
	mux.HandleFunc(apiPath, func(w http.ResponseWriter, r *http.Request) {
		in.fail(w, r, unknown(w, r, mux))
	})
}

// knownOnly refuses a request with a parameter that is not known, or is there twice: a
// misspelt query would otherwise be none, and a second one not be looked at, and what is
// shown or deleted would be more than was meant.
func knownOnly(r *http.Request, known []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "the parameters cannot be read: %v", err)
	}
	for name, given := range values {
		if len(given) > 1 {
			return refuse(http.StatusBadRequest, "the parameter %q is there %d times", oneLine(name, 50), len(given))
		}
		if !slices.Contains(known, name) {
			return refuse(http.StatusBadRequest, "there is no parameter %q here; there are: %s", oneLine(name, 50), cmp.Or(strings.Join(known, ", "), "none"))
		}
	}
	return nil
}

// A refusal is an error that the client is told, with its status.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// statusOf says what an error is told as. What is not the client's affair stays
// here and goes to the log.
func (in *Inbox) statusOf(r *http.Request, err error) (int, string) {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e.status, e.text
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("longer than %d octets", e.Limit)
	}
	// What keeps a message answers as a session would hear it; 452 is a full disk.
	if e, ok := errors.AsType[*smtp.Error](err); ok && errors.Is(err, smtp.ErrTemporary) {
		return http.StatusInsufficientStorage, e.Text
	}
	if e, ok := errors.AsType[*QueryError](err); ok {
		return http.StatusBadRequest, e.Error()
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound, "no such message"
	case errors.Is(err, ErrFull):
		return http.StatusInsufficientStorage, "no room left on the disk"
	// Whatever failed did so because the client has gone: no news for the log.
	case r.Context().Err() != nil:
		return http.StatusServiceUnavailable, "the request was given up"
	}
	in.logger().Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	return http.StatusInternalServerError, "internal error"
}

// fail answers with an error.
func (in *Inbox) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := in.statusOf(r, err)
	answer(w, status, map[string]string{"error": text})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // it is JSON and nothing else, by its type and nosniff
	_ = e.Encode(v)        // the client may have gone
}

// A summaryJSON is a message in a list.
type summaryJSON struct {
	ID          string             `json:"id"`
	Received    string             `json:"received"` // RFC 3339
	Sender      string             `json:"sender"`
	Recipients  []string           `json:"recipients"`
	From        []mailjson.Address `json:"from"`
	To          []mailjson.Address `json:"to"`
	Subject     string             `json:"subject"`
	Date        string             `json:"date"` // RFC 3339; empty if there is none
	Preview     string             `json:"preview"`
	Size        int64              `json:"size"`
	Attachments int                `json:"attachments"`
	Unread      bool               `json:"unread"`
	Tags        []string           `json:"tags"`
	Inbox       string             `json:"inbox"`
}

// summaryOf makes the JSON of a message in a list. Lists are never null in it: a
// client may go over them without looking first.
func summaryOf(e *Entry) *summaryJSON {
	s := &summaryJSON{ID: e.ID, Received: e.Received.UTC().Format(timeFormat), Sender: e.Envelope.From, Recipients: e.recipients(),
		From: []mailjson.Address{}, To: []mailjson.Address{}, Size: e.Size, Unread: e.Unread, Tags: e.Tags, Inbox: e.Inbox}
	if s.Tags == nil {
		s.Tags = []string{}
	}
	if e.Summary == nil {
		return s
	}
	for _, a := range e.Summary.From {
		s.From = append(s.From, mailjson.Address(a))
	}
	for _, a := range e.Summary.To {
		s.To = append(s.To, mailjson.Address(a))
	}
	s.Subject, s.Preview, s.Attachments = e.Summary.Subject, e.Summary.Preview, e.Summary.Attachments
	if !e.Summary.Date.IsZero() {
		s.Date = e.Summary.Date.Format(timeFormat)
	}
	return s
}

// timeFormat is RFC 3339 with milliseconds, which tell the order of two mails.
const timeFormat = "2006-01-02T15:04:05.999Z07:00"

// recipients returns the envelope's addresses, bare.
func (a *Arrival) recipients() []string {
	list := make([]string, len(a.Envelope.To))
	for i, r := range a.Envelope.To {
		list[i] = r.Address
	}
	return list
}

// list answers a query as a page and the JSON interface have it, with summaries
// also of the newest messages that have not been indexed yet.
func (in *Inbox) list(ctx context.Context, q Query) (*Page, error) {
	// On a full disk nothing would come of waiting.
	settled := q.Match.Op == Every || !in.full() && in.settle(ctx)
	page, err := in.Store.List(ctx, q)
	if err != nil {
		return nil, err
	}
	if settled {
		page.Unindexed = 0 // these have arrived meanwhile
	}
	// One that cannot be read is listed all the same, without its summary: a single bad
	// message must not hide the others. Behind a burst of mail the indexer may be far
	// back; what a page shows first is read here and now.
	left := maxUnindexed
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Summary != nil || left == 0 {
			continue
		}
		left--
		if e.Summary, err = in.summary(ctx, e); err != nil {
			in.logger().Error("message cannot be read", "id", e.ID, "err", err)
		}
	}
	return page, nil
}

// param returns a parameter of the URL. The body of a request is never searched for any,
// as net/http would do, which keeps it on the disk then, however long it is.
func param(r *http.Request, name string) string { return r.URL.Query().Get(name) }

// queryOf reads the parameters of a list.
func queryOf(r *http.Request) (Query, error) {
	values := r.URL.Query()
	q := Query{Before: values.Get("before"), After: values.Get("after")}
	var err error
	if q.Match, err = ParseQuery(values.Get("query"), time.Now()); err != nil {
		return q, err
	}
	for _, id := range []string{q.Before, q.After} {
		if _, err := ulid.ParseStrict(id); id != "" && err != nil {
			return q, refuse(http.StatusBadRequest, "before and after are ids of messages")
		}
	}
	switch values.Get("order") {
	case "", "newest":
	case "oldest":
		q.OldestFirst = true
	default:
		return q, refuse(http.StatusBadRequest, "order is newest or oldest")
	}
	// Refused rather than made less: who asks for more would take a page for everything.
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxLimit {
			return q, refuse(http.StatusBadRequest, "limit is a number from 1 to %d", MaxLimit)
		}
		q.Limit = n
	}
	return q, nil
}

// apiList answers with a page of summaries, newest first. The cursor of the next
// page is the id of the last message, which need not exist any more when it is
// used: a page never skips or repeats what others delete or deliver meanwhile.
func (in *Inbox) apiList(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	page, err := in.list(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Messages []*summaryJSON `json:"messages"`
		Total    int            `json:"total"`
		Next     string         `json:"next"` // what before is for the page after this one, or after with the oldest first; empty on the last
		// How many of the newest messages are not found by their words yet.
		Unindexed int `json:"unindexed,omitempty"`
	}{Messages: []*summaryJSON{}, Total: page.Total, Unindexed: page.Unindexed}
	for i := range page.Entries {
		out.Messages = append(out.Messages, summaryOf(&page.Entries[i]))
	}
	// Not the first of the next page: that one may be deleted before it is asked for.
	if page.More {
		out.Next = page.Entries[len(page.Entries)-1].ID
	}
	answer(w, http.StatusOK, out)
	return nil
}

// read opens and parses a message and hands it to fn, which must not keep it.
func (in *Inbox) read(ctx context.Context, id string, fn func(b Body, m *mail.Message) error) error {
	b, err := in.Store.Open(ctx, id)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := mail.ParseAt(b, b.Size())
	if err != nil {
		return err
	}
	return fn(b, m)
}

// apiMessage answers with everything about one message but its bytes.
func (in *Inbox) apiMessage(w http.ResponseWriter, r *http.Request) error {
	j, err := in.message(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, j)
	return nil
}

// A messageJSON is all of a message: what show --json prints, and what the inbox
// knows besides.
type messageJSON struct {
	*mailjson.Message
	Unread bool     `json:"unread"`
	Tags   []string `json:"tags"`
	Inbox  string   `json:"inbox"`
	Links  []Link   `json:"links"`
	Codes  []string `json:"codes"` // what may be one-time codes, the likeliest first
}

// message returns the JSON of a message.
func (in *Inbox) message(ctx context.Context, id string) (*messageJSON, error) {
	e, err := in.Store.Entry(ctx, id)
	if err != nil {
		return nil, err
	}
	s := summaryOf(e)
	j := &messageJSON{Unread: e.Unread, Tags: s.Tags, Inbox: e.Inbox}
	// Read again each time rather than kept: few messages are asked for, and all are
	// received.
	err = in.read(ctx, e.ID, func(_ Body, m *mail.Message) error {
		j.Links, j.Codes = links(m), codes(m)
		j.Message, err = mailjson.New(m, mailjson.Options{})
		return err
	})
	if err != nil {
		return nil, err
	}
	j.ID, j.Received, j.Size = e.ID, s.Received, e.Size
	j.Session = &mailjson.Session{IP: e.IP, Host: e.Host, TLS: e.TLS, User: e.User}
	j.Envelope = &mailjson.Envelope{Sender: e.Envelope.From, Recipients: s.Recipients}
	j.Original = in.at(apiPath + "messages/" + e.ID + "/raw")
	return j, nil
}

// apiChecks answers with what the page's checks find in a message, so that a test can
// hold a template to them.
func (in *Inbox) apiChecks(w http.ResponseWriter, r *http.Request) error {
	type checkJSON struct {
		Level   string   `json:"level"` // problem, advice or good
		Title   string   `json:"title"`
		Advice  string   `json:"advice"`
		Details []string `json:"details"`
	}
	out := struct {
		Checks []checkJSON `json:"checks"`
	}{[]checkJSON{}}
	err := in.read(r.Context(), r.PathValue("id"), func(_ Body, m *mail.Message) error {
		for _, f := range check(m, true) {
			details := []string{}
			for _, d := range f.List {
				details = append(details, d.Text)
			}
			out.Checks = append(out.Checks, checkJSON{f.Level, f.Title, f.Advice, details})
		}
		return nil
	})
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, out)
	return nil
}

// decode reads a body of JSON into v. A misspelt name is an error: it would
// otherwise look as if what was asked for had been done.
func decode(w http.ResponseWriter, r *http.Request, v any, what string) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPatch))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = cmp.Or(err, errors.New("something follows it"))
	}
	if unread(err) {
		return err
	}
	return refuse(http.StatusBadRequest, "the body is JSON with %s: %s", what, jsonProblem(err))
}

// unread tells the error of a body that did not come whole from one of what it says.
func unread(err error) bool {
	_, long := errors.AsType[*http.MaxBytesError](err)
	_, slow := errors.AsType[*refusal](err)
	return long || slow
}

// jsonProblem says what is wrong with JSON in words that are not Go's.
func jsonProblem(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		article := "a"
		if e.Value == "array" || e.Value == "object" {
			article = "an"
		}
		return fmt.Sprintf("%s cannot be %s %s", cmp.Or(e.Field, "it"), article, e.Value)
	}
	if errors.Is(err, io.EOF) {
		return "it is empty"
	}
	return strings.TrimPrefix(inWords(err), "json: ")
}

// inWords says what is wrong with a message without the names of the packages that found
// it, which are nothing to who sent it.
func inWords(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "mailjson: "), "mail: ")
	return strings.Replace(text, ": mail: ", ": ", 1)
}

// document is the OpenAPI description of the interface.
//
//go:embed openapi.json
var document []byte

// apiDocument answers with the description of all this.
func (in *Inbox) apiDocument(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	// What is relative in a description is so to where it was read from (OpenAPI 3.1, 4.6).
	_, _ = w.Write(document) // the client may have gone
	return nil
}
