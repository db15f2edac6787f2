package mailini_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/mailini"
)

func TestParse(t *testing.T) {
	f, err := mailini.Parse(strings.NewReader("# ours\n; port = 1\nport=2525 ; the usual one\nusers = /etc/a#b;c\\\n\"web_host\" = 'x'\r\non_mail = raw:/bin/deliver -d \"a b\"\naccept: a,b\ndata=\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"port": "2525", "users": "/etc/a#b;c\\", "web_host": "x", "on_mail": `raw:/bin/deliver -d "a b"`, "accept": "a,b", "data": "", "web": "",
	} {
		if got := f.Value(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if !f.Has("data") || f.Has("web") || f.Has("tls_port") {
		t.Errorf("got keys that are not there, or not those that are")
	}
	if n, err := f.Number("port", 65535); n != 2525 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := f.Number("tls_port", 65535); n != 0 || err != nil {
		t.Errorf("a key that is not there: got %d, %v", n, err)
	}
	if v, err := f.Bool("local", true); !v || err != nil {
		t.Errorf("a key that is not there: got %v, %v", v, err)
	}
	if _, err := f.Number("users", 10); err == nil || !strings.Contains(err.Error(), "line 4: users: it is a number from 1 to 10") {
		t.Errorf("got %v", err)
	}
	if _, err := f.Bool("accept", true); err == nil || !strings.Contains(err.Error(), "line 7: accept: it is true or false") {
		t.Errorf("got %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"port = 25\n\nprot = 3\n", "line 3: prot: unknown; there are accept, "},
		{"port = 25\n[more]\nx = y\n", "line 2: [more]: there are no sections"},
		{"port = 25\n;x\nport = 26\n", "line 3: port: it is in line 1 already"},
		{"; x\nport\n", `configuration, line 2: "port" is neither KEY = VALUE nor a comment`},
		{"\n= 3\n", `configuration, line 2: "= 3" is neither KEY = VALUE nor a comment`},
		{"x=3\n", "line 1: x: unknown"},
		{strings.Repeat("#", 1<<20+1), "longer than 1048576 octets"},
	} {
		if _, err := mailini.Parse(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: got %v, want %q in one line", c.text, err, c.want)
		}
	}
}

// Whatever it is, what is read are keys that are known, once.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"port = 2525\nlocal = true\n", "[x]\ny=z", "a\\\nb", "port = \"\"\"x\ny\"\"\"", "local=no", "port:1", "=", "`port`=1\nport=2", "port = %(local)s\nlocal = %(port)s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, err := mailini.Parse(strings.NewReader(s))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") && !strings.ContainsAny(s, "\r") {
				t.Errorf("%q: the error has several lines: %q", s, err)
			}
			return
		}
		for _, key := range append(mailini.Library(), mailini.Program()...) {
			if v := file.Value(key); v != strings.TrimSpace(v) || v != "" && !file.Has(key) {
				t.Errorf("%q: %s is %q", s, key, v)
			}
		}
	})
}

// What is a number or a truth, and what is refused with the line that it is in.
func TestNumbersAndTruths(t *testing.T) {
	for value, want := range map[string]int64{"1": 1, " 65535 ": 65535, "007": 7, "": -1, "0": -1, "-1": -1, "65536": -1, "0x10": -1, "1e3": -1, "25 smtp": -1, "99999999999999999999": -1} {
		f, err := mailini.Parse(strings.NewReader("\nport = " + value + "\n"))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		n, err := f.Number("port", 65535)
		if (err == nil) != (want > 0) || err == nil && n != want || err != nil && (n != 0 || !strings.Contains(err.Error(), "line 2: port: it is a number from 1 to 65535")) {
			t.Errorf("%q: got %d, %v, want %d", value, n, err, want)
		}
	}
	for value, want := range map[string]string{"true": "true", "TRUE": "true", "1": "true", "t": "true", "false": "false", "0": "false", "": "absent", "yes": "wrong", "no": "wrong", "on": "wrong"} {
		f, err := mailini.Parse(strings.NewReader("local = " + value + "\n"))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		for _, absent := range []bool{false, true} {
			v, err := f.Bool("local", absent)
			got := map[bool]string{true: "true", false: "false"}[v]
			if err != nil {
				got = "wrong"
			}
			if expect := strings.Replace(want, "absent", map[bool]string{true: "true", false: "false"}[absent], 1); got != expect {
				t.Errorf("%q where absent is %v: got %s, %v, want %s", value, absent, got, err, expect)
			}
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

// A file that cannot be read is told as that; and no caller's list is another's.
func TestReadingAndLists(t *testing.T) {
	if _, err := mailini.Parse(broken{}); err == nil || err.Error() != "reading the configuration: the disk is gone" {
		t.Errorf("got %v", err)
	}
	for _, keys := range []func() []string{mailini.Library, mailini.Program} {
		keys()[0] = "changed"
		for _, key := range keys() {
			if _, err := mailini.Parse(strings.NewReader(key + " = x\n")); err != nil {
				t.Errorf("%s is no key: %v", key, err)
			}
		}
	}
	if _, err := mailini.Parse(strings.NewReader(strings.Repeat("#", 1<<20))); err != nil {
		t.Errorf("as long as may be: got %v", err)
	}
	f, err := mailini.Parse(strings.NewReader(""))
	if err != nil || f.Has("port") || f.Value("port") != "" {
		t.Errorf("an empty file: got %v", err)
	}
	if got := f.Wrong("port", "why").Error(); got != `configuration: "port": why` {
		t.Errorf("a key without a line: got %s", got)
	}
}
