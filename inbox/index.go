package inbox

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/mail"
)

// Indexing: reading, after the 250, what each message says of itself. Messages
// are indexed in the order in which they were kept, so that one id says how far
// it has come, after a restart too.

const (
	indexBatch = 64
	// Accepting mail comes first: after a batch the indexer rests, so that a
	// stream of messages is read in few batches, not one by one. What comes alone
	// is read at once.
	indexRest = 20 * time.Millisecond
	// busyRest is for when more arrives than a batch holds.
	busyRest = 200 * time.Millisecond
	// settleTime is how long a request waits for the indexer to have read what
	// was accepted before the request came.
	settleTime = 2 * time.Second

	previewLen = 160      // characters
	indexText  = 64 << 10 // octets of text that are decoded for the preview
)

// Run indexes what arrives until ctx ends, and first what was left over when
// the program last ended. Without it messages are kept and can be read, but
// lists show no more of them than their envelopes, and nothing is told of them
// to the page.
func (in *Inbox) Run(ctx context.Context) error {
	in.setUp()
	for {
		n, err := in.index(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			in.logger().Error("indexing failed, will be tried again", "err", err)
			in.rest(ctx, time.Second)
		case n == indexBatch:
			in.rest(ctx, busyRest)
		default:
			if n > 0 {
				in.rest(ctx, indexRest)
			}
			select {
			case <-ctx.Done():
			case <-in.wake:
			}
		}
	}
}

// rest waits, but not while a request waits for the indexer.
func (in *Inbox) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-in.hurry:
	}
}

// arrived notes a message that has been accepted.
func (in *Inbox) arrived(id string) {
	in.setUp()
	in.mu.Lock()
	in.newest = max(in.newest, id)
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// index gives the next few messages their summaries and returns how many.
func (in *Inbox) index(ctx context.Context) (int, error) {
	in.mu.Lock()
	newest := in.newest
	in.mu.Unlock()
	// Whatever is accepted from here on may be missing from the answer, so what is
	// known to be indexed afterwards is what was the newest before.
	entries, err := in.Store.Unindexed(ctx, indexBatch)
	if err != nil {
		return 0, err
	}
	read := len(entries)
	last := ""
	if read > 0 {
		last = entries[read-1].ID
	}
	list, entries, err := in.summaries(ctx, entries)
	if err != nil {
		return 0, err
	}
	if err := in.Store.Index(ctx, list); err != nil {
		return 0, err
	}
	for i := range entries {
		if in.OnMail != nil {
			in.OnMail(&entries[i])
		}
		in.hub.publish(Event{Kind: EventMessage, ID: entries[i].ID, Entry: &entries[i]})
	}
	if read == indexBatch {
		newest = last // there may be more
	}
	in.settled(newest)
	return read, nil
}

// summaries reads messages. It returns those entries that are still there, with
// their summaries.
func (in *Inbox) summaries(ctx context.Context, entries []Entry) ([]Indexed, []Entry, error) {
	var list []Indexed
	kept := entries[:0]
	for _, e := range entries {
		s, err := in.summary(ctx, &e)
		switch {
		case errors.Is(err, ErrNotFound):
			continue // deleted meanwhile
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			// It cannot be read, and trying again would keep all others waiting.
			in.logger().Error("message cannot be read", "id", e.ID, "err", err)
		}
		e.Summary = s
		list = append(list, Indexed{e.ID, *s})
		kept = append(kept, e)
	}
	return list, kept, nil
}

// settled notes that everything up to id is indexed.
func (in *Inbox) settled(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.known = max(in.known, id)
	close(in.moved)
	in.moved = make(chan struct{})
}

// settle waits until what was accepted before the call is indexed, for a little
// while: who has heard 250 and asks for the message must find it.
func (in *Inbox) settle(ctx context.Context) {
	in.setUp()
	in.mu.Lock()
	newest := in.newest
	in.mu.Unlock()
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		in.mu.Lock()
		done, moved := in.known >= newest, in.moved
		in.mu.Unlock()
		if done {
			return
		}
		select {
		case in.hurry <- struct{}{}:
		default: // it knows
		}
		select {
		case <-moved:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// summary reads a message as far as a list needs it. The summary is never nil:
// with an error comes one that knows the envelope.
func (in *Inbox) summary(ctx context.Context, e *Entry) (*Summary, error) {
	s := &Summary{}
	b, err := in.Store.Open(ctx, e.ID)
	if err == nil {
		defer b.Close()
		var m *mail.Message
		parser := mail.Parser{TextBytes: indexText}
		if m, err = parser.ParseAt(b, b.Size()); m != nil {
			*s = summarise(m)
		}
	}
	s.Search = searchText(e, s)
	return s, err
}

// summarise takes out of a parsed message what a list shows.
func summarise(m *mail.Message) Summary {
	s := Summary{From: m.From, To: m.To, Subject: oneLine(m.Subject, 1000), Date: m.Date}
	for _, a := range m.Attachments {
		if !isInline(a, m.HTML) {
			s.Attachments++
		}
	}
	// Some mail has HTML alone; its words do for a preview.
	text := m.Text
	if text == "" {
		text = plainText(m.HTML)
	}
	s.Preview = oneLine(text, previewLen)
	return s
}

// isInline tells whether an attachment is a picture that the HTML shows, which
// nobody would call an attachment.
func isInline(a mail.Attachment, html string) bool {
	return a.CID != "" && strings.HasPrefix(a.Type, "image/") && strings.Contains(html, "cid:"+a.CID)
}

// searchText is what a query's words are looked for in.
func searchText(e *Entry, s *Summary) string {
	var b strings.Builder
	add := func(text string) {
		if text != "" {
			b.WriteString(strings.ToLower(strings.ToValidUTF8(text, "\uFFFD")))
			b.WriteByte('\n')
		}
	}
	add(s.Subject)
	for _, a := range slices.Concat(s.From, s.To) {
		add(a.Name)
		add(a.Address)
	}
	add(e.Envelope.From)
	for i, r := range e.Envelope.To {
		if i == 100 {
			break // a mailing to thousands is not looked for by one of them
		}
		add(r.Address)
	}
	add(e.User)
	// The text as far as it is shown; the whole of it needs an index of words.
	add(s.Preview)
	return b.String()
}

// words splits what somebody typed into the words that a message must contain.
func words(query string) []string { return strings.Fields(strings.ToLower(query)) }

// oneLine returns the beginning of s with every run of white space as one
// space, without control characters, and no more than n characters of it.
func oneLine(s string, n int) string {
	var b strings.Builder
	space := false
	for i := 0; i < len(s) && n > 0; {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		// Invisible characters pad the previews of newsletters, and controls of
		// direction would reach beyond their own line.
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Mn) && invisible(r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
			n--
		}
		b.WriteRune(r)
		n--
	}
	return b.String()
}

// invisible tells the characters that a line of a list is better without. What
// joins letters (ZWJ, ZWNJ, combining marks) is not among them.
func invisible(r rune) bool {
	return unicode.Is(unicode.Cc, r) || r == 0x034F || r == 0x00AD || r == 0xFEFF || r == 0x200B ||
		r == 0x200E || r == 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2060 && r <= 0x2069
}

// readAll returns the bytes of a Body, no more than limit of them.
func readAll(b Body, limit int64) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(b, 0, min(b.Size(), limit)))
}
