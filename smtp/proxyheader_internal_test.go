package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// proxy2 writes a header of version 2.
func proxy2(command, family byte, rest string) string {
	head := append(append([]byte{}, proxySignature...), command, family)
	return string(binary.BigEndian.AppendUint16(head, uint16(len(rest)))) + rest
}

const fourAddrs = "\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x00\x19" // 192.0.2.1 192.0.2.2 56324 25

// proxyHeaders are headers, and whom they speak for: "" for the proxy itself,
// "bad" for none.
var proxyHeaders = map[string]string{
	"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n":                     "192.0.2.1:56324 192.0.2.2:25",
	"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n":                     "[2001:db8::1]:1 [2001:db8::2]:25",
	"PROXY UNKNOWN\r\n":                                               "",
	"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n":                           "",
	"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n":                        "bad",
	"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25 \r\n":                    "bad",
	"PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n":                     "bad",
	"PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n":                         "bad",
	"PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n":                     "bad",
	"PROXY TCP4 192.0.2.1 192.0.2.2 +1 25\r\n":                        "bad",
	"PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n":                        "bad",
	"PROXY TCP4 192.0.2.300 192.0.2.2 1 25\r\n":                       "bad",
	"PROXY TCP6 fe80::1%eth0 fe80::2 1 25\r\n":                        "bad",
	"PROXY SCTP 192.0.2.1 192.0.2.2 1 25\r\n":                         "bad",
	"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\nXXX":                        "bad",
	"PROXY " + strings.Repeat("x", 200):                               "bad",
	"EHLO client.example.org\r\n":                                     "bad",
	"\x16\x03\x01 not the header of a proxy":                          "bad",
	proxy2(0x21, 0x11, fourAddrs):                                     "192.0.2.1:56324 192.0.2.2:25",
	proxy2(0x21, 0x11, fourAddrs+"\x04\x00\x01x"):                     "192.0.2.1:56324 192.0.2.2:25",
	proxy2(0x21, 0x21, strings.Repeat("\x20", 32)+"\x00\x01\x00\x02"): "[2020:2020:2020:2020:2020:2020:2020:2020]:1 [2020:2020:2020:2020:2020:2020:2020:2020]:2",
	proxy2(0x20, 0x00, ""):                                            "",
	proxy2(0x20, 0x11, fourAddrs):                                     "",
	proxy2(0x21, 0x00, ""):                                            "",
	proxy2(0x21, 0x31, strings.Repeat("x", 216)):                      "",
	proxy2(0x21, 0x11, fourAddrs[:11]):                                "bad",
	proxy2(0x22, 0x11, fourAddrs):                                     "bad",
	proxy2(0x11, 0x11, fourAddrs):                                     "bad",
	proxy2(0x21, 0x11, strings.Repeat("x", 5000)):                     "bad",
	proxy2(0x20, 0x11, strings.Repeat("x", proxyMax)):                 "",
	proxy2(0x20, 0x11, strings.Repeat("x", proxyMax+1)):               "bad",
	"PROXY TCP6 nowhere elsewhere 1 25\r\n":                           "bad",
}

func TestReadProxy(t *testing.T) {
	for header, want := range proxyHeaders {
		for name, src := range map[string]io.Reader{"whole": strings.NewReader(header + "rest"), "bytes": iotest.OneByteReader(strings.NewReader(header + "rest"))} {
			remote, local, err := readProxy(src)
			got := ""
			switch {
			case err != nil:
				got = "bad"
			case remote != nil:
				got = fmt.Sprint(remote, " ", local)
			}
			if got != want {
				t.Errorf("%s: %q: got %q (%v), want %q", name, header, got, err, want)
			}
			if rest, _ := io.ReadAll(src); err == nil && string(rest) != "rest" {
				t.Errorf("%s: %q: left %q, want what follows the header", name, header, rest)
			}
		}
	}
}

// FuzzProxy reads anything as a header: it takes no more than a header may have,
// and whom it names can be written and read again.
func FuzzProxy(f *testing.F) {
	for header := range proxyHeaders {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rd := bytes.NewReader(b)
		remote, local, err := readProxy(rd)
		if taken := len(b) - rd.Len(); taken > 16+proxyMax || taken > proxyLine && !bytes.HasPrefix(b, proxySignature) {
			t.Fatalf("%q: %d octets were taken", b, taken)
		}
		if err != nil || remote == nil {
			return
		}
		from, to := remote.(*net.TCPAddr).AddrPort(), local.(*net.TCPAddr).AddrPort()
		kind := "TCP6"
		if from.Addr().Is4() {
			kind = "TCP4"
		}
		again, _, err := readProxy(strings.NewReader(fmt.Sprintf("PROXY %s %s %s %d %d\r\n", kind, from.Addr(), to.Addr(), from.Port(), to.Port())))
		if err != nil || again.(*net.TCPAddr).AddrPort() != from {
			t.Errorf("%q: read %v, and again %v, %v", b, from, again, err)
		}
	})
}

// seen serves on loopback and sends what each MAIL shows of its session.
func seen(t *testing.T, srv *Server, p Policy) (addr string, got <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan string, 10)
	srv.Handler = &Hooks{OnSender: func(_ context.Context, c *Conn, _ string, _ *MailOptions) error {
		conns <- fmt.Sprint(c.RemoteAddr(), " ", c.Hello(), " ", c.User(), " ", c.Forwarded()["ADDR"])
		return nil
	}}
	srv.Logger = slog.New(slog.DiscardHandler)
	go srv.Serve(Listener{l, p})
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String(), conns
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// say writes to a new connection and returns all that is answered.
func say(t *testing.T, addr, said string) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, said)
	got, _ := io.ReadAll(nc)
	return string(got)
}

const hello = "EHLO client.example.org\r\nMAIL FROM:<>\r\nQUIT\r\n"

// A trusted proxy's header says who the client is, in front of SMTP and of TLS,
// and is asked for; anybody else's is no command.
func TestProxy(t *testing.T) {
	srv := &Server{MaxConnsPerHost: 1}
	addr, got := seen(t, srv, Policy{Proxies: loopback})
	say(t, addr, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n"+hello)
	if s := <-got; s != "192.0.2.1:56324 client.example.org  " {
		t.Errorf("version 1: got %q", s)
	}
	say(t, addr, proxy2(0x21, 0x11, fourAddrs)+hello)
	if s := <-got; s != "192.0.2.1:56324 client.example.org  " {
		t.Errorf("version 2: got %q", s)
	}
	if out := say(t, addr, hello); out != "" {
		t.Errorf("without a header: got %q, want the end at once", out)
	}
	addr, _ = seen(t, new(Server), Policy{})
	if out := say(t, addr, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\nQUIT\r\n"); !strings.Contains(out, "\r\n500 5.5.1 ") {
		t.Errorf("from nobody's proxy: got %q, want 500", out)
	}
	addr, got = seen(t, &Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}}, Policy{Proxies: loopback, ImplicitTLS: true})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(nc, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n")
	secure := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	defer secure.Close()
	io.WriteString(secure, hello)
	io.ReadAll(secure)
	if s := <-got; s != "192.0.2.1:56324 client.example.org  " {
		t.Errorf("in front of TLS: got %q", s)
	}
}

// Sessions behind a proxy are counted by the client that it speaks for.
func TestProxyCounts(t *testing.T) {
	addr, _ := seen(t, &Server{MaxConnsPerHost: 1}, Policy{Proxies: loopback})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n")
	nc.Read(make([]byte, 100)) // the greeting
	if out := say(t, addr, "PROXY TCP4 192.0.2.1 192.0.2.2 2 25\r\nQUIT\r\n"); !strings.HasPrefix(out, "421 4.7.0 ") {
		t.Errorf("the same client again: got %q, want 421", out)
	}
	if out := say(t, addr, "PROXY TCP4 192.0.2.9 192.0.2.2 2 25\r\nQUIT\r\n"); !strings.HasPrefix(out, "220 ") {
		t.Errorf("another client: got %q, want 220", out)
	}
}

// XCLIENT changes what a handler sees of the client, XFORWARD what it is told for
// logs; OnConnect is asked again.
func TestXClient(t *testing.T) {
	srv := &Server{OnConnect: func(_ context.Context, c *Conn) error {
		if strings.HasPrefix(c.RemoteAddr().String(), "192.0.2.66:") {
			return Errorf(554, "5.7.1", "not from there")
		}
		return nil
	}}
	addr, got := seen(t, srv, Policy{Trusted: loopback})
	out := say(t, addr, "EHLO filter.example.com\r\nXCLIENT ADDR=192.0.2.1 PORT=99 HELO=far.example.org LOGIN=ann\r\nEHLO filter.example.com\r\nMAIL FROM:<>\r\nQUIT\r\n")
	if s := <-got; s != "192.0.2.1:99 far.example.org ann " {
		t.Errorf("got %q, said %q", s, out)
	}
	if !strings.Contains(out, "XCLIENT ADDR PORT") || strings.Count(out, "220 ") != 2 {
		t.Errorf("got %q, want XCLIENT announced and a second greeting", out)
	}
	// Of what was said before XCLIENT nothing counts, and nothing of another XCLIENT.
	out = say(t, addr, "EHLO one.example.com\r\nXFORWARD ADDR=192.0.2.7\r\nXCLIENT PORT=99 HELO=far.example.org LOGIN=ann\r\nXCLIENT ADDR=192.0.2.2\r\nEHLO two.example.com\r\nMAIL FROM:<>\r\nQUIT\r\n")
	if s := <-got; s != "192.0.2.2:99 two.example.com  " {
		t.Errorf("after two: got %q, said %q", s, out)
	}
	// XFORWARD is of one transaction, and forgotten where one would be, EHLO included.
	for again, want := range map[string]string{"MAIL FROM:<>\r\nRSET": "192.0.2.7", "RSET": "", "EHLO two.example.com": ""} {
		out = say(t, addr, "EHLO one.example.com\r\nXFORWARD ADDR=192.0.2.7\r\n"+again+"\r\nMAIL FROM:<>\r\nQUIT\r\n")
		if want != "" {
			if s := <-got; !strings.HasSuffix(s, "  "+want) {
				t.Errorf("XFORWARD: got %q, said %q, want %s told", s, out, want)
			}
		}
		if s := <-got; !strings.HasSuffix(s, "  ") {
			t.Errorf("XFORWARD, then %q: got %q, said %q, want it forgotten", again, s, out)
		}
	}
	if out := say(t, addr, "EHLO x\r\nXCLIENT ADDR=192.0.2.66\r\nNOOP\r\n"); !strings.HasSuffix(out, "554 5.7.1 not from there\r\n") {
		t.Errorf("got %q, want OnConnect's refusal last", out)
	}
}
