package local_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

// A program keeps its mail in a maildir, where a mail reader finds it.
func ExampleMaildir() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	box := local.Maildir{Dir: dir}
	m := &mail.Message{From: mail.List("cron@example.com"), To: mail.List("ann@example.com"), Subject: "Backup", Text: "Done.\n"}
	results, err := box.Send(context.Background(), smtp.NewEnvelope("cron@example.com", m.Recipients()...), m)
	fmt.Println(results[0].Rcpt, err)

	b, err := os.ReadFile(filepath.Join(dir, "new", results[0].ID))
	field, _, _ := strings.Cut(string(b), "\n")
	fmt.Println(field, err)
	// Output:
	// ann@example.com <nil>
	// Return-Path: <cron@example.com> <nil>
}

// What cannot be sent now is kept as a file, to be looked at or sent by hand.
func ExampleEML() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	down := smtp.SenderFunc(func(_ context.Context, env *smtp.Envelope, _ io.WriterTo) ([]smtp.Result, error) {
		err := smtp.Errorf(421, "4.3.2", "the relay is being serviced")
		return []smtp.Result{{Rcpt: env.To[0].Address, Err: err}}, err
	})
	m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Minutes", Text: "Attached.\n"}
	_, err = smtp.Failover(down, local.EML{Dir: dir}).Send(context.Background(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), m)
	files, _ := filepath.Glob(filepath.Join(dir, "*.eml"))
	fmt.Println(len(files), err)
	// Output: 1 <nil>
}
