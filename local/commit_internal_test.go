package local

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/smtp"
)

// A Send that was cancelled when all had been written has said that nobody has the message, so that nobody gets it: what
// goes on behind its back asks for leave, and is refused.
func TestNoLeave(t *testing.T) {
	env := smtp.NewEnvelope("ann@example.com", "bob@example.net")
	msg := strings.NewReader("Subject: late\r\n\r\nx\r\n")
	no := func() bool { return false }
	for name, write := range map[string]func(ctx context.Context, dir string) error{
		"maildir": func(ctx context.Context, dir string) error { return Maildir{Dir: dir}.write(ctx, env, msg, no, "name") },
		"mbox": func(ctx context.Context, dir string) error {
			return Mbox{Path: filepath.Join(dir, "mbox")}.write(ctx, env, msg, no)
		},
		"eml": func(ctx context.Context, dir string) error { return EML{Dir: dir}.write(ctx, msg, no, "name.eml") },
	} {
		msg.Seek(0, io.SeekStart)
		dir := t.TempDir()
		if err := write(t.Context(), dir); !errors.Is(err, errCancelled) {
			t.Errorf("%s: got %v, want errCancelled", name, err)
		}
		for _, pattern := range []string{"*", "*/*", ".*"} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if info, err := os.Stat(file); err != nil || !info.IsDir() && info.Size() > 0 {
					t.Errorf("%s: %s is left (%v)", name, file, err)
				}
			}
		}
	}
	if msg.Len() > 0 {
		t.Errorf("%d octets were not written: the leave was asked for too early", msg.Len())
	}
}

// A message that is handed to a program whole has its line ends alone changed, and what the program does not read is no
// error of the message's.
func TestLineFeeds(t *testing.T) {
	full := errors.New("full")
	for in, want := range map[string]string{"": "", "Return-Path: <x>\r\n\r\nFrom x": "Return-Path: <x>\n\nFrom x\n", "a\r\r\nb\r\n": "a\r\nb\n"} {
		var b strings.Builder
		if _, err := (lineFeeds{strings.NewReader(in)}).WriteTo(&b); b.String() != want || err != nil {
			t.Errorf("%q: got %q and %v, want %q", in, b.String(), err, want)
		}
	}
	for _, in := range []string{"a\r\n", "no end"} {
		if _, err := (lineFeeds{strings.NewReader(in)}).WriteTo(failingWriter{full}); !errors.Is(err, full) {
			t.Errorf("%q: got %v, want the writer's error", in, err)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// The name of a file cannot leave its directory, whatever the host is called, and two are never alike.
func TestUniqueName(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		name := uniqueName()
		if seen[name] || strings.ContainsAny(name, "/:\\") || strings.Count(name, ".") < 2 {
			t.Fatalf("got %q", name)
		}
		seen[name] = true
	}
}

// Names sort as they were made, whatever part of a second it is: readers go by them.
func TestNamesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := uniqueName()
		for _, wait := range []time.Duration{time.Microsecond, 99 * time.Microsecond, 99_900 * time.Microsecond, time.Second} {
			time.Sleep(wait)
			if now := uniqueName(); now <= before {
				t.Errorf("%v later: got %q after %q", wait, now, before)
			}
			before = uniqueName()
			time.Sleep(time.Microsecond)
		}
	})
}
