package mail_test

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/transform"

	"github.com/postrider/postrider/mail"
)

// What Racket's net/head and its neighbours do, done here, and LuaSocket's registries and its mbox: docs/coming-from.md shows these.

const received = "From: Ann <ann@example.com>\r\nReceived: by two\r\nReceived: by one\r\nSubject: Minutes\r\n of the meeting\r\n\r\n"

func Example_netHeadRead() {
	h := mail.ParseHeader(received)
	fmt.Println(h.Validate())                    // (validate-header h)
	fmt.Println(h.Value("subject"))              // (extract-field "subject" h), unfolded
	fmt.Printf("%q\n", h.Values("received"))     // all of that name, which net/head has no call for
	for f := range mail.Fields("A", "b").All() { // (extract-all-fields h)
		fmt.Println(f.Name(), f.Value())
	}
	// Output:
	// <nil>
	// Minutes of the meeting
	// ["by two" "by one"]
	// A b
}

func Example_netHeadChange() {
	var h mail.Header                  // empty-header
	h.Prepend("To", "bob@example.net") // (insert-field "To" "bob@example.net" h)
	h.Replace("To", "eve@example.org") // (replace-field "To" "eve@example.org" h)
	h.Append("X-Own", "a value")
	h.Remove("x-own")                                      // (remove-field "x-own" h), (replace-field "x-own" #f h)
	h.Join(mail.ParseHeader("X-Read: as  it\r\n was\r\n")) // (append-headers h other)
	fmt.Printf("%q\n", h.String())
	h.Append("Subject", "x\r\nBcc: secret@example.com")
	fmt.Println(h.Validate())
	// Output:
	// "To: eve@example.org\r\nX-Read: as  it\r\n was\r\n"
	// mail: Subject: the value holds a carriage return, at octet 1
}

func Example_netHeadStandard() {
	m := &mail.Message{ // (standard-message-header from tos ccs bccs subject)
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net", "Eve <eve@example.org>"),
		Cc: mail.List("joe@example.net"), Bcc: mail.List("secret@example.com"), Subject: "Grüße",
	}
	var b strings.Builder
	_, err := m.WriteTo(&b)
	h := mail.ParseHeader(b.String())
	fmt.Println(h.Value("To"), h.Value("Cc"), h.Text("Subject"), h.Has("Bcc"), h.Has("Date"), err)
	// Output:
	// bob@example.net, Eve <eve@example.org> joe@example.net Grüße false true <nil>
}

func Example_netHeadAddresses() {
	const s = `"Doe, John" <john@example.com>, ann@example.net (Ann)`
	list, err := mail.ParseAddressList(s) // (extract-addresses s 'all); leniently: Parser.Addresses
	for _, a := range list {
		fmt.Printf("%s|%s|%s\n", a.Name, a.Address, a) // 'name, 'address, 'full
	}
	fmt.Println(err, mail.ExtractAddresses(s)) // (extract-addresses s 'address)
	// Output:
	// Doe, John|john@example.com|"Doe, John" <john@example.com>
	// Ann|ann@example.net|Ann <ann@example.net>
	// <nil> [john@example.com ann@example.net]
}

func Example_netHeadAssemble() {
	var h mail.Header // (assemble-address-field addrs), (data-lines->data lines): folding is the writing's
	h.Append("To", strings.Join([]string{"someone@example.com", "another@example.com", "a.third.one@example.com", "d@example.com"}, ", "))
	fmt.Printf("%q\n", h.String())
	// Output:
	// "To: someone@example.com, another@example.com, a.third.one@example.com,\r\n d@example.com\r\n"
}

func Example_netUnihead() {
	h := mail.Fields("Subject", "Grüße aus 東京") // (encode-for-header s): it is done when it is written
	fmt.Printf("%q\n", h.String())
	read := mail.ParseHeader("Subject: =?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?B?IGF1cw==?=\r\n")
	fmt.Println(read.Text("Subject")) // (decode-for-header s)
	// Output:
	// "Subject: =?utf-8?b?R3LDvMOfZQ==?= aus =?utf-8?b?5p2x5Lqs?=\r\n"
	// Grüße aus
}

func Example_netMime() {
	m, err := mail.Parse(strings.NewReader(twoParts)) // (mime-analyze port)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Header.Value("Subject"))  // message-fields
	for path, part := range m.Body.Walk() { // entity-parts
		fmt.Printf("%q %s %q %s %q\n", path, part.Type(), part.Param("charset"), part.Encoding(), part.Name())
		if part.IsMultipart() {
			continue
		}
		body, err := part.Reader() // entity-body, as it was before it was encoded; part.Text() is UTF-8 too
		if err != nil {
			fmt.Println(err)
			return
		}
		content, err := io.ReadAll(body)
		body.Close()
		fmt.Printf("%q %v\n", content, err)
	}
	// Output:
	// two parts
	// "" multipart/mixed "" 7bit ""
	// "1" text/plain "utf-8" quoted-printable ""
	// "Grüße" <nil>
	// "2" application/octet-stream "" base64 "a.bin"
	// "\x00\x01\x02" <nil>
}

const twoParts = "Subject: two parts\nContent-Type: multipart/mixed; boundary=b\n\n--b\n" +
	"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n--b\n" +
	"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n" +
	"Content-Disposition: attachment; filename=a.bin\n\nAAEC\n--b--\n"

func Example_luaSocketMbox() {
	mbox := "From ann Thu Jan  1 00:00:01 1970\nSubject: one\n\nHello.\n>From here on\n\n" +
		"From bob Thu Jan  1 00:00:02 1970\nFrom: Bob <bob@example.net>\n\nHi.\n"
	for r, err := range mail.Mbox(strings.NewReader(mbox)) { // split_mbox
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := mail.Parse(r) // parse_message: split_message, split_headers, parse_headers
		fmt.Printf("%q %v %q %v\n", m.Subject, m.From, m.Text, err)
	}
	// Output:
	// "one" [] "Hello.\nFrom here on\n" <nil>
	// "" [Bob <bob@example.net>] "Hi.\n" <nil>
}

// Upside is a transfer encoding of somebody's own: the case of letters is turned.
type Upside struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (Upside) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	n := copy(dst, src)
	for i, c := range dst[:n] {
		if 'a' <= c|0x20 && c|0x20 <= 'z' {
			dst[i] = c ^ 0x20
		}
	}
	if n < len(src) {
		err = transform.ErrShortDst
	}
	return n, n, err
}

// ExampleParser_decoder reads an encoding that nobody else knows.
func ExampleParser_decoder() {
	p := mail.Parser{Decoder: func(name string) transform.Transformer { // mime.decodet["x-upside"] = …
		if name == "x-upside" {
			return Upside{}
		}
		return nil
	}}
	m, err := p.Parse(strings.NewReader("Content-Transfer-Encoding: x-upside\n\nhELLO\n"))
	fmt.Print(m.Text, err)
	// Output:
	// Hello
	// <nil>
}
