package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"runtime"
	"strings"

	gomessage "github.com/emersion/go-message"
	"github.com/jhillyerd/enmime/v2"

	"github.com/postrider/postrider/mail"
)

// Parsing, without a server.

// parsePostrider, parseStandard, parseGoMessage and parseEnmime do the same: parse raw and decode every part to its last octet.
func parsePostrider(raw []byte) func() error {
	return func() error {
		m, err := mail.ParseAt(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return err
		}
		return drainPart(m.Body)
	}
}

func drainPart(p *mail.Part) error {
	for _, child := range p.Parts {
		if err := drainPart(child); err != nil {
			return err
		}
	}
	if p.IsMultipart() {
		return nil
	}
	r, err := p.Reader()
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return r.Close()
}

func parseStandard(raw []byte) func() error {
	return func() error {
		m, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		for _, name := range []string{"From", "To"} {
			if _, err := m.Header.AddressList(name); err != nil {
				return err
			}
		}
		return drainStandard(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	}
}

func drainStandard(contentType, encoding string, body io.Reader) error {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(media, "multipart/") {
		switch encoding {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		}
		_, err := io.Copy(io.Discard, body)
		return err
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := drainStandard(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
			return err
		}
	}
}

func parseGoMessage(raw []byte) func() error {
	return func() error {
		m, err := gomessage.Read(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		return m.Walk(func(_ []int, part *gomessage.Entity, err error) error {
			if err != nil {
				return err
			}
			if part.MultipartReader() != nil {
				return nil
			}
			_, err = io.Copy(io.Discard, part.Body)
			return err
		})
	}
}

// parseEnmime decodes all parts while it parses.
func parseEnmime(raw []byte) func() error {
	return func() error {
		_, err := enmime.ReadEnvelope(bytes.NewReader(raw))
		return err
	}
}

// hostile are messages that are made to cost more than they are long, by the target's names.
var hostile = []struct {
	what string
	raw  func() []byte
}{
	{"hostile: 5,000 multiparts in each other", func() []byte { return nested(5000) }},
	{"hostile: 100,000 multiparts in each other", func() []byte { return nested(100_000) }},
	{"hostile: 20,000 messages in each other", func() []byte {
		return []byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 20_000) + "x\r\n")
	}},
	{"hostile: 100,000 encoded words", func() []byte {
		return []byte("Subject: " + strings.Repeat("=?utf-8?q?=C3=A4?= ", 100_000) + "\r\n\r\nbody\r\n")
	}},
	{"hostile: 200,000 parts", func() []byte {
		return []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 200_000) + "--b--\r\n")
	}},
	{"hostile: a header of 20 MB", func() []byte {
		return []byte("From: a@example.com\r\nX-Long: " + strings.Repeat("x", 20_000_000) + "\r\n\r\nbody\r\n")
	}},
}

// nested gives n multiparts in each other, each closed.
func nested(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("\r\nx\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d--\r\n", n-1-i)
	}
	return b.Bytes()
}

// measureHostile gives the CPU time and the memory that parsing hostile messages takes: less than 100 ms, and less than
// three times the message.
func measureHostile(e effort) (table, error) {
	var t table
	for _, h := range hostile {
		raw := h.raw()
		work := parsePostrider(raw)
		took := contender{"postrider", func() (figure, error) {
			begin := ownCPU()
			err := work()
			return figure{rate: (ownCPU() - begin).Seconds() * 1e3}, err
		}}
		memory := contender{"postrider", func() (figure, error) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := work()
			runtime.ReadMemStats(&after)
			return figure{rate: float64(after.TotalAlloc-before.TotalAlloc) / float64(len(raw))}, err
		}}
		rows, err := duels(e, bout{h.what, "ms of CPU", took, []peer{limit(100)}, true}, bout{h.what, "memory for its length", memory, []peer{limit(3)}, true})
		if err != nil {
			return nil, err
		}
		t = append(t, rows...)
	}
	return t, nil
}

// received returns a message as it may come in: text and HTML as alternatives, and an attachment of n octets if n > 0.
func received(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Received: from mail.example.com (mail.example.com [192.0.2.1]) by mx.example.net with ESMTPS id 1;\r\n" +
		"\tSat, 21 Nov 2026 10:00:00 +0000\r\nFrom: Ann <ann@example.com>\r\nTo: Bob <bob@example.net>\r\nSubject: Minutes\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <bench@example.com>\r\nMIME-Version: 1.0\r\n")
	alternative := fmt.Sprintf("Content-Type: multipart/alternative; boundary=\"in\"\r\n\r\n"+
		"--in\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s"+
		"\r\n--in\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s\r\n--in--\r\n",
		smallText, smallHTML)
	if n == 0 {
		b.WriteString(alternative)
		return b.Bytes()
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=\"out\"\r\n\r\n--out\r\n" + alternative +
		"\r\n--out\r\nContent-Type: application/octet-stream; name=\"minutes.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\x00\xff minutes"), n/10))
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n--out--\r\n")
	return b.Bytes()
}

func measureParse(e effort) (table, error) {
	small, large := received(0), received(750<<10)
	return duels(e,
		bout{"small mail", "messages/s", loop(e, "postrider", 0, parsePostrider(small)), []peer{
			{loop(e, "go-message", 0, parseGoMessage(small)), 2.3, false},
			{loop(e, "net/mail + multipart", 0, parseStandard(small)), 0, false},
			{loop(e, "enmime", 0, parseEnmime(small)), 0, false}}, false},
		bout{"small mail", "allocations, fewer is better", allocations("postrider", parsePostrider(small)), []peer{
			limit(20), {allocations("go-message", parseGoMessage(small)), 0, false}, {allocations("enmime", parseEnmime(small)), 0, false}}, true},
		bout{"1 MB multipart", "GB/s", loop(e, "postrider", len(large), parsePostrider(large)), []peer{
			{loop(e, "net/mail + multipart", len(large), parseStandard(large)), 3, false},
			{loop(e, "go-message", len(large), parseGoMessage(large)), 0, false},
			{loop(e, "enmime", len(large), parseEnmime(large)), 0, false}}, false},
	)
}
