package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postrider/postrider/smtp"
)

// sendmail, called as programs call it. internal/interop has the programs themselves.

// mailed runs sendmail with args against relay, with no configuration but that.
func mailed(t *testing.T, relay, stdin string, args ...string) (code int, out, err string) {
	t.Helper()
	t.Setenv("POSTRIDER_SERVER", relay)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"sendmail"}, args...), streams{strings.NewReader(stdin), &o, &e})
	return code, o.String(), e.String()
}

func TestSendmail(t *testing.T) {
	addr, got := receiver(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin string
		args        []string
		sender, to  string
		want, not   []string
	}{
		{"recipients as arguments", "Subject: a\n\nbody\n", []string{"-i", "-f", "ann@example.com", "--", "bob@example.net", "eve@example.net"},
			"ann@example.com", "bob@example.net eve@example.net", []string{"Subject: a\r\n", "From: ann@example.com\r\n", "Date: ", "Message-ID: <", "\r\n\r\nbody\r\n"}, nil},
		{"recipients in the header", "From: Ann <ann@example.com>\nTo: bob@example.net\nCc: eve@example.net\nBcc: hidden@example.net\nSubject: b\n\nx\n", []string{"-ti", "-fann@example.com"},
			"ann@example.com", "bob@example.net eve@example.net hidden@example.net", []string{"From: Ann <ann@example.com>\r\n"}, []string{"hidden", "Bcc"}},
		{"cron", "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@vm> date\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\nGrüße\n",
			[]string{"-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root", "-f", "root"}, "root@" + host, "root@" + host, []string{"To: root@" + host + "\r\n", "<root@" + host + ">", "X-Cron-Env: <SHELL=/bin/sh>\r\n", "Grüße\r\n"}, nil},
		{"a name for the author", "Subject: c\n\nx\n", []string{"-F", "Ann Example", "-r", "ann@example.com", "-oi", "bob@example.net"},
			"ann@example.com", "bob@example.net", []string{"From: Ann Example <ann@example.com>\r\n"}, nil},
		{"no header", "just a line\n.\nmore\n", []string{"-f", "<>", "bob@example.net"}, "", "bob@example.net", []string{"From: MAILER-DAEMON@" + host, "\r\n\r\njust a line\r\n"}, []string{"more"}},
		{"a dot is text", "Subject: d\n\na\n.\nb\n", []string{"-i", "-f", "a@b.c", "bob@example.net"}, "a@b.c", "bob@example.net", []string{"a\r\n.\r\nb\r\n"}, nil},
		{"a dot ends", "Subject: d\n\na\n.\nb\n", []string{"-f", "a@b.c", "bob@example.net"}, "a@b.c", "bob@example.net", []string{"\r\n\r\na\r\n"}, []string{"b\r\n"}},
		{"a header alone, without its end", "Subject: e", []string{"-f", "a@b.c", "bob@example.net"}, "a@b.c", "bob@example.net", []string{"Subject: e\r\n\r\n"}, nil},
		{"mutt", "From: ann@example.com\n\nx\n", []string{"-oem", "-oi", "-f", "ann@example.com", "-N", "failure,delay", "-R", "hdrs", "-V", "id", "--", "bob@example.net"}, "ann@example.com", "bob@example.net", nil, nil},
		{"options that mean nothing here", "From: ann@example.com\n\nx\n", []string{"-odi", "-L", "tag", "-O", "QueueDirectory=/x", "-bm", "-U", "-Ac", "-n", "-f", "a@b.c", "a@b.c"}, "a@b.c", "a@b.c", nil, nil},
		{"a field for each recipient", "From: ann@example.com\nTo: bob\nCc:\nto: Eve <eve>\nTo: cal@example.net\nCc: dan\nBcc: hid1\nBcc: hid2\n\nx\n", []string{"-t", "-f", "a@b.c"}, "a@b.c",
			"bob@H eve@H cal@example.net dan@H hid1@H hid2@H", []string{"To: bob@" + host + ", Eve <eve@" + host + ">,", "cal@example.net\r\n", "Cc: dan@" + host + "\r\n"}, []string{"hid1", "hid2"}},
		{"the same one twice, and a list", "From: ann@example.com\nTo: bob@example.net\n\nx\n", []string{"-t", "-f", "a@b.c", "Bob <bob@example.net>, eve@example.net"}, "a@b.c", "bob@example.net eve@example.net", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := mailed(t, "smtp://"+addr, c.stdin, c.args...)
			if code != 0 || out+errs != "" {
				t.Fatalf("%q: got exit code %d\n%s%s", c.args, code, out, errs)
			}
			a := <-got
			if a.sender != c.sender || strings.Join(a.recipients, " ") != strings.ReplaceAll(c.to, "@H", "@"+host) {
				t.Errorf("%q: got the envelope %q %q, want %q %q", c.args, a.sender, a.recipients, c.sender, c.to)
			}
			for _, want := range c.want {
				if !strings.Contains(a.raw, want) {
					t.Errorf("%q: %q is not in\n%s", c.args, want, a.raw)
				}
			}
			for _, not := range c.not {
				if strings.Contains(a.raw, not) {
					t.Errorf("%q: %q is in\n%s", c.args, not, a.raw)
				}
			}
		})
	}
}

func TestSendmailErrors(t *testing.T) {
	addr, _ := receiver(t)
	const message = "From: ann@example.com\nTo: bob@example.net\n\nx\n"
	for _, c := range []struct {
		relay string
		code  int
		want  string
		args  []string
	}{
		{"", exitConfig, "no relay", []string{"-t"}},
		{"ftp://x", exitConfig, "postrider: POSTRIDER_SERVER: the URL", []string{"-t"}},
		{"eml:" + filepath.ToSlash(t.TempDir()), exitOK, "", []string{"-v", "-t"}}, // of which there is nothing to see
		{addr, exitUsage, "no recipients", []string{"-i"}},
		{addr, exitUsage, "unknown option -z", []string{"-z"}},
		{addr, exitUsage, "-f needs", []string{"-t", "-f"}},
		{addr, exitUsage, "-bp", []string{"-bp"}},
		{addr, exitUsage, "-N", []string{"-N", "never,delay"}},
		{addr, exitUsage, "-R", []string{"-R", "some"}},
		{addr, exitUsage, "recipient", []string{"a b@c"}},
		{addr, exitNoUser, "nobody here", []string{"nobody@example.net"}},
		{addr, exitTempFail, "not now", []string{"later@example.net"}},
		{addr, exitOK, "", []string{"-q"}},
		{addr, exitOK, "interface", []string{"--help"}},
	} {
		code, out, errs := mailed(t, c.relay, message, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: got exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// The user's file comes before the system's, and the environment before both.
func TestSendmailConfiguration(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("XDG_CONFIG_HOME is not used there")
	}
	addr, got := receiver(t)
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.Mkdir(filepath.Join(dir, "postrider"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "postrider", "mail.ini")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	call := func() (int, string) {
		var e bytes.Buffer
		code := run(t.Context(), []string{"sendmail", "-f", "ann", "bob"}, streams{strings.NewReader("x\n"), io.Discard, &e})
		return code, e.String()
	}
	write("relay = smtp://" + addr + "\nhostname = example.org\n")
	if code, errs := call(); code != 0 {
		t.Fatalf("got exit code %d: %s", code, errs)
	}
	if a := <-got; a.sender != "ann@example.org" || !slices.Equal(a.recipients, []string{"bob@example.org"}) {
		t.Errorf("got the envelope %q %q", a.sender, a.recipients)
	}
	write("relay = smtp://127.0.0.1:1 smtp://" + addr + "\nhostname = example.org\n")
	if code, errs := call(); code != 0 {
		t.Errorf("two relays, the first away: got exit code %d: %s", code, errs)
	} else {
		<-got
		if errs != "" {
			t.Errorf("two relays, the first away: it is told though all went well: %s", errs)
		}
	}
	write("relais = x\n")
	if code, errs := call(); code != exitConfig || !strings.Contains(errs, "line 1: relais") {
		t.Errorf("an unknown key: got exit code %d: %s", code, errs)
	}
	write("hostname = example.org\nrelay = gopher://127.0.0.1\n")
	if code, errs := call(); code != exitConfig || !strings.HasPrefix(errs, "postrider: "+path+": configuration, line 2: relay: ") {
		t.Errorf("a relay that is none: got exit code %d: %s", code, errs)
	}
}

// -bs is a server on standard input and output.
func TestSendmailSMTP(t *testing.T) {
	addr, got := receiver(t)
	const dialogue = "EHLO client.example.com\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<nobody@example.net>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n"
	code, out, errs := mailed(t, addr, dialogue, "-bs")
	if code != 0 || !strings.Contains(out, "550 5.1.1 nobody here") || !strings.Contains(out, "221 ") {
		t.Errorf("got exit code %d\n%s%s", code, out, errs)
	}
	if a := <-got; !strings.Contains(a.raw, "Received: ") || strings.Join(a.recipients, " ") != "bob@example.net" {
		t.Errorf("got %q\n%s", a.recipients, a.raw)
	}
}

// The program's name makes the command.
func TestCalledSendmail(t *testing.T) {
	for name, want := range map[string]bool{"/usr/sbin/sendmail": true, "sendmail.exe": true, "postrider": false, "/sendmail/postrider": false} {
		if got := calledSendmail(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestQualify(t *testing.T) {
	for in, want := range map[string]string{
		"root":                            "root@h",
		"root (Cron Daemon)":              "root@h (Cron Daemon)",
		"bob, eve@x.y":                    "bob@h, eve@x.y",
		"Foo <root>, \"a, b\" <c@d>":      "Foo <root@h>, \"a, b\" <c@d>",
		"(a, b) bob":                      "(a, b) bob@h",
		"\"a b\"":                         "\"a b\"@h",
		"friends: ann, bob;":              "friends: ann@h, bob@h;",
		"undisclosed-recipients:;":        "undisclosed-recipients:;",
		"a@[IPv6:::1], b":                 "a@[IPv6:::1], b@h",
		"a[b], [c":                        "a[b], [c",
		"<>":                              "<>",
		"":                                "",
		" , ":                             " , ",
		"\"q\\\"@\" <r>":                  "\"q\\\"@\" <r@h>",
		"Mailing List (see x@y) <list>,x": "Mailing List (see x@y) <list@h>,x@h",
	} {
		if got := qualify(in, "h"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// A dot alone ends the message, however it comes in.
func TestDotted(t *testing.T) {
	long := strings.Repeat("x", 9000)
	for in, want := range map[string]string{
		"a\n.\nb\n":      "a\n",
		"a\r\n.\r\nb":    "a\r\n",
		"a\n..\n.b\nc":   "a\n..\n.b\nc",
		"a.\n.":          "a.\n",
		".\n":            "",
		long + ".\n.\nx": long + ".\n",
		"":               "",
	} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in)), iotest.DataErrReader(strings.NewReader(in))} {
			got, err := io.ReadAll(&dotted{r: bufio.NewReader(r), begin: true})
			if err != nil || string(got) != want {
				t.Errorf("%.20q: got %.20q and %v, want %.20q", in, got, err, want)
			}
		}
	}
}

func FuzzSendmail(f *testing.F) {
	f.Add("-i", "-fa", "root (Cron)")
	f.Fuzz(func(t *testing.T, a, b, list string) {
		var o sendmailOptions
		if err := o.parse([]string{a, b}); err != nil && exitCode(err) != exitUsage {
			t.Errorf("%q %q: got %v, want a usage error", a, b, err)
		}
		if o.notify&smtp.NotifyNever != 0 && o.notify != smtp.NotifyNever {
			t.Errorf("%q %q: never with something else", a, b)
		}
		// Nothing is lost of a list, and once is enough.
		once := qualify(list, "h")
		if again := qualify(once, "h"); again != once || len(once) < len(list) {
			t.Errorf("%q: got %q, then %q", list, once, again)
		}
	})
}
