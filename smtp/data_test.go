package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// A message that is written verb by verb, or piece by piece, on a server that takes its time or refuses it half-way.

// writing returns the writer after DATA, and the server's end of the pipe, from which what
// is said is read and forgotten.
func writing(t *testing.T, ctx context.Context) (*smtp.DataWriter, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go func() {
		rd := bufio.NewReader(there)
		io.WriteString(there, "220 x\r\n")
		for line := "x"; line != ""; {
			switch line, _ = rd.ReadString('\n'); strings.TrimSpace(line) {
			case "EHLO c.example.org", "MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.net>":
				io.WriteString(there, "250 ok\r\n")
			case "DATA":
				io.WriteString(there, "354 go\r\n")
			}
		}
	}()
	d := dialer()
	d.Timeouts.End = time.Minute
	c, err := d.Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	c.Mail(t.Context(), "ann@example.com", nil)
	c.Rcpt(t.Context(), "bob@example.net", nil)
	w, err := c.Data(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w, there
}

// A server that has refused is written to no more, though it would read on.
func TestRefusedAndReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, there := writing(t, t.Context())
		io.WriteString(there, "552 5.3.4 too big\r\n")
		synctest.Wait()
		if _, err := io.WriteString(w, strings.Repeat("x\r\n", 1<<15)); classes(err) != "permanent" {
			t.Errorf("got %v, want the 552", err)
		}
	})
}

// A context that ends before the end of the message abandons it; one that ends after it
// leaves unknown what became of it. Either way the reason is the context's.
func TestCancelWriting(t *testing.T) {
	for _, ended := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			w, _ := writing(t, ctx)
			want, err := "temporary", error(nil)
			if ended {
				want = "unknown"
				time.AfterFunc(time.Second, cancel)
				err = w.Close()
			} else {
				cancel()
				synctest.Wait()
				_, err = io.WriteString(w, strings.Repeat("x\r\n", 1<<15))
			}
			if classes(err) != want || !errors.Is(err, context.Canceled) {
				t.Errorf("after the end %v: got %v, want it %s, and cancelled", ended, err, want)
			}
		})
	}
}

// The server has the time of the end of the data from then on, however long the writing took.
func TestTimeAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := writing(t, t.Context())
		time.Sleep(time.Hour)
		begun := time.Now()
		if err := w.Close(); classes(err) != "unknown" {
			t.Errorf("got %v, want it unknown", err)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it waited for %v, want a minute", took)
		}
	})
}

// A server that refuses a chunk gets no further one (RFC 3030, 2), neither the rest of the
// message nor its end; the transaction is reset, and the connection is as good as before.
func TestChunkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		chunks := 0
		m := &moody{conn: there, extensions: "PIPELINING CHUNKING", mood: func(verb, _ string) int {
			if verb == "BDAT" {
				chunks++
				return 552
			}
			return 0
		}}
		var server sync.WaitGroup
		server.Go(m.serve)
		c, err := dialer().Client(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		slow := writerTo(func(w io.Writer) (total int64, err error) {
			for range 5 {
				n, err := io.WriteString(w, strings.Repeat("0123456789abcde\r\n", 20_000))
				if total += int64(n); err != nil {
					return total, err
				}
				time.Sleep(time.Second) // the reply comes
			}
			return total, nil
		})
		results, err := c.Send(t.Context(), toBob, slow)
		if classes(err) != "permanent" || results[0].Reply.Code != 552 || chunks != 1 {
			t.Errorf("got %v, %+v after %d chunks, want the 552 to the first", err, results[0].Reply, chunks)
		}
		if _, err := c.Send(t.Context(), toBob, text("next\r\n")); err != nil || len(m.taken) != 1 {
			t.Errorf("the next message: got %v, %d taken", err, len(m.taken))
		}
		c.Quit(t.Context())
		server.Wait()
	})
}

// Commit that says no abandons a large message too, whether it is at its end or goes out
// with its envelope, and nothing of it is delivered.
func TestCommitRefused(t *testing.T) {
	stop := errors.New("stopped by the user")
	for _, extensions := range []string{"", "PIPELINING", "CHUNKING", "PIPELINING CHUNKING"} {
		for name, msg := range map[string]string{"small": "x\r\n", "large": strings.Repeat("0123456789abcde\r\n", 40_000)} {
			here, there := smtp.Connection(t)
			m := &moody{conn: there, extensions: extensions, mood: func(string, string) int { return 0 }}
			var server sync.WaitGroup
			server.Go(m.serve)
			d := dialer()
			asked := 0
			d.Commit = func(_ context.Context, env *smtp.Envelope) error {
				if asked++; env.To[0].Address != "bob@example.net" {
					t.Errorf("asked about %+v", env)
				}
				return stop
			}
			c, err := d.Client(t.Context(), here)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Send(t.Context(), toBob, text(msg)); classes(err) != "temporary" || !errors.Is(err, stop) || asked != 1 {
				t.Errorf("%q, %s: got %v, asked %d times; want it temporary, with the reason", extensions, name, err, asked)
			}
			c.Close()
			server.Wait()
			if len(m.taken) != 0 {
				t.Errorf("%q, %s: delivered", extensions, name)
			}
		}
	}
}

// Each reply has the time of its own phase, and the end of a message the longest, by DATA
// and by chunks (RFC 5321, 4.5.3.2). Who has the message by then may have delivered it.
func TestTimeOfEachPhase(t *testing.T) {
	for _, c := range []struct {
		extensions, verb string
		limit            time.Duration
		want             string
	}{
		{"", "MAIL", 3 * time.Minute, "temporary"}, {"", "RCPT", 4 * time.Minute, "temporary"}, {"", "DATA", 5 * time.Minute, "temporary"}, {"", ".", 7 * time.Minute, "unknown"},
		{"PIPELINING", "RCPT", 4 * time.Minute, "temporary"}, {"PIPELINING", ".", 7 * time.Minute, "unknown"}, {"PIPELINING CHUNKING", ".", 7 * time.Minute, "unknown"},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			over := make(chan struct{})
			m := &moody{conn: there, extensions: c.extensions}
			m.mood = func(verb, _ string) int {
				if verb == c.verb {
					m.w.Flush()
					<-over
				}
				return 0
			}
			var server sync.WaitGroup
			server.Go(m.serve)
			d := dialer()
			d.Timeouts = smtp.Timeouts{Greeting: time.Minute, Command: 2 * time.Minute, Mail: 3 * time.Minute, Rcpt: 4 * time.Minute, Data: 5 * time.Minute, Block: 6 * time.Minute, End: 7 * time.Minute}
			client, err := d.Client(t.Context(), here)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err = client.Send(t.Context(), toBob, text("x\r\n"))
			if took := time.Since(begin); took != c.limit || classes(err) != c.want {
				t.Errorf("%q, %s: got %v after %v, want it %s after %v", c.extensions, c.verb, err, took, c.want, c.limit)
			}
			close(over)
			client.Close()
			server.Wait()
		})
	}
}
