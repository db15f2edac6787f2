package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"strings"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/smtp"
)

// Rows as the writer makes them. What can be done before the writer's turn is done
// in newMessage, by the session that waits anyway; what is left to the writer are
// inserts at the right ends of trees.

// A message is what is inserted for one arrival. The writer alone sets its key;
// until it has answered nobody else may look at it.
type message struct {
	arrival    *inbox.Arrival
	session    string // of the arrival, as far as it does not lie before the body
	body       *body
	recipients string
	options    string
	key        int64 // set by add
}

// options is the form in which an envelope's options are kept. Its names are in
// databases that exist: a field may be added, none be renamed.
type options struct {
	Mail smtp.MailOptions
	Rcpt []smtp.RcptOptions
}

// newMessage makes everything ready that does not need the writer. An error is
// the envelope's, and nothing of the message has been kept by then.
func newMessage(a *inbox.Arrival, session string, b *body) (*message, error) {
	m := &message{arrival: a, session: session, body: b}
	// Most envelopes have no options, and then nothing is encoded.
	plain := a.Envelope.Options == smtp.MailOptions{}
	list := make([]string, len(a.Envelope.To))
	for i, r := range a.Envelope.To {
		list[i] = r.Address
		plain = plain && r.Options == smtp.RcptOptions{}
	}
	// No address holds a line end (RFC 5321, 4.1.2), so that one can part them.
	m.recipients = strings.Join(list, "\n")
	if plain {
		return m, nil
	}
	opts := options{Mail: a.Envelope.Options}
	for _, r := range a.Envelope.To {
		opts.Rcpt = append(opts.Rcpt, r.Options)
	}
	text, err := json.Marshal(opts)
	m.options = string(text)
	return m, err
}

// envelope puts an envelope together again: as it was given to Add, with each
// recipient's options at the same index.
func envelope(sender, recipients, opts string) (smtp.Envelope, error) {
	env := smtp.Envelope{From: sender}
	if recipients != "" {
		for address := range strings.SplitSeq(recipients, "\n") {
			env.To = append(env.To, smtp.Recipient{Address: address})
		}
	}
	// That is: the client gave none.
	if opts == "" {
		return env, nil
	}
	var o options
	if err := json.Unmarshal([]byte(opts), &o); err != nil {
		return env, err
	}
	env.Options = o.Mail
	for i := range min(len(env.To), len(o.Rcpt)) {
		env.To[i].Options = o.Rcpt[i]
	}
	return env, nil
}

// statements are those that the writer prepares once.
type statements struct {
	begin, commit                    *stmt
	addMessage, addBody, addSummary  *stmt
	setUnread, setTags               *stmt
	tagsOf                           *stmt
	delMessage, delBody, delSummary  *stmt
	allMessages, allBodies, allSumms *stmt
}

// prepare makes them ready on the connection that writes. None of them reads a
// row that it does not change: the writer never waits for a page of old mail.
func (s *statements) prepare(c *conn) error {
	for _, p := range []struct {
		to    **stmt
		query string
	}{
		{&s.begin, "BEGIN IMMEDIATE"},
		{&s.commit, "COMMIT"},
		{&s.addMessage, "INSERT INTO message VALUES (?,?,?,?,?,?,?,?,?,?,?,1,'',?,?)"},
		{&s.addBody, "INSERT INTO body VALUES (?,?,?)"},
		// The message may have been deleted while it was being read, and a summary
		// without one would stay for good.
		{&s.addSummary, "INSERT OR REPLACE INTO summary SELECT ?,?,?,?,?,?,?,? WHERE EXISTS (SELECT 1 FROM message WHERE key=?)"},
		// Only a change is reported, so that the counts stay right.
		{&s.setUnread, "UPDATE message SET unread=? WHERE key=? AND unread<>?"},
		{&s.setTags, "UPDATE message SET tags=? WHERE key=?"},
		{&s.tagsOf, "SELECT tags FROM message WHERE key=?"},
		// What the row knew is needed for the counts, and for the file.
		{&s.delMessage, "DELETE FROM message WHERE key=? RETURNING file, unread, size, tags, inbox"},
		{&s.delBody, "DELETE FROM body WHERE key=?"},
		{&s.delSummary, "DELETE FROM summary WHERE key=?"},
		{&s.allMessages, "DELETE FROM message RETURNING file, unread, size"},
		{&s.allBodies, "DELETE FROM body"},
		{&s.allSumms, "DELETE FROM summary"},
	} {
		var err error
		if *p.to, err = c.prepare(p.query); err != nil {
			return err
		}
	}
	return nil
}

// close lets go of them; SQLite does not close a connection that has any left.
func (s *statements) close() {
	for _, p := range []*stmt{s.begin, s.commit, s.addMessage, s.addBody, s.addSummary, s.setUnread, s.setTags,
		s.tagsOf, s.delMessage, s.delBody, s.delSummary, s.allMessages, s.allBodies, s.allSumms} {
		p.Close()
	}
}

// add inserts a message under the next key. That it is counted before the body is
// inserted does no harm: an error drops the whole transaction and its counts.
func (t *transaction) add(m *message) error {
	t.key++
	m.key = t.key
	a := m.arrival
	if _, err := t.stmts.addMessage.set(m.key, a.Received.UnixMilli(), a.IP, a.Host, a.TLS, a.User, a.Envelope.From,
		m.recipients, m.options, m.body.size, m.body.file, a.Inbox, m.session).exec(); err != nil {
		return err
	}
	// What nobody has seen is unread: the schema's row says so too.
	t.messages++
	t.unread++
	t.bytes += m.body.size
	t.note(m.key, hereSet, true)
	if a.Inbox != "" {
		t.note(m.key, inboxSet+strings.ToLower(a.Inbox), true)
	}
	// The bytes are in a synced file; its name is not durable yet.
	if m.body.file != "" {
		t.newFiles = true
		if m.body.lines == 0 {
			return nil
		}
	}
	// What is short is packed here, in room that is used again for the next one.
	data := m.body.data
	if !m.body.packed {
		t.room = t.db.packer.pack(data, t.room[:0])
		data = t.room
	}
	_, err := t.stmts.addBody.set(m.key, data, int64(m.body.lines)).exec()
	return err
}

// summarise inserts the summary of a message, and tells whether it is still there.
func (t *transaction) summarise(key int64, s *inbox.Summary) (bool, error) {
	from, err := json.Marshal(s.From)
	if err != nil {
		return false, err
	}
	to, err := json.Marshal(s.To)
	if err != nil {
		return false, err
	}
	// The zone is kept because what the author saw on the clock is what readers
	// are shown in the header.
	var date, zone driver.Value
	if !s.Date.IsZero() {
		_, offset := s.Date.Zone()
		date, zone = s.Date.Unix(), int64(offset)
	}
	n, err := t.stmts.addSummary.set(key, string(from), string(to), s.Subject, date, zone, int64(s.Attachments),
		s.Preview, key).exec()
	return n > 0, err
}

// change sets what is given of a message, and tells whether it is there. Setting
// what is already set changes nothing.
func (t *transaction) change(key int64, c inbox.Change) (bool, error) {
	old := ""
	// The row is read within the transaction: what it had is what the change is made to,
	// whoever else has changed it a moment ago.
	there, err := t.stmts.tagsOf.set(key).query(func(row []driver.Value) error {
		old, _ = row[0].(string)
		return nil
	}, make([]driver.Value, 1))
	if err != nil || there == 0 {
		return false, err
	}
	if c.Unread != nil {
		unread := int64(0)
		if *c.Unread {
			unread = 1
		}
		n, err := t.stmts.setUnread.set(unread, key, unread).exec()
		if err != nil {
			return false, err
		}
		t.note(key, unreadSet, *c.Unread)
		// Plus one or minus one, if anything has changed.
		t.unread += int(n) * int(2*unread-1)
	}
	tags, err := tagsOf(old)
	if err != nil {
		return false, err
	}
	if after, other := c.Apply(tags); other {
		return true, t.tag(key, tags, after)
	}
	return true, nil
}

// tagsOf reads tags as a row keeps them.
func tagsOf(text string) (tags []string, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &tags)
	}
	return tags, err
}

// tag sets the tags of a message.
func (t *transaction) tag(key int64, before, after []string) error {
	text := ""
	if len(after) > 0 {
		b, err := json.Marshal(after)
		if err != nil {
			return err
		}
		text = string(b)
	}
	if _, err := t.stmts.setTags.set(text, key).exec(); err != nil {
		return err
	}
	// All that it had go and all that it has come: they are few, and which have stayed is
	// not worth finding out.
	t.untag(key, before)
	for _, name := range after {
		t.note(key, tagSet+strings.ToLower(name), true)
	}
	t.note(key, taggedSet, len(after) > 0)
	return nil
}

// untag takes the tags away that a message had.
func (t *transaction) untag(key int64, tags []string) {
	for _, name := range tags {
		t.note(key, tagSet+strings.ToLower(name), false)
	}
	t.note(key, taggedSet, false)
}

// delete removes one message and reports whether it was there. The rows of body
// and summary may not be: the body may be a file, the summary not made yet.
func (t *transaction) delete(key int64) (bool, error) {
	had, inbox := "", ""
	n, err := t.stmts.delMessage.set(key).query(func(row []driver.Value) error {
		had, _ = row[3].(string)
		inbox, _ = row[4].(string)
		return t.deleted(row)
	}, make([]driver.Value, 5))
	if err != nil || n == 0 {
		return false, err
	}
	tags, err := tagsOf(had)
	if err != nil {
		return false, err
	}
	t.untag(key, tags)
	for _, set := range []string{unreadSet, inboxSet + strings.ToLower(inbox), hereSet} {
		t.note(key, set, false)
	}
	_, bodyErr := t.stmts.delBody.set(key).exec()
	_, summaryErr := t.stmts.delSummary.set(key).exec()
	return true, errors.Join(bodyErr, summaryErr)
}

// deleteAll removes every message and returns how many there were.
func (t *transaction) deleteAll() (int, error) {
	n, err := t.stmts.allMessages.query(t.deleted, make([]driver.Value, 3))
	if err != nil {
		return 0, err
	}
	// Without a condition SQLite drops whole trees, page by page.
	_, bodyErr := t.stmts.allBodies.exec()
	_, summaryErr := t.stmts.allSumms.exec()
	t.note(0, hereSet, false)
	return n, errors.Join(bodyErr, summaryErr)
}

// deleted accounts for a row that is gone: its file goes when the transaction
// has been committed, never before.
func (t *transaction) deleted(row []driver.Value) error {
	if file, _ := row[0].(string); file != "" {
		t.remove = append(t.remove, file)
	}
	unread, _ := row[1].(int64)
	size, _ := row[2].(int64)
	t.unread -= int(unread)
	t.bytes -= size
	t.messages--
	return nil
}
