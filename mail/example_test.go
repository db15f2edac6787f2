package mail_test

import (
	"fmt"
	"os"
	"strings"
	"testing/fstest"
	"time"

	"github.com/postrider/postrider/mail"
)

// A message that names its identity is the same to the octet each time.
func ExampleMessage() {
	m := &mail.Message{
		From: mail.List("Jürgen <juergen@example.com>"), To: mail.List("bob@example.net"),
		Subject: "Grüße", Text: "Hello, Bob.\n",
		Date: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), ID: "1@example.com",
	}
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		fmt.Println(err)
	}
	fmt.Print(strings.ReplaceAll(b.String(), "\r\n", "\n"))
	// Output:
	// Date: Sat, 21 Nov 2026 09:00:00 +0000
	// From: =?utf-8?q?J=C3=BCrgen?= <juergen@example.com>
	// To: bob@example.net
	// Subject: =?utf-8?b?R3LDvMOfZQ==?=
	// Message-ID: <1@example.com>
	// MIME-Version: 1.0
	// Content-Type: text/plain; charset=utf-8
	//
	// Hello, Bob.
}

func ExampleParse() {
	m, err := mail.Parse(strings.NewReader("From: ann@example.com\nTo: Doe, John <john@example.net>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nHello.\n"))
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.From[0], "|", m.To[0].Name, "|", m.Subject, "|", strings.TrimSpace(m.Text))
	for _, d := range m.Defects {
		fmt.Println(d)
	}
	// Output:
	// ann@example.com | Doe, John | Grüße | Hello.
	// address at octet 31: a name with an unquoted comma, read as one name
}

// A file of any size is parsed in constant memory; what is opened is read then.
func ExampleParseAt() {
	f, err := os.CreateTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	fmt.Fprint(f, "From: ann@example.com\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee the file.\n--b\nContent-Type: text/csv; name=a.csv\nContent-Disposition: attachment\n\n1,2\n--b--\n")
	info, err := f.Stat()
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := mail.ParseAt(f, info.Size())
	if err != nil {
		fmt.Println(err)
		return
	}
	for path, p := range m.Body.Walk() {
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%q %s %s", path, p.Type(), p.Name())))
	}
	// Output:
	// "" multipart/mixed
	// "1" text/plain
	// "2" text/csv a.csv
}

func ExampleExtractAddresses() {
	fmt.Println(mail.ExtractAddresses(`you@there.com, "Bob" <bob@example.com>`))
	// Output: [you@there.com bob@example.com]
}

// A message of any size is read as it arrives, a part at a time.
func ExampleNewReader() {
	rd, err := mail.NewReader(strings.NewReader("Subject: Files\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below.\n--b\nContent-Disposition: attachment; filename=a.csv\nContent-Transfer-Encoding: base64\n\nMSwyCg==\n--b--\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rd.Message.Subject)
	for part, err := range rd.Parts() {
		if err != nil {
			fmt.Println(err)
			return
		}
		s, err := part.Text()
		fmt.Printf("%q %s %q %q %v\n", rd.Path(), part.Type(), part.Name(), s, err)
	}
	// Output:
	// Files
	// "" multipart/mixed "" "" <nil>
	// "1" text/plain "" "See below." <nil>
	// "2" text/plain "a.csv" "1,2\n" <nil>
}

// A list of messages is shown as conversations: each message goes where one of its keys has been seen.
func ExampleMessage_ThreadKeys() {
	asked := &mail.Message{ID: "1@example.com", Subject: "Lunch?"}
	answered := &mail.Message{ID: "2@example.net", InReplyTo: []string{"1@example.com"}, Subject: "AW: [team] Lunch?"}
	turned := &mail.Message{ID: "3@example.net", InReplyTo: []string{"1@example.com"}, Subject: "Holidays"}
	of := map[string]string{} // which conversation a key belongs to
	for _, m := range []*mail.Message{asked, answered, turned} {
		conversation := mail.BaseSubject(m.Subject)
		for _, key := range m.ThreadKeys() {
			if known := of[key]; known != "" {
				conversation = known
			}
		}
		for _, key := range m.ThreadKeys() {
			of[key] = conversation
		}
		fmt.Println(m.Subject, "is in", conversation)
	}
	// Output:
	// Lunch? is in Lunch?
	// AW: [team] Lunch? is in Lunch?
	// Holidays is in Holidays
}

// A page and its pictures are one folder: here in memory, else an embed.FS or the FS of an os.Root.
func ExampleMessage_Embed() {
	site := fstest.MapFS{"logo.png": {Data: []byte("…")}}
	m := &mail.Message{ID: "1@example.com", HTML: `<p>Hello <img src="logo.png" alt="from us">`}
	if err := m.Embed(site); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.HTML)
	fmt.Println(m.Attachments[0].Name, m.Attachments[0].Media())
	// Output:
	// <p>Hello <img src="cid:b77a8d936ddd633968439085905358d1@example.com" alt="from us">
	// logo.png image/png
}
