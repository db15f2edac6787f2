package mailjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

const sample = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Date: Tue, 1 Jul 2003 10:52:37 +0200\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--b\r\n" +
	"Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n"

func TestNew(t *testing.T) {
	m, err := mail.Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(m, Options{Content: true})
	if err != nil {
		t.Fatal(err)
	}
	j.Size = int64(len(sample))
	got, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"from": [`, `"name": "Ann"`, `"subject": "Grüße"`, `"date": "2003-07-01T10:52:37+02:00"`, `"message_id": "1@example.com"`,
		`"text": "hello"`, `"part": "2"`, `"content": "YWJj"`, `"path": "2"`, `"encoding": "base64"`, `"size": 3`, `"defects": []`,
		`"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`, `"type": "multipart/mixed"`, `"bcc": []`,
	} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the JSON lacks %s:\n%s", want, got)
		}
	}
	for _, name := range []string{`"id"`, `"ip"`, `"original"`} {
		if bytes.Contains(got, []byte(name)) {
			t.Errorf("the JSON has %s, which only a server knows", name)
		}
	}
}

// What New makes of a message, Compose makes a message of that reads the same.
func TestComposeRoundTrip(t *testing.T) {
	m, _ := mail.Parse(strings.NewReader(sample))
	first, err := New(m, Options{Content: true})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(first)
	read, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	made, err := read.Compose()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := made.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	again, _ := mail.Parse(&out)
	second, err := New(again, Options{Content: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range []*Message{first, second} {
		j.Headers, j.Parts = nil, nil // the order of fields and the boundary are its own
	}
	want, _ := json.Marshal(first)
	got, _ := json.Marshal(second)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadAddresses(t *testing.T) {
	const in = `{"from":"Ann <ann@example.com>","to":["Bob <b@example.net>, c@example.net",{"name":"D","address":"d@example.net"}],"text":"x"}`
	j, err := Read(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	m, err := j.Compose()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(m.Recipients(), " "), "b@example.net c@example.net d@example.net"; got != want {
		t.Errorf("recipients of %s: got %q, want %q", in, got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, in := range []string{
		``, `{`, `[]`, `{"form":"a@b"}`, `{"from":[{"adress":"a@b"}]}`, `{"from":"a@"}`, `{} x`, `{"to":7}`,
	} {
		if _, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("%q was read", in)
		}
	}
	for _, in := range []string{
		`{"attachments":[{"name":"a"}]}`, `{"attachments":[{"name":"a","content":"?"}]}`, `{"date":"yesterday"}`,
		`{"headers":[["X\nY","z"]]}`, `{"headers":[["X","z\r\nBcc: a@b"]]}`, `{"headers":[["Sender","no"]]}`,
	} {
		j, err := Read(strings.NewReader(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if _, err := j.Compose(); err == nil {
			t.Errorf("%s was composed", in)
		}
	}
}

// Fields that have members of their own are written from those; of the others each goes to its place.
func TestComposeHeaders(t *testing.T) {
	j := Message{Headers: [][2]string{{"In-Reply-To", "<a@b>"}, {"REFERENCES", "<c@d> <a@b>"}, {"Sender", "Eve <e@example.com>"}, {"X-Own", "x"}}}
	for name := range ours {
		j.Headers = append(j.Headers, [2]string{strings.ToUpper(name), "x"})
	}
	m, err := j.Compose()
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Len() != 1 || m.Header.Value("X-Own") != "x" || len(m.InReplyTo) != 1 || len(m.References) != 2 || m.Sender != (mail.Address{Name: "Eve", Address: "e@example.com"}) {
		t.Errorf("got %+v", m)
	}
	for _, name := range []string{"from", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding"} {
		if !ours[name] {
			t.Errorf("%s would be there twice", name)
		}
	}
}

// A part that cannot be read is told, the first of them, and the others are there all the same.
func TestNewUnreadable(t *testing.T) {
	broken := func() (io.ReadCloser, error) { return nil, errors.New("broken") }
	m := &mail.Message{Body: &mail.Part{Header: mail.Fields("Content-Type", "multipart/mixed"), Parts: []*mail.Part{
		mail.TextPart("text/plain", "x"), {Open: broken}, {Open: broken},
	}}}
	j, err := New(m, Options{})
	if err == nil || !strings.Contains(err.Error(), "part 2: ") || len(j.Parts.Parts) != 3 || j.Parts.Parts[0].Size != 1 {
		t.Errorf("got %+v, %v", j, err)
	}
}
