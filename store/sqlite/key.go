package sqlite

import (
	"encoding/binary"

	"github.com/oklog/ulid/v2"

	"github.com/postrider/postrider/inbox"
)

// Keys and ids. A message's id is a ULID: 48 bits of milliseconds and 80 bits
// that make it unique. Here those are 16 bits that count within the millisecond
// and 64 random bits that are the database's own. So key and id are two forms
// of one number, and finding a message by its id needs no index.
//
// The order of keys is the order of commits, and so is that of ids as text: a page
// that asks for what came after an id misses nothing.

const keyShift = 16

// id returns the id of the message that has a key.
func (d *DB) id(key int64) string {
	var u ulid.ULID
	binary.BigEndian.PutUint64(u[:8], uint64(key))
	binary.BigEndian.PutUint64(u[8:], d.node)
	return u.String()
}

// key returns the key of the message that has an id, or ErrNotFound if no
// message here can have it.
func (d *DB) key(id string) (int64, error) {
	u, err := ulid.ParseStrict(id)
	if err != nil || binary.BigEndian.Uint64(u[8:]) != d.node || u[0] > 0x7f {
		return 0, inbox.ErrNotFound
	}
	return keyOf(u), nil
}

// keyOf returns the key that an id stands for, whichever database's it is.
func keyOf(u ulid.ULID) int64 { return int64(binary.BigEndian.Uint64(u[:8])) }
