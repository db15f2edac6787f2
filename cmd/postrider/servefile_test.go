package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with a value of a file is told by file, line and key, in the words in which a flag's is told by its name.
// FILE is a file that is no users file, no certificate and no secret, NONE one that is not there, PORT one that is in use.
var wrongValues = []struct {
	text string // what follows the first line
	code int
	at   string // what follows the name of the file
}{
	{"accept = \"a", 78, `line 2: accept "\"a": a quote in it has no end`},
	{"acme_http = 80\nacme = mail.example.com", 78, `line 2: acme_http: "80" is no address`},
	{"tls_crt = FILE\ntls_key = FILE\nacme = mail.example.com", 78, "line 4: acme and --tls-cert both say"},
	{"fault = RCPT often", 78, `line 2: fault "RCPT often": `},
	{"hook_limit = 0", 78, "line 2: hook_limit 0: give a number from 1"},
	{"hook_limit = many", 78, `line 2: hook_limit "many": it is a number`},
	{"hook_secret_file = NONE", 66, "line 2: hook_secret_file: NONE: no such file"},
	{"hook_secret_file = FILE", 78, "line 2: hook_secret_file: what follows whsec_ is not base64"},
	{"hook_timeout = 10m", 78, "line 2: hook_timeout 10m0s: give a time such as 30s, at most 9m0s"},
	{"inboxes = sender", 78, `line 2: inboxes "sender": it is domain, plus`},
	{"keep = 10 stones", 78, `line 2: keep "10 stones": give messages`},
	{"on_auth = raw:cat", 78, "line 2: on_auth: raw: is for messages"},
	{"; asked of each\n\non_mail = none-such", 78, "line 4: on_mail: exec: "},
	{"on_rcpt = http://127.0.0.1:1/", 78, "line 2: on_rcpt: what a URL is asked is signed"},
	{"open = perhaps", 78, `line 2: open "perhaps": it is true or false`},
	{"port = PORT", 69, "line 2: port 127.0.0.1:PORT is in use by another program"},
	{"local = false\nport = 2525", 78, "line 3: port :2525 can be reached by others"},
	{"print = all", 78, `line 2: print "all": it is line or full`},
	{"relay = gopher://127.0.0.1", 78, "line 2: relay: "},
	{"tls_crt = NONE\ntls_key = FILE", 66, "line 2: tls_crt: NONE: no such file"},
	{"tls_crt = FILE\ntls_key = NONE", 66, "line 3: tls_key: NONE: no such file"},
	{"tls_crt = FILE\ntls_key = FILE", 78, "line 2: tls_crt: FILE with FILE: the certificate"},
	{"users = NONE", 66, "line 2: users: there is no file NONE"},
	{"users = FILE", 78, "line 2: users: FILE: line 1: there is no colon"},
	{"on_auth = true\nusers = FILE", 78, "line 3: users and --on-auth both say"},
	{"web = 8025", 78, `line 2: web: "8025" is no address`},
	{"web = :0", 78, "line 2: web :0 can be reached by others"},
	{"web = 127.0.0.1:PORT", 69, "line 2: web 127.0.0.1:PORT is in use by another program"},
	{"web_auth = NONE", 66, "line 2: web_auth: there is no file NONE"},
}

func TestServeFileValues(t *testing.T) {
	dir := t.TempDir()
	ini, file := filepath.Join(dir, "my.ini"), filepath.Join(dir, "file")
	write(t, file, "whsec_?")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	names := strings.NewReplacer("FILE", file, "NONE", filepath.Join(dir, "none"), "PORT", port)
	for _, c := range wrongValues {
		text := names.Replace("# mine\n" + c.text + "\n")
		args := []string{"serve", ini, "--smtp", "127.0.0.1:0"}
		if strings.Contains(text, "port = ") {
			args = args[:2]
		}
		write(t, ini, text)
		code, _, stderr := exit(t, command(t, args...))
		if want := "postrider: " + ini + ": configuration, " + names.Replace(c.at); code != c.code || !strings.HasPrefix(stderr, want) {
			t.Errorf("%q: exit code %d, want %d; standard error %q, want %q", text, code, c.code, stderr, want)
		}
	}
	// What the command line says in its place is the command line's.
	write(t, ini, "print = line\n")
	if code, _, stderr := exit(t, command(t, "serve", ini, "--print", "all")); code != 64 || !strings.HasPrefix(stderr, `postrider: --print "all": `) {
		t.Errorf("a flag above the file: exit code %d, standard error %q", code, stderr)
	}
}
