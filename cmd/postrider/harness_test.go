package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/leak"
	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// What the tests of the whole program share: the binary, built once, and a
// server that runs it.

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "postrider-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "postrider")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := leak.Main(m)
	// Built or not, by this time nobody builds it any more.
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// command returns a command that runs the program, in an environment that has
// no settings for it, in a directory of its own.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "POSTRIDER_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// A served is a running postrider serve.
type served struct {
	*peers.Process
	t    testing.TB
	smtp string // its addresses
	web  string
	data string
}

// start starts the program's serve on free ports over data, with more flags.
func start(t testing.TB, data string, args ...string) *served {
	t.Helper()
	cmd := command(t, append([]string{"serve", "--smtp", "127.0.0.1:0", "--web", "127.0.0.1:0", "--data", data}, args...)...)
	s := &served{Process: peers.Start(t, cmd), t: t, data: data}
	s.Line("Waiting for mail")
	s.smtp = s.Line("SMTP       smtp://")
	s.web = strings.TrimSuffix(s.Line("Web page   "), "/")
	return s
}

// A session is a client's end of an SMTP session, spoken line by line.
type session struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects and says EHLO.
func dial(addr string) (*session, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &session{conn, bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(time.Minute))
	if err := s.reply("220"); err != nil {
		conn.Close()
		return nil, err
	}
	if err := s.say("250", "EHLO client.example.com\r\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// say writes and awaits a reply.
func (s *session) say(code, text string) error {
	if _, err := io.WriteString(s.conn, text); err != nil {
		return err
	}
	return s.reply(code)
}

// reply reads one reply, of several lines perhaps, and wants a code.
func (s *session) reply(code string) error {
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[:3] != code {
			return fmt.Errorf("reply is %q, want %s", line, code)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

// send delivers one message. It returns nil only if the 250 after the dot was
// read.
func (s *session) send(msg []byte) error {
	if err := s.offer(msg); err != nil {
		return err
	}
	return s.reply("250")
}

// offer says all of a message, its dot included, whose reply is still to be read.
func (s *session) offer(msg []byte) error {
	for _, step := range []struct{ code, text string }{
		{"250", "MAIL FROM:<ann@example.com>\r\n"}, {"250", "RCPT TO:<bob@example.net>\r\n"}, {"354", "DATA\r\n"},
	} {
		if err := s.say(step.code, step.text); err != nil {
			return err
		}
	}
	stuffed := bytes.ReplaceAll(msg, []byte("\r\n."), []byte("\r\n..")) // RFC 5321, 4.5.2; no test begins with a dot
	_, err := s.conn.Write(append(stuffed, ".\r\n"...))
	return err
}

// deliver sends messages over a session of their own.
func (s *served) deliver(msgs ...[]byte) {
	s.t.Helper()
	c, err := dial(s.smtp)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.conn.Close()
	for _, msg := range msgs {
		if err := c.send(msg); err != nil {
			s.t.Fatal(err)
		}
	}
}

// written returns a message as it goes over the wire.
func written(t testing.TB, m *mail.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// get returns what the server answers to GET.
func (s *served) get(path string) []byte {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.web+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %s, %v\n%s", path, resp.Status, err, body)
	}
	return body
}

// wait returns the id of the newest message that has the words in it, once it
// is there.
func (s *served) wait(query string) string {
	s.t.Helper()
	var m struct{ ID string }
	if err := json.Unmarshal(s.get("/api/v1/messages/wait?timeout=60s&query="+query), &m); err != nil {
		s.t.Fatal(err)
	}
	return m.ID
}

// exit runs the program to its end and returns its exit code and output. One that does not end, where it should have
// refused to start, is ended after a minute.
func exit(t testing.TB, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%q did not end: %s%s", cmd.Args, out.String(), errs.String())
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode(), out.String(), errs.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}
