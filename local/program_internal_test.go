//go:build unix

package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/postrider/postrider/smtp"
)

// The program is looked for where systems have it, then in PATH.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	i := slices.IndexFunc(SendmailPaths(), func(path string) bool { _, err := exec.LookPath(path); return err == nil })
	if _, err := (Sendmail{}).find(); (err == nil) != (i >= 0) || err != nil && (!errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, smtp.ErrTemporary)) {
		t.Errorf("not in PATH: got %v", err)
	}
	want := filepath.Join(dir, "sendmail")
	if err := os.WriteFile(want, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if i >= 0 {
		want = SendmailPaths()[i]
	}
	if got, err := (Sendmail{}).find(); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// A lock that cannot be had, whoever else has it, is not waited for.
func TestNoLock(t *testing.T) {
	f, err := os.Open(os.DevNull) // to read alone
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lockFile(ctx, f); !errors.Is(err, syscall.EBADF) {
		t.Errorf("got %v, want %v", err, syscall.EBADF)
	}
}
