package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/postrider/postrider/inbox"
)

// One shard looked at. Of the messages that it has, each condition leaves some: what
// the roll knows first, as that costs next to nothing and may leave none, and then what
// the index of words is asked. It is either asked for the first few, from the end that
// is wanted, or for all that the shard has, in the order in which its lists are written.

// A look is a shard that is asked, and what it has of the span that is looked at.
type look struct {
	*inboxStore
	ctx context.Context
	part
}

// keys returns up to n keys of a finding. What is rare is asked for as a whole, and so is
// what has to be compared with other words.
func (l *look) keys(f finding, rare bool, n int) ([]int64, error) {
	all := l.roll.here(l.span)
	left, err := l.all(f.known, all)
	// The first few are the cheapest to have where most of what the index finds counts;
	// else it would go through much for little, and backwards, which takes it longer.
	if err == nil && !f.words.isNone() && !left.IsEmpty() {
		if rare || len(f.mixed) > 0 || 2*left.GetCardinality() <= all.GetCardinality() {
			left, err = l.found(f.words, left)
		} else {
			left, err = l.some(f.words, left, f.oldest, n)
		}
	}
	if err == nil {
		left, err = l.all(f.mixed, left)
	}
	if err != nil {
		return nil, err
	}
	return l.roll.first(left, f.oldest, n), nil
}

// all returns those of some messages of which all conditions hold.
func (l *look) all(of []inbox.Expr, left *roaring.Bitmap) (_ *roaring.Bitmap, err error) {
	for _, e := range l.inOrder(of) {
		if left, err = l.of(e, left); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// any returns those of some messages of which one condition holds; what one has been
// found by is not asked of the next.
func (l *look) any(of []inbox.Expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	left := some
	for _, e := range l.inOrder(of) {
		found, err := l.of(e, left)
		if err != nil {
			return nil, err
		}
		left = roaring.AndNot(left, found)
	}
	return roaring.AndNot(some, left), nil
}

// inOrder puts first what the roll knows.
func (l *look) inOrder(of []inbox.Expr) []inbox.Expr {
	return slices.SortedStableFunc(slices.Values(of), func(a, b inbox.Expr) int {
		return cmp.Compare(len(l.asked(a)), len(l.asked(b)))
	})
}

// of returns those of some messages of which a condition holds.
func (l *look) of(e inbox.Expr, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	// Nothing is asked about nothing.
	if some.IsEmpty() {
		return some, nil
	}
	if l.inWords(e) {
		return l.found(l.compile(e), some)
	}
	switch e.Op {
	case inbox.Is:
		return l.known(&e.Term, some), nil
	case inbox.And:
		return l.all(e.Of, some)
	case inbox.Or:
		return l.any(e.Of, some)
	case inbox.Not:
		not, err := l.of(e.Of[0], some)
		if err != nil {
			return nil, err
		}
		return roaring.AndNot(some, not), nil
	}
	return some, nil
}

// known returns those of some messages of which the roll knows that a term holds.
func (l *look) known(t *inbox.Term, some *roaring.Bitmap) *roaring.Bitmap {
	switch t.Field {
	case "tag":
		return l.roll.in(tagSet+t.Text, some)
	case "inbox":
		return l.roll.in(inboxSet+t.Text, some)
	case "is":
		switch t.Text {
		case "tagged":
			return l.roll.in(taggedSet, some)
		case "unread":
			return l.roll.in(unreadSet, some)
		}
		return roaring.AndNot(some, l.roll.in(unreadSet, some))
	}
	in, _ := l.termSpan(t)
	return roaring.And(some, l.roll.here(in))
}

// found returns those of some messages that the index finds.
func (l *look) found(words expression, some *roaring.Bitmap) (*roaring.Bitmap, error) {
	// It is asked for more than these, so that the answer is worth keeping; but of a
	// small part of the shard for no more than that.
	first, last := some.Minimum(), some.Maximum()
	if 4*int(last-first) < l.search.size {
		found, err := l.ask(words, first, last, true, every)
		if err != nil {
			return nil, err
		}
		return roaring.And(some, found), nil
	}
	// The same words are the same question in each shard.
	question := l.table() + " " + words.String()
	found := l.search.answers.get(question)
	if found == nil {
		var err error
		if found, err = l.ask(words, 0, math.MaxUint32, true, every); err != nil {
			return nil, err
		}
		// What is still being filled has another answer soon.
		if l.full {
			l.search.answers.keep(question, found)
		}
	}
	return roaring.And(some, found), nil
}

// some returns the first n of some messages that the index finds, in its order: it stops
// as soon as it has them.
func (l *look) some(words expression, some *roaring.Bitmap, oldest bool, n int) (*roaring.Bitmap, error) {
	found, err := l.ask(words, some.Minimum(), some.Maximum(), oldest, func(p place) bool {
		if some.Contains(p) {
			n--
		}
		return n != 0
	})
	if err != nil {
		return nil, err
	}
	return roaring.And(some, found), nil
}

// every wants all that there are.
func every(place) bool { return true }

// errEnough ends a list.
var errEnough = errors.New("enough")

// ask returns the messages that the index finds between two places, as long as more
// are wanted.
func (l *look) ask(words expression, first, last place, oldest bool, more func(place) bool) (*roaring.Bitmap, error) {
	var list []place
	// What the words of a shard are must not change before it is asked for them.
	err := l.db().moment(l.ctx, func(c *conn) error {
		words, err := l.words(c, words)
		if err != nil {
			return err
		}
		t, order := l.table(), " DESC"
		if oldest {
			order = ""
		}
		s, err := c.prepare("SELECT rowid FROM search." + t + " WHERE " + t + " MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid" + order)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.set(words.String(), int64(first), int64(last)).query(func(row []driver.Value) error {
			rowid, _ := row[0].(int64)
			if list = append(list, place(rowid)); !more(place(rowid)) {
				return errEnough
			}
			return nil
		}, make([]driver.Value, 1))
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	slices.Sort(list) // a set is made faster of what ascends
	return roaring.BitmapOf(list...), nil
}
