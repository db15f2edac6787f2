package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"
)

// Beginnings of words made into words. Of a beginning FTS5 puts the rows of all its
// words into one list before it gives the first. Of a word it has the list already,
// and goes through it at twice the speed. What somebody typed mostly is the beginning
// of one word or a few, which the vocabulary of a shard tells in one step down its
// tree for each.

// maxWords is how many words a beginning is made into at most. Each is asked for each
// row, so that of many the one list is the cheaper.
const maxWords = 4

// beginnings are the words of an expression that may go on: a column, and the word.
// One that is not ASCII stays as it is, because SQLite folds those in a way of its
// own; so does one that has a mark, because few are like it; and so does a phrase,
// whose other words would be gone through for each. No word has a quote in it.
var beginnings = regexp.MustCompile(`((?:[a-z]+:)?")([a-zA-Z0-9]+)"\*`)

// vocabulary is the table of the words of a shard.
func (s shard) vocabulary() string { return s.table() + "v" }

// words makes the beginnings in an expression of the index into words, where these
// are few and something is excluded: two words that most messages have can leave
// none, and of both all rows are gone through. What is rare without that has a short
// list itself, and looking up words is the dearer. It is to be asked in the same
// transaction: a word that is new would be missed.
func (s shard) words(ctx context.Context, tx *sql.Tx, match string) (string, error) {
	if !strings.Contains(match, " NOT ") {
		return match, nil
	}
	var errs []error
	match = beginnings.ReplaceAllStringFunc(match, func(begin string) string {
		p := beginnings.FindStringSubmatch(begin)
		words, err := s.vocabularyFrom(ctx, tx, strings.ToLower(p[2]), maxWords+1)
		errs = append(errs, err)
		if len(words) == 0 || len(words) > maxWords {
			return begin
		}
		for i := range words {
			words[i] = p[1] + words[i] + `"`
		}
		return "(" + strings.Join(words, " OR ") + ")"
	})
	return match, errors.Join(errs...)
}

// vocabularyFrom lists up to n words that begin with some letters. After each it goes
// on behind all rows of that word: no character of a word is as low as \x01.
func (s shard) vocabularyFrom(ctx context.Context, tx *sql.Tx, begin string, n int) (words []string, err error) {
	v := "search." + s.vocabulary()
	rows, err := tx.QueryContext(ctx, `WITH RECURSIVE next(word) AS (
		SELECT (SELECT term FROM `+v+` WHERE term>=?1 LIMIT 1)
		UNION ALL SELECT (SELECT term FROM `+v+` WHERE term>=word||char(1) LIMIT 1) FROM next WHERE word<?2 LIMIT ?3)
		SELECT word FROM next WHERE word<?2`, begin, begin+"\U0010FFFF", n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var word string
		if err := rows.Scan(&word); err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, rows.Err()
}
