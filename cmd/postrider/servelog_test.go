package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/inbox"
)

// With --verbose the log tells of each session, and one id goes through session and
// message; without it there are the messages alone.
func TestServeVerbose(t *testing.T) {
	for _, verbose := range []bool{true, false} {
		args := []string{}
		if verbose {
			args = append(args, "--verbose")
		}
		s := start(t, t.TempDir(), args...)
		s.deliver([]byte("Subject: logged\r\n\r\n"))
		s.Line(time.Now().Format("15:")) // it has been printed
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(s.Output(), `msg="message arrived"`)
		_, rest, _ = strings.Cut(rest, " session=")
		id, _, _ := strings.Cut(rest, " ")
		for _, want := range []string{`msg="smtp: session begins" session=` + id + " remote=127.0.0.1:", `msg="smtp: session ended" session=` + id + " ", "messages=1 why="} {
			if strings.Contains(s.Output(), want) != verbose {
				t.Errorf("verbose %v: the log holds %q: %v:\n%s", verbose, want, !verbose, s.Output())
			}
		}
	}
}

// A line has as much of a subject as a line has room for.
func TestSubjectIsCut(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "(no subject)",
		"Minutes":                  "Minutes",
		strings.Repeat("ü", 100):   strings.Repeat("ü", 100),
		strings.Repeat("ü", 101):   strings.Repeat("ü", 99) + "…",
		strings.Repeat("a ", 5000): strings.Repeat("a ", 49) + "a…",
	} {
		got := subject(&inbox.Summary{Subject: text})
		if got != want || utf8.RuneCountInString(got) > maxSubject {
			t.Errorf("%.20q: got %q, want %q", text, got, want)
		}
	}
}
