package peers

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTable checks each row for what a skip has to say, and that scripts/peers installs what the row promises.
func TestTable(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(Root(t), "scripts", "peers"))
	if err != nil {
		t.Fatal(err)
	}
	pins, err := os.ReadFile(filepath.Join(Root(t), "scripts", "npm", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	installs := func(text, name string) bool {
		return regexp.MustCompile(`[\s("]` + regexp.QuoteMeta(name) + `[\s)"]`).MatchString(text)
	}
	for p, row := range table {
		if row.program == "" {
			t.Errorf("%s: no program", p)
		}
		if row.debian == "" && row.beside == "" && row.npm == "" {
			t.Errorf("%s: nothing says how it is installed", p)
		}
		for name := range strings.FieldsSeq(row.debian + " " + row.beside) {
			if !installs(string(script), name) {
				t.Errorf("%s: scripts/peers does not install %s", p, name)
			}
		}
		if row.npm != "" && !installs(string(pins), row.npm) {
			t.Errorf("%s: scripts/npm/package.json does not pin %s", p, row.npm)
		}
	}
}

// TestInstalled has a subtest for each peer, so that a test run's last line names all that could be installed.
func TestInstalled(t *testing.T) {
	for p := range table {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			if path := Find(t, p); !filepath.IsAbs(path) {
				t.Errorf("found at %q, want an absolute path", path)
			}
		})
	}
}

func TestAbsentSaysWhatToInstall(t *testing.T) {
	for _, tt := range []struct {
		row  row
		want string
	}{
		{row{debian: "swaks"}, "x is not installed: apt-get install swaks, or run scripts/peers"},
		{row{npm: "nodemailer"}, "x is not installed: run scripts/peers, which gets nodemailer from npm"},
		{row{beside: "opensmtpd"}, "x is not installed: run scripts/peers, which unpacks Debian's opensmtpd"},
	} {
		if got := (&absentError{"x", tt.row.install()}).Error(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.row, got, tt.want)
		}
	}
}

// A program without the module that is meant is as good as absent.
func TestWithoutItsModule(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	with := filepath.Join(dir, "module.so")
	if err := os.WriteFile(with, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := row{program: self, only: true, file: with, debian: "x-mod"}
	if path, err := find("x", r); path != self || err != nil {
		t.Errorf("with its module: got %q, %v, want %s", path, err, self)
	}
	r.file = filepath.Join(dir, "none.so")
	if path, err := find("x", r); err == nil || !strings.Contains(err.Error(), "apt-get install x-mod") {
		t.Errorf("without it: got %q, %v, want what to install", path, err)
	}
}

// TestProcess runs this test binary again as a server with a child, and sees that it is waited for and ended.
func TestProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestServerRole$", "-test.v")
	cmd.Env = append(os.Environ(), "PEERS_TEST_ROLE=server")
	p := Start(t, cmd)
	addr := p.Line("listens on ")
	p.Accepts(addr)
	if err := p.Stop(); err == nil {
		t.Error("a server that was ended by a signal reports success")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Errorf("%s still accepts after Stop", addr)
	}
	if !strings.Contains(p.Output(), "listens on") {
		t.Errorf("output %q lacks what the server wrote", p.Output())
	}
}

// TestServerRole is TestProcess's server; run as a test of its own it does nothing.
func TestServerRole(t *testing.T) {
	if os.Getenv("PEERS_TEST_ROLE") != "server" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("listens on " + l.Addr().String() + "\n")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		bufio.NewReader(c).ReadByte()
		c.Close()
	}
}
