package sqlite

import (
	"cmp"
	"database/sql/driver"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/postrider/postrider/inbox"
)

// The roll: what is known of every message without reading it. Each has a place, a
// number that ascends as keys do and is never given twice, and what changes of messages
// (which are there, which are unread, which have a tag) are sets of places. So what
// holds of all but a few, or of none, is told as soon as what holds of some; rows of the
// database would have to be gone through.
//
// It is read once, when the database is opened, and follows each commit: whoever has
// waited for a change sees it here. A place is of four octets, and the index of words
// names messages by it (search.go), in a quarter of the room that keys would take.

// A place is a message's number. There is no place 0.
type place = uint32

// The names of sets. Those of a tag and of an inbox, in lower case, go on with its name.
const (
	hereSet   = "here"
	unreadSet = "unread"
	taggedSet = "tagged"
	tagSet    = "tag:"
	inboxSet  = "inbox:"
)

// A roll is used by many at once.
type roll struct {
	mu     sync.RWMutex
	keys   []int64 // ascending; some may be gone
	places []place // of keys
	last   place   // that was given
	sets   map[string]*roaring.Bitmap
}

// A placed message is one of which both are known.
type placed struct {
	key   int64
	place place
}

// A note says that a message is from now on in a set, or is not. Of hereSet it says that
// it has come, unread, or is gone; with the key 0, which no message has, that all are.
type note struct {
	key int64
	set string
	in  bool
}

// newRoll reads the messages there are, and counts them. Those in the index have places
// already; it returns which of these are not there any more.
func newRoll(c *conn, indexed []placed) (*roll, stats, []placed, error) {
	r := &roll{}
	r.clear()
	var n stats
	var stale []placed
	list, err := c.prepare("SELECT key, unread, size, tags, inbox FROM message ORDER BY key")
	if err != nil {
		return nil, n, nil, err
	}
	defer list.Close()
	// Both lists ascend by key and by place, and are gone through side by side.
	_, err = list.query(func(row []driver.Value) error {
		key, _ := row[0].(int64)
		unread, _ := row[1].(int64)
		size, _ := row[2].(int64)
		text, _ := row[3].(string)
		box, _ := row[4].(string)
		for len(indexed) > 0 && indexed[0].key < key {
			stale, indexed = append(stale, indexed[0]), indexed[1:]
		}
		if len(indexed) > 0 && indexed[0].key == key {
			r.last, indexed = indexed[0].place-1, indexed[1:]
		}
		// One that is not in the index has had no place that anybody remembers.
		r.add(key)
		n.messages++
		n.unread += int(unread)
		n.bytes += size
		r.set(unreadSet, r.last, unread != 0)
		if box != "" {
			r.set(inboxSet+strings.ToLower(box), r.last, true)
		}
		tags, err := tagsOf(text)
		for _, name := range tags {
			r.set(taggedSet, r.last, true)
			r.set(tagSet+strings.ToLower(name), r.last, true)
		}
		return err
	}, make([]driver.Value, 5))
	return r, n, append(stale, indexed...), err
}

// call makes the roll and counts. What is in the index and gone, as a crash can leave it,
// is taken out, for its place is another's from now on.
func (d *DB) call(c *conn) (*roll, stats, error) {
	indexed, err := d.search.placed()
	if err != nil {
		return nil, stats{}, err
	}
	r, n, stale, err := newRoll(c, indexed)
	if err != nil {
		return nil, n, err
	}
	d.search.roll = r
	if len(stale) > 0 {
		oldest, some := r.oldest()
		if !some {
			oldest = math.MaxInt64
		}
		err = d.search.remove(stale, oldest)
	}
	return r, n, err
}

// clear forgets all messages; their places stay given. mu is held, here and below.
func (r *roll) clear() {
	r.keys, r.places, r.sets = nil, nil, map[string]*roaring.Bitmap{hereSet: roaring.New()}
}

// add gives the next place to the message that has come.
func (r *roll) add(key int64) {
	r.last++
	r.keys, r.places = append(r.keys, key), append(r.places, r.last)
	r.sets[hereSet].Add(r.last)
	r.set(unreadSet, r.last, true)
}

// set puts a place into a set, or takes it out of it.
func (r *roll) set(name string, p place, in bool) {
	s := r.sets[name]
	switch {
	case in && s == nil:
		r.sets[name] = roaring.BitmapOf(p)
	case in:
		s.Add(p)
	case s != nil:
		if s.Remove(p); s.IsEmpty() && name != hereSet {
			delete(r.sets, name)
		}
	}
}

// follow does what notes say, in their order.
func (r *roll) follow(notes []note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range notes {
		if n.key == 0 {
			r.clear()
			continue
		}
		if n.set == hereSet && n.in {
			r.add(n.key)
			continue
		}
		// A note of a message that is gone by now would be another's.
		if p, there := r.at(n.key); there {
			r.set(n.set, p, n.in)
		}
	}
	// Of those that are gone the keys go when they are the most.
	if here := r.sets[hereSet]; len(r.keys) > 2*int(here.GetCardinality())+shardSize {
		keys, places := r.keys, r.places
		r.keys, r.places = nil, nil
		for i, p := range places {
			if here.Contains(p) {
				r.keys, r.places = append(r.keys, keys[i]), append(r.places, p)
			}
		}
	}
}

// from returns the place of the first message that has a key or a greater one; the next
// to be given if there is none.
func (r *roll) from(key int64) place {
	if i, _ := slices.BinarySearch(r.keys, key); i < len(r.keys) {
		return r.places[i]
	}
	return r.last + 1
}

// at returns the place of the message that has a key, if it is there.
func (r *roll) at(key int64) (p place, there bool) {
	p = r.from(key)
	return p, r.sets[hereSet].Contains(p) && r.key(p) == key
}

// key returns the key of a place that was found in a set.
func (r *roll) key(p place) int64 {
	i, _ := slices.BinarySearch(r.places, p)
	return r.keys[i]
}

// placed returns the messages that are there, of those that have these keys.
func (r *roll) placed(keys []int64) (list []placed) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, key := range keys {
		if p, there := r.at(key); there {
			list = append(list, placed{key, p})
		}
	}
	return list
}

// oldest returns the key of the oldest message that is there, if any is.
func (r *roll) oldest() (int64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	here := r.sets[hereSet]
	if here.IsEmpty() {
		return 0, false
	}
	return r.key(here.Minimum()), true
}

// here returns the messages that are there within a span.
func (r *roll) here(in span) *roaring.Bitmap {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from, to := r.from(in.from), r.last+1
	if in.to != 0 {
		to = r.from(in.to)
	}
	s := roaring.New()
	s.AddRange(uint64(from), uint64(to)) // none if they are the wrong way round
	s.And(r.sets[hereSet])
	return s
}

// in returns which of some messages are in a set.
func (r *roll) in(name string, of *roaring.Bitmap) *roaring.Bitmap {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.sets[name]
	if s == nil {
		return roaring.New()
	}
	return roaring.And(of, s)
}

// first returns the keys of up to n messages of a set, from one of its ends; those that
// have gone meanwhile are left out.
func (r *roll) first(s *roaring.Bitmap, oldest bool, n int) (keys []int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list roaring.IntIterable = s.ReverseIterator()
	if oldest {
		list = s.Iterator()
	}
	// It may have been found a moment ago, or be in the index for a moment more.
	for here := r.sets[hereSet]; len(keys) < n && list.HasNext(); {
		if p := list.Next(); here.Contains(p) {
			keys = append(keys, r.key(p))
		}
	}
	return keys
}

// tags counts the messages of each tag.
func (r *roll) tags() (list []inbox.Count) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, s := range r.sets {
		if tag, ok := strings.CutPrefix(name, tagSet); ok {
			c := inbox.Count{Name: tag, Messages: int(s.GetCardinality())}
			if unread := r.sets[unreadSet]; unread != nil {
				c.Unread = int(s.AndCardinality(unread))
			}
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b inbox.Count) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
