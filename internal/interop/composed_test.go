package interop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/mail"
)

// Other people's parsers read what we compose, and find what its author has put in.

// composed are messages that hold what is hard to write so that everybody reads it.
var composed = map[string]func(m *mail.Message){
	"plain": func(*mail.Message) {},
	"subject in Cyrillic": func(m *mail.Message) {
		m.Subject = strings.Repeat("Очень длинная тема письма ", 10) + "конец"
	},
	"subject in one word":         func(m *mail.Message) { m.Subject = strings.Repeat("x", 1200) },
	"subject of emoji":            func(m *mail.Message) { m.Subject = strings.Repeat("👩‍👩‍👧", 20) },
	"subject like encoded words":  func(m *mail.Message) { m.Subject = "=?utf-8?b?0J7Qvg==?= is not encoded =?x" },
	"subject of one foreign word": func(m *mail.Message) { m.Subject = "Grüße from Ann" },
	"names": func(m *mail.Message) {
		m.From = []mail.Address{{Name: `Doe, "Jo" \ x`, Address: "jo@example.com"}}
		m.To = []mail.Address{{Name: "Jürgen Müller", Address: "j@example.com"}, {Name: strings.Repeat("名", 40), Address: "n@example.com"}, {Name: "a.b", Address: "ab@example.com"}}
	},
	"sixty recipients": func(m *mail.Message) {
		for i := range 60 {
			m.To = append(m.To, mail.Address{Name: "Nummer " + fmt.Sprint(i) + " ü", Address: fmt.Sprintf("someone%d@example.com", i)})
		}
	},
	"text in Chinese":      func(m *mail.Message) { m.Text = strings.Repeat("这是正文。\n", 40) },
	"text in German":       func(m *mail.Message) { m.Text = "Grüße = aus Köln.  \n\nFrom hier an\n.\n..\n" },
	"text in long lines":   func(m *mail.Message) { m.Text = strings.Repeat("word ", 1000) + "\n" },
	"text and HTML":        func(m *mail.Message) { m.HTML = "<p>Hello, <b>Bob</b> ü</p>" },
	"text and empty lines": func(m *mail.Message) { m.Text = "\n\na\n\n\nb\n" },
	"files": func(m *mail.Message) {
		m.Attachments = []mail.Attachment{
			mail.FromBytes("minutes.pdf", []byte("%PDF")), mail.FromBytes(`Отчёт "2026"; ½ — очень длинное имя файла, которое не помещается.pdf`, []byte("x")),
			mail.FromBytes("a b;c.txt", []byte("text\n")), mail.FromBytes("ü.txt", []byte("\xff\x00")), mail.FromBytes("empty", nil), mail.FromBytes(strings.Repeat("long", 30)+".txt", bytes.Repeat([]byte("z"), 5000)),
		}
	},
	"everything": func(m *mail.Message) {
		m.HTML = `<p>Hello <img src="cid:logo@example.com"></p>`
		m.Attachments = []mail.Attachment{mail.FromBytes("a.bin", bytes.Repeat([]byte{0, 255, 10, 13}, 4000)), mail.FromBytes("logo.png", []byte("png"))}
		m.Attachments[1].CID = "logo@example.com"
		m.Header = mail.Fields("X-Own", "Grüße", "List-Unsubscribe", "<https://example.com/u>")
	},
	"a message": func(m *mail.Message) {
		*m = *m.Forward(mail.Address{Address: "ann@example.com"})
		m.To, m.Cc, m.Text, m.Date = mail.List("bob@example.net"), mail.List("c@example.org"), "See below.\n", time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	},
}

// misread are what a parser does not find, by its name, the message and what is compared, and why.
var misread = map[string]string{
	"Python's email: names: to":        "a name in several encoded words gets spaces between them",
	"Python's email: a message: files": "a message in a message is taken apart, and no file",
	"postal-mime: a message: files":    "the line ends of a message in a message become LF",
}

func TestComposedIsRead(t *testing.T) {
	dir := t.TempDir()
	var names, paths []string
	for name, change := range composed {
		m := &mail.Message{From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"), Cc: mail.List("Cleo <c@example.org>"), Subject: "s", Text: "Hello.\n", Date: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
		change(m)
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.eml", len(paths)))
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		names, paths = append(names, name), append(paths, path)
	}
	used := map[string]bool{}
	for _, p := range parsers {
		d := p.read(t, paths)
		for i, name := range names {
			var f finding
			if err := d.Decode(&f); err != nil {
				t.Fatalf("%s: %s: %v", p.name, name, err)
			}
			// That we find what was put in is tested where it is composed.
			want, got := ours(t, paths[i]), compared(t, f)
			for what := range want {
				key := p.name + ": " + name + ": " + what
				if got[what] == want[what] {
					continue
				}
				if used[key] = true; misread[key] == "" {
					t.Errorf("%s: got %.600s, want %.600s", key, got[what], want[what])
				}
			}
		}
	}
	for key := range misread {
		if !used[key] {
			t.Errorf("%s: it is read: %q explains nothing", key, misread[key])
		}
	}
}
