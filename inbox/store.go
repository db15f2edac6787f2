package inbox

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// What an Inbox asks of the database that keeps its messages. store/storetest
// holds every implementation to what is written here.
//
// A message has three parts, written once each: its bytes, how it arrived, and
// its Summary, which is read from the bytes later and can always be read again.
// Only Unread and Tags change.

var (
	// ErrNotFound says that there is no message with that id.
	ErrNotFound = errors.New("inbox: no such message")
	// ErrFull says that there is no room left to keep a message. Nothing of it
	// was kept.
	ErrFull = errors.New("inbox: no room left on the disk")
)

// A Store keeps messages. Its methods may be called at the same time.
type Store interface {
	// Add reads a message to its end and keeps it. When it returns nil the
	// message and how it arrived are on stable storage, whatever happens to the
	// process or the machine; id is a ULID, greater than that of every message
	// that was listed before. On any error nothing is kept: an error of msg is
	// returned wrapped, ErrFull says that the disk is full. A large message is
	// never held in memory whole. Cancelling ctx has no effect once msg has been
	// read to its end.
	Add(ctx context.Context, a *Arrival, msg io.Reader) (id string, err error)

	// Entry returns what is known of one message, or ErrNotFound.
	Entry(ctx context.Context, id string) (*Entry, error)
	// Open returns the bytes of a message, or ErrNotFound. They can be read
	// until the Body is closed, also when the message has been deleted.
	Open(ctx context.Context, id string) (Body, error)
	// List returns the messages that match a query, newest first.
	List(ctx context.Context, q Query) (*Page, error)
	// Stats counts the messages.
	Stats(ctx context.Context) (Stats, error)

	// Tags counts the messages of each tag that any has, and Inboxes those of each
	// inbox that has any, by name.
	Tags(ctx context.Context) ([]Count, error)
	Inboxes(ctx context.Context) ([]Count, error)

	// Update changes what may change of messages and returns how many of them were
	// there. Unknown ids are no error.
	Update(ctx context.Context, c Change, ids ...string) (int, error)
	// Delete removes messages and returns how many of them were there. Unknown
	// ids are no error.
	Delete(ctx context.Context, ids ...string) (int, error)
	// DeleteAll removes every message there is when it is called.
	DeleteAll(ctx context.Context) (int, error)

	// Unindexed returns up to limit messages that Index has to be called for,
	// oldest first.
	Unindexed(ctx context.Context, limit int) ([]Entry, error)
	// Index gives messages their summaries and makes them found by their words.
	// Those that have been deleted meanwhile are passed over. It need not be
	// durable: what is lost in a crash is unindexed again.
	Index(ctx context.Context, list []Indexed) error
}

// An Arrival is how a message came in, apart from what the message itself says.
type Arrival struct {
	Received time.Time // to the millisecond
	IP       string    // the client's address; "" if it did not come over a network
	Host     string    // what the client called itself in EHLO
	TLS      string    // "TLS 1.3"; "" in the clear
	User     string    // who authenticated; "" if nobody did
	Listener string    // the address that the client connected to, for a Rule; not kept
	Inbox    string    // which of several inboxes it is in; "" is the only one
	Session  string    // the text of a Session; "" if there was none. In lists it is the id alone
	Envelope smtp.Envelope
}

// An Entry is what is known of a message without reading it.
type Entry struct {
	ID string
	Arrival
	Size    int64 // octets
	Unread  bool
	Tags    []string
	Summary *Summary // nil until the message has been indexed
}

// A Summary is what a list shows of a message, read from its bytes.
type Summary struct {
	From, To    []mail.Address
	Subject     string
	Date        time.Time // as the message says; zero if it does not
	Attachments int
	Preview     string // the first words of its text
}

// Words is what the terms of a Query are looked for in. It is not given back.
type Words struct {
	From, To, Cc, Bcc []mail.Address // those of the envelope too, as Term says
	Subject, Body, ID string
	Header            mail.Header
	User, IP, Inbox   string
}

// Indexed is what was read from one message.
type Indexed struct {
	ID string
	Summary
	Words Words
	Size  int64 // as in its Entry
}

// A Body is the bytes of a message.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// A Query says which messages List returns. The zero Query is all of them.
type Query struct {
	// Match must hold of a message. Of one that has not been indexed only what its
	// Entry tells without a Summary does; the zero Expr holds of all.
	Match Expr
	// Before and After bound the ids, exclusively; "" is no bound. They need not
	// be ids of messages that still exist.
	Before, After string
	// Limit is how many messages are returned at most; 50 if zero, and no more
	// than 1000.
	Limit int
	// OldestFirst turns the order round.
	OldestFirst bool
}

// DefaultLimit and MaxLimit are what Query.Limit says.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
	// MaxTotal is as far as Page.Total counts what a condition holds of.
	MaxTotal = 1000
)

// A Page is the answer to a Query.
type Page struct {
	Entries []Entry
	Total   int  // messages of which Match holds, within the bounds or not; if it is not zero, MaxTotal at most
	More    bool // there are more within the bounds than Limit
	// Unindexed is how many messages are not found by their words yet, if Match has any.
	Unindexed int
}

// Stats counts messages.
type Stats struct {
	Messages, Unread int
	Bytes            int64 // octets of all messages
	Unindexed        int   // those that Index has to be called for
}

// A Count is how many messages have something in common.
type Count struct {
	Name             string // of a tag, in lower case, or of an inbox
	Messages, Unread int
}

// A Change is what Update changes; nil fields stay as they are.
type Change struct {
	Unread *bool
	Tags   *[]string // in place of those that there are
	// Tag and Untag put tags on a message that lacks them, and take them away from
	// one that has them, in that order. Case does not tell tags apart.
	Tag, Untag []string
}

// Apply returns the tags that a message has after the change, and whether they are
// others than before.
func (c Change) Apply(tags []string) ([]string, bool) {
	after, more := slices.Clone(tags), c.Tag
	if c.Tags != nil {
		after, more = nil, slices.Concat(*c.Tags, c.Tag)
	}
	named := func(name string) func(string) bool {
		return func(tag string) bool { return strings.EqualFold(tag, name) }
	}
	for _, name := range more {
		if !slices.ContainsFunc(after, named(name)) {
			after = append(after, name)
		}
	}
	for _, name := range c.Untag {
		after = slices.DeleteFunc(after, named(name))
	}
	return after, !slices.Equal(after, tags)
}
