// Package growth holds tests to linear work: a parser that takes four times as long for four times as much can be measured
// on any machine, at any load, and no clock has to be agreed upon.
package growth

import (
	"math"
	"runtime"
	"testing"
	"time"
)

// Linear checks that the work which prepare makes for a size takes about four times as long, and about four times as much
// memory, at 2n as at n/2. A quadratic one takes sixteen times as much; caches and the collector make up to six of four.
// With -short nothing is measured, and under the race detector only the memory. It is for one test at a time, and for work
// that can be done any number of times.
func Linear(t testing.TB, name string, n int, prepare func(n int) func()) {
	t.Helper()
	if testing.Short() {
		return
	}
	few, many := prepare(n/2), prepare(2*n)
	if a, b := allocated(few), allocated(many); b > 6*a+1<<20 {
		t.Errorf("%s: %d octets allocated at n/2, %d at 2n", name, a, b)
		return
	}
	Within(t, name, 9, few, many)
}

// Constant checks that the work which prepare makes for a size takes as much memory at 2n as at n/2, within a megabyte:
// that what passes is not kept. With -short nothing is measured, nor under the race detector, where a sync.Pool loses what
// it is given. It is for one test at a time.
func Constant(t testing.TB, name string, n int, prepare func(n int) func()) {
	t.Helper()
	if raced || testing.Short() {
		return
	}
	a, many := allocated(prepare(n/2)), prepare(2*n)
	// A collection in the middle of a run empties the pools, and what was in them is made once more: the least of some
	// runs is the truest, and what is kept is kept in each.
	b := uint64(math.MaxUint64)
	for range 5 {
		if b = min(b, allocated(many)); b <= a+1<<20 {
			return
		}
	}
	t.Errorf("%s: %d octets allocated at n/2, %d at 2n", name, a, b)
}

// Within checks that many takes less than so many times as long as few, as [Linear] does. Both must work on the goroutine
// that calls them.
func Within(t testing.TB, name string, times int, few, many func()) {
	t.Helper()
	// The race detector maps and clears its own memory with each large piece of ours, and that would be measured.
	if raced || testing.Short() {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// What is very quick is repeated until it can be measured.
	repeat := 1
	for ; repeat < 64 && quickest(few, repeat) < 2*time.Millisecond; repeat *= 2 {
	}
	// Other work on the machine makes runs longer and never shorter, so the quickest of many is the truest.
	a, b := time.Hour, time.Hour
	for range 20 {
		runtime.GC()
		if a, b = min(a, quickest(few, repeat)), min(b, quickest(many, repeat)); b < time.Duration(times)*a {
			return
		}
	}
	t.Errorf("%s: %v for the few, %v for the many, want less than %d times as long", name, a, b, times)
}

// quickest gives the shortest of three runs.
func quickest(f func(), repeat int) time.Duration {
	best := time.Hour
	for range 3 {
		begin := now()
		for range repeat {
			f()
		}
		best = min(best, now()-begin)
	}
	return best
}

// allocated tells how many octets a run allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
