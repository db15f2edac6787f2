package mail

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"time"
)

// Speed, beside the standard library where it does the same. bench/ compares with the others.

func smallMessage() *Message {
	return &Message{
		From: []Address{{"Ann Example", "ann@example.com"}}, To: []Address{{"Bob Builder", "bob@example.net"}},
		Subject: "Minutes of the meeting", Text: strings.Repeat("A line of text as people write them, not too long.\n", 12),
	}
}

func BenchmarkComposeSmall(b *testing.B) {
	m := smallMessage()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func bigMessage(n int) *Message {
	m := smallMessage()
	m.HTML = "<p>" + m.Text
	m.Attachments = []Attachment{FromBytes("data.bin", bytes.Repeat([]byte{1, 2, 3, 200}, n/4))}
	return m
}

func BenchmarkComposeAttachment(b *testing.B) {
	m := bigMessage(1 << 20)
	n, err := m.WriteTo(io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func raw(b *testing.B, m *Message) []byte {
	m.Date, m.ID = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), "1@example.com"
	var buf bytes.Buffer
	if _, err := m.WriteTo(&buf); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkParseSmall(b *testing.B) {
	m := smallMessage()
	m.Subject, m.HTML = "Grüße", "<p>Grüße"
	in := raw(b, m)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if m, err := Parse(bytes.NewReader(in)); err != nil || m.HTML == "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseMultipart(b *testing.B) {
	in := raw(b, bigMessage(1<<20))
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			m, err := ParseAt(bytes.NewReader(in), int64(len(in)))
			if err != nil || len(m.Attachments) != 1 {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours, in memory", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			m, err := Parse(bytes.NewReader(in))
			if err != nil || len(m.Attachments) != 1 {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/mail", func(b *testing.B) {
		b.SetBytes(int64(len(in)))
		b.ReportAllocs()
		for b.Loop() {
			m, err := netmail.ReadMessage(bytes.NewReader(in))
			if err != nil {
				b.Fatal(err)
			}
			if err := walkStandard(m.Header.Get("Content-Type"), m.Body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func walkStandard(contentType string, r io.Reader) error {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(media, "multipart/") {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	mr := multipart.NewReader(r, params["boundary"])
	for {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := walkStandard(p.Header.Get("Content-Type"), p); err != nil {
			return err
		}
	}
}

func BenchmarkParseAddressList(b *testing.B) {
	const list = `Ann Example <ann@example.com>, "Bob, Builder" <bob@example.net>, =?utf-8?q?J=C3=BCrgen?= <j@example.org>, plain@example.com`
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseAddressList(list); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/mail", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := netmail.ParseAddressList(list); err != nil {
				b.Fatal(err)
			}
		}
	})
}
