package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postrider/postrider/inbox"
)

// The index of words. It is a database of its own beside the other: all of it can
// be made again from the messages, so it needs no sync and no backup, and what it
// costs is not paid by the transaction in which senders wait. One that is damaged
// or of another version is dropped and made anew, a batch at a time.
//
// It is FTS5 tables without contents: lists of words, in which each message has its place
// of the roll (roll.go): the numbers of those that come one after the other take one
// octet, where keys would take three to five. Words are SQLite's (unicode61: letters and digits, case and
// accents left out). What that does not find is put in beside them as words of
// another kind, told by their first character:
//
//   - a character of Chinese, Japanese or Korean is a word, as there are no spaces
//     between words; a run of them is looked for as a phrase
//   - the ends of each word of a subject and of addresses, so that voice finds
//     invoice: what begins inside a word is the beginning of one of its ends
//   - each word of a field with the field's name before it
//   - what a client's address begins with, as far as each of its words
//   - marks: that there is an attachment, and how large it is
//
// Each table, a shard, has the messages of a span of keys; when it is full the
// next one begins. FTS5 puts the whole list of a word's beginnings together before
// it gives the first row, so that in one table the first page of a search would
// cost more with every message. Here it is looked for in the newest shard, then
// the one before, until there is enough.

const (
	searchName = "search.db"
	// searchVersion changes with the tables and with what is written into them.
	searchVersion = 6
	// shardSize is how many messages are put into a shard. Of more, a common
	// beginning takes too long in each; of fewer, there are too many to ask for a
	// word that is rare.
	shardSize = 16384
)

const searchSchema = `
CREATE TABLE shard (first INTEGER PRIMARY KEY, messages INTEGER NOT NULL) STRICT; -- has the messages from this key up to the next shard
CREATE TABLE progress (one INTEGER PRIMARY KEY CHECK (one=1), key INTEGER NOT NULL) STRICT; -- all up to this one are in it
INSERT INTO progress VALUES (1, 0);
CREATE TABLE placed (place INTEGER PRIMARY KEY, key INTEGER NOT NULL) STRICT; -- the messages that are in it
`

// maxPlace is how far places may have come when the index is opened: of an index that is
// made anew they begin at the first. As many again may be given before that.
const maxPlace = math.MaxUint32 / 2

// newShard makes the shard that begins with a key, and beside it the table that
// tells its words (FTS5's vocabulary, which keeps nothing of its own). What is
// merged is merged later and at once rather than often, as a backlog comes in large
// batches, and memory for these is lent. The column with the most words comes first:
// every list of places in another says in two octets in which.
func newShard(first int64) string {
	x := shard{first: first}
	t := x.table()
	return `CREATE VIRTUAL TABLE ` + t + ` USING fts5(body, subject, author, addressee, cc, bcc, header, id, user, ip, mark,
		content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
		INSERT INTO ` + t + `(` + t + `, rank) VALUES ('automerge', 8), ('hashsize', 16777216);
		CREATE VIRTUAL TABLE ` + x.vocabulary() + ` USING fts5vocab(` + t + `, instance);
		INSERT INTO shard VALUES (` + strconv.FormatInt(first, 10) + `, 0);`
}

// A shard is one table of the index.
type shard struct {
	first    int64 // the key that it begins with
	messages int   // put into it, those deleted since included
}

func (s shard) table() string { return "words" + strconv.FormatInt(s.first, 10) }

// A pen is the connection that writes the index, with its statements.
type pen struct {
	conn                *conn
	begin, commit, move *stmt
	place, leave        *stmt     // of placed
	added               additions // of the newest shard, or the one that was last needed
}

// A search is the index; mu guards its pen, and the order of what is done here and to
// the messages.
type search struct {
	path string
	mu   sync.Mutex
	pen
	key     atomic.Int64 // of progress; set with mu held, and read without it, as to index takes a while
	size    int          // of a shard
	roll    *roll
	answers answers
	full    string // a shard that is being tidied; "" if none is

	// Who reads holds the lock of shards until it has read: none is dropped
	// meanwhile. They ascend, there is always one, and they change with mu held too.
	reading sync.RWMutex
	shards  []shard
}

// openSearch opens the index in dir, or makes a new one if there is none that can
// be used.
func openSearch(ctx context.Context, dir string) (*search, error) {
	path := filepath.Join(dir, searchName)
	s, err := trySearch(ctx, path)
	if err == nil {
		return s, nil
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return trySearch(ctx, path)
}

func trySearch(ctx context.Context, path string) (_ *search, err error) {
	// Mail is read by its owner alone, and so are its words.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	s := &search{path: path, size: shardSize}
	if s.conn, err = connect(ctx, path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	made, err := s.conn.integer("PRAGMA user_version")
	if err != nil {
		return nil, err
	}
	if err := s.conn.exec("PRAGMA journal_mode=wal"); err != nil {
		return nil, err
	}
	if made == 0 {
		err = s.conn.exec("BEGIN IMMEDIATE; " + searchSchema + newShard(0) + "PRAGMA user_version=" + strconv.Itoa(searchVersion) + "; COMMIT")
	} else if made != searchVersion {
		err = errors.New("sqlite: an index of another version")
	}
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	key, err := s.conn.integer("SELECT key FROM progress")
	if err != nil {
		return nil, err
	}
	s.key.Store(key)
	if last, err := s.conn.integer("SELECT max(place) FROM placed"); err != nil || last > maxPlace {
		return nil, errors.Join(err, errors.New("sqlite: an index whose places are used up"))
	}
	return s, s.readShards()
}

// prepare makes a connection ready.
func (p *pen) prepare() (err error) {
	if err := p.conn.exec("PRAGMA synchronous=normal; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-4000; PRAGMA temp_store=memory"); err != nil {
		return err
	}
	for _, x := range []struct {
		to    **stmt
		query string
	}{
		{&p.begin, "BEGIN IMMEDIATE"}, {&p.commit, "COMMIT"}, {&p.move, "UPDATE progress SET key=?"},
		{&p.place, "INSERT OR REPLACE INTO placed VALUES (?,?)"}, {&p.leave, "DELETE FROM placed WHERE place=?"},
	} {
		if *x.to, err = p.conn.prepare(x.query); err != nil {
			return err
		}
	}
	return nil
}

func (p *pen) close() error {
	for _, x := range []*stmt{p.begin, p.commit, p.move, p.place, p.leave} {
		if x != nil {
			x.Close()
		}
	}
	p.added.close()
	return p.conn.Close()
}

// renew takes a new pen: FTS5 keeps half a megabyte for each shard that a connection has
// written to. That it fails is no loss; mu is held.
func (s *search) renew() {
	c, err := connect(context.Background(), s.path)
	if err != nil {
		return
	}
	fresh := pen{conn: c}
	if err = fresh.prepare(); err == nil {
		fresh.added, err = c.additions(s.shards[len(s.shards)-1])
	}
	if err != nil {
		_ = fresh.close()
		return
	}
	old := s.pen
	s.pen = fresh
	_ = old.close() // all that it wrote is committed
}

// placed lists the messages that are in it, in their order.
func (s *search) placed() (all []placed, err error) {
	list, err := s.conn.prepare("SELECT place, key FROM placed ORDER BY place")
	if err != nil {
		return nil, err
	}
	defer list.Close()
	_, err = list.query(func(row []driver.Value) error {
		p, _ := row[0].(int64)
		key, _ := row[1].(int64)
		all = append(all, placed{key, place(p)})
		return nil
	}, make([]driver.Value, 2))
	return all, err
}

// readShards lists the shards as the database has them.
func (s *search) readShards() error {
	list, err := s.conn.prepare("SELECT first, messages FROM shard ORDER BY first")
	if err != nil {
		return err
	}
	defer list.Close()
	var shards []shard
	if _, err := list.query(func(row []driver.Value) error {
		first, _ := row[0].(int64)
		messages, _ := row[1].(int64)
		shards = append(shards, shard{first, int(messages)})
		return nil
	}, make([]driver.Value, 2)); err != nil {
		return err
	}
	if len(shards) == 0 {
		return errors.New("sqlite: an index without shards")
	}
	s.shards = shards
	s.added.close()
	s.added, err = s.conn.additions(shards[len(shards)-1])
	return err
}

// additions are the statements of one shard.
type additions struct {
	shard
	add, del *stmt
}

func (c *conn) additions(x shard) (a additions, err error) {
	a.shard = x
	if a.add, err = c.prepare("INSERT INTO " + x.table() + "(rowid,body,subject,author,addressee,cc,bcc,header,id,user,ip,mark) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"); err != nil {
		return a, err
	}
	a.del, err = c.prepare("DELETE FROM " + x.table() + " WHERE rowid=?")
	return a, err
}

func (a *additions) close() {
	for _, p := range []*stmt{a.add, a.del} {
		if p != nil {
			p.Close()
		}
	}
}

func (s *search) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pen.close()
}

// settle puts the log away and gives memory back, if nobody is at work.
func (s *search) settle() {
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		truncate(s.conn)
	}
}

// reached returns the key up to which all messages are in the index.
func (s *search) reached() int64 { return s.key.Load() }

// within runs fn in a transaction; mu is held.
func (s *search) within(fn func() error) error {
	_, err := s.begin.exec()
	if err == nil {
		err = fn()
	}
	if err == nil {
		_, err = s.commit.exec()
	}
	if err != nil {
		_ = s.conn.exec("ROLLBACK") // it may have rolled back already
	}
	return err
}

// put adds messages, whose keys ascend, and says that all up to the last are in;
// mu is held.
func (s *search) put(messages []placed, list []*inbox.Indexed, reached int64) error {
	for {
		newest := s.shards[len(s.shards)-1]
		if newest.messages >= s.size && len(messages) > 0 && messages[0].key > s.reached() {
			if err := s.reshape(newShard(messages[0].key)); err != nil {
				return err
			}
			s.full, newest = newest.table(), s.shards[len(s.shards)-1]
			s.tidy(-tidyPages) // begins with all that there is, as FTS5 has it
		} else if s.full != "" {
			s.tidy(tidyPages)
		}
		n := min(max(s.size-newest.messages, 1), len(messages))
		if n == len(messages) {
			return s.fill(messages, list, reached)
		}
		if err := s.fill(messages[:n], list[:n], messages[n-1].key); err != nil {
			return err
		}
		messages, list = messages[n:], list[n:]
	}
}

// fill adds messages in one transaction; what is new among them is the newest
// shard's.
func (s *search) fill(messages []placed, list []*inbox.Indexed, reached int64) error {
	err := s.within(func() error {
		for i, m := range messages {
			if err := s.turn(m.key); err != nil {
				return err
			}
			p := int64(m.place)
			// Index is free to give a message twice.
			if m.key <= s.reached() {
				if _, err := s.added.del.set(p).exec(); err != nil {
					return err
				}
			}
			if _, err := s.place.set(p, m.key).exec(); err != nil {
				return err
			}
			x := list[i]
			w := &x.Words
			if _, err := s.added.add.set(p, spaced(w.Body), spaced(w.Subject)+ends(w.Subject), people(w.From), people(w.To), people(w.Cc), people(w.Bcc),
				fieldWords(w.Header), spaced(w.ID)+" "+idMark(w.ID), spaced(w.User), w.IP+beginnings(w.IP), marks(x)).exec(); err != nil {
				return err
			}
		}
		if err := s.conn.exec(fmt.Sprintf("UPDATE shard SET messages=messages+%d WHERE first=%d", len(messages), s.shards[len(s.shards)-1].first)); err != nil {
			return err
		}
		_, err := s.move.set(max(s.reached(), reached)).exec()
		return err
	})
	if err == nil {
		if len(messages) > 0 && messages[0].key <= s.reached() {
			s.answers.forget()
		}
		s.key.Store(max(s.reached(), reached))
		s.shards[len(s.shards)-1].messages += len(messages)
	}
	return err
}

// turn has s.added be the statements of the shard that a key belongs to; mu is held.
func (s *search) turn(key int64) error {
	i, there := slices.BinarySearchFunc(s.shards, key, func(x shard, key int64) int { return cmp.Compare(x.first, key) })
	if !there {
		i = max(i-1, 0)
	}
	if s.added.first == s.shards[i].first {
		return nil
	}
	s.added.close()
	var err error
	s.added, err = s.conn.additions(s.shards[i])
	return err
}

// tidyPages are merged at a time: some tens of milliseconds.
const tidyPages = 1000

// tidy makes one piece of a full shard's pieces, bit by bit: each would be asked for
// each word, for ever.
func (s *search) tidy(pages int) {
	before, _ := s.conn.integer("SELECT total_changes()")
	err := s.conn.exec(fmt.Sprintf("INSERT INTO %s(%[1]s, rank) VALUES ('merge', %d)", s.full, pages))
	after, _ := s.conn.integer("SELECT total_changes()")
	// That it fails is no loss: it is slower as it is.
	if err != nil || after-before < 2 {
		s.full = ""
		s.renew()
	}
}

// reshape makes or drops shards; mu is held.
func (s *search) reshape(statements string) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.within(func() error { return s.conn.exec(statements) }); err != nil {
		return err
	}
	return s.readShards()
}

// remove takes messages out that are gone; they ascend. oldest is the key of the first
// message that is left: shards that end before it go as a whole.
func (s *search) remove(gone []placed, oldest int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var drop strings.Builder
	for i := 0; i < len(s.shards)-1 && s.shards[i+1].first <= oldest; i++ {
		fmt.Fprintf(&drop, "DROP TABLE %s; DROP TABLE %s; DELETE FROM shard WHERE first=%d;", s.shards[i].vocabulary(), s.shards[i].table(), s.shards[i].first)
	}
	if drop.Len() > 0 {
		s.full = "" // it may be one of these
		if err := s.reshape(drop.String()); err != nil {
			return err
		}
	}
	newest := s.shards[len(s.shards)-1]
	if oldest > s.reached() { // nothing that is in it is left
		return s.conn.exec("INSERT INTO " + newest.table() + "(" + newest.table() + ") VALUES('delete-all'); DELETE FROM placed")
	}
	return s.within(func() error {
		for _, m := range gone {
			if err := s.turn(m.key); err != nil {
				return err
			}
			if _, err := s.added.del.set(int64(m.place)).exec(); err != nil {
				return err
			}
			if _, err := s.leave.set(int64(m.place)).exec(); err != nil {
				return err
			}
		}
		return nil
	})
}
