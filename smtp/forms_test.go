package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// The form in which a message goes out: what it asks for, what the server has, and what
// is said of it in MAIL. And what goes wrong before anything is said.

// A shape is a message with a form of its own.
type shape struct {
	uses              []string
	freeze, adapt, of error // what fails: Freeze, Adapt, Size
	text              string
}

func (m *shape) Freeze() (io.WriterTo, error) { return m, m.freeze }
func (m *shape) Repeatable() bool             { return true }
func (m *shape) Size() (int64, error)         { return int64(len(m.text)), m.of }
func (m *shape) Adapt(offered func(string) bool) (io.WriterTo, []string, error) {
	for _, extension := range m.uses {
		if !offered(extension) {
			return nil, nil, fmt.Errorf("it needs %s", extension)
		}
	}
	return m, m.uses, m.adapt
}
func (m *shape) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, m.text)
	return int64(n), err
}

func TestForms(t *testing.T) {
	const binary = "Content-Transfer-Encoding: binary\r\n\r\n\x00\r\n.\r\n\rlone\nends"
	utf8 := &smtp.Envelope{From: "ännchen@example.com", To: toBob.To}
	for name, c := range map[string]struct {
		extensions string
		env        *smtp.Envelope
		msg        *shape
		mail       string // what is said behind MAIL
		want       string // what arrives; "": not sent at all, for good
	}{
		"7 bits":                     {"PIPELINING 8BITMIME SIZE", toBob, &shape{text: "x\r\n"}, "FROM:<ann@example.com> SIZE=3", "x\r\n"},
		"8 bits":                     {"PIPELINING 8BITMIME", toBob, &shape{text: "ä\r\n", uses: []string{"8BITMIME"}}, "FROM:<ann@example.com> BODY=8BITMIME", "ä\r\n"},
		"8 bits where there are 7":   {"PIPELINING", toBob, &shape{text: "ä\r\n", uses: []string{"8BITMIME"}}, "", ""},
		"binary is left as it is":    {"PIPELINING 8BITMIME CHUNKING BINARYMIME", toBob, &shape{text: binary, uses: []string{"BINARYMIME"}}, "FROM:<ann@example.com> BODY=BINARYMIME", binary},
		"UTF-8 in the fields":        {"PIPELINING 8BITMIME SMTPUTF8", toBob, &shape{text: "Subject: ä\r\n", uses: []string{"8BITMIME", "SMTPUTF8"}}, "FROM:<ann@example.com> BODY=8BITMIME SMTPUTF8", "Subject: ä\r\n"},
		"UTF-8 in the sender":        {"PIPELINING SMTPUTF8", utf8, &shape{text: "x\r\n"}, "FROM:<ännchen@example.com> SMTPUTF8", "x\r\n"},
		"UTF-8 behind a quoted @":    {"PIPELINING SMTPUTF8", smtp.NewEnvelope(`"ann@ä"@example.com`, "bob@example.net"), &shape{text: "x\r\n"}, `FROM:<"ann@ä"@example.com> SMTPUTF8`, "x\r\n"},
		"and of a recipient":         {"PIPELINING SMTPUTF8", smtp.NewEnvelope("ann@example.com", `"bob@ø"@example.net`), &shape{text: "x\r\n"}, "FROM:<ann@example.com> SMTPUTF8", "x\r\n"},
		"UTF-8 in the sender, not":   {"PIPELINING", utf8, &shape{text: "x\r\n"}, "", ""},
		"line ends are repaired":     {"PIPELINING CHUNKING", toBob, &shape{text: "a\nb\rc\r\n"}, "FROM:<ann@example.com>", "a\r\nb\r\nc\r\n"},
		"Freeze fails":               {"PIPELINING", toBob, &shape{freeze: errors.New("no author")}, "", ""},
		"Adapt fails":                {"PIPELINING", toBob, &shape{adapt: errors.New("no form will do")}, "", ""},
		"a size that cannot be told": {"PIPELINING SIZE", toBob, &shape{text: "x\r\n", of: errors.ErrUnsupported}, "FROM:<ann@example.com>", "x\r\n"},
	} {
		here, there := smtp.Connection(t)
		said := ""
		m := &moody{conn: there, extensions: c.extensions, mood: func(verb, arg string) int {
			if verb == "MAIL" {
				said = arg
			}
			return 0
		}}
		var server sync.WaitGroup
		server.Go(m.serve)
		client, err := dialer().Client(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Send(t.Context(), c.env, c.msg)
		if class := classes(err); (c.want == "") != (class == "permanent") || c.want != "" && err != nil {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := client.Noop(t.Context()); err != nil {
			t.Errorf("%s: NOOP afterwards: %v", name, err)
		}
		client.Close()
		server.Wait()
		if said != c.mail {
			t.Errorf("%s: said MAIL %s, want %s", name, said, c.mail)
		}
		if m.last != c.want {
			t.Errorf("%s: %q arrived, want %q", name, m.last, c.want)
		}
	}
}

// A message that does not know its size because writing it would fail is not begun, and
// may be tried again: a file that is not there may come back.
func TestSizeFails(t *testing.T) {
	addr := scripted(t, hello+"C: QUIT\nS: 221 bye\n")
	c := dial(t, dialer(), addr)
	if _, err := c.Send(t.Context(), toBob, &shape{of: io.ErrUnexpectedEOF}); classes(err) != "temporary" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the size's error, temporary", err)
	}
	c.Quit(t.Context())
}

// An envelope for nobody is no success, and costs no connection.
func TestNobody(t *testing.T) {
	d := dialer()
	d.NetDial = func(context.Context, string, string) (net.Conn, error) { panic("dialled") }
	tr := &smtp.Transport{Dialer: d}
	for name, s := range map[string]smtp.Sender{"a Transport": tr, "a Client": smtp.NewClient(nil)} {
		if results, err := s.Send(t.Context(), smtp.NewEnvelope("ann@example.com"), text("x\r\n")); classes(err) != "permanent" || results != nil {
			t.Errorf("%s: got %v, %v, want a permanent error and no results", name, results, err)
		}
	}
	if results, err := tr.Send(t.Context(), toBob, &shape{freeze: errors.New("no author")}); classes(err) != "permanent" || len(results) != 1 {
		t.Errorf("no author: got %v, %v, want it before a connection", results, err)
	}
}

// Two streams are a connection: a program's standard input and output, say. Closing it
// closes both, and tells the first error.
func TestStream(t *testing.T) {
	var box mailbox
	clientIn, serverOut := io.Pipe()
	serverIn, clientOut := io.Pipe()
	var served sync.WaitGroup
	served.Go(func() {
		(&smtp.Server{Handler: box.hooks()}).ServeConn(smtp.Stream(serverIn, serverOut), smtp.Policy{})
	})
	conn := smtp.Stream(clientIn, clientOut)
	d := &smtp.Dialer{} // nobody can listen in: TLS is not required
	d.NetDial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	tr := &smtp.Transport{Dialer: d}
	for range 2 { // the second over the first one's connection: it cannot be asked whether it lives
		if _, err := tr.Send(t.Context(), toBob, text("Subject: x\r\n\r\nx\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	tr.Close()
	served.Wait()
	if n := len(box.all()); n != 2 {
		t.Errorf("delivered %d messages, want 2", n)
	}
	if conn.LocalAddr().Network() != "stream" || conn.RemoteAddr().String() != "stream" {
		t.Errorf("it is %v to %v", conn.LocalAddr(), conn.RemoteAddr())
	}
	first := errors.New("first")
	if err := smtp.Stream(closing{err: first}, closing{err: errors.New("second")}).Close(); err != first {
		t.Errorf("Close: got %v, want the first error", err)
	}
	if err := smtp.Stream(new(bytes.Buffer), closing{err: first}).Close(); err != first {
		t.Errorf("Close of one that can be closed: got %v, want its error", err)
	}
}

// closing is an end of a stream whose Close fails.
type closing struct {
	bytes.Buffer
	err error
}

func (c closing) Read([]byte) (int, error)    { return 0, io.EOF }
func (c closing) Write(p []byte) (int, error) { return len(p), nil }
func (c closing) Close() error                { return c.err }
