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

// What is refused is logged: whose, from where, and with which reply.
func TestServeLogsRefusals(t *testing.T) {
	s := start(t, t.TempDir(), "--accept", "example.net", "--on-auth", "false", "--on-mail", "false")
	c, err := dial(s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for _, step := range []struct{ code, text string }{
		{"535", "AUTH PLAIN AGFubgBndWVzcw==\r\n"}, {"250", "MAIL FROM:<ann@example.com>\r\n"}, {"550", "RCPT TO:<eve@example.org>\r\n"},
		{"250", "RCPT TO:<bob@example.net>\r\n"}, {"354", "DATA\r\n"}, {"550", ".\r\n"}, {"250", "RSET\r\n"},
	} {
		if err := c.say(step.code, step.text); err != nil {
			t.Fatalf("%q: %v", step.text, err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	from := "remote=" + c.conn.LocalAddr().String()
	for _, want := range []string{
		`authentication refused" session=`, from + ` error="smtp: 535 5.7.8 the credentials are not accepted"`, `"recipient refused" session=`,
		from + ` sender=ann@example.com recipient=eve@example.org error="smtp: 550 5.7.1 mail for this domain is not accepted here"`,
		`"message refused" session=`, from + ` sender=ann@example.com error="smtp: 550 5.7.1 the message is not accepted here"`,
	} {
		if !strings.Contains(s.Output(), want) {
			t.Errorf("the log does not hold %q:\n%s", want, s.Output())
		}
	}
	if n := strings.Count(s.Output(), "refused"); n != 3 {
		t.Errorf("it tells of %d refusals, want 3:\n%s", n, s.Output())
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
