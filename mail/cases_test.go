package mail_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// The cases in which libraries for mail differ, each of which some of them get wrong.

// composed writes a message; what cannot be written is an error.
func composed(change func(m *mail.Message)) (string, error) {
	m := &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Subject: "s", Text: "Hello.\n"}
	change(m)
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	return b.String(), err
}

// longest gives the longest line of the header.
func longest(s string) (n int) {
	head, _, _ := strings.Cut(s, "\r\n\r\n")
	for line := range strings.Lines(head) {
		n = max(n, len(strings.TrimRight(line, "\r\n")))
	}
	return n
}

func TestComposingCases(t *testing.T) {
	subject := func(s string) func(m *mail.Message) { return func(m *mail.Message) { m.Subject = s } }
	comes := func(s string) func(string, error) string { // the subject comes back
		return func(out string, err error) string {
			if got := parsed(t, out).Subject; err != nil || got != s {
				return fmt.Sprintf("read as %q, %v", got, err)
			}
			return ""
		}
	}
	refused := func(out string, err error) string {
		if err == nil || out != "" {
			return "written:\n" + out
		}
		return ""
	}
	encoding := func(want string) func(string, error) string {
		return func(out string, err error) string {
			if got := parsed(t, out).Body.Encoding(); err != nil || got != want {
				return fmt.Sprintf("got %s, %v", got, err)
			}
			return ""
		}
	}
	cyrillic, unbroken, fake := strings.Repeat("Очень длинная тема письма ", 60)+"конец", strings.Repeat("x", 1200), "=?utf-8?b?0J7Qvg==?= is not encoded"
	const file = `Отчёт "2026"; ½ — очень длинное имя.pdf`
	for _, c := range []struct {
		name   string
		change func(m *mail.Message)
		check  func(out string, err error) string
	}{
		{"a long subject beyond ASCII is folded", subject(cyrillic), func(out string, err error) string {
			if n := longest(out); n > 78 {
				return fmt.Sprintf("a line of %d", n)
			}
			return comes(cyrillic)(out, err)
		}},
		{"1,200 characters without a space", subject(unbroken), func(out string, err error) string {
			if n := longest(out); n > 998 {
				return fmt.Sprintf("a line of %d", n)
			}
			return comes(unbroken)(out, err)
		}},
		{"a subject that looks like an encoded word", subject(fake), comes(fake)},
		{"a file name beyond ASCII, with quotes", func(m *mail.Message) { m.Attachments = []mail.Attachment{mail.FromBytes(file, []byte("x"))} }, func(out string, err error) string {
			if !strings.Contains(out, "filename*0*=utf-8''") || longest(out) > 78 || strings.Contains(out, `="=?`) {
				return out
			}
			if got := parsed(t, out).Attachments; err != nil || len(got) != 1 || got[0].Name != file {
				return fmt.Sprintf("read as %+v, %v", got, err)
			}
			return ""
		}},
		{"CRLF in a file name", func(m *mail.Message) { m.Attachments = []mail.Attachment{mail.FromBytes("a\r\nBcc: x@y.z", nil)} }, refused},
		{"CRLF in a value", func(m *mail.Message) { m.Header.Append("X-Own", "a\r\nBcc: x@y.z") }, refused},
		{"CRLF in a name", func(m *mail.Message) { m.Header.Append("X-Own: a\r\nBcc", "x@y.z") }, refused},
		{"a colon in a name", func(m *mail.Message) { m.Header.Append("Bcc: x@y.z, X", "v") }, refused},
		{"CRLF in an address", func(m *mail.Message) { m.To = []mail.Address{{Address: "a@b.c>\r\nBcc: <x@y.z"}} }, refused},
		{"plain ASCII is 7bit", func(*mail.Message) {}, encoding("7bit")},
		{"Chinese is base64", func(m *mail.Message) { m.Text = strings.Repeat("这是正文。\n", 20) }, encoding("base64")},
		{"a line of 2,000 characters in the body", func(m *mail.Message) { m.Text = strings.Repeat("word ", 400) + "\n" }, func(out string, err error) string {
			for line := range strings.Lines(out) {
				if len(line) > 1000 {
					return fmt.Sprintf("a line of %d", len(line))
				}
			}
			if got := parsed(t, out).Text; err != nil || got != strings.Repeat("word ", 400)+"\n" {
				return fmt.Sprintf("read as %q", got)
			}
			return ""
		}},
		{"List-Unsubscribe is never encoded", func(m *mail.Message) {
			m.Header.Append("List-Unsubscribe", "<https://example.com/"+strings.Repeat("0123456789", 20)+">, <mailto:u@example.com>")
		}, func(out string, err error) string {
			if err != nil || strings.Contains(out, "=?") {
				return out
			}
			return ""
		}},
		{"Bcc is not written", func(m *mail.Message) { m.Bcc = mail.List("secret@example.org") }, func(out string, err error) string {
			if err != nil || regexp.MustCompile(`(?im)^bcc|secret`).MatchString(out) {
				return out
			}
			return ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if how := c.check(composed(c.change)); how != "" {
				t.Error(how)
			}
		})
	}
}

func TestParsingCases(t *testing.T) {
	name := func(m *mail.Message) string { return m.Body.Name() }
	from := func(m *mail.Message) string { return fmt.Sprint(m.From) }
	text := func(m *mail.Message) string { return m.Text }
	for _, c := range []struct {
		name, raw string
		get       func(m *mail.Message) string
		want      string
	}{
		{"a file name without quotes", "Content-Disposition: attachment; filename=a.txt\n\nx", name, "a.txt"},
		{"another one", "Content-Disposition: attachment; filename=fwd.eml\n\nx", name, "fwd.eml"},
		{"an encoded subject", "Subject: =?koi8-r?b?8NLJ18XU?=\n\nx", func(m *mail.Message) string { return m.Subject }, "Привет"},
		{"a text in its charset", "Content-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\xc9\xd7\xc5\xd4", text, "Привет"},
		{"a line in the header that is no field", "From: a@b.c\nthis is no field\nSubject: s\n\nx", func(m *mail.Message) string { return m.Subject + " " + m.Text }, "s x"},
		{"a separator of mbox before the header", "From a@b.c Sat Nov 21 09:00:00 2026\nFrom: a@b.c\nSubject: s\n\nx", func(m *mail.Message) string { return m.Subject + " " + m.Text }, "s x"},
		{"an unknown transfer encoding", "From: a@b.c\nContent-Transfer-Encoding: x-own\n\nx", text, "x"},
		{"no last boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n", text, "one\ntwo\n"},
		{"an address as its own name", "From: foo@bar.com <foo@bar.com>\n\n", from, "[\"foo@bar.com\" <foo@bar.com>]"},
		{"a name with a comma", "From: Doe, John <j@x.org>\n\n", from, "[\"Doe, John\" <j@x.org>]"},
		{"a name in raw Latin-1", "From: J\xfcrgen <j@x.org>\n\n", from, "[Jürgen <j@x.org>]"},
		{"a subject in the raw charset of the text", "Subject: \xd6\xd0\xce\xc4\nContent-Type: text/plain; charset=gb2312\n\n\xd6\xd0", func(m *mail.Message) string { return m.Subject }, "中文"},
		{"pieces of a name, encoded and not", "Content-Type: application/x-y;\n name*0*=utf-8''%D0%9E%D1%82;\n name*1=\"chet \";\n name*2*=%D1%91.pdf\n\nx", name, "Отchet ё.pdf"},
		{"format=flowed", "Content-Type: text/plain; format=flowed\n\nA paragraph \nof two lines.\n", text, "A paragraph of two lines.\n"},
		{"uuencode in a text", "From: a@b.c\n\ntext\nbegin 644 a.txt\n#0V%T\n`\nend\n", func(m *mail.Message) string {
			files, err := m.Body.Files()
			if err != nil || len(files) != 1 {
				return fmt.Sprint(files, err)
			}
			rc, err := files[0].Open()
			if err != nil {
				return err.Error()
			}
			defer rc.Close()
			b, err := io.ReadAll(rc)
			return fmt.Sprint(files[0].Name, " ", string(b), " ", err)
		}, "a.txt Cat <nil>"},
		{"base64 with a list's footer below it", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nSGVsbG8u\n_______________\nlist mailing list\nhttps://example.com/list\n", text, "Hello."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.get(parsed(t, c.raw)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
