package smtp_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/smtp"
	"golang.org/x/net/dns/dnsmessage"
)

// Names as a DNS of the tests' own has them: nothing outside is asked, and nothing depends
// on what this machine calls itself.

// addresses are what every name stands for that the hosts file does not have; nil for
// 127.0.0.1, as Windows has "localhost" in no file.
var addresses atomic.Pointer[[]string]

// resolve has every name be these addresses until the test ends.
func resolve(t *testing.T, addrs ...string) {
	t.Helper()
	addresses.Store(&addrs)
	t.Cleanup(func() { addresses.Store(nil) })
}

// ownDNS asks addresses. It is net.DefaultResolver before any test runs, because what an
// earlier test has left to end by itself may still look a name up.
var ownDNS = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
	addrs := []string{"127.0.0.1"}
	if p := addresses.Load(); p != nil {
		addrs = *p
	}
	// What is no packet connection is spoken to as over TCP (RFC 1035, 4.2.2).
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		for answerQuery(there, addrs) == nil {
		}
	}()
	return here, nil
}}

// answerQuery answers a query for addresses with those of its family.
func answerQuery(conn net.Conn, addrs []string) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		head := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}
		switch {
		case a.Is4() && m.Questions[0].Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && m.Questions[0].Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	b, err := m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	_, err = conn.Write(b)
	return err
}

// Where nobody listens on one address of a name, or this host has no such addresses, the
// other serves.
func TestNextAddress(t *testing.T) {
	var box mailbox
	addr := serve(t, &smtp.Server{Handler: box.hooks()}, smtp.Policy{}) // on 127.0.0.1 alone
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	resolve(t, "::1", "127.0.0.1")
	c := dial(t, dialer(), net.JoinHostPort("mx.example.com", port))
	if _, err := c.Send(t.Context(), toBob, text("x\r\n")); err != nil || len(box.all()) != 1 {
		t.Errorf("got %v, and %d messages arrived, want 1", err, len(box.all()))
	}
}
