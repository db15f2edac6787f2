package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestPasswd(t *testing.T) {
	// A line on standard output, from each place that a password comes from.
	fromFile := filepath.Join(t.TempDir(), "password")
	write(t, fromFile, "from a file\r\nnot this\n")
	for _, c := range []struct {
		args  []string
		env   string
		stdin string
	}{{nil, "", "typed\n"}, {nil, "POSTRIDER_PASSWORD=from outside", ""}, {[]string{"--password-file", fromFile}, "", ""}} {
		cmd := command(t, append([]string{"passwd", "ann"}, c.args...)...)
		cmd.Env, cmd.Stdin = append(cmd.Env, c.env), strings.NewReader(c.stdin)
		code, stdout, stderr := exit(t, cmd)
		if code != 0 || !strings.HasPrefix(stdout, "ann:$argon2id$") || strings.Count(stdout, "\n") != 1 || stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q", c, code, stdout, stderr)
		}
	}
	// In a file a line takes the place of the user's, and nothing else changes.
	path := filepath.Join(t.TempDir(), "users")
	putUsers(t, path, "ann", "one", "bob", "two")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is %v, %v; want it for its owner alone", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "# mine\n"+string(before)+"# end")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	putUsers(t, path, "ann", "three")
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	if len(is) != 5 || is[0] != "# mine" || is[1] == was[0] || !strings.HasPrefix(is[1], "ann:") || is[2] != was[1] || is[3] != "# end" {
		t.Errorf("got\n%s\nwas\n%s", after, before)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %v, %v; want it as it was", info.Mode(), err)
	}
}

// A server that is not root still reads the file that root has put a user into.
func TestPasswdKeepsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("only root can give a file away")
		return
	}
	path := filepath.Join(t.TempDir(), "users")
	putUsers(t, path, "ann", "one")
	if err := os.Chown(path, 65534, 65533); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	putUsers(t, path, "bob", "two")
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := func(info os.FileInfo) string {
		sys := reflect.Indirect(reflect.ValueOf(info.Sys()))
		return fmt.Sprint(sys.FieldByName("Uid"), sys.FieldByName("Gid"))
	}
	if owner(after) != owner(before) || os.SameFile(before, after) {
		t.Errorf("the file is %s's, want %s's, and another one", owner(after), owner(before))
	}
}

// However many users there are none is lost, and a link to their file stays one.
func TestPasswdLargeFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "users"), filepath.Join(dir, "link")
	before := strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 4000)
	write(t, path, before)
	if err := os.Symlink("users", link); err != nil {
		t.Skip("no links can be made here:", err)
	}
	putUsers(t, link, "ann", "one")
	after, err := os.ReadFile(path)
	if rest, kept := strings.CutPrefix(string(after), before); err != nil || !kept || !strings.HasPrefix(rest, "ann:") {
		t.Errorf("of %d octets %d are left, %v", len(before), len(after), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
}

func TestPasswdRefuses(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"passwd", 64, "takes one user"}, {"passwd a b", 64, "takes one user"}, {"passwd a:b", 65, "colon"}, {"passwd ann --password-file none", 66, "no such file"},
		{"passwd ann --users none/users", 73, "none"}, {"passwd ann --users .", 66, "directory"},
		{"passwd ann --users " + socket, 66, "device"},
	} {
		cmd := command(t, strings.Fields(c.args)...)
		cmd.Stdin = strings.NewReader("x\n")
		if code, stdout, stderr := exit(t, cmd); code != c.code || !strings.Contains(stderr, c.want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d; %q, want %q; %q", c.args, code, c.code, stderr, c.want, stdout)
		}
	}
	long := command(t, "passwd", "ann")
	long.Stdin = strings.NewReader(strings.Repeat("x", 5000))
	if code, _, stderr := exit(t, long); code != 65 || !strings.Contains(stderr, "longer than 4096") {
		t.Errorf("a long password: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := exit(t, command(t, "passwd", "ann")); code != 65 || !strings.Contains(stderr, "empty") {
		t.Errorf("without a password: exit code %d, %q", code, stderr)
	}
}
