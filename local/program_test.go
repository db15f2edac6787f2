//go:build unix

package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/smtp"
)

// program writes a script of the test's.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sendmail")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSendmail(t *testing.T) {
	path := program(t, `printf '%s\n' "$@" >"$0.args"; cat >"$0.in"`)
	env := smtp.NewEnvelope("", "-oQ/tmp/evil@example.net", "bob@example.net")
	env.Options.Return, env.Options.EnvelopeID = smtp.ReturnHeader, "id"
	env.To[0].Options.Notify = smtp.NotifyFailure | smtp.NotifyDelay
	if _, err := (local.Sendmail{Path: path, Args: []string{"-odi"}}).Send(t.Context(), env, literal("Subject: s\r\n\r\n.\r\n")); err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(path + ".args")
	if want := "-odi\n-i\n-f\n<>\n-R\nhdrs\n-V\nid\n-N\nfailure,delay\n--\n-oQ/tmp/evil@example.net\nbob@example.net\n"; err != nil || string(args) != want {
		t.Errorf("got the arguments %q and %v, want %q", args, err, want)
	}
	in, err := os.ReadFile(path + ".in")
	if want := "Subject: s\n\n.\n"; err != nil || string(in) != want {
		t.Errorf("got %q and %v, want %q", in, err, want)
	}
}

// The exit status and what the program says are the outcome.
func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		script string
		class  error
		code   int
		text   string
	}{
		{"cat >/dev/null", nil, 0, ""},
		{"exit 0", nil, 0, ""}, // it has seen enough
		{"cat >/dev/null; echo nobody of that name >&2; echo more; exit 67", smtp.ErrPermanent, 550, "exit status 67: nobody of that name"},
		{"cat >/dev/null; exit 75", smtp.ErrTemporary, 451, "exit status 75"},
		{"echo full; exit 73", smtp.ErrTemporary, 451, "full"},
		{"cat >/dev/null; exit 77", smtp.ErrPermanent, 550, "77"},
		{"cat >/dev/null; exit 1", smtp.ErrPermanent, 554, "1"},
		{"yes x | tr -d '\\n' | head -c 5000; exit 1", smtp.ErrPermanent, 554, "exit status 1: " + strings.Repeat("x", 1000) + "!"},
		{"cat >/dev/null; kill -9 $$", smtp.ErrUnknown, 0, "when it was ended"},
		{"cat >/dev/null; sleep 60 & exit 0", nil, 0, ""}, // who keeps the output open does not keep us
	} {
		results, err := local.Sendmail{Path: program(t, c.script)}.Send(t.Context(), envelope(), literal(raw+strings.Repeat("\r\nx", 100_000)))
		if len(results) != 2 || c.class == nil && err != nil || c.class != nil && (!errors.Is(err, c.class) || !strings.Contains(err.Error()+"!", c.text) || strings.Contains(err.Error(), "smtp: 5")) {
			t.Errorf("%q: got %v and %v, want %v with %q", c.script, results, err, c.class, c.text)
		}
		for _, other := range []error{smtp.ErrTemporary, smtp.ErrPermanent, smtp.ErrUnknown} {
			if other != c.class && errors.Is(err, other) {
				t.Errorf("%q: got %v, which is %v too", c.script, err, other)
			}
		}
		if reply, ok := errors.AsType[*smtp.Error](err); ok != (c.code != 0) || ok && (reply.Code != c.code || strings.Contains(reply.Text, "name")) {
			t.Errorf("%q: got the reply %v, want %d without the program's text", c.script, reply, c.code)
		}
	}
}

func TestNoProgram(t *testing.T) {
	t.Setenv("PATH", "")
	for _, s := range []smtp.Sender{local.Sendmail{Path: "/no/such"}, local.Command{Path: "no-such"}} {
		if _, err := s.Send(t.Context(), envelope(), literal(raw)); !errors.Is(err, smtp.ErrTemporary) {
			t.Errorf("%+v: got %v, want a temporary error", s, err)
		}
	}
}

// Cancelled after the program has the message, nobody knows what it did with it.
func TestCancelProgram(t *testing.T) {
	path := program(t, `cat >/dev/null; : >"$0.has"; exec sleep 60`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			if _, err := os.Stat(path + ".has"); err == nil || ctx.Err() != nil {
				cancel()
				return
			}
		}
	}()
	if _, err := (local.Sendmail{Path: path}).Send(ctx, envelope(), literal(raw)); !errors.Is(err, smtp.ErrUnknown) || errors.Is(err, smtp.ErrTemporary) {
		t.Errorf("got %v, want an unknown fate", err)
	}
}

// The program's own settings are nobody's business.
func TestEnvironment(t *testing.T) {
	t.Setenv("POSTRIDER_PASSWORD", "secret")
	t.Setenv("MAIL_SENDER", "somebody else")
	path := program(t, `env >"$0.env"; cat >/dev/null`)
	if _, err := (local.Command{Path: path}).Send(t.Context(), envelope(), literal(raw)); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(path + ".env")
	if text := string(env); err != nil || strings.Contains(text, "secret") || strings.Contains(text, "somebody") || !strings.Contains(text, "MAIL_SENDER=ann@example.com\n") {
		t.Errorf("got %s and %v", text, err)
	}
}

// A Command's own environment is all that it has, besides the envelope.
func TestOwnEnvironment(t *testing.T) {
	dir := t.TempDir()
	path := program(t, `/usr/bin/env >"$0.env"; pwd >"$0.dir"`)
	if _, err := (local.Command{Path: path, Env: []string{"A=b"}, Dir: dir}).Send(t.Context(), envelope(), literal(raw)); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(path + ".env")
	if text := string(env); err != nil || strings.Contains(text, "HOME=") || !strings.Contains(text, "A=b\n") || !strings.Contains(text, "MAIL_RECIPIENTS=bob@example.net\neve@example.net\n") {
		t.Errorf("got %s and %v, want A, MAIL_* and nothing of ours", text, err)
	}
	if got, err := os.ReadFile(path + ".dir"); err != nil || strings.TrimSpace(string(got)) != dir {
		t.Errorf("it ran in %s (%v), want %s", got, err, dir)
	}
}

// lockHolder is the environment variable by which this program, run again, holds a lock on that file.
const lockHolder = "LOCK_HOLDER"

// Another process that has locked the mailbox itself, as procmail does, and knows nothing of lock files, is waited for.
func TestLockOfAnotherProcess(t *testing.T) {
	if path := os.Getenv(lockHolder); path != "" {
		hold(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "mbox")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockOfAnotherProcess$")
	cmd.Env = append(os.Environ(), lockHolder+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("got %q and %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := (local.Mbox{Path: path}).Send(ctx, envelope(), literal(raw)); !errors.Is(err, smtp.ErrTemporary) {
		t.Errorf("locked: got %v, want a temporary error", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := (local.Mbox{Path: path}).Send(t.Context(), envelope(), literal(raw))
		got <- err
	}()
	in.Close()
	if err := <-got; err != nil {
		t.Errorf("free again: got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || strings.Count(string(b), "Subject: s\n") != 1 {
		t.Errorf("got %q and %v, want one message", b, err)
	}
}

// hold holds the lock until its standard input ends.
func hold(t *testing.T, path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
}
