package sqlite

import (
	"slices"

	"github.com/postrider/postrider/inbox"
)

// Expressions brought into the form in which finding the first few messages is
// cheap. What the index of words answers alone is left to it, in one piece. Of the
// rest, an OR becomes alternatives, each of which is looked for by itself, the way
// that suits it: its first fifty are among the first fifty of one of them. As a
// condition on rows it would have to be asked of every message when it holds of few.

// maxAlternatives is how many queries one may become: as many times a page is read.
const maxAlternatives = 8

// inWords tells whether the index of words alone answers e.
func inWords(e inbox.Expr) bool {
	switch e.Op {
	case inbox.Is:
		// These are answered by the row or by the key, or change after it was indexed.
		switch e.Term.Field {
		case "tag", "inbox", "is", "before", "after", "id":
			return false
		}
		return true
	case inbox.Every:
		return false
	}
	return !slices.ContainsFunc(e.Of, func(x inbox.Expr) bool { return !inWords(x) })
}

// normal moves each NOT inwards, until it stands before a term or before what the
// index answers, or is gone.
func normal(e inbox.Expr) inbox.Expr {
	if e.Op == inbox.Not && !inWords(e) {
		opposite, ok := opposite(e.Of[0])
		if !ok {
			return e // it is asked of each row
		}
		e = opposite
	}
	if e.Op != inbox.And && e.Op != inbox.Or || inWords(e) {
		return e
	}
	out := inbox.Expr{Op: e.Op}
	for _, x := range e.Of {
		// What is in brackets of the same kind needs none.
		if x = normal(x); x.Op == e.Op && !inWords(x) {
			out.Of = append(out.Of, x.Of...)
		} else {
			out.Of = append(out.Of, x)
		}
	}
	return out
}

// opposite returns what holds where e does not, if there is another way to say it
// than NOT. It has been brought into normal form.
func opposite(e inbox.Expr) (inbox.Expr, bool) {
	not := func(e inbox.Expr) inbox.Expr { return inbox.Expr{Op: inbox.Not, Of: []inbox.Expr{e}} }
	switch {
	case e.Op == inbox.Not:
		return normal(e.Of[0]), true
	case e.Op == inbox.And || e.Op == inbox.Or: // by De Morgan's laws
		out := inbox.Expr{Op: map[inbox.Op]inbox.Op{inbox.And: inbox.Or, inbox.Or: inbox.And}[e.Op]}
		for _, x := range e.Of {
			out.Of = append(out.Of, not(x))
		}
		return normal(out), true
	case e.Op == inbox.Is:
		t := e.Term
		other := map[string]string{"unread": "read", "read": "unread", "before": "after", "after": "before"}
		if t.Field == "is" && other[t.Text] != "" {
			t.Text = other[t.Text]
			return inbox.Expr{Op: inbox.Is, Term: t}, true
		}
		if other[t.Field] != "" {
			t.Field = other[t.Field]
			return inbox.Expr{Op: inbox.Is, Term: t}, true
		}
	}
	return e, false
}

// alternatives returns expressions of which one holds where e does, which is in
// normal form: e itself if there is but one, or if there would be too many.
func alternatives(e inbox.Expr) []inbox.Expr {
	one := []inbox.Expr{e}
	if e.Op != inbox.And && e.Op != inbox.Or || inWords(e) {
		return one
	}
	var list []inbox.Expr
	if e.Op == inbox.Or {
		// What the index answers is one question to it.
		words := inbox.Expr{Op: inbox.Or}
		for _, x := range e.Of {
			if inWords(x) {
				words.Of = append(words.Of, x)
			} else {
				list = append(list, alternatives(x)...)
			}
		}
		if len(words.Of) > 0 {
			list = append(list, words)
		}
	} else {
		list = []inbox.Expr{{Op: inbox.And}}
		for _, x := range e.Of {
			var longer []inbox.Expr
			for _, before := range list {
				for _, then := range alternatives(x) {
					longer = append(longer, inbox.Expr{Op: inbox.And, Of: append(slices.Clip(before.Of), then)})
				}
			}
			// They multiply: given up before they are many, for the expression may have been
			// made to.
			if list = longer; len(list) > maxAlternatives {
				return one
			}
		}
	}
	if len(list) > maxAlternatives {
		return one
	}
	return list
}
