package transfer_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing/iotest"

	"golang.org/x/text/transform"

	"github.com/postrider/postrider/mail/transfer"
)

// What LuaSocket's mime and ltn12 do, done here: docs/coming-from.md shows these.

func Example_mimeEncode() {
	b, _ := transfer.Append(nil, &transfer.Base64Encoder{Width: -1}, []byte("Aladdin:open sesame")) // mime.encode("base64"), mime.b64
	fmt.Printf("%s\n", b)
	b, _ = transfer.Append(nil, &transfer.QuotedEncoder{}, []byte("ação\r\n")) // mime.encode("quoted-printable"), mime.qp
	fmt.Printf("%q\n", b)
	b, _ = transfer.Append(nil, &transfer.QuotedEncoder{Binary: true}, []byte("ação\r\n")) // … , "binary"
	fmt.Printf("%q\n", b)
	// Output:
	// QWxhZGRpbjpvcGVuIHNlc2FtZQ==
	// "a=C3=A7=C3=A3o\r\n"
	// "a=C3=A7=C3=A3o=0D=0A"
}

func Example_mimeDecode() {
	b, _ := transfer.Append(nil, &transfer.Base64Decoder{}, []byte("QWxhZGRp\r\nbjpvcGVuIHNlc2FtZQ")) // mime.decode("base64"), mime.unb64
	fmt.Printf("%s\n", b)
	b, _ = transfer.Append(nil, &transfer.QuotedDecoder{}, []byte("a=C3=A7=c3=a3o =\nfica")) // mime.decode("quoted-printable"), mime.unqp
	fmt.Printf("%s\n", b)
	// Output:
	// Aladdin:open sesame
	// ação fica
}

func Example_mimeWrap() {
	b, _ := transfer.Append(nil, &transfer.Wrapper{Width: 10}, []byte("wraps at ten octets")) // mime.wrap("text", 10), mime.wrap("base64"), mime.wrp
	fmt.Printf("%q\n", b)
	b, _ = transfer.Append(nil, &transfer.QuotedWrapper{Width: 10}, []byte("a=C3=A7=C3=A3o fica\r\n")) // mime.wrap("quoted-printable"), mime.qpwrp
	fmt.Printf("%q\n", b)
	// Output:
	// "wraps at t\r\nen octets\r\n"
	// "a=C3=A7=\r\n=C3=A3o f=\r\nica\r\n"
}

func Example_mimeNormalize() {
	b, _ := transfer.Append(nil, &transfer.EOL{}, []byte("CR\rLF\nCRLF\r\n")) // mime.normalize(), mime.eol
	fmt.Printf("%q\n", b)
	b, _ = transfer.Append(nil, &transfer.EOL{Marker: "\n"}, []byte("CR\rLF\nCRLF\r\n")) // mime.normalize("\n")
	fmt.Printf("%q\n", b)
	b, _ = transfer.Append(nil, &transfer.Stuffer{}, []byte(".\r\n..\r\n")) // mime.stuff(), mime.dot
	fmt.Printf("%q\n", b)
	// Output:
	// "CR\r\nLF\r\nCRLF\r\n"
	// "CR\nLF\nCRLF\n"
	// "..\r\n...\r\n"
}

// The state between two pieces is in the filter, not in the caller's hands.
func Example_mimeLowLevel() {
	var e transfer.Base64Encoder // A, B = mime.b64(C, D)
	dst := make([]byte, 100)
	for _, piece := range []string{"Ala", "ddin:", "open sesame"} {
		n, _, _ := e.Transform(dst, []byte(piece), piece == "open sesame")
		fmt.Printf("%s", dst[:n])
	}
	// Output:
	// QWxhZGRpbjpvcGVuIHNlc2FtZQ==
}

func Example_ltn12Sources() {
	file, err := os.Open("luasocket_example_test.go") // ltn12.source.file(io.open(…)): closing is the opener's
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	source := io.MultiReader( // ltn12.source.cat
		strings.NewReader("string, "),                                      // ltn12.source.string
		strings.NewReader(strings.Join([]string{"ta", "ble, "}, "")),       // ltn12.source.table
		strings.NewReader(""),                                              // ltn12.source.empty
		io.LimitReader(file, 7),                                            // ltn12.source.file
		transform.NewReader(strings.NewReader("!"), &transfer.EOL{}),       // ltn12.source.chain
		iotest.ErrReader(errors.New("the error of ltn12.source.error(…)")), // nil, err
	)
	rewindable := bufio.NewReader(source) // ltn12.source.rewind: Peek, UnreadByte
	first, _ := rewindable.Peek(6)
	fmt.Printf("%s\n", first)
	all, err := io.ReadAll(rewindable)
	fmt.Printf("%s, %v\n", all, err)
	// Output:
	// string
	// string, table, package!, the error of ltn12.source.error(…)
}

func Example_ltn12Sinks() {
	var table strings.Builder                                         // ltn12.sink.table
	sink := transform.NewWriter(&table, &transfer.Wrapper{Width: 20}) // ltn12.sink.chain
	_, err := io.Copy(sink, strings.NewReader("from a source to a sink"))
	sink.Close() // what ends a source: the filter gives what it holds back
	fmt.Printf("%q %v\n", table.String(), err)
	n, err := io.Copy(io.Discard, strings.NewReader("nothing")) // ltn12.sink.null
	fmt.Println(n, err)
	// Output:
	// "from a source to a s\r\nink\r\n" <nil>
	// 7 <nil>
}

func Example_ltn12Pumps() {
	source, sink := strings.NewReader("step by step"), os.Stdout
	n, err := io.CopyN(sink, source, 5) // ltn12.pump.step
	fmt.Println(n, err)
	n, err = io.Copy(sink, source) // ltn12.pump.all
	fmt.Println("", n, err)
	n, err = io.CopyBuffer(sink, strings.NewReader("in blocks"), make([]byte, 2048)) // ltn12.BLOCKSIZE
	fmt.Println("", n, err)
	// Output:
	// step 5 <nil>
	// by step 7 <nil>
	// in blocks 9 <nil>
}

func Example_ltn12Filters() {
	// ltn12.filter.chain(mime.normalize(), mime.encode("base64"), mime.wrap("base64")): the encoder makes lines itself.
	filter := transform.Chain(&transfer.EOL{}, &transfer.Base64Encoder{})
	encoded := transform.NewReader(strings.NewReader("line\n"), filter)
	b, _ := io.ReadAll(encoded)
	fmt.Printf("%q\n", b)
	// Output:
	// "bGluZQ0K\r\n"
}

// A Rot13 is a filter of one's own, which ltn12.filter.cycle makes out of a function and its context.
type Rot13 struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (Rot13) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	n := min(len(dst), len(src))
	for i, c := range src[:n] {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'm':
			c += 13
		case 'n' <= c|0x20 && c|0x20 <= 'z':
			c -= 13
		}
		dst[i] = c
	}
	if n < len(src) {
		err = transform.ErrShortDst
	}
	return n, n, err
}

func Example_ltn12Cycle() {
	fmt.Println(transform.String(Rot13{}, "Uryyb, Jbeyq"))
	// Output:
	// Hello, World 12 <nil>
}
