package mail_test

import (
	"fmt"
	"strings"

	"golang.org/x/text/transform"

	"github.com/postrider/postrider/mail"
)

// What Racket's net/head does, done here, and LuaSocket's open registries: docs/coming-from.md shows these.

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
