// Package client asks a postrider inbox, in tests above all: send mail with the
// program that is tested, and Wait for it.
//
//	inbox := client.Client{}
//	signUp("bob@example.com")
//	m, err := inbox.Wait(ctx, "to:bob@example.com subject:confirm")
//	follow(m.Links[0].URL)
//
// It speaks the inbox's JSON interface; docs/http.md describes that, and the
// language of queries.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// ErrNotFound says that there is no such message, or that none arrived in time.
var ErrNotFound = errors.New("client: no such message")

// An Error is a server's refusal: the status of its answer (RFC 9110, 15) and what it
// says of it. One of 404 is ErrNotFound.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string {
	if e.Status == http.StatusNotFound {
		return fmt.Sprintf("%v (%s)", ErrNotFound, e.Text)
	}
	return fmt.Sprintf("client: %d: %s", e.Status, e.Text)
}

// Is has errors.Is find ErrNotFound.
func (e *Error) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

const (
	defaultURL  = "http://127.0.0.1:8025"
	defaultWait = 20 * time.Second
	// waitStep is how long the server is asked to wait at a time: proxies and
	// load balancers often close what is silent for a minute.
	waitStep = 30 * time.Second
	// maxAnswer bounds what is read of an answer that is not a message's bytes.
	maxAnswer = 256 << 20
)

// A Client asks one inbox. The zero Client asks http://127.0.0.1:8025. Its methods
// may be called at the same time; fields must not change meanwhile. What the server
// refuses is an *Error.
type Client struct {
	URL      string       // of the web page; "" is http://127.0.0.1:8025
	User     string       // for an inbox with --web-auth; "" sends none
	Password string       // of User
	HTTP     *http.Client // nil is http.DefaultClient
}

// A Summary is a message in a list.
type Summary struct {
	ID         string
	Received   time.Time
	Sender     string // of the envelope
	Recipients []string
	From, To   []mail.Address
	Subject    string
	Preview    string // the first words of its text
	Size       int64
	Unread     bool
	Tags       []string
	Inbox      string
}

// A Message is all of a message but its bytes.
type Message struct {
	Summary
	IP, Host, TLS, User string         // how it came
	ReplyTo             []mail.Address `json:"reply_to"`
	Cc                  []mail.Address
	MessageID           string `json:"message_id"`
	Headers             [][2]string
	Text, HTML          string
	Attachments         []Attachment
	Links               []Link
	Codes               []string // what may be one-time codes, the likeliest first
	Defects             []string
}

// Header returns the value of the first field with a name, "" if there is none.
func (m *Message) Header(name string) string {
	for _, f := range m.Headers {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// An Attachment is a file in a message; Client.Part returns what is in it.
type Attachment struct {
	Name, Type string
	Size       int64
	CID        string
	Inline     bool
	SHA256     string
	Part       string // its path, as in 2.1
}

// A Link is a web address in a message.
type Link struct{ URL, Text string }

// A Fate is what became of a message for one recipient.
type Fate struct {
	Recipient string
	Fate      string // accepted, refused, deferred or unknown
	Host, ID  string // who took it, and as what it is queued there
	Code      int
	Enhanced  string
	Text      string
}

// Wait returns the newest message that matches a query, at once if there is one,
// or when it arrives. It waits until ctx ends, or for 20 seconds if ctx has no
// deadline; then the error is ErrNotFound.
func (c *Client) Wait(ctx context.Context, query string) (*Message, error) {
	return c.WaitAfter(ctx, query, "")
}

// WaitAfter is Wait for the first message that came after the one with an id, so
// that a test can step from one to the next.
func (c *Client) WaitAfter(ctx context.Context, query, id string) (*Message, error) {
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(defaultWait)
	}
	for {
		left := max(time.Until(until), 0)
		// The server ends first, so that its answer is heard and not only that time
		// is up.
		step := min(waitStep, left*9/10)
		asked := time.Now()
		m := new(Message)
		err := c.json(ctx, "GET", "messages/wait?"+values("query", query, "after", id, "timeout", step.String()), nil, m)
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, ErrNotFound) && time.Since(asked) < step/2:
			return nil, err // it has not waited: there is no inbox at this URL
		case errors.Is(err, ErrNotFound) && left > waitStep:
			continue
		case errors.Is(err, ErrNotFound), ctx.Err() != nil:
			return nil, fmt.Errorf("%w: none matched %q in time", ErrNotFound, query)
		}
		return nil, err
	}
}

// List returns up to 1000 messages that match a query, newest first; "" is all of
// them.
func (c *Client) List(ctx context.Context, query string) ([]Summary, error) {
	var page struct{ Messages []Summary }
	err := c.json(ctx, "GET", "messages?"+values("query", query, "limit", "1000"), nil, &page)
	return page.Messages, err
}

// All walks over all messages that match a query, oldest first, a page at a time.
// What arrives meanwhile may be among them. It waits while the server is behind with the
// words by which messages are found, as long as it gets on. An error ends the walk.
func (c *Client) All(ctx context.Context, query string) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		behind := math.MaxInt
		for after := "00000000000000000000000000"; ; {
			var page struct {
				Messages  []Summary
				Next      string
				Unindexed int
			}
			err := c.json(ctx, "GET", "messages?"+values("query", query, "after", after, "order", "oldest", "limit", "500"), nil, &page)
			if err != nil {
				yield(Summary{}, err)
				return
			}
			if page.Unindexed > 0 {
				if page.Unindexed < behind {
					behind = page.Unindexed // it has waited already, and does so again
					continue
				}
				yield(Summary{}, fmt.Errorf("client: %d messages are not found by their words yet", page.Unindexed))
				return
			}
			for _, m := range page.Messages {
				if !yield(m, nil) {
					return
				}
				after = m.ID
			}
			if page.Next == "" {
				return
			}
		}
	}
}

// Count returns how many messages match a query; "" counts all of them. Of a query
// the server counts no more than the first 1000, which is then what it returns.
func (c *Client) Count(ctx context.Context, query string) (int, error) {
	var page struct{ Total int }
	err := c.json(ctx, "GET", "messages?"+values("query", query, "limit", "1"), nil, &page)
	return page.Total, err
}

// Get returns a message, or ErrNotFound.
func (c *Client) Get(ctx context.Context, id string) (*Message, error) {
	m := new(Message)
	if err := c.json(ctx, "GET", "messages/"+url.PathEscape(id), nil, m); err != nil {
		return nil, err
	}
	return m, nil
}

// Raw returns the bytes of a message as they arrived, or ErrNotFound. The caller
// closes it.
func (c *Client) Raw(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.open(ctx, "messages/"+url.PathEscape(id)+"/raw")
}

// Part returns the decoded content of a part, or ErrNotFound. The caller closes
// it.
func (c *Client) Part(ctx context.Context, id, path string) (io.ReadCloser, error) {
	return c.open(ctx, "messages/"+url.PathEscape(id)+"/parts/"+url.PathEscape(path))
}

// Delete deletes a message, or returns ErrNotFound.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.json(ctx, "DELETE", "messages/"+url.PathEscape(id), nil, nil)
}

// DeleteFound deletes all messages that match a query and returns how many they
// were. An empty query is an error: DeleteAll empties the inbox.
func (c *Client) DeleteFound(ctx context.Context, query string) (int, error) {
	var n struct{ Deleted int }
	err := c.json(ctx, "DELETE", "messages?"+values("query", query), nil, &n)
	return n.Deleted, err
}

// DeleteAll empties the inbox and returns how many messages were in it.
func (c *Client) DeleteAll(ctx context.Context) (int, error) {
	var n struct{ Deleted int }
	err := c.json(ctx, "DELETE", "messages?all=true", nil, &n)
	return n.Deleted, err
}

// A Change is what may be changed of messages; nil fields stay as they are.
type Change struct {
	Unread *bool     `json:"unread,omitempty"`
	Tags   *[]string `json:"tags,omitempty"`  // in place of those that there are
	Tag    []string  `json:"tag,omitempty"`   // put on
	Untag  []string  `json:"untag,omitempty"` // taken away
}

// Update changes a message, or returns ErrNotFound.
func (c *Client) Update(ctx context.Context, id string, change Change) error {
	return c.put(ctx, "PATCH", "messages/"+url.PathEscape(id), change, nil)
}

// UpdateFound changes all messages that match a query, those that match no longer
// because of it included, and returns how many they were. An empty query is an error.
func (c *Client) UpdateFound(ctx context.Context, query string, change Change) (int, error) {
	var n struct{ Updated int }
	err := c.put(ctx, "PATCH", "messages?"+values("query", query), change, &n)
	return n.Updated, err
}

// Inject puts a message into the inbox without SMTP and returns its id. The
// envelope is taken from its fields. Of a message no more than 64 KiB are in memory.
func (c *Client) Inject(ctx context.Context, msg io.WriterTo) (string, error) {
	var created struct{ ID string }
	err := c.json(ctx, "POST", "messages", msg, &created)
	return created.ID, err
}

// Import puts a message into the inbox as Inject does, which arrived somewhere else
// at another time: received, or what its fields say if that is zero. What postrider
// export has put above it is taken off, and says more.
func (c *Client) Import(ctx context.Context, msg io.WriterTo, received time.Time) (string, error) {
	at := "message"
	if !received.IsZero() {
		at = received.UTC().Format(time.RFC3339Nano)
	}
	var created struct{ ID string }
	err := c.json(ctx, "POST", "messages?"+values("received", at), msg, &created)
	return created.ID, err
}

// Send has the inbox's server send a message on, through its --relay, and returns
// what became of it for each recipient. The error says that not all have accepted
// it; the fates are there all the same.
func (c *Client) Send(ctx context.Context, msg io.WriterTo) ([]Fate, error) {
	var answer struct{ Results []Fate }
	err := c.json(ctx, "POST", "send", msg, &answer)
	return answer.Results, err
}

// SetFaults has the inbox's SMTP server misbehave by rules such as "RCPT *@a.example
// 450 4.2.1 busy"; none switches them off.
func (c *Client) SetFaults(ctx context.Context, rules ...string) error {
	type fault struct {
		Rule string `json:"rule"`
	}
	body := struct {
		Faults []fault `json:"faults"`
	}{Faults: []fault{}}
	for _, rule := range rules {
		body.Faults = append(body.Faults, fault{rule})
	}
	return c.put(ctx, "PUT", "faults", body, nil)
}

// put sends a value as JSON and reads the answer into v, if there is room for one.
func (c *Client) put(ctx context.Context, method, path string, value, v any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, method, path, bytes.NewReader(text), "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return failure(resp, v)
}

// values makes the query of a URL; what is empty is left out.
func values(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v.Encode()
}

// do sends a request.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, media string) (*http.Response, error) {
	base := strings.TrimSuffix(cmp.Or(c.URL, defaultURL), "/")
	req, err := http.NewRequestWithContext(ctx, method, base+"/api/v1/"+path, body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if from, ok := body.(*io.SectionReader); ok {
		// What net/http knows by itself of bytes in memory.
		req.ContentLength = from.Size()
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(from.Outer())), nil }
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return resp, nil
}

// json sends a message, if there is one, and reads the answer into v, if there is
// room for one.
func (c *Client) json(ctx context.Context, method, path string, msg io.WriterTo, v any) error {
	var body io.Reader
	media := ""
	if msg != nil {
		// Whole, since it must have been written without an error before any of it is
		// believed to be a message; and again, if the connection turns out to be an old
		// one that the server has closed.
		var whole spool.Spool
		defer whole.Close()
		if _, err := msg.WriteTo(&whole); err != nil {
			return fmt.Errorf("client: %w", err)
		}
		body, media = io.NewSectionReader(&whole, 0, whole.Len()), "message/rfc822"
	}
	resp, err := c.do(ctx, method, path, body, media)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return failure(resp, v)
}

// failure reads an answer into v and returns the error that its status is.
func failure(resp *http.Response, v any) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("client: reading the answer: %w", err)
	}
	var problem struct{ Error string }
	if resp.StatusCode >= 300 {
		if json.Unmarshal(text, &problem) != nil || problem.Error == "" {
			problem.Error = resp.Status
		}
	}
	if v != nil && len(text) > 0 && (resp.StatusCode < 300 || resp.StatusCode == http.StatusBadGateway) {
		if err := json.Unmarshal(text, v); err != nil {
			return fmt.Errorf("client: %s: the answer is not that of an inbox: %w", resp.Request.URL.Path, err)
		}
	}
	if problem.Error != "" {
		return &Error{resp.StatusCode, problem.Error}
	}
	return nil
}

// open returns the body of an answer.
func (c *Client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, "GET", path, nil, "")
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, failure(resp, nil)
	}
	return resp.Body, nil
}
