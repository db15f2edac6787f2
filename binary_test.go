package postrider_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// binaryHandler takes mail with BINARYMIME, and keeps it.
type binaryHandler struct {
	*smtp.Hooks
}

// Offers implements smtp.Offerer.
func (binaryHandler) Offers() []string { return []string{"BINARYMIME"} }

// A file goes over the wire as it is, octet by octet, where it was asked for and the server takes it.
func TestBinaryOverTheWire(t *testing.T) {
	content := []byte("line\nline\r\n.\r\n\x00\r\xff" + string(bytes.Repeat([]byte("=x"), 1000)))
	var got []byte
	var body smtp.Body
	server := &smtp.Server{Hostname: "mx.example.net", Handler: binaryHandler{&smtp.Hooks{
		OnData: func(_ context.Context, _ *smtp.Conn, env *smtp.Envelope, r io.Reader) (string, error) {
			var err error
			got, err = io.ReadAll(r)
			body = env.Options.Body
			return "", err
		},
	}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	transport := &smtp.Transport{Addr: listener.Addr().String()}
	t.Cleanup(func() { transport.Close() })
	m := &mail.Message{
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Text: "Grüße\n", Binary: true,
		Attachments: []mail.Attachment{mail.FromBytes("a.bin", content)},
	}
	if _, err := transport.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), m); err != nil {
		t.Fatal(err)
	}
	if body != smtp.BodyBinaryMIME || !bytes.Contains(got, content) {
		t.Errorf("as %s came %q, want %q in it", body, got, content)
	}
	parsed, err := mail.Parse(bytes.NewReader(got))
	if err != nil || len(parsed.Attachments) != 1 || parsed.Text != m.Text {
		t.Fatalf("read as %+v, %v", parsed, err)
	}
}
