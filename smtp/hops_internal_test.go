package smtp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// A message is counted as it is read, however that is, and a Handler that makes nothing
// of the error has not taken it.
func TestHops(t *testing.T) {
	read := map[string]func(io.Reader) error{
		"io.Copy":       func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		"io.ReadAll":    func(r io.Reader) error { _, err := io.ReadAll(r); return err },
		"octets":        func(r io.Reader) error { _, err := io.ReadAll(iotest.OneByteReader(r)); return err },
		"and forgotten": func(r io.Reader) error { io.Copy(io.Discard, r); return nil },
	}
	for name, all := range read {
		for _, profile := range []Profile{Strict, Normalize} {
			for n, want := range map[int]string{100: "250 2.0.0", 101: "554 5.4.6", 5000: "554 5.4.6"} {
				var ended error
				srv := &Server{Logger: slog.New(slog.DiscardHandler), Handler: &Hooks{OnData: func(ctx context.Context, _ *Conn, _ *Envelope, r io.Reader) (string, error) {
					err := all(r)
					ended = ctx.Err()
					return "", err
				}}}
				header := strings.Repeat("Received: by a;\r\n\twith ESMTP\r\n", n)
				conn := &hostileClient{stream: stream{r: strings.NewReader(envelope + "DATA\r\n" + header + "\r\n.\r\nQUIT\r\n")}}
				srv.ServeConn(conn, Policy{Profile: profile})
				replies := strings.Split(conn.out.String(), "\r\n")
				if got := replies[len(replies)-3]; !strings.HasPrefix(got, want) || !strings.HasPrefix(replies[len(replies)-2], "221 ") {
					t.Errorf("%s, profile %d, %d hops: got %q, want %s and 221", name, profile, n, replies, want)
				}
				if (ended != nil) != (n > 100) {
					t.Errorf("%s, profile %d, %d hops: the context: got %v, want it to end with the reading", name, profile, n, ended)
				}
			}
		}
	}
}

// Fields are counted alike wherever the message is parted, and the body has none.
func TestHopsAtEveryCut(t *testing.T) {
	for text, want := range map[string]int{
		"":                   0,
		"Received: by a\r\n": 1,
		"received:\r\nRECEIVED:\r\n\r\nReceived: body\r\n": 2,
		"Received : by a\r\nReceive: by b\r\nReceived\r\n": 0,
		"\r\nReceived: by a\r\n":                           0,
		"X: y\r\n Received: by a\r\nReceived:x\r\n":        1,
		"X-Received: by a\r\nReceived:":                    0, // a line that has not ended is none yet
	} {
		for at := range len(text) + 1 {
			h := hops{most: 9}
			h.pass([]byte(text[:at]))
			if h.pass([]byte(text[at:])); h.seen != want {
				t.Errorf("%q, parted at %d: got %d, want %d", text, at, h.seen, want)
			}
		}
	}
}

// Sessions are counted by IPv4 address and by IPv6 /64, which is what one customer has.
func TestHostPrefix(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64", "2001:db8:1:3::1": "2001:db8:1:3::/64",
		"127.0.0.9": "invalid Prefix", "::1": "invalid Prefix", "::ffff:127.0.0.1": "invalid Prefix",
	} {
		got := hostPrefix(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 25)))
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %v, want %s", addr, got, want)
		}
	}
	if got := hostPrefix(&net.UnixAddr{Name: "@", Net: "unix"}); got.IsValid() {
		t.Errorf("a unix socket: got %v, want none", got)
	}
}
