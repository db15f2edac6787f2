package inbox

import (
	"context"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// How long messages are kept, and which of several inboxes they are put into.

// A Retention says what is kept; the oldest messages go first. Zero fields set no
// limit, so that the zero Retention keeps everything.
type Retention struct {
	Messages int           // so many
	Age      time.Duration // since they came into this inbox, whenever they were sent or received before
	Bytes    int64         // octets of messages, together
}

const (
	pruneEvery = time.Minute // for what grows old while nothing arrives
	pruneBatch = 500
)

// prune deletes what is no longer to be kept, a batch at a time, so that mail goes
// on arriving in between.
func (in *Inbox) prune(ctx context.Context) error {
	if in.Keep == (Retention{}) {
		return nil
	}
	for {
		ids, err := in.overdue(ctx)
		if len(ids) == 0 {
			return err // there are none with an error
		}
		n, err := in.Store.Delete(ctx, ids...)
		if n > 0 {
			in.hub.publish(Event{Kind: EventReset}) // one for all of them: a page reads its list again
			in.logger().Debug("messages are no longer kept", "messages", n)
		}
		if err != nil {
			return err
		}
	}
}

// overdue returns some of the messages that are no longer to be kept.
func (in *Inbox) overdue(ctx context.Context) ([]string, error) {
	stats, err := in.Store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	tooMany, tooLarge := stats.Messages-in.Keep.Messages, stats.Bytes-in.Keep.Bytes
	if in.Keep.Messages == 0 {
		tooMany = 0
	}
	if in.Keep.Bytes == 0 {
		tooLarge = 0
	}
	// Ids begin with the time at which the message came in (ULID), and their order is
	// the list's. The time it was received may be that of years ago, if it was put in
	// from an archive: that it is old is then no reason to throw it away at once.
	var before ulid.ULID
	if in.Keep.Age > 0 {
		// That clock begins with 1970: before it there is nothing.
		oldest := max(time.Now().Add(-in.Keep.Age).UnixMilli(), 0)
		if err := before.SetTime(uint64(oldest)); err != nil {
			return nil, err
		}
	}
	page, err := in.Store.List(ctx, Query{Limit: pruneBatch, OldestFirst: true})
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range page.Entries {
		e := &page.Entries[i]
		if tooMany <= 0 && tooLarge <= 0 && e.ID >= before.String() {
			break // what is newer is kept too
		}
		ids = append(ids, e.ID)
		tooMany--
		tooLarge -= e.Size
	}
	return ids, nil
}

// A Rule says which inbox a message is put into; "" is the one without a name.
// These are ready: ByDomain, ByPlus, ByUser and ByListener.
type Rule func(a *Arrival) string

// ByDomain puts a message into the inbox named after its first recipient's domain.
func ByDomain(a *Arrival) string {
	_, domain := firstRecipient(a)
	return domain
}

// ByPlus puts a message into the inbox named after what follows the plus sign in
// its first recipient's address: of bob+shop@example.net that is shop.
func ByPlus(a *Arrival) string {
	local, _ := firstRecipient(a)
	_, detail, _ := strings.Cut(local, "+")
	return detail
}

// ByUser puts a message into the inbox named after who authenticated.
func ByUser(a *Arrival) string { return strings.ToLower(a.User) }

// ByListener puts a message into the inbox named after the address that the client
// connected to.
func ByListener(a *Arrival) string { return a.Listener }

// firstRecipient returns both halves of the first recipient's address, in lower
// case.
func firstRecipient(a *Arrival) (local, domain string) {
	if len(a.Envelope.To) == 0 {
		return "", ""
	}
	address := strings.ToLower(a.Envelope.To[0].Address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, ""
	}
	return address[:at], address[at+1:]
}
