package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/postrider/postrider/inbox"
)

// Conditions answered: the first few keys of which one holds, shard by shard from the
// end that is asked for. What is common is found in the first shard and read no
// further; what is rare is looked for in all of them. How many there are in all is
// never counted beyond what is asked for.

// A finding is what must all hold: of what is looked for, what the roll knows, what the
// index of words answers alone, as one question to it, and what takes both.
type finding struct {
	known  []inbox.Expr
	words  expression
	mixed  []inbox.Expr
	oldest bool // the oldest first
}

// find makes a finding of an expression.
func (s *inboxStore) find(e inbox.Expr) (f finding) {
	var words []inbox.Expr
	for _, x := range conjuncts(e) {
		switch {
		case s.inWords(x):
			words = append(words, x)
		case len(s.asked(x)) == 0:
			f.known = append(f.known, x)
		default:
			f.mixed = append(f.mixed, x)
		}
	}
	if len(words) > 0 {
		f.words = s.compile(inbox.Expr{Op: inbox.And, Of: words})
	}
	return f
}

// conjuncts returns expressions that must all hold where e does.
func conjuncts(e inbox.Expr) (list []inbox.Expr) {
	switch {
	case e.Op == inbox.And:
		for _, x := range e.Of {
			list = append(list, conjuncts(x)...)
		}
		return list
	case e.Op == inbox.Not && e.Of[0].Op == inbox.Not:
		return conjuncts(e.Of[0].Of[0])
	case e.Op == inbox.Not && e.Of[0].Op == inbox.Or: // by De Morgan's laws
		for _, x := range e.Of[0].Of {
			list = append(list, conjuncts(inbox.Expr{Op: inbox.Not, Of: []inbox.Expr{x}})...)
		}
		return list
	}
	return []inbox.Expr{e}
}

// keys returns up to n keys within a span.
func (s *inboxStore) keys(ctx context.Context, f finding, in span, n int) ([]int64, error) {
	// No shard is dropped while it is asked.
	s.search.reading.RLock()
	defer s.search.reading.RUnlock()
	parts := parts(s.search.shards, in)
	if !f.oldest {
		slices.Reverse(parts)
	}
	var keys []int64
	// The first shard mostly has enough. Where it has not, what is looked for is rare
	// and all of them will be asked, so that two are asked at a time. The newest may be
	// nearly empty yet, and to ask twice is dear: rare is what is far from enough.
	width, asked := 1, 0
	for ; len(parts) > 0 && len(keys) < n; width = 2 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := parts[:min(width, len(parts))]
		parts = parts[len(now):]
		rare := asked > 0 && 16*len(keys)/asked < n-len(keys)
		asked += len(now)
		found, errs := make([][]int64, len(now)), make([]error, len(now))
		var asking sync.WaitGroup
		for i, p := range now {
			asking.Go(func() { found[i], errs[i] = (&look{s, ctx, p}).keys(f, rare, n-len(keys)) })
		}
		asking.Wait()
		keys = slices.Concat(append([][]int64{keys}, found...)...)
		if err := errors.Join(errs...); err != nil {
			return keys, err
		}
	}
	return keys[:min(n, len(keys))], nil
}

// A part is what a shard has of a span.
type part struct {
	shard
	span
	full bool // what it has been given is all
}

// parts returns the shards that have something of a span, in their order. What has
// not been indexed yet belongs to the newest, and to the oldest what was there before
// it.
func parts(shards []shard, in span) (list []part) {
	for i := range shards {
		// Only where they begin: how many messages they have is the indexer's to change.
		x := shard{first: shards[i].first}
		own := span{from: x.first}
		if i == 0 {
			own.from = 0
		}
		full := i < len(shards)-1
		if full {
			own.to = shards[i+1].first
		}
		if own = own.both(in); own.to == 0 || own.from < own.to {
			list = append(list, part{x, own, full})
		}
	}
	return list
}
