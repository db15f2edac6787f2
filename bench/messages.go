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
	"strings"
	"time"

	gomessage "github.com/emersion/go-message"
	"gopkg.in/gomail.v2"

	"github.com/postrider/postrider/mail"
)

// Messages: composing and parsing, without a server.

var date = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

const (
	smallText = "Hello,\r\n\r\nthe minutes of yesterday's meeting are attached.\r\n\r\nAnn\r\n"
	smallHTML = "<p>Hello,</p><p>the minutes of yesterday's meeting are attached.</p><p>Ann</p>"
)

// composePostrider and composeGomail write the same message: a text, with an attachment if there is one.
func composePostrider(attachment []byte) func() error {
	return func() error {
		m := &mail.Message{
			From: []mail.Address{{Name: "Ann", Address: "ann@example.com"}}, To: []mail.Address{{Address: "bob@example.net"}},
			Subject: "Minutes", Date: date, Text: smallText,
		}
		if attachment != nil {
			m.HTML = smallHTML
			m.Attachments = []mail.Attachment{mail.FromBytes("minutes.bin", attachment)}
		}
		_, err := m.WriteTo(io.Discard)
		return err
	}
}

func composeGomail(attachment []byte) func() error {
	return func() error {
		m := gomail.NewMessage()
		m.SetAddressHeader("From", "ann@example.com", "Ann")
		m.SetHeader("To", "bob@example.net")
		m.SetHeader("Subject", "Minutes")
		m.SetDateHeader("Date", date)
		m.SetBody("text/plain", smallText)
		if attachment != nil {
			m.AddAlternative("text/html", smallHTML)
			m.Attach("minutes.bin", gomail.SetCopyFunc(func(w io.Writer) error {
				_, err := w.Write(attachment)
				return err
			}))
		}
		_, err := m.WriteTo(io.Discard)
		return err
	}
}

func measureCompose(e effort) (table, error) {
	big := bytes.Repeat([]byte("\x00\x01\x02\xfe\xff attachment \x80\x81"), 1<<20/21)
	return duels(e,
		bout{"small text", "messages/s", loop(e, "postrider", 0, composePostrider(nil)),
			[]peer{{loop(e, "gomail.v2", 0, composeGomail(nil)), 2, false}}, false},
		bout{"small text", "allocations, fewer is better", allocations("postrider", composePostrider(nil)),
			[]peer{limit(6), {allocations("gomail.v2", composeGomail(nil)), 0, false}}, true},
		bout{"text, HTML and 1 MiB attached", "GB/s in", loop(e, "postrider", len(big), composePostrider(big)),
			[]peer{{loop(e, "gomail.v2", len(big), composeGomail(big)), 4, false}}, false},
	)
}

// parsePostrider, parseStandard and parseGoMessage do the same: parse raw and decode every part to its last octet.
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
			{loop(e, "net/mail + multipart", 0, parseStandard(small)), 0, false}}, false},
		bout{"small mail", "allocations, fewer is better", allocations("postrider", parsePostrider(small)), []peer{
			limit(20), {allocations("go-message", parseGoMessage(small)), 0, false}}, true},
		bout{"1 MB multipart", "GB/s", loop(e, "postrider", len(large), parsePostrider(large)), []peer{
			{loop(e, "net/mail + multipart", len(large), parseStandard(large)), 3, false},
			{loop(e, "go-message", len(large), parseGoMessage(large)), 0, false}}, false},
	)
}
