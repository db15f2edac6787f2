package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
)

// Octets that have made two messages of one, or a message of half of one, in
// every place where a network can part them.

// A hostileClient is a connection on which all has been said, in some pieces. It
// ends with err.
type hostileClient struct {
	stream
	out bytes.Buffer
}

func (h *hostileClient) Write(p []byte) (int, error) { return h.out.Write(p) }
func (h *hostileClient) Close() error                { return nil }

// session says pieces to a server, which then sees end, and returns what the
// server delivered and what it said.
func session(p Policy, end error, pieces ...string) (delivered []string, said string) {
	readers := make([]io.Reader, 0, len(pieces)+1)
	for _, piece := range pieces {
		readers = append(readers, strings.NewReader(piece))
	}
	if end != nil {
		readers = append(readers, iotest.ErrReader(end))
	}
	h := new(testHandler)
	srv := &Server{Hostname: "mx.example.com", Handler: h, Logger: slog.New(slog.DiscardHandler)}
	conn := &hostileClient{stream: stream{r: io.MultiReader(readers...)}}
	srv.ServeConn(conn, p)
	return h.delivered, conn.out.String()
}

const envelope = "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"

// A text that looks like the end of a message is none, or the message is refused:
// never are there two messages, wherever the octets are parted.
func TestEndLookAlikes(t *testing.T) {
	for _, end := range []string{
		"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
		"\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\r\n.\r\n", "\n\n.\r\n", "\r\n.\t\r\n", "\r\n .\r\n", "\r\n. \r\n",
	} {
		smuggled := "MAIL FROM:<eve@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nsmuggled\r\n"
		for _, profile := range []Profile{Strict, Normalize} {
			data := envelope + "DATA\r\nfirst" + end + smuggled + ".\r\nQUIT\r\n"
			text := "first" + end + smuggled
			bdat := fmt.Sprintf("%sBDAT %d LAST\r\n%sQUIT\r\n", envelope, len(text), text)
			chunks := fmt.Sprintf("%sBDAT 5\r\nfirstBDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", envelope, len(end), end, len(smuggled), smuggled)
			for _, all := range []string{data, bdat, chunks} {
				for at := 1; at < len(all); at++ {
					delivered, said := session(Policy{Profile: profile}, nil, all[:at], all[at:])
					if len(delivered) > 1 || len(delivered) == 1 && !strings.Contains(delivered[0], "smuggled") {
						t.Fatalf("%q, profile %d, parted at %d of %q: delivered %q, said %q", end, profile, at, all, delivered, said)
					}
					for _, m := range delivered {
						if bare := strings.ReplaceAll(m, "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
							t.Fatalf("%q, profile %d: delivered a bare CR or LF: %q", end, profile, m)
						}
					}
				}
			}
		}
	}
}

// A connection that ends before the message does delivers nothing, at whatever
// octet and in whatever way: a close, half a close, a reset, TLS cut off.
func TestCutAtEveryOctet(t *testing.T) {
	lmtp := strings.Replace(envelope, "EHLO", "LHLO", 1)
	for name, c := range map[string]struct {
		policy Policy
		whole  string
	}{
		"DATA":           {Policy{}, envelope + "DATA\r\nSubject: x\r\n\r\n..text\r\n.\r\n"},
		"empty":          {Policy{}, envelope + "DATA\r\n.\r\n"},
		"normalized":     {Policy{Profile: Normalize}, envelope + "DATA\r\nSubject: x\n\n.\n\r.\rtext\r\n.\r\n"},
		"BDAT":           {Policy{}, envelope + "BDAT 12\r\nSubject: x\r\nBDAT 6 LAST\r\n\r\nx\r\n."},
		"BDAT, empty":    {Policy{}, envelope + "BDAT 12\r\nSubject: x\r\nBDAT 0 LAST\r\n"},
		"LMTP":           {Policy{LMTP: true}, lmtp + "DATA\r\nSubject: x\r\n.\r\n"},
		"normalized too": {Policy{Profile: Normalize}, envelope + "BDAT 3\r\na\nbBDAT 3 LAST\r\n\r\rx"},
	} {
		for _, end := range []error{nil, io.ErrUnexpectedEOF, errors.New("connection reset by peer")} {
			for at := range len(c.whole) {
				if delivered, said := session(c.policy, end, c.whole[:at]); len(delivered) > 0 {
					t.Fatalf("%s: cut at %d, %q: delivered %q, said %q", name, at, c.whole[:at], delivered, said)
				}
			}
			if delivered, said := session(c.policy, end, c.whole); len(delivered) != 1 {
				t.Errorf("%s: whole: delivered %q, said %q, want one message", name, delivered, said)
			}
		}
	}
}

// What is too much is read to its end up to a bound, and no octet of it is run as
// a command, however much it is.
func TestOverLimits(t *testing.T) {
	evil := "RSET\r\nMAIL FROM:<ceo@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\ninjected\r\n.\r\n"
	for name, said := range map[string]string{
		"message":         envelope + "DATA\r\n" + strings.Repeat("0123456789\r\n", 20) + evil,
		"beyond bound":    envelope + "DATA\r\n" + strings.Repeat("0123456789\r\n", 100) + evil,
		"line":            envelope + "DATA\r\n" + strings.Repeat("x", 99) + "\r\n" + evil,
		"endless line":    envelope + "DATA\r\n" + strings.Repeat("x", 1000) + evil,
		"chunk":           envelope + "BDAT 101 LAST\r\n" + strings.Repeat("x", 101) + evil,
		"promised chunk":  envelope + "BDAT 999999999 LAST\r\n" + strings.Repeat("x", 101) + evil,
		"chunks":          envelope + "BDAT 60\r\n" + strings.Repeat("x", 60) + "BDAT 60\r\n" + strings.Repeat("x", 60) + evil,
		"chunk, no state": "EHLO x\r\nBDAT 999999999 LAST\r\n" + evil,
	} {
		h := new(testHandler)
		srv := &Server{Handler: h, MaxSize: 100, MaxLine: 50, Logger: slog.New(slog.DiscardHandler)}
		conn := &hostileClient{stream: stream{r: strings.NewReader(said)}}
		srv.ServeConn(conn, Policy{})
		if out := conn.out.String(); len(h.delivered) > 0 || strings.Count(out, "250 2.1.0") > 1 {
			t.Errorf("%s: delivered %q, said %q", name, h.delivered, out)
		}
	}
}
