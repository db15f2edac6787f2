package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/postrider/postrider/inbox"
)

// drawExpr draws an expression of terms that the index answers and of others.
func drawExpr(t *rapid.T, depth int) inbox.Expr {
	op := rapid.SampledFrom([]inbox.Op{inbox.Is, inbox.Not, inbox.And, inbox.Or}).Draw(t, "op")
	if depth == 0 || op == inbox.Is {
		return inbox.Expr{Op: inbox.Is, Term: rapid.SampledFrom([]inbox.Term{
			{Text: "a"}, {Field: "subject", Text: "b"}, {Field: "has", Text: "attachment"}, {Field: "tag", Text: "t"}, {Field: "is", Text: "tagged"},
			{Field: "is", Text: "unread"}, {Field: "is", Text: "read"}, {Field: "before", Time: time.Unix(1, 0)}, {Field: "after", Time: time.Unix(1, 0)},
		}).Draw(t, "term")}
	}
	n := 1
	if op != inbox.Not {
		n = rapid.IntRange(1, 3).Draw(t, "n")
	}
	e := inbox.Expr{Op: op}
	for range n {
		e.Of = append(e.Of, drawExpr(t, depth-1))
	}
	return e
}

// holds tells whether e holds of a message, of which six bits say all.
func holds(e inbox.Expr, message int) bool {
	return Holds(e, func(t inbox.Term) bool {
		bit := map[string]int{"a": 0, "b": 1, "attachment": 2, "t": 3, "tagged": 4, "unread": 5, "read": 5, "": 6}[t.Text]
		return message>>bit&1 == 1 != (t.Text == "read" || t.Field == "before")
	})
}

// Alternatives hold of what the expression holds of, and of nothing else; there are
// few, and no NOT is left before brackets that the index does not answer.
func TestAlternatives(t *testing.T) {
	several := 0
	rapid.Check(t, func(t *rapid.T) {
		e := drawExpr(t, 4)
		list := alternatives(normal(e))
		for message := range 1 << 7 {
			any := slices.ContainsFunc(list, func(x inbox.Expr) bool { return holds(x, message) })
			if want := holds(e, message); any != want {
				t.Fatalf("of message %07b %+v holds: %v; of its %d alternatives one holds: %v\n%+v", message, e, want, len(list), any, list)
			}
		}
		if len(list) > maxAlternatives || len(list) == 0 {
			t.Fatalf("%d alternatives of %+v", len(list), e)
		}
		if len(list) > 1 {
			several++
		}
		for _, x := range list {
			if bad := outer(x); bad != "" {
				t.Fatalf("%s is left of %+v", bad, e)
			}
		}
	})
	if several == 0 {
		t.Error("no expression had several alternatives")
	}
}

// outer returns a NOT before brackets that the index does not answer.
func outer(e inbox.Expr) string {
	if e.Op == inbox.Not && !inWords(e) && e.Of[0].Op != inbox.Is {
		return fmt.Sprintf("%+v", e)
	}
	for _, x := range e.Of {
		if bad := outer(x); bad != "" && !inWords(e) {
			return bad
		}
	}
	return ""
}
