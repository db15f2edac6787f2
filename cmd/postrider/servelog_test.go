package main

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
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

// The line of a message says from whom to whom, and what came with it; there is one for every message, whatever it lacks.
func TestLineOfAMessage(t *testing.T) {
	for _, c := range []struct {
		from    string
		to      []string
		summary *inbox.Summary
		want    string
	}{
		{"ann@example.com", []string{"bob@example.net"}, &inbox.Summary{Subject: "x"}, "ann@example.com → bob@example.net  x"},
		{"", []string{"a@x.example", "b@x.example", "c@x.example"}, &inbox.Summary{Attachments: 1}, "<> → a@x.example and 2 more  (no subject), 1 attachment"},
		{"a\x1b[31m@x.example", nil, &inbox.Summary{Attachments: 2}, "a[31m@x.example → nobody  (no subject), 2 attachments"},
		{"ann@example.com", nil, nil, "ann@example.com → nobody  (no subject)"},
	} {
		e := &inbox.Entry{Summary: c.summary}
		e.Envelope = *smtp.NewEnvelope(c.from, c.to...)
		if got := route(e) + "  " + subject(e.Summary) + attached(e.Summary); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// What is told of whose mail is taken is what the options make the server do.
func TestTakes(t *testing.T) {
	for _, c := range []struct {
		options serveOptions
		want    string
	}{
		{serveOptions{}, "mail for everybody"},
		{serveOptions{accept: []string{"any"}}, "mail for everybody"},
		{serveOptions{accept: []string{"example.com", "example.org"}}, "mail for example.com, example.org"},
		{serveOptions{users: "users"}, "mail from users alone"},
		{serveOptions{onAuth: "check"}, "mail from users alone"},
		{serveOptions{users: "users", open: true}, "mail for everybody"},
		{serveOptions{users: "users", accept: []string{"any"}}, "mail for everybody"},
		{serveOptions{users: "users", accept: []string{"example.com"}}, "mail from users, and for example.com"},
	} {
		if got := c.options.takes(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.options, got, c.want)
		}
	}
}

// The page tells people to send mail to the first port that takes it, however it is spoken there.
func TestPageTellsThePort(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	tls := []string{"--tls-cert", certFile, "--tls-key", keyFile}
	for name, c := range map[string]struct {
		args []string
		line string
	}{
		"both": {[]string{"--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0"}, "SMTP       smtp://"}, "TLS alone": {[]string{"--smtp", "off", "--smtps", "127.0.0.1:0"}, "SMTP, TLS  smtps://"},
	} {
		p := peers.Start(t, command(t, slices.Concat([]string{"serve", "--data", t.TempDir(), "--web", "127.0.0.1:0"}, tls, c.args)...))
		web := p.Line("Web page   ")
		addr := p.Line(c.line)
		resp, err := http.Get(web)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(page), "Mail is taken at <code>"+addr+"</code>") {
			t.Errorf("%s: the page does not name %s (%v)", name, addr, err)
		}
	}
}
