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
// further; what is rare is looked for in all of them, in the order in which that is
// cheapest. How many there are in all is never counted beyond what is asked for.

// A finding is a query that returns keys, of messages of which any condition holds.
type finding struct {
	any    []condition
	oldest bool // the oldest first
	joined bool // of rows that are there: what was just deleted may still be in the index
}

// find makes a finding of an expression.
func (s *inboxStore) find(e inbox.Expr) (f finding) {
	for _, x := range alternatives(normal(e)) {
		f.any = append(f.any, s.compile(x))
	}
	return f
}

// keys returns up to n keys within a span.
func (s *inboxStore) keys(ctx context.Context, f finding, in span, n int) ([]int64, error) {
	var all []int64
	for _, c := range f.any {
		keys, err := s.conditionKeys(ctx, f, c, in, n)
		if err != nil || len(f.any) == 1 {
			return keys, err
		}
		all = append(all, keys...)
	}
	// Each has its first n, so that the first n of all are among them; one may be found by
	// several.
	slices.Sort(all)
	all = slices.Compact(all)
	if !f.oldest {
		slices.Reverse(all)
	}
	return all[:min(n, len(all))], nil
}

// conditionKeys returns up to n keys of which a condition holds, shard by shard, as
// few of them as it takes.
func (s *inboxStore) conditionKeys(ctx context.Context, f finding, c condition, in span, n int) ([]int64, error) {
	in = in.both(c.in)
	// Keys alone, which are found wherever they are.
	if c.match.isNone() && len(c.rows)+len(c.except) == 0 && c.sql == "" {
		return s.shardKeys(ctx, f, c, shard{}, in, n)
	}
	// No shard is dropped while it is asked.
	s.search.reading.RLock()
	defer s.search.reading.RUnlock()
	parts := parts(s.search.shards, in)
	if !f.oldest {
		slices.Reverse(parts)
	}
	var keys []int64
	// The first shard mostly has enough. Where it has not, what is looked for is rare
	// and all of them will be asked, so that two are asked at a time.
	width, asked := 1, 0
	for ; len(parts) > 0 && len(keys) < n; width = 2 {
		now := parts[:min(width, len(parts))]
		parts = parts[len(now):]
		ask := s.shardKeys
		// The newest may be nearly empty yet, and to ask twice is dear: rare is what is
		// far from enough.
		if !c.match.isNone() && asked > 0 && 16*len(keys)/asked < n-len(keys) {
			ask = s.rareKeys
		}
		asked += len(now)
		found, errs := make([][]int64, len(now)), make([]error, len(now))
		var asking sync.WaitGroup
		for i, p := range now {
			asking.Go(func() { found[i], errs[i] = ask(ctx, f, c, p.shard, p.span, n-len(keys)) })
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
		if i < len(shards)-1 {
			own.to = shards[i+1].first
		}
		if own = own.both(in); own.to == 0 || own.from < own.to {
			list = append(list, part{x, own})
		}
	}
	return list
}

// rareKeys does what shardKeys does where less than n keys are expected, so that all
// of what the shard has is gone through. Then the index is better read in ascending
// order, as its lists are written: what costs is not the first row but each. Where
// there are more after all it is asked once more.
func (s *inboxStore) rareKeys(ctx context.Context, f finding, c condition, x shard, in span, n int) ([]int64, error) {
	oldest := f.oldest
	f.oldest = true
	keys, err := s.shardKeys(ctx, f, c, x, in, n+1)
	if err != nil {
		return nil, err
	}
	if len(keys) > n && !oldest {
		f.oldest = false
		return s.shardKeys(ctx, f, c, x, in, n)
	}
	if !oldest {
		slices.Reverse(keys)
	}
	return keys[:min(n, len(keys))], nil
}

// shardKeys returns up to n keys of one shard.
func (s *inboxStore) shardKeys(ctx context.Context, f finding, c condition, x shard, in span, n int) ([]int64, error) {
	// What the words of a shard are must not change before it is asked for them.
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // nothing was written
	if !c.match.isNone() {
		if c.match, err = x.words(ctx, tx, c.match); err != nil || c.match.isNothing() {
			return nil, err
		}
	}
	look := look{condition: c, shard: x, within: in}
	if err := look.at(ctx, tx); err != nil || look.empty() {
		return nil, err
	}
	query, args := look.query(f)
	rows, err := tx.QueryContext(ctx, query, append(args, n)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []int64
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}
