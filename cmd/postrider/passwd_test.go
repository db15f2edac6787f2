package main

import (
	"os"
	"path/filepath"
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

func TestPasswdRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"passwd", 64, "takes one user"}, {"passwd a b", 64, "takes one user"}, {"passwd a:b", 65, "colon"}, {"passwd ann --password-file none", 66, "no such file"},
		{"passwd ann --users none/users", 73, "none"}, {"passwd ann --users .", 66, "directory"},
	} {
		cmd := command(t, strings.Fields(c.args)...)
		cmd.Stdin = strings.NewReader("x\n")
		if code, stdout, stderr := exit(t, cmd); code != c.code || !strings.Contains(stderr, c.want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d; %q, want %q; %q", c.args, code, c.code, stderr, c.want, stdout)
		}
	}
	if code, _, stderr := exit(t, command(t, "passwd", "ann")); code != 65 || !strings.Contains(stderr, "empty") {
		t.Errorf("without a password: exit code %d, %q", code, stderr)
	}
}
