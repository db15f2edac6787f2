package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// What a Send says no more, and what is no longer heard for it, once its end is known.

// What a Send has returned is its caller's: replies that come later, because others are
// still under way on that connection, change nothing in it.
func TestLateReplies(t *testing.T) {
	here, there := net.Pipe()
	heard, answer := make(chan bool), make(chan bool)
	var served sync.WaitGroup
	served.Go(func() {
		defer there.Close()
		rd := bufio.NewReader(there)
		fmt.Fprint(there, "220 mx.example.com\r\n")
		for line := ""; !strings.HasPrefix(line, "EHLO"); {
			line, _ = rd.ReadString('\n')
		}
		fmt.Fprint(there, "250-mx.example.com\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		for _, last := range []string{"first", "second"} {
			for line := ""; !strings.HasPrefix(line, "Subject: "+last); {
				var err error
				if line, err = rd.ReadString('\n'); err != nil {
					t.Error(err)
					return
				}
			}
			heard <- true
		}
		<-answer
		fmt.Fprint(there, "250 ok\r\n550 late\r\n503 nobody\r\n", "250 ok\r\n", "250 ok\r\n250 ok\r\n250 ok\r\n")
	})
	c, err := dialer().Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var results []smtp.Result
	var sends sync.WaitGroup
	first := make(chan bool)
	sends.Go(func() {
		results, _ = c.Send(ctx, toBob, text("Subject: first\r\n"))
		close(first)
	})
	<-heard
	sends.Go(func() {
		if _, err := c.Send(t.Context(), toBob, text("Subject: second\r\n")); err != nil {
			t.Errorf("the other Send: %v", err)
		}
	})
	<-heard
	cancel()
	<-first
	got := slices.Clone(results)
	close(answer)
	sends.Wait()
	c.Close()
	served.Wait()
	if !reflect.DeepEqual(results, got) || classes(got[0].Err) != "unknown" {
		t.Errorf("%+v became %+v; want it unknown, and to stay so", got, results)
	}
}

// A server that takes one command at a time and hangs up is not told the next one.
func TestHungUpInSteps(t *testing.T) {
	env := smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net")
	for n, last := range []string{"MAIL FROM:<ann@example.com>", "RCPT TO:<bob@example.net>", "RCPT TO:<cy@example.net>", "DATA"} {
		here, there := net.Pipe()
		at := 0
		m := &moody{conn: there, mood: func(string, string) int {
			if at++; at > n {
				return -1
			}
			return 0
		}}
		var served sync.WaitGroup
		served.Go(m.serve)
		d := dialer()
		var trace tracer
		d.Trace = trace.line
		c, err := d.Client(t.Context(), here)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Send(t.Context(), env, text("x\r\n")); classes(err) != "temporary" {
			t.Errorf("hung up at %s: got %v, want it temporary", last, err)
		}
		served.Wait()
		if said := trace.said; said[len(said)-1] != last {
			t.Errorf("hung up at %s: the client said %q", last, said)
		}
	}
}

// A trace tells the size of each chunk behind its command.
func TestTraceOfChunks(t *testing.T) {
	here, there := net.Pipe()
	m := &moody{conn: there, extensions: "PIPELINING CHUNKING", mood: func(string, string) int { return 0 }}
	var served sync.WaitGroup
	served.Go(m.serve)
	d := dialer()
	var trace tracer
	d.Trace = trace.line
	c, err := d.Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("0123456789abcdef0123456789abcd\r\n", 20000) // 640,000 octets
	if _, err := c.Send(t.Context(), toBob, text(body)); err != nil {
		t.Fatal(err)
	}
	c.Quit(t.Context())
	served.Wait()
	total, chunks, said := 0, 0, trace.said
	for i, line := range said {
		size, ok := strings.CutPrefix(line, "BDAT ")
		if !ok {
			continue
		}
		size = strings.TrimSuffix(size, " LAST")
		n, err := strconv.Atoi(size)
		if want := "[" + size + " octets of the message]"; err != nil || said[i+1] != want {
			t.Errorf("behind %q: got %q, want %q", line, said[i+1], want)
		}
		total += n
		chunks++
	}
	if total != len(body) || chunks < 2 {
		t.Errorf("%d octets in %d chunks were traced, want %d in several", total, chunks, len(body))
	}
}

// A closer is a connection that ends a context with the reply that it reads, and goes on
// when that has closed it.
type closer struct {
	net.Conn
	mark   string
	end    func()
	closed chan bool
}

func (c *closer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.mark != "" && strings.Contains(string(p[:n]), c.mark) {
		c.mark = ""
		c.end()
		<-c.closed
	}
	return n, err
}

func (c *closer) Close() error {
	defer func() { c.closed <- true }()
	return c.Conn.Close()
}

// A reply that comes as its context ends is one, and the last: the connection is closed, and
// what is said next is told why.
func TestCancelledWithTheReply(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := net.Dial("tcp", scripted(t, hello+"C: NOOP\nS: 250 in time\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialer().Client(t.Context(), &closer{conn, "in time", cancel, make(chan bool, 9)})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := c.Noop(ctx); err != nil || r.Text != "in time" {
		t.Errorf("got %v, %v, want the reply", r, err)
	}
	if _, err := c.Noop(t.Context()); classes(err) != "temporary" || !errors.Is(err, context.Canceled) {
		t.Errorf("afterwards: got %v, want that it was cancelled", err)
	}
}

// A message that can be written once, and goes out in several transactions, is told the size
// of like any other.
func TestSizeOfSplit(t *testing.T) {
	here, there := net.Pipe()
	var mails []string
	m := &moody{conn: there, extensions: "PIPELINING SIZE LIMITS+RCPTMAX=1", mood: func(verb, arg string) int {
		if verb == "MAIL" {
			mails = append(mails, arg)
		}
		return 0
	}}
	var served sync.WaitGroup
	served.Go(m.serve)
	c, err := dialer().Client(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net", "cy@example.net"), text("Subject: x\r\n"))
	c.Quit(t.Context())
	served.Wait()
	want := "FROM:<ann@example.com> SIZE=12"
	if err != nil || !slices.Equal(mails, []string{want, want}) {
		t.Errorf("got %q, %v, want %q twice", mails, err, want)
	}
}
