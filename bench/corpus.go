package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// A mailbox to search in: messages that are all different, with words as common and as rare as those of a language are
// (Zipf's law), from few senders to few recipients, some with HTML, attachments, lists and Chinese subjects. Where other
// projects' messages are at hand, every fourth is one of these. Each run makes the same ones.

type corpus struct {
	words []string
	found [][]byte // other projects' messages
}

// dictionary is how many words the corpus knows.
const dictionary = 40_000

// newCorpus makes the words, and reads the messages that lie below POSTRIDER_CORPORA.
func newCorpus() *corpus {
	c := &corpus{}
	r := rand.New(rand.NewPCG(1, 2))
	syllables := strings.Fields("ba be bi bo bu da de di do du fa fe ga go ka ke ki ko la le li lo lu ma me mi mo mu na ne no pa pe po ra re ri ro sa se si so su ta te ti to va ve vi vo za ze")
	known := map[string]bool{}
	for len(c.words) < dictionary {
		var b strings.Builder
		for range 1 + len(c.words)/200%3 + r.IntN(3) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
		if w := b.String(); !known[w] {
			known[w] = true
			c.words = append(c.words, w)
		}
	}
	dir := os.Getenv("POSTRIDER_CORPORA")
	if dir == "" {
		return c
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".eml" {
			return nil
		}
		text, err := os.ReadFile(path)
		// A line end of this system's, or none at all, would not survive the way.
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), nil)
		if err == nil && len(text) > 0 && len(text) < 16<<10 {
			c.found = append(c.found, append(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), "\r\n"...))
		}
		return nil
	})
	return c
}

// message makes the n-th message.
func (c *corpus) message(n int) []byte {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	common := rand.NewZipf(r, 1.1, 8, dictionary-1)
	text := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(c.words[common.Uint64()])
			b.WriteString([]string{" ", "\r\n"}[min(1, i%12/11)])
		}
		return b.String()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Received: from client.example.com by mx.example.net; Sat, 21 Nov 2026 10:00:00 +0000\r\nX-Number: number%d\r\n", n)
	if len(c.found) > 0 && n%4 == 0 {
		b.Write(c.found[r.IntN(len(c.found))])
		return b.Bytes()
	}
	sender, subject := r.IntN(400), strings.ReplaceAll(text(3+r.IntN(5)), "\r\n", " ")
	if n%50 == 1 {
		subject = "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte("明日の会議について"+string(rune(0x4E00+r.IntN(2000))))) + "?="
	}
	fmt.Fprintf(&b, "From: %s <%s@shop%d.example.com>\r\nTo: Person %d <person%d@example.net>\r\nSubject: %s\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\n",
		c.words[1000+sender], c.words[2000+sender], sender%20, n%60, n%60, subject, n)
	if n%3 == 0 {
		fmt.Fprintf(&b, "X-Campaign: %s sale\r\nList-Unsubscribe: <https://shop.example.com/u/%d>\r\n", []string{"spring", "summer", "autumn"}[n/3%3], n)
	}
	plain := "Hello,\r\n" + text(40+r.IntN(200)) + fmt.Sprintf("\r\nYour order %d is on its way.\r\n", n)
	switch {
	case n%20 == 7:
		fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n%s\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=invoice%d.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n", plain, n)
		for range 60 + r.IntN(400) {
			b.WriteString(strings.Repeat("JVBERi0x", 9) + "\r\n")
		}
		b.WriteString("--b--\r\n")
	case n%2 == 0:
		html := strings.ReplaceAll(plain, "\r\n", "<br>\r\n")
		fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n%s\r\n--b\r\nContent-Type: text/html\r\n\r\n<html><body><p>%s</p></body></html>\r\n--b--\r\n", plain, html)
	default:
		b.WriteString("\r\n" + plain)
	}
	return b.Bytes()
}
