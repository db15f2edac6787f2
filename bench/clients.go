package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nsmtp "net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	wneessen "github.com/wneessen/go-mail"

	"github.com/postrider/postrider/smtp"
)

// Clients, each to the same fixed-reply server: what sending costs the sender.

// job is what a client's process is told to do; outcome is what it tells back.
type job struct {
	Addr  string
	Conns int
	Size  int
	Time  time.Duration
	// Window is how many messages ours has under way on a connection; a peer has one.
	Window int
}

type outcome struct {
	Messages int64
	Seconds  float64
}

// sender opens one connection and returns what sends one message over it.
type sender func(addr string) (send func(body []byte) error, err error)

// clientRole makes a role of a sender: it sends on all connections at once until the time is over.
func clientRole(open sender) func(args []string) error {
	return func(args []string) error {
		var j job
		if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
			return err
		}
		return j.run(open)
	}
}

func (j job) run(open sender) error {
	body := message(j.Size)
	var (
		count    atomic.Int64
		workers  sync.WaitGroup
		failures = make(chan error, j.Conns)
	)
	begin := time.Now()
	for range j.Conns {
		workers.Go(func() {
			send, err := open(j.Addr)
			n := int64(0)
			for err == nil && time.Since(begin) < j.Time {
				if err = send(body); err == nil {
					n++
				}
			}
			count.Add(n)
			if err != nil {
				failures <- err
			}
		})
	}
	workers.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	return json.NewEncoder(os.Stdout).Encode(outcome{count.Load(), time.Since(begin).Seconds()})
}

// streamPostrider sends from as many goroutines as may be under way at once, over one Transport.
func streamPostrider(args []string) error {
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	window := max(j.Window, 1)
	t := &smtp.Transport{Addr: j.Addr, Dialer: &smtp.Dialer{Hostname: "client.example.com"}, MaxConns: j.Conns, Window: window}
	env := smtp.NewEnvelope("sender@example.com", "recipient@example.net")
	j.Conns *= window
	return j.run(func(string) (func([]byte) error, error) {
		return func(body []byte) error {
			_, err := t.Send(context.Background(), env, text(body))
			return err
		}, nil
	})
}

// text is a message in memory that can be sent again.
type text []byte

func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(t)
	return int64(n), err
}
func (text) Repeatable() bool { return true }

func sendNetSMTP(addr string) (func([]byte) error, error) {
	c, err := nsmtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	return func(body []byte) error {
		if err := c.Mail("sender@example.com"); err != nil {
			return err
		}
		if err := c.Rcpt("recipient@example.net"); err != nil {
			return err
		}
		w, err := c.Data()
		return put(w, err, body)
	}, c.Hello("client.example.com")
}

func sendGoSMTP(addr string) (func([]byte) error, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := gosmtp.NewClient(conn)
	return func(body []byte) error {
		if err := c.Mail("sender@example.com", nil); err != nil {
			return err
		}
		if err := c.Rcpt("recipient@example.net", nil); err != nil {
			return err
		}
		w, err := c.Data()
		return put(w, err, body)
	}, c.Hello("client.example.com")
}

// sendGoMail sends by go-mail, which makes the message itself: of about the same size.
func sendGoMail(addr string) (func([]byte) error, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	c, err := wneessen.NewClient(host, wneessen.WithPort(n), wneessen.WithTLSPolicy(wneessen.NoTLS), wneessen.WithHELO("client.example.com"))
	if err != nil {
		return nil, err
	}
	return func(body []byte) error {
		m := wneessen.NewMsg()
		if err := errors.Join(m.From("sender@example.com"), m.To("recipient@example.net")); err != nil {
			return err
		}
		m.SetBodyString(wneessen.TypeTextPlain, string(body[min(len(body), 300):]))
		return c.Send(m)
	}, c.DialWithContext(context.Background())
}

// put writes body to what a Data command returned.
func put(w io.WriteCloser, err error, body []byte) error {
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Close()
}

// client returns the contender that plays role against a fixed server, which is started with args.
func client(role string, j job, args ...string) contender {
	self, err := os.Executable()
	if err != nil {
		// Then nothing can be measured; the first start of a server says so too.
		self = os.Args[0]
	}
	return told(role, exec.Command(self, "role", role+" client"), j, args)
}

// nodemailer returns Nodemailer as a contender, if it is installed.
func nodemailer(j job, args ...string) (contender, bool) {
	dir := os.Getenv("POSTRIDER_PEERS_DIR")
	if dir == "" {
		dir = "/opt/postrider-peers"
	}
	modules := filepath.Join(dir, "npm", "node_modules")
	node, ok := program("node")
	if _, err := os.Stat(filepath.Join(modules, "nodemailer")); err != nil || !ok {
		return contender{}, false
	}
	script, err := scripts.ReadFile("nodemailer.js")
	if err != nil {
		return contender{}, false
	}
	cmd := exec.Command(node, "-e", string(script))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return told("Nodemailer", cmd, j, args), true
}

// scripts holds what drives clients that are not written in Go.
//
//go:embed nodemailer.js
var scripts embed.FS

// told returns the contender that runs program with its job as last argument, and reads the outcome that it prints.
func told(name string, program *exec.Cmd, j job, args []string) contender {
	return contender{name, func() (figure, error) {
		server, err := startRole("fixed server", args...)
		if err != nil {
			return figure{}, err
		}
		defer server.stop()
		j.Addr = server.addr
		text, err := json.Marshal(j)
		if err != nil {
			return figure{}, err
		}
		cmd := exec.Command(program.Path, append(slices.Clone(program.Args[1:]), string(text))...)
		cmd.Env, cmd.Stderr = program.Env, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return figure{}, err
		}
		var o outcome
		if err := json.Unmarshal(out, &o); err != nil {
			return figure{}, err
		}
		return j.figure(o.Messages, o.Seconds, cmd.ProcessState), nil
	}}
}

// figure is messages a second, or for large messages MB a second, and the client's CPU time a message.
func (j job) figure(messages int64, seconds float64, state *os.ProcessState) figure {
	used := state.UserTime() + state.SystemTime()
	f := figure{float64(messages) / seconds, float64(used.Microseconds()) / float64(messages)}
	if j.Size >= 1<<20 {
		f.rate *= float64(len(message(j.Size))) / 1e6
	}
	return f
}

// smtpSource is Postfix's client as a contender.
func smtpSource(path string, j job) contender {
	return contender{"smtp-source", func() (figure, error) {
		server, err := startRole("fixed server")
		if err != nil {
			return figure{}, err
		}
		defer server.stop()
		n := max(j.Conns*10, int(2e8/float64(j.Size+20000)*j.Time.Seconds()))
		cmd := exec.Command(path, "-d", "-s", strconv.Itoa(j.Conns), "-l", strconv.Itoa(j.Size), "-m", strconv.Itoa(n),
			"-f", "sender@example.com", "-t", "recipient@example.net", server.addr)
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return figure{}, fmt.Errorf("%w\n%s", err, out)
		}
		return j.figure(int64(n), time.Since(begin).Seconds(), cmd.ProcessState), nil
	}}
}

func measureClients(e effort) (table, error) {
	source, haveSource := program("smtp-source")
	var bouts []bout
	for _, m := range []struct {
		what, unit              string
		conns, size             int
		overNetSMTP, overSource float64
	}{
		{"1 KB, 1 connection", "messages/s", 1, 1 << 10, 0, 0},
		{"1 KB, 10 connections", "messages/s", 10, 1 << 10, 3, 0},
		{"10 MB, 1 connection", "MB/s", 1, 10 << 20, 10, 2.5},
	} {
		j := job{Conns: m.conns, Size: m.size, Time: e.time, Window: 4}
		peers := []peer{{client("net/smtp", j), m.overNetSMTP, false}, {client("go-smtp", j), 0, false}, {client("go-mail", j), 0, false}}
		if haveSource {
			peers = append(peers, peer{smtpSource(source, j), m.overSource, false})
		}
		bouts = append(bouts, bout{m.what, m.unit, client("postrider", j), peers, false})
	}
	return duels(e, append(bouts, chunkingBouts(e)...)...)
}

// chunkingBouts are those in which ours may use CHUNKING, which no peer does, and those on a long line, where only the
// number of round trips counts.
func chunkingBouts(e effort) []bout {
	near := job{Conns: 1, Size: 1 << 10, Time: e.time, Window: 64}
	best := peer{client("go-smtp", near), 20, false}
	bouts := []bout{{"1 KB, 1 connection, BDAT streamed", "messages/s", client("postrider", near, "chunking"), []peer{best}, false}}
	for _, m := range []struct {
		what   string
		args   []string
		target float64
	}{
		{"1 KB, 1 connection, 5 ms away, DATA", []string{"distant"}, 1.6},
		{"1 KB, 1 connection, 5 ms away, CHUNKING", []string{"distant", "chunking"}, 10},
	} {
		peers := []peer{{client("net/smtp", near, m.args...), 0, false}, {client("go-mail", near, m.args...), 0, false}}
		if nodemailer, ok := nodemailer(near, m.args...); ok {
			peers = append(peers, peer{nodemailer, m.target, false})
		}
		bouts = append(bouts, bout{m.what, "messages/s", client("postrider", near, m.args...), peers, false})
	}
	return bouts
}
