package mailini_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/mailini"
)

func TestParse(t *testing.T) {
	f, err := mailini.Parse(strings.NewReader("# ours\n; port = 1\nport=2525 ; the usual one\nusers = /etc/a#b;c\n\"web_host\" = 'x'\r\non_mail = raw:/bin/deliver -d \"a b\"\naccept: a,b\ndata=\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"port": "2525", "users": "/etc/a#b;c", "web_host": "x", "on_mail": `raw:/bin/deliver -d "a b"`, "accept": "a,b", "data": "", "web": "",
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
		{"port\n", "configuration: "},
		{"= 3\n", "configuration"},
		{strings.Repeat("#", 2<<20), "longer than 1048576 octets"},
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
