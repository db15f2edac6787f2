package sqlite

import (
	"cmp"
	"slices"
	"strings"
)

// An expression is what the index is asked: a phrase in a column, or several
// expressions together. It is kept as a tree, and not as text, until it is known which
// words a shard has: what begins with a word becomes these, and what is left out with
// those that are not there makes the rest shorter. The zero expression is none.
type expression struct {
	op     string // "AND", "OR", or "NOT": the first without the second; "" is a phrase
	of     []expression
	column string   // of a phrase; "" is any
	words  []string // one after the other
	begins bool     // the last one may be the beginning of a longer one
}

// nothing holds of no message.
func nothing() expression { return expression{op: "OR"} }

// everything holds of all messages: what is excluded has to be subtracted from something.
// It is looked for in every column, for to keep to one takes longer, and a message that
// has the mark in its text is not found by it once more.
func everything() expression { return expression{words: []string{otherMark + "all"}} }

// mark holds of the messages that have a mark.
func mark(word string) expression { return expression{column: "mark", words: []string{word}} }

// join puts expressions together that are simple already. What holds of no message
// takes the others with it, or is left out.
func join(op string, of ...expression) expression {
	var some []expression
	for i, e := range of {
		switch {
		case !e.isNothing():
			some = append(some, e)
		case op == "AND" || op == "NOT" && i == 0:
			return e
		}
	}
	if len(some) == 1 {
		return some[0]
	}
	return expression{op: op, of: some}
}

// without returns e without what is excluded, which is subtracted from one word of what
// is wanted: where most of a word's messages go, no other word is looked for in these,
// and the places of a phrase's words are not compared. One after the other, and what is
// cheap to look for first: of what the first has taken the next is not asked.
func (e expression) without(excluded ...expression) expression {
	all := []expression{e}
	if e.op == "AND" {
		all = slices.Clone(e.of)
	}
	less := func(e expression) expression {
		slices.SortStableFunc(excluded, func(a, b expression) int { return cmp.Compare(a.effort(), b.effort()) })
		for _, x := range excluded {
			e = join("NOT", e, x)
		}
		return e
	}
	// A word if there is one, or else one of a phrase's, which is looked for once more.
	i := slices.IndexFunc(all, func(x expression) bool { return x.op == "" && len(x.words) == 1 })
	switch {
	case len(excluded) == 0:
		return e
	case i >= 0:
		all[i] = less(all[i])
	default:
		if i = slices.IndexFunc(all, func(x expression) bool { return x.op == "" }); i < 0 {
			return less(e)
		}
		// The first, for the last one may be a beginning.
		word := expression{column: all[i].column, words: all[i].words[:1]}
		all = append([]expression{less(word)}, all...)
	}
	return join("AND", all...)
}

// effort is about how much it takes to look for it in one message more.
func (e expression) effort() (n int) {
	e.each(func(phrase expression) {
		if n += len(phrase.words); phrase.begins {
			n += 4 // the list of all words that begin so is made
		}
	})
	return n
}

// isNone tells that nothing is asked.
func (e expression) isNone() bool { return e.op == "" && len(e.words) == 0 }

// isNothing tells that nothing is found.
func (e expression) isNothing() bool { return e.op != "" && len(e.of) == 0 }

// String returns it in FTS5's language. All that a client sent stands in quotes.
func (e expression) String() string {
	if e.isNothing() {
		return mark(otherMark + "none").String()
	}
	if e.op != "" {
		var parts []string
		for _, x := range e.of {
			parts = append(parts, "("+x.String()+")")
		}
		return strings.Join(parts, " "+e.op+" ")
	}
	text := `"` + strings.ReplaceAll(strings.Join(e.words, " "), `"`, `""`) + `"`
	if e.column != "" {
		text = e.column + ":" + text
	}
	if e.begins {
		text += "*"
	}
	return text
}

// excludes tells whether there is a NOT in it.
func (e expression) excludes() bool {
	return e.op == "NOT" || slices.ContainsFunc(e.of, expression.excludes)
}

// each calls fn with every phrase.
func (e expression) each(fn func(phrase expression)) {
	if e.op == "" {
		fn(e)
	}
	for _, x := range e.of {
		x.each(fn)
	}
}

// replace returns it with other expressions in place of its phrases.
func (e expression) replace(fn func(phrase expression) expression) expression {
	if e.op == "" {
		return fn(e)
	}
	of := make([]expression, len(e.of))
	for i, x := range e.of {
		of[i] = x.replace(fn)
	}
	return join(e.op, of...)
}
