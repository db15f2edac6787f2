package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// The roles in which this program starts itself again. A server tells the address that it listens on and serves until it
// is ended.

var roles = map[string]func(args []string) error{
	"go-smtp server":   serveGoSMTP,
	"fixed server":     serveFixed,
	"postrider client": streamPostrider,
	"net/smtp client":  clientRole(sendNetSMTP),
	"go-smtp client":   clientRole(sendGoSMTP),
	"go-mail client":   clientRole(sendGoMail),
}

func play(role string, args []string) error {
	f, ok := roles[role]
	if !ok {
		return fmt.Errorf("there is no such role")
	}
	return f(args)
}

// listen opens a port on loopback and tells it.
func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Println("listens on " + l.Addr().String())
	}
	return l, err
}

// discarder throws away what go-smtp receives, as postrider sink does.
type discarder struct{}

func (discarder) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return discarder{}, nil }
func (discarder) Mail(string, *gosmtp.MailOptions) error          { return nil }
func (discarder) Rcpt(string, *gosmtp.RcptOptions) error          { return nil }
func (discarder) Reset()                                          {}
func (discarder) Logout() error                                   { return nil }

func (discarder) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func serveGoSMTP([]string) error {
	l, err := listen()
	if err != nil {
		return err
	}
	s := gosmtp.NewServer(discarder{})
	s.Domain = "mx.example.net"
	s.MaxMessageBytes = 50 << 20
	s.MaxRecipients = 1000
	return s.Serve(l)
}

// serveFixed answers every command with the same octets and looks for nothing but the end of data: the cheapest receiver
// that a client can have, so that the client's own cost shows. With the argument chunking it takes BDAT, with distant it
// is roundTrip away.
func serveFixed(args []string) error {
	l, err := listen()
	if err != nil {
		return err
	}
	hello := "250-fixed\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	if slices.Contains(args, "chunking") {
		hello = "250-fixed\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			out := io.Writer(conn)
			if slices.Contains(args, "distant") {
				d := &distant{w: conn, queue: make(chan parcel, 1024)}
				defer close(d.queue)
				go d.deliver()
				out = d
			}
			fixed(conn, out, hello)
		}()
	}
}

// roundTrip is how far away a distant server is.
const roundTrip = 5 * time.Millisecond

// distant is a writer whose octets arrive a round trip later. Those that are under way at once wait at once, as on a line.
type distant struct {
	w     io.Writer
	queue chan parcel
}

type parcel struct {
	due  time.Time
	text []byte
}

func (d *distant) Write(p []byte) (int, error) {
	d.queue <- parcel{time.Now().Add(roundTrip), bytes.Clone(p)}
	return len(p), nil
}

func (d *distant) deliver() {
	for p := range d.queue {
		time.Sleep(time.Until(p.due))
		d.w.Write(p.text)
	}
}

func fixed(conn net.Conn, w io.Writer, hello string) {
	in := bufio.NewReaderSize(conn, 256<<10)
	out := bufio.NewWriterSize(w, 16<<10)
	out.WriteString("220 fixed\r\n")
	for {
		// Replies go out when there is nothing left to read: one write for a batch.
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb := string(line[:min(4, len(line))]); verb {
		case "EHLO", "HELO":
			out.WriteString(hello)
		case "DATA":
			out.WriteString("354 \r\n")
			if out.Flush() != nil || skipDotted(in) != nil {
				return
			}
			out.WriteString("250 \r\n")
		case "BDAT":
			n, _ := strconv.Atoi(strings.Fields(string(line))[1])
			if _, err := in.Discard(n); err != nil {
				return
			}
			out.WriteString("250 \r\n")
		case "QUIT":
			out.WriteString("221 \r\n")
			out.Flush()
			return
		default:
			out.WriteString("250 \r\n")
		}
	}
}

// skipDotted reads up to and with the end of data. It looks for dots, of which the messages here have next to none: to look
// for line ends would take longer than the fastest client needs, and it would be this receiver that is measured.
func skipDotted(in *bufio.Reader) error {
	end := []byte("\r\n.\r\n")
	for {
		if _, err := in.Peek(len(end)); err != nil {
			return err
		}
		b, _ := in.Peek(in.Buffered())
		// The last four octets may belong to an end that the next read completes.
		for at := 2; at < len(b)-2; at++ {
			i := bytes.IndexByte(b[at:len(b)-2], '.')
			if i < 0 {
				break
			}
			if at += i; bytes.HasPrefix(b[at-2:], end) {
				_, err := in.Discard(at + 3)
				return err
			}
		}
		in.Discard(len(b) - len(end) + 1)
		// What is left is shorter than the end, so that the next Peek waits for more.
	}
}
