package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// A backlog is read in batches, which the index takes in a fraction of the time that
	// as many messages alone take. Larger ones cost more memory for their words than they
	// save time: with 1000 the process has 20 MB more.
	indexBatch  = 300
	indexOctets = 3 << 20
	// Accepting mail comes first: after a batch the indexer rests, so that a
	// stream of messages is read in few batches, not one by one. What comes alone
	// is read at once.
	indexRest = 20 * time.Millisecond
	// While much arrives the indexer takes no more than one part in busyShare of the
	// time, unless a request waits for it: what it takes is the senders'. It looks
	// each busyRest whether they have stopped. Much is what a batch of busyBatch says:
	// some 500 messages a second.
	busyBatch = 16
	busyShare = 32
	busyRest  = 200 * time.Millisecond
	// settleTime is how long a request waits for the indexer to have read what
	// was accepted before the request came.
	settleTime = 2 * time.Second
	// endTime is how long Run still reads after its end what was accepted before it: some
	// 30,000 messages. An orchestrator kills after ten seconds.
	endTime = 5 * time.Second

	previewLen = 120      // characters: what the widest list has room for
	maxWordsTo = 1000     // recipients of an envelope by whom a message is found
	indexText  = 64 << 10 // octets of a message's text that it is found by
	// Of HTML more is read, since most of it may be markup.
	indexHTML = 4 * indexText
)

// Run indexes what arrives until ctx ends, and first what was left over when
// the program last ended. What had been accepted by the time ctx ends is indexed
// too, for 5 seconds at most. Without Run messages are kept and can be read and listed,
// but not found by their words, OnMail is not called, and none is deleted by Keep.
func (in *Inbox) Run(ctx context.Context) error {
	in.setUp()
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	// Rests end with ctx, work does not: who has heard 250 is to see the message.
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endTime, giveUp) })()
	var ill trouble
	for {
		ending := ctx.Err() != nil // what was accepted before this line is read below
		before, began := in.newestID(), time.Now()
		n, more, err := in.index(work)
		// However that went: on a full disk this is what makes room.
		in.getsOn(err)
		err = cmp.Or(err, in.prune(work))
		switch {
		case ending && err != nil:
			in.logger().Warn("the end came before all mail was indexed; Run goes on with it when it is called again", "err", err)
			return nil
		case ending && !more:
			return nil
		case err != nil:
			if ill.tell(err, time.Now()) {
				in.logger().Error("indexing failed, will be tried again", "err", err)
			}
			in.rest(ctx, time.Second)
			continue
		case n >= busyBatch && in.newestID() != before:
			in.giveWay(ctx, max(busyRest, (busyShare-1)*time.Since(began)))
		case more:
		default:
			if n > 0 {
				in.rest(ctx, indexRest)
			}
			select {
			case <-ctx.Done():
			case <-in.wake:
			case <-ticker.C:
			}
		}
		if ill.over() {
			in.logger().Info("indexing goes on")
		}
	}
}

// A trouble is an error that comes again each time something is tried. It is told
// when it begins and when it becomes another one, and from then on rarely: a log that
// a broken disk fills by the second hides what else there is to be read in it.
type trouble struct {
	text string // of the error; "" is none
	told time.Time
}

const troubleEvery = 10 * time.Minute

// tell notes an error, and tells whether it is worth a line.
func (t *trouble) tell(err error, now time.Time) bool {
	if err.Error() == t.text && now.Sub(t.told) < troubleEvery {
		return false
	}
	t.text, t.told = err.Error(), now
	return true
}

// over notes that all is well, and tells whether it was not before.
func (t *trouble) over() bool {
	was := t.text != ""
	t.text = ""
	return was
}

// rest waits, but not while a request waits for the indexer, and tells whether it
// has waited to the end.
func (in *Inbox) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-in.hurry:
	case <-timer.C:
		return true
	}
	return false
}

// giveWay rests as long as messages arrive, but for d at most.
func (in *Inbox) giveWay(ctx context.Context, d time.Duration) {
	for newest := ""; d > 0 && newest != in.newestID(); d -= busyRest {
		newest = in.newestID()
		if !in.rest(ctx, busyRest) {
			return
		}
	}
}

// arrived notes a message that has been accepted, and tells whoever listens. That
// comes before the index: a page shows it at once, however much is to be read.
func (in *Inbox) arrived(id string) {
	in.setUp()
	in.mu.Lock()
	in.newest = max(in.newest, id)
	in.mu.Unlock()
	in.hub.publish(Event{Kind: EventMessage, ID: id})
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *Inbox) newestID() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.newest
}

// index reads the next few messages, and returns how many and whether there may be
// more.
func (in *Inbox) index(ctx context.Context) (n int, more bool, err error) {
	// Whatever is accepted from here on may be missing from the answer, so what is
	// known to be indexed afterwards is what was the newest before.
	newest := in.newestID()
	if newest == "" {
		if newest, err = in.leftOver(ctx); err != nil {
			return 0, false, err
		}
	}
	entries, err := in.Store.Unindexed(ctx, indexBatch)
	if err != nil {
		return 0, false, err
	}
	var list []Indexed
	tags := tagging{}
	full := len(entries) == indexBatch
	for i, octets := 0, int64(0); i < len(entries); i++ {
		e := &entries[i]
		if octets += min(e.Size, indexText); octets > indexOctets {
			entries, full = entries[:i], true
			break
		}
		x, err := in.words(ctx, e)
		switch {
		case errors.Is(err, ErrNotFound): // deleted meanwhile
		case ctx.Err() != nil:
			return 0, false, ctx.Err()
		case err != nil:
			// It cannot be read, and trying again would keep all others waiting.
			in.logger().Error("message cannot be read", "id", e.ID, "err", err)
		}
		if e.Summary == nil { // else somebody may have taken them off
			tags.add(e, x.Words.Header)
		}
		e.Summary = &x.Summary
		list = append(list, *x)
	}
	// Before the summary, which says that this has been done.
	if err := tags.put(ctx, in); err != nil {
		return 0, false, err
	}
	if err := in.Store.Index(ctx, list); err != nil {
		return 0, false, err
	}
	for i := range entries {
		// Here and not before the 250: what a log takes to write is nobody's wait.
		e := &entries[i]
		in.logger().Info("message arrived", "id", e.ID, "session", e.Session, "sender", e.Envelope.From, "recipients", len(e.Envelope.To), "size", e.Size)
		if in.OnMail != nil {
			in.OnMail(&entries[i])
		}
	}
	if full {
		newest = entries[len(entries)-1].ID // there may be more
	}
	in.settled(newest)
	return len(entries), full, nil
}

// leftOver returns the newest message that was there before this program was, and may not
// have been read by its end. Who asks waits for it as for one that has just come, and who
// waits already looks again.
func (in *Inbox) leftOver(ctx context.Context) (newest string, err error) {
	page, err := in.Store.List(ctx, Query{Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return "", err
	}
	in.mu.Lock()
	in.newest = max(in.newest, page.Entries[0].ID)
	in.mu.Unlock()
	in.hub.publish(Event{Kind: EventReset})
	return page.Entries[0].ID, nil
}

// settled notes that everything up to id is indexed.
func (in *Inbox) settled(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.known = max(in.known, id)
	close(in.moved)
	in.moved = make(chan struct{})
}

// getsOn notes whether indexing does, and if not, why.
func (in *Inbox) getsOn(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stuck = err
}

// full tells whether the index waits for room on the disk. Run tries again by itself.
func (in *Inbox) full() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return errors.Is(in.stuck, ErrFull)
}

// behind says that so many messages are not found by their words yet; "" if all are.
func (in *Inbox) behind(unindexed int) string {
	if unindexed == 0 {
		return ""
	}
	text := "The newest message is"
	if unindexed > 1 {
		text = fmt.Sprintf("The newest %d messages are", unindexed)
	}
	if text += " not found by words yet"; in.full() {
		text += ": there is no room left on the disk for the index, which goes on as soon as there is"
	}
	return text + "."
}

// settle waits until what was accepted before the call is indexed, for a little
// while: who has heard 250 and asks for the message must find it. It tells whether it is.
func (in *Inbox) settle(ctx context.Context) bool {
	in.setUp()
	newest := in.newestID()
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		in.mu.Lock()
		done, moved := in.known >= newest, in.moved
		in.mu.Unlock()
		if done {
			return true
		}
		select {
		case in.hurry <- struct{}{}:
		default: // it knows
		}
		select {
		case <-moved:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// summary reads a message as far as a list needs it. The summary is never nil:
// with an error comes one that knows nothing.
func (in *Inbox) summary(ctx context.Context, e *Entry) (*Summary, error) {
	x, err := in.words(ctx, e)
	return &x.Summary, err
}

// words reads what is indexed of a message. With an error comes what is known
// without reading it.
func (in *Inbox) words(ctx context.Context, e *Entry) (*Indexed, error) {
	x := &Indexed{ID: e.ID, Size: e.Size}
	b, err := in.Store.Open(ctx, e.ID)
	m := new(mail.Message)
	if err == nil {
		defer b.Close()
		parser := mail.Parser{TextBytes: indexHTML}
		var parsed *mail.Message
		if parsed, err = parser.ParseAt(b, b.Size()); parsed != nil {
			m = parsed
			x.Summary = summarise(m)
		}
	}
	x.Words = wordsOf(e, m)
	return x, err
}

// summarise takes out of a parsed message what a list shows.
func summarise(m *mail.Message) Summary {
	s := Summary{From: m.From, To: m.To, Subject: oneLine(m.Subject, 1000), Date: m.Date}
	for _, a := range m.Attachments {
		if !isInline(a, m.HTML) {
			s.Attachments++
		}
	}
	s.Preview = oneLine(bodyText(m, 8*previewLen), previewLen)
	return s
}

// isInline tells whether an attachment is a picture that the HTML shows, which
// nobody would call an attachment.
func isInline(a mail.Attachment, html string) bool {
	return a.CID != "" && strings.HasPrefix(a.Type, "image/") && strings.Contains(html, "cid:"+a.CID)
}

// wordsOf gathers what the terms of a query are looked for in.
func wordsOf(e *Entry, m *mail.Message) Words {
	w := Words{From: m.From, To: m.To, Cc: m.Cc, Subject: m.Subject, Body: bodyText(m, indexText), ID: m.ID, Header: m.Header,
		User: e.User, IP: e.IP, Inbox: e.Inbox}
	if e.Envelope.From != "" {
		w.From = append(slices.Clip(w.From), mail.Address{Address: e.Envelope.From})
	}
	w.Bcc = hidden(e, m)
	w.To = slices.Concat(w.To, w.Bcc)
	return w
}

// hidden returns the recipients whom no field names, among the first of them.
func hidden(e *Entry, m *mail.Message) (list []mail.Address) {
	named := map[string]bool{}
	for _, a := range slices.Concat(m.To, m.Cc) {
		named[strings.ToLower(a.Address)] = true
	}
	for _, r := range e.Envelope.To[:min(len(e.Envelope.To), maxWordsTo)] {
		if !named[strings.ToLower(r.Address)] {
			list = append(list, mail.Address{Address: r.Address})
		}
	}
	return list
}

// bodyText returns the words of a message, up to about n octets of them; some mail has
// HTML alone. It is a copy where it is cut, so that the rest is not kept.
func bodyText(m *mail.Message, n int) string {
	text := m.Text
	if text == "" {
		text = plainText(m.HTML, n)
	}
	if len(text) > n {
		text = strings.Clone(strings.ToValidUTF8(text[:n], ""))
	}
	return text
}

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
