package listen_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/postrider/postrider/internal/listen"
)

func TestCheck(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:25": true, "[::1]:0": true, ":2525": true, "mail.example.com:25": true, "unix:/run/postrider.sock": true, "unix:here": true,
		"": false, "2525": false, "127.0.0.1": false, "host:smtp": false, "host:70000": false, "host:-1": false, "unix:": false, "::1:25": false,
	} {
		if err := listen.Check(addr); (err == nil) != ok {
			t.Errorf("%q: got %v, want it to be right: %v", addr, err, ok)
		}
	}
}

func TestPrivate(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:25": true, "127.1.2.3:25": true, "[::1]:25": true, "[::ffff:127.0.0.1]:25": true, "localhost:25": true, "unix:/x": true,
		":25": false, "0.0.0.0:25": false, "[::]:25": false, "192.0.2.1:25": false, "localhost.example.com:25": false, "nonsense": false,
	} {
		if got := listen.Private(addr); got != want {
			t.Errorf("%q: got %v, want %v", addr, got, want)
		}
	}
}

// An address that is open has the form that opens it.
func TestString(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "unix:" + socket(t)} {
		l, err := listen.Open(addr)
		if err != nil {
			t.Fatal(err)
		}
		name := listen.String(l.Addr())
		l.Close()
		again, err := listen.Open(name)
		if err != nil {
			t.Fatalf("%s as %s: %v", addr, name, err)
		}
		again.Close()
	}
}

// socket returns the path of a socket to be. Paths of sockets are short: 104 octets on some systems.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// A socket that nobody listens on any more makes room; one that is in use, and a file that is none, do not.
func TestSocketLeftBehind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("what is left behind is told by other errors there")
	}
	path := socket(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := listen.Open("unix:" + path)
	if err != nil {
		t.Fatalf("left behind: %v", err)
	}
	if _, err := listen.Open("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("in use: got %v, want EADDRINUSE", err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen.Open("unix:" + path); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "keep me" {
		t.Errorf("the file is %q, %v", b, err)
	}
}
