package inbox_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	netsmtp "net/smtp"
	"os"

	"github.com/postrider/postrider/inbox"
	"github.com/postrider/postrider/inbox/client"
	"github.com/postrider/postrider/smtp"
	"github.com/postrider/postrider/store/sqlite"
)

// An Inbox is a Handler for mail and for HTTP over one store: here inside a test, which
// sends and waits for what arrives.
func ExampleInbox() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqlite.Open(ctx, dir)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	in := &inbox.Inbox{Store: db.Inbox()}
	ran := make(chan error)
	go func() { ran <- in.Run(ctx) }()
	defer func() { cancel(); <-ran }()

	srv := &smtp.Server{Handler: in}
	in.Attach(srv)
	defer srv.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(l)
	page := httptest.NewServer(in)
	defer page.Close()

	text := []byte("From: shop@example.com\r\nTo: ann@example.com\r\nSubject: Confirm\r\n\r\nYour code is 493021.\r\n")
	if err := netsmtp.SendMail(l.Addr().String(), nil, "shop@example.com", []string{"ann@example.com"}, text); err != nil {
		panic(err)
	}
	m, err := (&client.Client{URL: page.URL}).Wait(ctx, "to:ann@example.com subject:confirm")
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Subject, m.Codes)
	// Output: Confirm [493021]
}
