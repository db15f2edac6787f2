package growth

import "testing"

// A recorder hears of failures in place of a test.
type recorder struct {
	testing.TB
	failed bool
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink int

// What is quadratic is found, in time (but for the race detector) and in memory; what is linear is let pass.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("measures times, which -short leaves out")
	}
	for name, c := range map[string]struct {
		n      int
		work   func(n int)
		linear bool
	}{
		"linear": {1 << 18, func(n int) {
			for i := range n {
				sink += i
			}
		}, true},
		"quadratic time": {300, func(n int) {
			for i := range n * n {
				sink += i
			}
		}, raced},
		"quadratic memory": {1000, func(n int) { _ = make([]byte, n*n) }, false},
	} {
		r := &recorder{TB: t}
		Linear(r, name, c.n, func(n int) func() { return func() { c.work(n) } })
		if r.failed == c.linear {
			t.Errorf("%s: failed %v, want %v", name, r.failed, !c.linear)
		}
	}
}

// What keeps what passes is found; what streams is let pass.
func TestConstant(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory, which -short leaves out")
	}
	for name, c := range map[string]struct {
		work     func(n int)
		constant bool
	}{
		"streams": {func(n int) { sink += n }, true},
		"keeps":   {func(n int) { kept = make([]byte, n) }, raced},
	} {
		r := &recorder{TB: t}
		Constant(r, name, 4<<20, func(n int) func() { return func() { c.work(n) } })
		if r.failed == c.constant {
			t.Errorf("%s: found wanting %v, want %v", name, r.failed, !c.constant)
		}
	}
}

var kept []byte
