package sqlite

import (
	"fmt"
	"math"
	"os"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/disk"
)

// Room. A database becomes smaller only by being written to: what is deleted goes
// through its log, and what is in the log through the database. On a disk that is
// full to its last octet nothing could be deleted any more, and whoever has no other
// files there would be stuck. So mail is refused a little before that, then the index
// stops, and what makes room goes on. Somebody else may still fill the disk; then
// nothing is lost, and nothing goes, until they have made room.

const (
	spare      = 16 << 20 // what deleting takes; on a small disk a quarter of it
	sparePages = 32       // in the file, that are worth giving back to a disk that is full
)

// errSpare is what mail hears that would take of it.
var errSpare = fmt.Errorf("%w but what deleting takes", inbox.ErrFull)

// room tells whether there is more room on the disk than a part of spare, in percent,
// and what the logs may take in the databases.
func (d *DB) room(part int64) bool {
	free, total, err := disk.Free(d.dir)
	if err != nil {
		return true // it does not tell: writing will
	}
	need := min(spare, total/4) * part / 100
	// The logs are looked at only where it matters: this is asked for each commit.
	return free > need+4*longLog*pageSize || free >= need+size(d.file()+"-wal")+size(d.search.path+"-wal")
}

// size returns how long a file is, 0 if it is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// makeRoom tells whether mail may be kept. Where that makes the difference, it puts the
// logs away first, and gives back what deleted messages have left in the file.
func (w *writer) makeRoom() bool {
	if w.db.room(100) {
		return true
	}
	for before := int64(math.MaxInt64); ; {
		free, _, err := disk.Free(w.db.dir)
		pages, pagesErr := w.conn.integer("PRAGMA page_count")
		// What does not fit would take what is left, and the log would stay as well.
		if err != nil || pagesErr != nil || free < pages*pageSize-size(w.db.file()) {
			return false
		}
		// Of two who move what is in a log neither can cut it.
		w.ckpt.wait()
		w.ckpt.grown = 0
		truncate(w.conn)
		if free >= size(w.db.search.path+"-wal") {
			w.db.search.settle()
		}
		if w.db.room(100) {
			return true
		}
		left, err := w.conn.integer("PRAGMA freelist_count")
		// Each page that moves to take the place of another goes through the log.
		step := min(spareStep, free/4/pageSize)
		if err != nil || left < sparePages || left >= before || step == 0 || !w.vacuum(step) {
			return false
		}
		before = left
	}
}

// fitting refuses the messages of a batch if there is no room for them, and returns
// what is left of it. One whose body is in a file takes next to nothing itself, but
// that file is there, and goes with it.
func (w *writer) fitting(batch []*request) []*request {
	if len(batch) == 0 || w.makeRoom() {
		return batch
	}
	rest := batch[:0]
	for _, r := range batch {
		if r.message != nil {
			r.done <- errSpare
		} else {
			rest = append(rest, r)
		}
	}
	clear(batch[len(rest):])
	return rest
}
