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

func discard() *smtp.Hooks {
	return &smtp.Hooks{OnData: func(_ context.Context, _ *smtp.Conn, _ *smtp.Envelope, r io.Reader) (string, error) {
		_, err := io.Copy(io.Discard, r)
		return "", err
	}}
}

// readReplies reads n replies of one line each.
func readReplies(nc net.Conn, buf []byte, n int) error {
	for n > 0 {
		k, err := nc.Read(buf)
		if err != nil {
			return err
		}
		n -= bytes.Count(buf[:k], []byte("\r\n"))
	}
	return nil
}

// BenchmarkServer has raw clients send messages of 1 KB, each behind the body of
// the one before.
func BenchmarkServer(b *testing.B) {
	addr := serve(b, &smtp.Server{Handler: discard()}, smtp.Policy{})
	body := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 14) + ".\r\n"
	flight := []byte(body + "MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n")
	b.SetParallelism(10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer nc.Close()
		buf := make([]byte, 4096)
		nc.Read(buf)
		io.WriteString(nc, "EHLO x\r\n")
		nc.Read(buf)
		nc.Write(flight[len(body):])
		if err := readReplies(nc, buf, 3); err != nil {
			b.Error(err)
		}
		for pb.Next() {
			nc.Write(flight)
			if err := readReplies(nc, buf, 4); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkClient sends messages of 1 KB over one connection: one after the other, and as
// many at a time as there are senders.
func BenchmarkClient(b *testing.B) {
	addr := serve(b, &smtp.Server{Handler: discard()}, smtp.Policy{})
	msg := again{"Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 14)}
	for name, senders := range map[string]int{"alone": 1, "streamed": 64} {
		b.Run(name, func(b *testing.B) {
			tr := &smtp.Transport{Addr: addr, Dialer: dialer(), MaxConns: 1, Window: senders}
			defer tr.Close()
			b.ReportAllocs()
			var all sync.WaitGroup
			left := make(chan struct{}, b.N)
			for range b.N {
				left <- struct{}{}
			}
			close(left)
			b.ResetTimer()
			for range senders {
				all.Go(func() {
					for range left {
						if _, err := tr.Send(context.Background(), toBob, msg); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}
