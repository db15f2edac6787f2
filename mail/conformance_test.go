package mail_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/peers"
)

// What other projects test their parsers with, run against this one. The result is docs/conformance.md, which this test
// writes with -update, and otherwise holds to what it finds: a case that fails without an explanation is a failure, and so is
// an explanation that no case needs.

var update = flag.Bool("update", false, "write the golden files anew")

// A suite is a set of cases that somebody else has written.
type suite struct {
	name  string
	what  string // what is compared
	run   func(t *testing.T, dir string, s *scores)
	known []reason
}

// A reason explains failures: those whose name or result holds one of the words.
type reason struct {
	why   string
	cases []string
}

// scores counts the cases of a suite.
type scores struct {
	cases  int
	failed []failure
}

// A failure is a case that did not come out as its authors expect.
type failure struct{ name, how string }

// check counts a case; how tells what was wrong, "" if nothing.
func (s *scores) check(name, how string) {
	s.cases++
	if how != "" {
		s.failed = append(s.failed, failure{name, how})
	}
}

// equal counts a case by comparing what was got with what is wanted.
func (s *scores) equal(name string, got, want any) {
	how := ""
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		how = "got " + g + ", want " + w
	}
	s.check(name, how)
}

func TestConformance(t *testing.T) {
	dir := peers.Corpora(t)
	var table, notes bytes.Buffer
	var cases, passed int
	for _, one := range suites {
		var s scores
		one.run(t, dir, &s)
		cases, passed = cases+s.cases, passed+s.cases-len(s.failed)
		fmt.Fprintf(&table, "| %s | %s | %d | %d |\n", one.name, one.what, s.cases, s.cases-len(s.failed))
		if len(s.failed) > 0 {
			fmt.Fprintf(&notes, "\n### %s\n", one.name)
			explain(t, &notes, one, s.failed)
		}
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, pageHead, passed, cases)
	page.Write(table.Bytes())
	page.WriteString("\n## What does not come out as expected, and why\n")
	page.Write(notes.Bytes())
	path := filepath.Join(peers.Root(t), "docs", "conformance.md")
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, page.Bytes()) {
		t.Errorf("%s is not what this test finds (%v): look at the differences, then run it with -update", path, err)
	}
}

const pageHead = `# Conformance of the parser

Messages, tables and vectors that nobody here wrote, and what ` + "`mail`" + ` and ` + "`mail/dsn`" + ` make of them: **%d of %d** cases come out as
their authors expect, and each of the others is explained below. A test writes this page and fails when it is not true.

| suite | compared | cases | as expected |
|---|---|---|---|
`

// explain writes the reasons of a suite's failures, with the cases of each.
func explain(t *testing.T, to *bytes.Buffer, of suite, failed []failure) {
	used := make([][]string, len(of.known))
	for _, f := range failed {
		i := slices.IndexFunc(of.known, func(r reason) bool {
			return slices.ContainsFunc(r.cases, func(word string) bool { return strings.Contains(f.name, word) || strings.Contains(f.how, word) })
		})
		if i < 0 {
			t.Errorf("%s: %s: %s", of.name, f.name, f.how)
			continue
		}
		used[i] = append(used[i], f.name)
	}
	const shown = 6 // of one reason
	for i, r := range of.known {
		if len(used[i]) == 0 {
			t.Errorf("%s: no case fails any more because %q", of.name, r.why)
			continue
		}
		fmt.Fprintf(to, "- %d × %s:", len(used[i]), r.why)
		for _, name := range used[i][:min(len(used[i]), shown)] {
			fmt.Fprintf(to, " %s", code(name))
		}
		if n := len(used[i]) - shown; n > 0 {
			fmt.Fprintf(to, " and %d more", n)
		}
		to.WriteByte('\n')
	}
}

// code gives a case's name for Markdown.
func code(name string) string {
	if len(name) > 90 {
		name = name[:90] + "…"
	}
	quoted := strings.Trim(strconv.QuoteToGraphic(strings.ToValidUTF8(name, "?")), `"`)
	return "``" + strings.ReplaceAll(quoted, `\"`, `"`) + "``"
}

// readJSON reads a table.
func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
