package conform_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/postrider/postrider/conform"
	"github.com/postrider/postrider/smtp"
)

// The cases about RSET against a server of our own.
func ExampleRun() {
	srv := &smtp.Server{Handler: &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, r)
		return "", err
	}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(l)
	defer srv.Close()

	count := map[conform.Outcome]int{}
	for r, err := range conform.Run(context.Background(), conform.Config{Addr: l.Addr().String(), Only: []string{"rset-*"}}) {
		if err != nil {
			panic(err)
		}
		if r.Outcome == conform.Fail {
			fmt.Println(r.Name, r.Title, r.Source, r.Detail)
		}
		count[r.Outcome]++
	}
	fmt.Println(count[conform.Fail] == 0, count[conform.Pass] > 0)
	// Output: true true
}
