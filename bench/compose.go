package main

import (
	"bytes"
	"io"
	"time"

	gomessage "github.com/emersion/go-message/mail"
	wneessen "github.com/wneessen/go-mail"
	"gopkg.in/gomail.v2"

	"github.com/postrider/postrider/mail"
)

// Composing, without a server: all write the same message, a text, or a text and HTML with an attachment.

var date = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

const (
	smallText = "Hello,\r\n\r\nthe minutes of yesterday's meeting are attached.\r\n\r\nAnn\r\n"
	smallHTML = "<p>Hello,</p><p>the minutes of yesterday's meeting are attached.</p><p>Ann</p>"
)

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

func composeGoMail(attachment []byte) func() error {
	return func() error {
		m := wneessen.NewMsg()
		if err := m.FromFormat("Ann", "ann@example.com"); err != nil {
			return err
		}
		if err := m.To("bob@example.net"); err != nil {
			return err
		}
		m.Subject("Minutes")
		m.SetDateWithValue(date)
		m.SetBodyString(wneessen.TypeTextPlain, smallText)
		if attachment != nil {
			m.AddAlternativeString(wneessen.TypeTextHTML, smallHTML)
			m.AttachReadSeeker("minutes.bin", bytes.NewReader(attachment))
		}
		_, err := m.WriteTo(io.Discard)
		return err
	}
}

func composeGoMessage(attachment []byte) func() error {
	return func() error {
		var h gomessage.Header
		h.SetDate(date)
		h.SetAddressList("From", []*gomessage.Address{{Name: "Ann", Address: "ann@example.com"}})
		h.SetAddressList("To", []*gomessage.Address{{Address: "bob@example.net"}})
		h.SetSubject("Minutes")
		if err := h.GenerateMessageID(); err != nil {
			return err
		}
		inline := func(media string) gomessage.InlineHeader {
			var h gomessage.InlineHeader
			h.Set("Content-Type", media)
			return h
		}
		write := func(w io.WriteCloser, err error, b []byte) error {
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			return w.Close()
		}
		if attachment == nil {
			h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
			w, err := gomessage.CreateSingleInlineWriter(io.Discard, h)
			return write(w, err, []byte(smallText))
		}
		w, err := gomessage.CreateWriter(io.Discard, h)
		if err != nil {
			return err
		}
		texts, err := w.CreateInline()
		if err != nil {
			return err
		}
		for _, one := range [][2]string{{"text/plain; charset=utf-8", smallText}, {"text/html; charset=utf-8", smallHTML}} {
			part, err := texts.CreatePart(inline(one[0]))
			if err := write(part, err, []byte(one[1])); err != nil {
				return err
			}
		}
		if err := texts.Close(); err != nil {
			return err
		}
		var file gomessage.AttachmentHeader
		file.SetContentType("application/octet-stream", nil)
		file.SetFilename("minutes.bin")
		part, err := w.CreateAttachment(file)
		if err := write(part, err, attachment); err != nil {
			return err
		}
		return w.Close()
	}
}

func measureCompose(e effort) (table, error) {
	big := bytes.Repeat([]byte("\x00\x01\x02\xfe\xff attachment \x80\x81"), 1<<20/21)
	return duels(e,
		bout{"small text", "messages/s", loop(e, "postrider", 0, composePostrider(nil)), []peer{
			{loop(e, "gomail.v2", 0, composeGomail(nil)), 2, false},
			{loop(e, "go-mail", 0, composeGoMail(nil)), 0, false},
			{loop(e, "go-message", 0, composeGoMessage(nil)), 0, false}}, false},
		bout{"small text", "allocations, fewer is better", allocations("postrider", composePostrider(nil)), []peer{
			limit(6), {allocations("gomail.v2", composeGomail(nil)), 0, false}, {allocations("go-mail", composeGoMail(nil)), 0, false},
			{allocations("go-message", composeGoMessage(nil)), 0, false}}, true},
		bout{"text, HTML and 1 MiB attached", "GB/s in", loop(e, "postrider", len(big), composePostrider(big)), []peer{
			{loop(e, "gomail.v2", len(big), composeGomail(big)), 4, false},
			{loop(e, "go-mail", len(big), composeGoMail(big)), 0, false},
			{loop(e, "go-message", len(big), composeGoMessage(big)), 0, false}}, false},
	)
}
