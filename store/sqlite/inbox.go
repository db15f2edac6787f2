package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	engine "modernc.org/sqlite"

	"github.com/postrider/postrider/inbox"
)

// The store of received messages: inbox.Store over a DB. Reading goes to the
// pool and sees what is committed; writing goes to the writer.

// An inboxStore is a DB seen as an inbox.Store. A second type, so that the methods
// of the one are not those of the other, and more stores can be put over one DB.
type inboxStore DB

// db returns the DB that s is.
func (s *inboxStore) db() *DB { return (*DB)(s) }

// wrap says whose error it is, and of which file if it is the database's, unless the
// inbox knows it by name.
func (s *inboxStore) wrap(err error) error {
	if err == nil || errors.Is(err, inbox.ErrNotFound) || errors.Is(err, ErrClosed) || strings.HasPrefix(err.Error(), "sqlite: ") {
		return err
	}
	if s.closed.Load() {
		return ErrClosed // whatever it is that they say of it who were closed
	}
	if _, ok := errors.AsType[*engine.Error](err); ok {
		return fmt.Errorf("sqlite: %s: %w", s.db().file(), err)
	}
	return fmt.Errorf("sqlite: %w", err)
}

// Add implements inbox.Store. Everything that takes time happens here, in the
// session's own goroutine: reading from the client, writing and syncing a large
// body. The writer gets what is ready to insert. When Add returns nil, the commit
// has been synced; only then may the session answer 250 (RFC 5321, 4.2.5).
func (s *inboxStore) Add(ctx context.Context, a *inbox.Arrival, msg io.Reader) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.closed.Load() {
		return "", ErrClosed
	}
	// What the client said in SIZE is a hint, no promise (RFC 1870, 6.3).
	session, lines, _ := strings.Cut(a.Session, "\n")
	if len(lines) > maxLines {
		session, lines = a.Session, ""
	}
	b, err := s.spool.receive(lines, msg, a.Envelope.Options.Size)
	if err != nil {
		return "", err
	}
	s.spool.pack(b, s.packer)
	// The writer looks at the buffer until it has answered, and not after.
	defer s.spool.release(b)
	m, err := newMessage(a, session, b)
	if err == nil {
		r := &request{message: m, done: make(chan error, 1)}
		s.writer.submit(r)
		// Not cancelled with ctx: it may be committed by now, and an error for a
		// message that was kept makes the client send it twice.
		err = <-r.done
	}
	if err != nil {
		// Nothing refers to the file: it was not committed.
		if b.file != "" {
			s.spool.remove(b.file)
		}
		return "", s.wrap(err)
	}
	return s.db().id(m.key), nil
}

// openBody asks where the body of a message is, and for it if it is in the database.
const openBody = "SELECT file, size, iif(file='', data, NULL), begins FROM message LEFT JOIN body USING (key) WHERE key=?"

// Open implements inbox.Store. A body that was in the database is a copy, and a
// file that is open outlives its name: both can be read on after a Delete. QUIRK:
// Windows refuses to remove a file that is open; the next start sweeps it away.
func (s *inboxStore) Open(ctx context.Context, id string) (inbox.Body, error) {
	key, err := s.db().key(id)
	if err != nil {
		return nil, err
	}
	var file string
	var data []byte
	var size int64
	var begins sql.NullInt64
	err = s.body.QueryRowContext(ctx, key).Scan(&file, &size, &data, &begins)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, inbox.ErrNotFound
	}
	if err == nil && file == "" {
		_, data, err = s.packer.unpack(data, begins.Int64)
		if err == nil && int64(len(data)) == size {
			return memoryBody{bytes.NewReader(data)}, nil
		}
		if err == nil {
			err = fmt.Errorf("%w: %s has %d octets of %d", ErrCorrupt, id, len(data), size)
		}
	}
	if err != nil {
		return nil, s.wrap(err)
	}
	// The row was there a moment ago; its file goes after it, never before.
	b, err := s.spool.open(file, size)
	if errors.Is(err, fs.ErrNotExist) {
		// Deleted between the two, or lost: only the row knows.
		if _, gone := s.Entry(ctx, id); gone != nil {
			return nil, gone
		}
	}
	if err != nil {
		return nil, s.wrap(err)
	}
	return b, nil
}

// columns are what scan reads, in its order. The summary may be missing, so that
// it is joined from the left. The body is not among them: no list reads it.
const columns = `m.key, m.received, m.ip, m.host, m.tls, m.user, m.sender, m.recipients, m.options, m.size, m.unread, m.tags, m.inbox,
	substr(m.session, 1, instr(m.session || char(9), char(9)) - 1),
	s.author, s.addressees, s.subject, s.date, s.zone, s.attachments, s.preview`

// summaries joins what columns wants beside m.
const summaries = " LEFT JOIN summary s ON s.key=m.key"

// scan reads the columns of one row. What was written as JSON is ours; that it
// cannot be read means damage, and is an error rather than an empty field.
func (s *inboxStore) scan(row interface{ Scan(...any) error }) (inbox.Entry, error) {
	var e inbox.Entry
	var key, received int64
	var sender, recipients, opts, tags string
	var from, to, subject, preview sql.NullString
	var date, zone, attachments sql.NullInt64
	err := row.Scan(&key, &received, &e.IP, &e.Host, &e.TLS, &e.User, &sender, &recipients, &opts, &e.Size, &e.Unread, &tags, &e.Inbox, &e.Session,
		&from, &to, &subject, &date, &zone, &attachments, &preview)
	if err != nil {
		return e, err
	}
	e.ID, e.Received = s.db().id(key), time.UnixMilli(received)
	if e.Envelope, err = envelope(sender, recipients, opts); err != nil {
		return e, err
	}
	if e.Tags, err = tagsOf(tags); err != nil {
		return e, err
	}
	// All of a summary is there or none of it, which is: it has not been indexed yet.
	if !from.Valid {
		return e, nil
	}
	e.Summary = &inbox.Summary{Subject: subject.String, Attachments: int(attachments.Int64), Preview: preview.String}
	if date.Valid {
		e.Summary.Date = time.Unix(date.Int64, 0).In(time.FixedZone("", int(zone.Int64)))
	}
	return e, errors.Join(json.Unmarshal([]byte(from.String), &e.Summary.From), json.Unmarshal([]byte(to.String), &e.Summary.To))
}

// entries runs a query for columns. An error gives no list at all: a part of one
// would look like a whole mailbox.
func (s *inboxStore) entries(ctx context.Context, query string, args ...any) ([]inbox.Entry, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap(err)
	}
	defer rows.Close()
	var list []inbox.Entry
	for rows.Next() {
		e, err := s.scan(rows)
		if err != nil {
			return nil, s.wrap(err)
		}
		list = append(list, e)
	}
	return list, s.wrap(rows.Err())
}

// Entry implements inbox.Store. The session is read here and in no list.
func (s *inboxStore) Entry(ctx context.Context, id string) (*inbox.Entry, error) {
	key, err := s.db().key(id)
	if err != nil {
		return nil, err
	}
	// As a list of one, so that there is one place that reads a row.
	list, err := s.entries(ctx, "SELECT "+columns+" FROM message m"+summaries+" WHERE m.key=?", key)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, inbox.ErrNotFound
	}
	list[0].Session, err = s.session(ctx, key)
	return &list[0], err
}

// session returns the session that brought a message, wherever its lines lie.
func (s *inboxStore) session(ctx context.Context, key int64) (string, error) {
	var session string
	var data []byte
	var begins sql.NullInt64
	err := s.read.QueryRowContext(ctx, "SELECT session, iif(begins>0, data, NULL), begins FROM message LEFT JOIN body USING (key) WHERE key=?", key).
		Scan(&session, &data, &begins)
	if errors.Is(err, sql.ErrNoRows) {
		return "", inbox.ErrNotFound // deleted in between
	}
	if err != nil || begins.Int64 <= 0 {
		return session, s.wrap(err)
	}
	lines, _, err := s.packer.unpack(data, begins.Int64)
	return session + "\n" + lines, s.wrap(err)
}

// List implements inbox.Store. Total and the page are read one after the other, so
// that mail which arrives in between is in one and not in the other: a number
// that is late by one is worth no transaction.
func (s *inboxStore) List(ctx context.Context, q inbox.Query) (*inbox.Page, error) {
	limit := min(cmp.Or(q.Limit, inbox.DefaultLimit), inbox.MaxLimit)
	in, err := spanOf(q.After, q.Before)
	if err != nil {
		return nil, err
	}
	f := s.find(q.Match)
	f.oldest = q.OldestFirst
	page := &inbox.Page{Total: s.writer.counts().messages} // known, without a condition
	var found []int64
	if q.Match.Op != inbox.Every {
		// Of the first page the count has the keys.
		if found, err = s.keys(ctx, f, span{}, max(inbox.MaxTotal, limit+1)); err != nil {
			return nil, s.wrap(err)
		}
		page.Total = min(len(found), inbox.MaxTotal)
	}
	// One more than was asked for tells whether there are more.
	if q.Match.Op == inbox.Every || q.After != "" || q.Before != "" {
		if found, err = s.keys(ctx, f, in, limit+1); err != nil {
			return nil, s.wrap(err)
		}
	}
	if !f.words.isNone() || len(f.mixed) > 0 {
		page.Unindexed = s.unindexed()
	}
	page.More = len(found) > limit
	page.Entries, err = s.entriesOf(ctx, found[:min(len(found), limit)], q.OldestFirst)
	if err != nil {
		return nil, s.wrap(err)
	}
	return page, nil
}

// entriesOf reads the entries that have these keys.
func (s *inboxStore) entriesOf(ctx context.Context, keys []int64, oldest bool) ([]inbox.Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	// Numbers of ours, written into the query: as arguments a thousand of them would each
	// be bound.
	list := make([]byte, 0, 20*len(keys))
	for i, key := range keys {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, key, 10)
	}
	order := " DESC"
	if oldest {
		order = ""
	}
	return s.entries(ctx, "SELECT "+columns+" FROM message m"+summaries+" WHERE m.key IN ("+string(list)+") ORDER BY m.key"+order)
}

// Stats implements inbox.Store. It reads no row: the writer has counted.
func (s *inboxStore) Stats(context.Context) (inbox.Stats, error) {
	n := s.writer.counts()
	return inbox.Stats{Messages: n.messages, Unread: n.unread, Bytes: n.bytes, Unindexed: s.unindexed()}, nil
}

// Tags implements inbox.Store.
func (s *inboxStore) Tags(context.Context) ([]inbox.Count, error) { return s.roll.tags(), nil }

// Inboxes implements inbox.Store. Those that have a name have an index; the one
// without is what they leave of all, so that most databases read no row.
func (s *inboxStore) Inboxes(ctx context.Context) ([]inbox.Count, error) {
	all := s.writer.counts()
	rest := inbox.Count{Messages: all.messages, Unread: all.unread}
	list, err := s.count(ctx, "SELECT inbox, count(*), sum(unread) FROM message WHERE inbox<>'' GROUP BY inbox ORDER BY inbox")
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		rest.Messages -= c.Messages
		rest.Unread -= c.Unread
	}
	// The rows may be those of a moment later.
	if rest.Messages > 0 {
		list = slices.Insert(list, 0, rest)
	}
	return list, nil
}

// count runs a query for counts.
func (s *inboxStore) count(ctx context.Context, query string) ([]inbox.Count, error) {
	rows, err := s.read.QueryContext(ctx, query)
	if err != nil {
		return nil, s.wrap(err)
	}
	defer rows.Close()
	var list []inbox.Count
	for rows.Next() {
		var c inbox.Count
		if err := rows.Scan(&c.Name, &c.Messages, &c.Unread); err != nil {
			return nil, s.wrap(err)
		}
		list = append(list, c)
	}
	return list, s.wrap(rows.Err())
}

// Update implements inbox.Store. It is lazy: that a message is unread again after
// a crash is a smaller loss than a sync for every click.
func (s *inboxStore) Update(_ context.Context, c inbox.Change, ids ...string) (int, error) {
	return s.each(true, s.keysOf(ids), func(t *transaction, key int64) (bool, error) { return t.change(key, c) })
}

// each does something to messages in one transaction, and counts those that are there.
func (s *inboxStore) each(lazy bool, keys []int64, do func(t *transaction, key int64) (there bool, err error)) (n int, err error) {
	err = s.writer.do(lazy, func(t *transaction) error {
		n = 0 // it may be done again
		for _, key := range keys {
			there, err := do(t, key)
			if err != nil {
				return err
			}
			if there {
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, s.wrap(err)
	}
	return n, nil
}

// keysOf returns the keys that ids stand for, in the order of the tree, so that
// each page is visited once. An id of another database cannot be here and is
// passed over like one that is gone.
func (s *inboxStore) keysOf(ids []string) []int64 {
	var keys []int64
	for _, id := range ids {
		if key, err := s.db().key(id); err == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Delete implements inbox.Store.
func (s *inboxStore) Delete(_ context.Context, ids ...string) (int, error) {
	keys := s.keysOf(ids)
	gone := s.roll.placed(keys)
	// Durable, not lazy: files are removed after this commit, and a row that came
	// back in a crash would have lost its bytes.
	n, err := s.each(false, keys, (*transaction).delete)
	if err != nil {
		return 0, err
	}
	// What is left in the index leads nowhere; it is no reason to say that the
	// messages are still there.
	if len(gone) > 0 {
		oldest, some := s.roll.oldest()
		if !some {
			oldest = gone[len(gone)-1].key + 1 // what comes is newer
		}
		_ = s.search.remove(gone, oldest)
	}
	return n, nil
}

// DeleteAll implements inbox.Store. What is in line behind it is kept: a message
// that arrives while somebody empties the inbox was not meant.
func (s *inboxStore) DeleteAll(context.Context) (int, error) {
	n, last := 0, int64(0)
	err := s.writer.do(false, func(t *transaction) (err error) {
		last = t.key
		n, err = t.deleteAll()
		return err
	})
	if err != nil {
		return 0, s.wrap(err)
	}
	_ = s.search.remove(nil, last+1)
	return n, nil
}

// Unindexed implements inbox.Store. Messages are indexed in the order of their
// keys, so that one key says how far that has come.
func (s *inboxStore) Unindexed(ctx context.Context, limit int) ([]inbox.Entry, error) {
	return s.entries(ctx, "SELECT "+columns+" FROM message m"+summaries+" WHERE m.key > ? ORDER BY m.key LIMIT ?", s.search.reached(), limit)
}

// unindexed counts the messages that are not in the index of words.
func (s *inboxStore) unindexed() int {
	return int(s.roll.here(span{from: s.search.reached() + 1}).GetCardinality())
}

// Index implements inbox.Store. It is lazy, as all of it can be read again from
// the messages at any time. The lock is held from before the summaries are written
// until the words are in the index: who deletes a message in between waits, and
// takes both away.
func (s *inboxStore) Index(_ context.Context, list []inbox.Indexed) error {
	if !s.db().room(50) {
		return s.wrap(errSpare) // mail stops earlier, so that this happens to what others take
	}
	s.search.mu.Lock()
	defer s.search.mu.Unlock()
	var keys []int64
	var there []*inbox.Indexed
	last := int64(0)
	// A few at a time: senders wait behind each.
	for part := range slices.Chunk(list, 100) {
		var kept []int64
		var have []*inbox.Indexed
		err := s.writer.do(true, func(t *transaction) error {
			kept, have = kept[:0], have[:0]
			for i := range part {
				// An id that is none of ours is passed over like one that is gone.
				key, err := s.db().key(part[i].ID)
				if err != nil {
					continue
				}
				last = max(last, key)
				is, err := t.summarise(key, &part[i].Summary)
				if err != nil {
					return err
				}
				if is {
					kept, have = append(kept, key), append(have, &part[i])
				}
			}
			return nil
		})
		if err != nil {
			return s.wrap(err)
		}
		keys, there = append(keys, kept...), append(there, have...)
	}
	// What was deleted a moment ago has no place.
	messages := s.roll.placed(keys)
	for i := range messages {
		for keys[i] != messages[i].key {
			keys, there = slices.Delete(keys, i, i+1), slices.Delete(there, i, i+1)
		}
	}
	if err := s.search.put(messages, there[:len(messages)], last); err != nil {
		return fmt.Errorf("sqlite: %s: %w", s.search.path, err)
	}
	return nil
}
