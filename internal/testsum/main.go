// Command testsum reads the events of go test -json and prints what a person wants of them: the line of each package as
// go test prints it, each failing test with its output, each skipped test in one line with its reason, and a last line
// that sums up what ran and what to install.
//
//	go test -json ./... | go run ./internal/testsum
//
// It exits 1 if a test failed or nothing could be read, and with -require also if a test was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// The events are read as they come, and what go test -json says for machines is put back into what it says for people: a run
// takes minutes, and who watches it wants to see the packages go by.
//
// Output is kept per test and thrown away when the test passes. A test that never ends, because its package panicked or
// timed out, is printed when its package fails.

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build's output, in the place of Package
	Test       string
	Output     string
}

// test names a test, or with an empty name its package.
type test struct{ pkg, name string }

// summary is what has been seen of a run so far.
type summary struct {
	w       io.Writer
	require bool // a skip is a failure
	output  map[test][]string
	result  map[test]string // pass, fail or skip
	reasons []string        // of the skips, in the order in which they came
	failed  bool            // something failed, be it no test
	events  int
}

func main() {
	require := flag.Bool("require", false, "a skipped test is a failure")
	flag.Parse()
	w := bufio.NewWriter(os.Stdout)
	s := &summary{w: w, require: *require, output: map[test][]string{}, result: map[test]string{}}
	// What was read before an error is summed up all the same: it may be all that there is of a run that was broken off.
	err := s.read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	ok := s.close() && err == nil
	if w.Flush() != nil || !ok {
		os.Exit(1)
	}
}

// read takes all events. It reads lines of any length: a test may print a whole message in one.
func (s *summary) read(r io.Reader) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadString('\n')
		if line != "" {
			s.line(line)
			// Long runs are watched: a package's line shows as soon as it is there.
			if f, ok := s.w.(interface{ Flush() error }); ok && br.Buffered() == 0 {
				f.Flush()
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one event, or what is none.
func (s *summary) line(line string) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		// What go itself says, for instance that a package does not load, is no event.
		io.WriteString(s.w, line)
		return
	}
	s.events++
	t := test{e.Package, e.Test}
	switch e.Action {
	// A build that fails has no package yet; its output comes first and would otherwise be lost.
	case "build-output":
		io.WriteString(s.w, e.Output)
	case "build-fail":
		s.failed = true
	case "output":
		s.output[t] = append(s.output[t], e.Output)
	case "pass", "skip", "fail":
		s.result[t] = e.Action
		if e.Test == "" {
			s.endPackage(t, e.Action)
		} else {
			s.endTest(t, e.Action)
		}
		delete(s.output, t)
	}
}

// endTest shows a test that did not pass. The reason of a skip is what counts here: it says what to install.
func (s *summary) endTest(t test, action string) {
	switch action {
	case "fail":
		s.failed = true
		s.print(s.output[t])
	case "skip":
		reason := reason(s.output[t])
		s.reasons = append(s.reasons, reason)
		fmt.Fprintf(s.w, "--- SKIP: %s %s: %s\n", t.pkg, t.name, reason)
	}
}

// endPackage shows the line of a package: with the time it took, or that it came out of the cache, or that there are no tests.
// If it failed it also shows the tests that never ended, in the order of their names, for their output is kept in a map.
func (s *summary) endPackage(t test, action string) {
	if action != "fail" {
		for _, line := range s.output[t] {
			if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
				io.WriteString(s.w, line)
			}
		}
		return
	}
	s.failed = true
	for _, u := range slices.SortedFunc(maps.Keys(s.output), func(a, b test) int { return strings.Compare(a.name, b.name) }) {
		if u.pkg == t.pkg && u.name != "" {
			s.print(s.output[u])
			delete(s.output, u)
		}
	}
	s.print(s.output[t])
}

// print writes lines without those that only say that a test goes on.
func (s *summary) print(lines []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, "=== ") {
			io.WriteString(s.w, line)
		}
	}
}

// place is what t.Skip puts before the reason: the source line.
var place = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// reason returns what t.Skip said: the last line of output that has a source line before it.
func reason(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if at := place.FindString(line); at != "" {
			return strings.TrimSpace(line[len(at):])
		}
	}
	return "no reason given"
}

// close prints the last line and reports whether all is well. It counts tests by what became of them, and not by their events,
// so that -count=2 does not make two of one.
func (s *summary) close() bool {
	counts := map[string]int{}
	parents := s.parents()
	for t, action := range s.result {
		if t.name != "" && !parents[t][action] {
			counts[action]++
		}
	}
	verdict := "ok"
	// Nothing at all is a failure too: an empty pipe must not look like tests that pass.
	bad := s.failed || s.events == 0 || s.require && len(s.reasons) > 0
	if bad {
		verdict = "FAIL"
	}
	fmt.Fprintf(s.w, "%s: %d passed, %d failed, %d skipped%s\n", verdict, counts["pass"], counts["fail"], len(s.reasons), s.advice())
	return !bad
}

// parents returns the tests that have subtests, each with the outcomes that are counted with those and not once more:
// that it passed, and any that a subtest had too.
func (s *summary) parents() map[test]map[string]bool {
	parents := map[test]map[string]bool{}
	for t, action := range s.result {
		for i := range len(t.name) {
			if t.name[i] != '/' {
				continue
			}
			parent := test{t.pkg, t.name[:i]}
			if parents[parent] == nil {
				parents[parent] = map[string]bool{"pass": true}
			}
			parents[parent][action] = true
		}
	}
	return parents
}

// absent is how internal/peers says that a program is missing.
var absent = regexp.MustCompile(`^(.*?) (?:is|are) not installed: `)

// advice says what would let the skipped tests run: each missing program once, however many tests want it.
func (s *summary) advice() string {
	var names []string
	others := 0
	for _, r := range s.reasons {
		if m := absent.FindStringSubmatch(r); m == nil {
			others++
		} else if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	var parts []string
	if len(names) > 0 {
		parts = append(parts, "not installed: "+strings.Join(names, ", ")+"; scripts/peers installs what tests use")
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d for the reasons above", others))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}
