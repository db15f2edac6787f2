package local_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/local"
	"github.com/postrider/postrider/smtp"
)

// A message is there as a whole or not at all, nobody else reads it, and a mailbox of others is left as it was.

// pieces is a message that is written in pieces, and then fails or waits.
type pieces struct {
	n   int
	end func() error
}

func (p pieces) WriteTo(w io.Writer) (total int64, err error) {
	piece := bytes.Repeat([]byte("Subject: half\r\n"), 5000)
	for range p.n {
		n, err := w.Write(piece)
		if total += int64(n); err != nil {
			return total, err
		}
	}
	return total, p.end()
}
func (pieces) Repeatable() bool { return true }

// left is everything below a directory: the content of each file by its name.
func left(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A source that fails when much has been written already leaves nothing, and an mbox as it was.
func TestHalfOfMuch(t *testing.T) {
	const before = "From x Thu Jan  1 00:00:00 1970\nSubject: first\n\nx\n\n"
	for name, s := range map[string]func(dir string) smtp.Sender{
		"maildir": func(dir string) smtp.Sender { return local.Maildir{Dir: dir} },
		"mbox":    func(dir string) smtp.Sender { return local.Mbox{Path: filepath.Join(dir, "mbox")} },
		"eml":     func(dir string) smtp.Sender { return local.EML{Dir: dir} },
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "mbox"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s(dir).Send(t.Context(), envelope(), pieces{10, func() error { return errors.New("the source is gone") }})
		if !errors.Is(err, smtp.ErrTemporary) || !strings.Contains(err.Error(), "the source is gone") {
			t.Errorf("%s: got %v, want that the source is gone", name, err)
		}
		if got := left(t, dir); len(got) != 1 || got[string(filepath.Separator)+"mbox"] != before {
			t.Errorf("%s: %d files are left, of them the mbox with %d octets; want it alone, with %d", name, len(got), len(got[string(filepath.Separator)+"mbox"]), len(before))
		}
	}
}

// Between the message before and ours there is an empty line, and one only.
func TestMboxSeparator(t *testing.T) {
	for before, want := range map[string]string{
		"":                       "",
		"From x\n\nno end":       "From x\n\nno end\n\n",
		"From x\n\none end\n":    "From x\n\none end\n\n",
		"From x\n\ntwo ends\n\n": "From x\n\ntwo ends\n\n",
	} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (local.Mbox{Path: path}).Send(t.Context(), smtp.NewEnvelope("", "bob@example.net"), literal("A: b\r\n\r\nx\r\n")); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rest, ours := strings.CutPrefix(string(b), want)
		line, rest, _ := strings.Cut(rest, "\n")
		at, timeErr := time.Parse("From MAILER-DAEMON "+time.ANSIC, line) // RFC 4155, A: the null sender has no name
		if !ours || timeErr != nil || at.Year() < 2026 || rest != "Return-Path: <>\nDelivered-To: bob@example.net\nA: b\n\nx\n\n" {
			t.Errorf("behind %q: got %q", before, b)
		}
	}
}

// Mail is its owner's to read, whatever the umask lets through.
func TestNobodyElseReads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions")
	}
	for name, s := range senders(t) {
		if name == "command" {
			continue
		}
		if _, err := s.Send(t.Context(), envelope(), literal(raw)); err != nil {
			t.Fatal(err)
		}
		var dir string
		switch s := s.Sender.(type) {
		case local.Maildir:
			dir = s.Dir
		case local.EML:
			dir = s.Dir
		case local.Mbox:
			dir = s.Path
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %s has the mode %v (%v)", name, path, info.Mode(), err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Where nothing can be written it is said what and where, and that it may pass.
func TestNoPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]smtp.Sender{
		"a maildir in a file": local.Maildir{Dir: filepath.Join(file, "Maildir")},
		"an eml in a file":    local.EML{Dir: filepath.Join(file, "eml")},
		"a file for eml":      local.EML{Dir: file},
		"an mbox in a file":   local.Mbox{Path: filepath.Join(file, "mbox")},
		"a directory as mbox": local.Mbox{Path: filepath.Dir(file)},
	} {
		results, err := s.Send(t.Context(), envelope(), literal(raw))
		if !errors.Is(err, smtp.ErrTemporary) || errors.Is(err, smtp.ErrPermanent) || len(results) != 2 || !strings.Contains(err.Error(), filepath.Dir(file)) {
			t.Errorf("%s: got %v and %v, want a temporary error with the path", name, results, err)
		}
	}
	if got := left(t, filepath.Dir(file)); len(got) != 1 {
		t.Errorf("got %v, want the file alone", got)
	}
}
