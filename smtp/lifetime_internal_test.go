package smtp

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A transaction's context is one like any other, whoever asks it for what and when.
func TestLifetime(t *testing.T) {
	type key struct{}
	for name, end := range map[string]func(l *lifetime, session context.CancelFunc){
		"the transaction's": func(l *lifetime, _ context.CancelFunc) { l.cancel(); l.cancel() },
		"the session's":     func(_ *lifetime, session context.CancelFunc) { session() },
	} {
		for _, asked := range []string{"before", "after", "never"} {
			synctest.Test(t, func(t *testing.T) {
				session, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
				defer cancel()
				l := &lifetime{Context: session}
				if err := l.Err(); err != nil || l.Value(key{}) != "value" {
					t.Errorf("at first: got %v and value %v", err, l.Value(key{}))
				}
				var derived context.Context
				called := false
				if asked == "before" {
					var stop context.CancelFunc
					derived, stop = context.WithTimeout(l, time.Hour)
					defer stop()
					context.AfterFunc(l, func() { called = true })
					if l.Value(key{}) != "value" || derived.Value(key{}) != "value" {
						t.Error("the value is no longer there")
					}
				}
				synctest.Wait()
				if called || l.Err() != nil {
					t.Errorf("before its end: called %v, %v", called, l.Err())
				}
				end(l, cancel)
				if asked == "after" {
					var stop context.CancelFunc
					derived, stop = context.WithCancel(l)
					defer stop()
					context.AfterFunc(l, func() { called = true })
				}
				synctest.Wait()
				if l.Err() != context.Canceled || context.Cause(l) != context.Canceled {
					t.Errorf("%s end, asked %s: got %v because of %v, want %v", name, asked, l.Err(), context.Cause(l), context.Canceled)
				}
				if asked != "never" && (derived.Err() != context.Canceled || !called) {
					t.Errorf("%s end, asked %s: the derived context: %v, the function called: %v", name, asked, derived.Err(), called)
				}
				select {
				case <-l.Done():
				default:
					t.Errorf("%s end, asked %s: Done is open", name, asked)
				}
			})
		}
	}
}

// It is asked and ended from everywhere at once.
func TestLifetimeRaces(t *testing.T) {
	for range 200 {
		session, cancel := context.WithCancel(context.Background())
		l := &lifetime{Context: session}
		var all sync.WaitGroup
		for _, f := range []func(){
			func() { <-l.Done() }, func() { l.Err() }, func() { l.Value("key") }, l.cancel, l.cancel, cancel,
			func() { ctx, stop := context.WithCancel(l); <-ctx.Done(); stop() },
		} {
			all.Go(f)
		}
		all.Wait()
		if l.Err() != context.Canceled {
			t.Fatalf("got %v, want %v", l.Err(), context.Canceled)
		}
		cancel()
	}
}
