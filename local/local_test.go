package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/smtp"
)

const raw = "Return-Path: <old@example.org>\r\n folded\r\nFrom: ann@example.com\r\nSubject: s\r\n\r\nFrom here\r\n>From there\r\n.\r\nReturn-Path: text\r\nend"

// literal is a message that can be written once.
func literal(s string) io.WriterTo { return bytes.NewBufferString(s) }

func envelope() *smtp.Envelope {
	return smtp.NewEnvelope("ann@example.com", "bob@example.net", "eve@example.net")
}

// senders are all of them, over a directory of the test's, with what they have kept.
func senders(t *testing.T) map[string]struct {
	smtp.Sender
	kept func() []string
} {
	dir := t.TempDir()
	files := func(pattern string) func() []string {
		return func() []string {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, name := range names {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, string(b))
			}
			return all
		}
	}
	all := map[string]struct {
		smtp.Sender
		kept func() []string
	}{
		"maildir": {local.Maildir{Dir: filepath.Join(dir, "Maildir")}, files("Maildir/new/*")},
		"mbox":    {local.Mbox{Path: filepath.Join(dir, "mbox")}, files("mbox")},
		"eml":     {local.EML{Dir: filepath.Join(dir, "eml")}, files("eml/*.eml")},
	}
	if runtime.GOOS != "windows" {
		all["command"] = struct {
			smtp.Sender
			kept func() []string
		}{local.Command{Path: "sh", Args: []string{"-c", `cat >"$0.$$" && echo "$MAIL_SENDER $MAIL_RECIPIENTS" >>"$0.$$"`, filepath.Join(dir, "command")}}, files("command.*")}
	}
	return all
}

func TestSend(t *testing.T) {
	want := map[string]string{
		"maildir": "Return-Path: <ann@example.com>\nDelivered-To: bob@example.net\nDelivered-To: eve@example.net\nFrom: ann@example.com\nSubject: s\n\nFrom here\n>From there\n.\nReturn-Path: text\nend\n",
		"mbox":    "Return-Path: <ann@example.com>\nDelivered-To: bob@example.net\nDelivered-To: eve@example.net\nFrom: ann@example.com\nSubject: s\n\n>From here\n>>From there\n.\nReturn-Path: text\nend\n\n",
		"eml":     raw + "\r\n",
		"command": raw + "\r\nann@example.com bob@example.net\neve@example.net\n",
	}
	for name, s := range senders(t) {
		results, err := s.Send(t.Context(), envelope(), literal(raw))
		if err != nil || len(results) != 2 || results[0].Rcpt != "bob@example.net" || results[1].Rcpt != "eve@example.net" {
			t.Errorf("%s: got %+v and %v", name, results, err)
			continue
		}
		got := s.kept()
		if len(got) != 1 {
			t.Errorf("%s: got %d files, want 1", name, len(got))
			continue
		}
		if name == "mbox" {
			line, rest, _ := strings.Cut(got[0], "\n")
			if _, err := time.Parse("From ann@example.com "+time.ANSIC, line); err != nil {
				t.Errorf("the separator is %q: %v", line, err)
			}
			got[0] = rest
		}
		if got[0] != want[name] {
			t.Errorf("%s: got\n%q, want\n%q", name, got[0], want[name])
		}
	}
}

// A message that arrived elsewhere keeps when it did, in UTC.
func TestMboxArrived(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	box := local.Mbox{Path: path, Arrived: time.Date(2020, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))}
	if _, err := box.Send(t.Context(), envelope(), literal(raw)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if line, _, _ := strings.Cut(string(got), "\n"); err != nil || line != "From ann@example.com Thu Jan  2 02:04:05 2020" {
		t.Errorf("the separator is %q: %v", line, err)
	}
}

// What is appended stays as it is but for its line ends, and is for nobody if it says so.
func TestMboxAppend(t *testing.T) {
	box := local.Mbox{Path: filepath.Join(t.TempDir(), "mbox"), Arrived: time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC)}
	for _, text := range []string{"Return-Path: <a@b.c>\r\nSubject: x\r\n\r\nFrom here\n>From there", ""} {
		if err := box.Append(t.Context(), "", literal(text)); err != nil {
			t.Fatal(err)
		}
	}
	const line = "From MAILER-DAEMON Thu Jan  2 03:04:05 2020\n"
	want := line + "Return-Path: <a@b.c>\nSubject: x\n\n>From here\n>>From there\n\n" + line + "\n"
	if got, err := os.ReadFile(box.Path); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := box.Append(ended, "", literal(raw)); !errors.Is(err, context.Canceled) || !errors.Is(err, smtp.ErrTemporary) {
		t.Errorf("cancelled: got %v", err)
	}
	if got, err := os.ReadFile(box.Path); err != nil || string(got) != want {
		t.Errorf("after that: got %q, %v; want %q", got, err, want)
	}
}

// A composed message is frozen and written; what its author cannot mean is refused for good.
func TestComposed(t *testing.T) {
	for name, s := range senders(t) {
		m := &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Grüße", Text: "x"}
		if _, err := s.Send(t.Context(), envelope(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := s.kept(); len(got) != 1 || !strings.Contains(got[0], "Subject: =?") {
			t.Errorf("%s: got %q", name, got)
		}
		if _, err := s.Send(t.Context(), envelope(), &mail.Message{}); !errors.Is(err, smtp.ErrPermanent) {
			t.Errorf("%s: without an author: got %v, want a permanent error", name, err)
		}
		if results, err := s.Send(t.Context(), &smtp.Envelope{}, m); err == nil || results != nil {
			t.Errorf("%s: without recipients: got %v and %v", name, results, err)
		}
	}
}

// failing is a message whose source fails half-way.
type failing struct{}

func (failing) WriteTo(w io.Writer) (int64, error) {
	n, _ := io.WriteString(w, raw)
	return int64(n), errors.New("the source is gone")
}
func (failing) Repeatable() bool { return true }

// Half a message is nowhere: not under a name, not in the mbox, not with a program.
func TestHalf(t *testing.T) {
	for name, s := range senders(t) {
		results, err := s.Send(t.Context(), envelope(), failing{})
		if !errors.Is(err, smtp.ErrTemporary) || len(results) != 2 {
			t.Errorf("%s: got %v and %v, want a temporary error", name, results, err)
		}
		for _, got := range s.kept() {
			if name == "command" && !strings.HasSuffix(got, "example.net\n") || got == "" {
				continue // killed before it went on
			}
			t.Errorf("%s: got %q, want nothing", name, got)
		}
	}
}

// stalled is a message whose source stands still.
type stalled struct{ begun, end chan struct{} }

func (s stalled) WriteTo(w io.Writer) (int64, error) {
	io.WriteString(w, raw)
	close(s.begun)
	<-s.end
	n, err := io.WriteString(w, "more")
	return int64(n), err
}
func (stalled) Repeatable() bool { return true }

func TestCancel(t *testing.T) {
	for name, s := range senders(t) {
		ctx, cancel := context.WithCancel(t.Context())
		msg := stalled{make(chan struct{}), make(chan struct{})}
		go func() { <-msg.begun; cancel() }()
		results, err := s.Send(ctx, envelope(), msg)
		if !errors.Is(err, smtp.ErrTemporary) || !errors.Is(err, context.Canceled) || len(results) != 2 {
			t.Errorf("%s: got %v and %v, want a temporary error", name, results, err)
		}
		close(msg.end)
		if _, err := s.Send(ctx, envelope(), literal(raw)); !errors.Is(err, smtp.ErrTemporary) {
			t.Errorf("%s: cancelled before: got %v", name, err)
		}
		// The next one gets through: no lock is left behind.
		if _, err := s.Send(t.Context(), envelope(), literal("Subject: next\r\n\r\nx\r\n")); err != nil {
			t.Errorf("%s: the next one: %v", name, err)
		}
		if got := strings.Join(s.kept(), ""); name != "command" && (strings.Contains(got, "Subject: s\n") || !strings.Contains(got, "Subject: next")) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Many at once lose nothing and mix nothing; mail's own reader finds them all.
func TestConcurrent(t *testing.T) {
	const n = 20
	for name, s := range senders(t) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				text := fmt.Sprintf("Subject: number %d\r\n\r\n%s\r\nFrom one\r\n", i, strings.Repeat("x", 100_000))
				if _, err := s.Send(t.Context(), envelope(), literal(text)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
		messages := s.kept()
		if name == "mbox" {
			var list []string
			for r, err := range mail.Mbox(strings.NewReader(messages[0])) {
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(r)
				list = append(list, string(b))
			}
			messages = list
		}
		seen := map[string]bool{}
		for _, m := range messages {
			parsed, err := mail.Parse(strings.NewReader(m))
			if err != nil || len(parsed.Text) < 100_000 {
				t.Errorf("%s: got %v and a text of %d octets", name, err, len(parsed.Text))
				continue
			}
			seen[parsed.Subject] = true
		}
		if len(seen) != n {
			t.Errorf("%s: got %d different messages, want %d", name, len(seen), n)
		}
	}
}

// What an address could smuggle stays in its line.
func TestInjection(t *testing.T) {
	for name, s := range senders(t) {
		env := smtp.NewEnvelope("a@b.c>\nX-Evil: yes", "x@y.z\nX-Evil: yes")
		if _, err := s.Send(t.Context(), env, literal(raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := s.kept(); strings.Contains(got[0], "\nX-Evil") {
			t.Errorf("%s: got %q", name, got[0])
		}
	}
}

// Another program that does not end its messages with an empty line does not swallow ours, and a lock that it holds is waited for.
func TestMboxOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte("From x Thu Jan  1 00:00:00 1970\nSubject: first\n\nno end"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := (local.Mbox{Path: path}).Send(ctx, envelope(), literal(raw)); !errors.Is(err, smtp.ErrTemporary) {
		t.Errorf("locked: got %v, want a temporary error", err)
	}
	// A lock of a program that has died is broken.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path+".lock", old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := (local.Mbox{Path: path}).Send(t.Context(), envelope(), literal(raw)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for _, err := range mail.Mbox(f) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("got %d messages, want 2", n)
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("the lock is left behind")
	}
}
