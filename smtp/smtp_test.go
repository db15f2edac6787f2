package smtp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// A mailbox is what a test's server has received.
type mailbox struct {
	mu       sync.Mutex
	messages []received
}

type received struct {
	env  smtp.Envelope
	data string
}

func (m *mailbox) hooks() *smtp.Hooks {
	return &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
		b, err := io.ReadAll(r)
		if err != nil {
			return "", err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.messages = append(m.messages, received{*env, string(b)})
		return "", nil
	}}
}

func (m *mailbox) all() []received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]received(nil), m.messages...)
}

// serve runs srv on loopback until the test ends and returns its address.
func serve(t testing.TB, srv *smtp.Server, p smtp.Policy) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(smtp.Listener{Listener: l, Policy: p}); err != smtp.ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String()
}

func TestSendAndReceive(t *testing.T) {
	var box mailbox
	addr := serve(t, &smtp.Server{Hostname: "mx.example.com", Handler: box.hooks()}, smtp.Policy{})
	tr := &smtp.Transport{Addr: addr}
	defer tr.Close()
	texts := []string{"Subject: x\r\n\r\nhello\r\n", ".dot\r\n..\r\n.\r\n", "", "no end", strings.Repeat("a line of text\r\n", 100000)}
	for _, text := range texts {
		res, err := tr.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net"), bytes.NewBufferString(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(res) != 2 || res[0].Err != nil || res[1].Reply.Code != 250 {
			t.Errorf("got %+v, want two accepted", res)
		}
	}
	got := box.all()
	if len(got) != len(texts) {
		t.Fatalf("got %d messages, want %d", len(got), len(texts))
	}
	for i, text := range texts {
		if text != "" && !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		if got[i].data != text {
			t.Errorf("message %d: got %d octets %.60q, want %d", i, len(got[i].data), got[i].data, len(text))
		}
	}
}
