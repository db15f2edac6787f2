package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// A message that is written verb by verb, on a server that takes its time.

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
