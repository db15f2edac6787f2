//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/smtp"
)

// activated runs serve as systemd would with open sockets: they are descriptors from 3 on, and the process is named.
func activated(t *testing.T, names string, files []*os.File, args ...string) *exec.Cmd {
	t.Helper()
	serve := command(t, append([]string{"serve"}, args...)...)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, serve.Args...)...)
	cmd.Dir, cmd.ExtraFiles = serve.Dir, files
	cmd.Env = append(serve.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+names)
	return cmd
}

// socketFile opens a port and returns it as a file.
func socketFile(t *testing.T, addr string) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}

// Sockets of systemd take the place of the ports of their names, and the same is refused on them.
func TestServeActivated(t *testing.T) {
	a, addrA := socketFile(t, "127.0.0.1:0")
	b, addrB := socketFile(t, "127.0.0.1:0")
	p := peers.Start(t, activated(t, "smtp:smtp", []*os.File{a, b}, "--web", "off", "--data", t.TempDir()))
	p.Line("Waiting for mail")
	for _, addr := range []string{addrA, addrB} {
		if !strings.Contains(p.Output(), "smtp://"+addr+"\n") {
			t.Errorf("%s is not told of:\n%s", addr, p.Output())
		}
		wantCode(t, addr, try(t, addr, plain, "bob@example.net"), 0)
	}
	if strings.Contains(p.Output(), ":2525") {
		t.Errorf("the default is open too:\n%s", p.Output())
	}
	c, _ := socketFile(t, "127.0.0.1:0")
	code, _, stderr := exit(t, activated(t, "imap", []*os.File{c}))
	if code != 78 || !strings.Contains(stderr, "FileDescriptorName=") {
		t.Errorf("another name: exit code %d, %q", code, stderr)
	}
	everywhere, _ := socketFile(t, "0.0.0.0:0")
	code, _, stderr = exit(t, activated(t, "smtp", []*os.File{everywhere}, "--web", "off"))
	if code != 64 || !strings.Contains(stderr, "--accept") {
		t.Errorf("a socket that others can reach: exit code %d, %q", code, stderr)
	}
}

// Systemd is told when it is ready, reads again, and ends.
func TestServeNotifies(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	told := func(want string) {
		t.Helper()
		b := make([]byte, 200)
		n, err := conn.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Fatalf("systemd is told %q, %v; want %q", b[:n], err, want)
		}
	}
	cmd := command(t, "serve", "--smtp", "unix:"+filepath.Join(dir, "smtp"), "--web", "off", "--data", t.TempDir())
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	p := peers.Start(t, cmd)
	told("READY=1")
	if line := p.Line("SMTP       unix:"); line != filepath.Join(dir, "smtp") {
		t.Errorf("it listens on %q", line)
	}
	// Over the socket the mail is taken as anywhere else.
	nc, err := net.Dial("unix", filepath.Join(dir, "smtp"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := plain.Client(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), smtp.NewEnvelope("ann@example.com", "bob@example.net"), strings.NewReader("Subject: x\r\n\r\n")); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told("STOPPING=1")
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
