package interop

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// A proxy is a Server whose Handler is a Transport: other people's clients on one side, other people's servers on the
// other. It adds a Received field and changes nothing else.

// startProxy starts one before the server at addr and returns where it listens.
func startProxy(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	next := &smtp.Transport{Addr: addr, Dialer: dialer(nil)}
	s := &smtp.Server{Hostname: "proxy.example.net", Handler: next, Logger: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-ended
		next.Close()
	})
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	from := clients[slices.IndexFunc(clients, func(c client) bool { return c.peer == peers.Smtplib })]
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			peers.Find(t, s.peer)
			peers.Find(t, from.peer)
			srv := s.start(t, nil)
			sent := from.deliver(t, startProxy(t, srv.addr), "")
			got := srv.arrived(len(sent))
			// Postfix's programs keep a message with fields of their own, which were taken away with the proxy's.
			unix := s.peer == peers.Postfix || s.peer == peers.SMTPSink
			for i, raw := range got {
				if !unix {
					got[i] = passedOn(t, raw)
				}
			}
			compare(t, got, sent)
		})
	}
}

// passedOn takes the proxy's Received field away.
func passedOn(t *testing.T, raw []byte) []byte {
	t.Helper()
	field, rest, ok := bytes.Cut(raw, []byte("\r\nFrom: "))
	if !ok || !bytes.HasPrefix(field, []byte("Received: ")) || !bytes.Contains(field, []byte("by proxy.example.net")) ||
		bytes.Count(field, []byte("Received: ")) != 1 {
		t.Errorf("got the fields %q before the first one that was sent, want the proxy's Received alone", field)
	}
	return append([]byte("From: "), rest...)
}
