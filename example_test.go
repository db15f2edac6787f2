package postrider_test

import (
	"context"
	"fmt"

	"github.com/postrider/postrider"
	"github.com/postrider/postrider/mail"
)

var ctx = context.Background()

func ExampleSend() {
	_, err := postrider.Send(ctx, "smtps://ann:secret@smtp.example.com", &mail.Message{
		From: mail.List("Ann <ann@example.com>"), To: mail.List("bob@example.net"),
		Subject: "Minutes", Text: "Attached.", Attachments: []mail.Attachment{mail.FromFile("minutes.pdf")},
	})
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleOpen() {
	// The second is for what the first does not take for now.
	s, err := postrider.Open("smtps://ann:secret@one.example.com", "smtps://ann:secret@two.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	_, err = postrider.Deliver(ctx, s, &mail.Message{
		From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Minutes", Text: "As agreed.",
	})
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleServe() {
	err := postrider.Serve(ctx, postrider.Config{}, postrider.Handlers{
		OnMail: func(ctx context.Context, m *postrider.Received) error {
			fmt.Println(m.Sender, m.Message.Subject)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
	}
}
