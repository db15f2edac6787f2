package sqlite

import (
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
)

// Answers that are kept. The words of a full shard do not change, so that what one has
// found there it will find again; what is gone since is left out by who asks. The page
// asks the same again for each message that arrives, and somebody who types or turns
// pages nearly the same.

// maxAnswers is how many octets of answers are kept. Few shards have more than some
// hundred octets of what is rare; of what half of the messages have it is two thousand.
const maxAnswers = 2 << 20

// answers are the newest, and the newest before these: one that was not asked for again
// is dropped without a list of who was when.
type answers struct {
	mu          sync.Mutex
	newest, old map[string]*roaring.Bitmap
	size        int // of newest
}

// get returns an answer, which nobody changes, or nil.
func (a *answers) get(question string) *roaring.Bitmap {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.newest[question]; s != nil {
		return s
	}
	s := a.old[question]
	if s != nil {
		a.put(question, s)
	}
	return s
}

// keep keeps an answer.
func (a *answers) keep(question string, s *roaring.Bitmap) {
	s.RunOptimize()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(question, s)
}

func (a *answers) put(question string, s *roaring.Bitmap) {
	a.size += len(question) + int(s.GetSizeInBytes())
	if a.newest == nil || a.size > maxAnswers/2 {
		a.old, a.newest, a.size = a.newest, map[string]*roaring.Bitmap{}, 0
	}
	a.newest[question] = s
}

// forget drops all answers.
func (a *answers) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.newest, a.old, a.size = nil, nil, 0
}
