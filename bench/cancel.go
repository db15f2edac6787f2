package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	wneessen "github.com/wneessen/go-mail"

	"github.com/postrider/postrider/smtp"
)

// Cancelling: how long a client takes to return after its context has ended, while the server says nothing.

// stall is how long a client waits before it is cancelled.
const stall = 100 * time.Millisecond

// stalling is a server that greets, says what it offers, and then nothing more.
func stalling() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				rd := bufio.NewReader(conn)
				io.WriteString(conn, "220 stalling\r\n")
				rd.ReadString('\n')
				io.WriteString(conn, "250-stalling\r\n250 PIPELINING\r\n")
				io.Copy(io.Discard, rd)
			}()
		}
	}()
	return l, nil
}

// cancelled measures send: from the end of its context to its return, in milliseconds.
func cancelled(name string, send func(ctx context.Context, host string, port int) error) contender {
	return contender{name, func() (figure, error) {
		l, err := stalling()
		if err != nil {
			return figure{}, err
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), stall)
		defer cancel()
		begin := time.Now()
		if err := send(ctx, "127.0.0.1", l.Addr().(*net.TCPAddr).Port); err == nil {
			return figure{}, errors.New("it was not cancelled")
		}
		return figure{rate: float64(time.Since(begin)-stall) / float64(time.Millisecond)}, nil
	}}
}

func cancelPostrider(ctx context.Context, host string, port int) error {
	t := &smtp.Transport{Addr: net.JoinHostPort(host, strconv.Itoa(port))}
	_, err := t.Send(ctx, smtp.NewEnvelope("sender@example.com", "recipient@example.net"), bytes.NewReader(message(1<<10)))
	return err
}

// cancelGoMail gives go-mail a time-out of its own, which is what it waits for.
func cancelGoMail(ctx context.Context, host string, port int) error {
	c, err := wneessen.NewClient(host, wneessen.WithPort(port), wneessen.WithTLSPolicy(wneessen.NoTLS), wneessen.WithTimeout(2*time.Second))
	if err != nil {
		return err
	}
	m := wneessen.NewMsg()
	if err := errors.Join(m.From("sender@example.com"), m.To("recipient@example.net")); err != nil {
		return err
	}
	m.SetBodyString(wneessen.TypeTextPlain, "text")
	return c.DialAndSendWithContext(ctx, m)
}

func measureCancelling(e effort) (table, error) {
	return duels(e, bout{"a server that stalls after EHLO", "ms after the end of the context",
		cancelled("postrider", cancelPostrider), []peer{limit(50), {cancelled("go-mail, its own time-out 2 s", cancelGoMail), 0, false}}, true})
}
