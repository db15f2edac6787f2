package sqlite

import (
	"database/sql/driver"
	"encoding/json"
	"slices"
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

// vocabulary is the table of the words of a shard.
func (s shard) vocabulary() string { return s.table() + "v" }

// isPlain tells the words that are in the vocabulary as they are asked for, but for
// their case: letters that are not ASCII SQLite folds in a way of its own. The marks of
// words.go it leaves alone.
func isPlain(word string) bool {
	return !strings.ContainsFunc(word, func(r rune) bool { return r > 0x7f && (r < 0xE000 || r > 0xF8FF) })
}

// words makes the beginnings in an expression of the index into words, where these are
// few and it pays: in phrases, whose other words leave few of the rows, and where
// something is excluded, as two words that most messages have can leave none, and of
// both all rows are gone through. What is rare without that has a short list itself, and
// looking up words is the dearer. It is to be asked in the same transaction: a word that
// is new would be missed.
func (s shard) words(c *conn, e expression) (expression, error) {
	var all []string
	excludes := e.excludes()
	last := func(phrase expression) (word string, ok bool) {
		word = strings.ToLower(phrase.words[len(phrase.words)-1])
		return word, phrase.begins && isPlain(word) && (excludes || len(phrase.words) > 1)
	}
	e.each(func(phrase expression) {
		if word, ok := last(phrase); ok {
			all = append(all, word)
		}
	})
	if len(all) == 0 {
		return e, nil
	}
	slices.Sort(all)
	known, err := s.beginning(c, slices.Compact(all))
	if err != nil {
		return e, err
	}
	return e.replace(func(phrase expression) expression {
		begin, ok := last(phrase)
		if !ok || len(known[begin]) > maxWords {
			return phrase
		}
		var any []expression
		for _, word := range known[begin] {
			whole := slices.Concat(phrase.words[:len(phrase.words)-1], []string{word})
			any = append(any, expression{column: phrase.column, words: whole})
		}
		return join("OR", any...)
	}), nil
}

// beginning lists the words that begin with each of some letters, and one more than
// maxWords at most. After each it goes on behind all rows of that word: no character of
// a word is as low as \x01.
func (s shard) beginning(c *conn, letters []string) (map[string][]string, error) {
	list, err := json.Marshal(letters)
	if err != nil {
		return nil, err
	}
	v := "search." + s.vocabulary()
	next, err := c.prepare(`WITH RECURSIVE next(begin, word, n) AS (
		SELECT value, (SELECT term FROM ` + v + ` WHERE term>=value LIMIT 1), 1 FROM json_each(?)
		UNION ALL SELECT begin, (SELECT term FROM ` + v + ` WHERE term>=word||char(1) LIMIT 1), n+1
			FROM next WHERE word<begin||char(0x10FFFF) AND n<=?)
		SELECT begin, word FROM next WHERE word<begin||char(0x10FFFF)`)
	if err != nil {
		return nil, err
	}
	defer next.Close()
	known := map[string][]string{}
	_, err = next.set(string(list), int64(maxWords)).query(func(row []driver.Value) error {
		begin, _ := row[0].(string)
		word, _ := row[1].(string)
		known[begin] = append(known[begin], word)
		return nil
	}, make([]driver.Value, 2))
	return known, err
}
