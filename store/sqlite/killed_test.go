package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/store/sqlite"
)

// openKilled has another process open the database in dir and be killed at its
// nth write to a database, in place of it. It tells whether it was, and how many
// writes began.
func openKilled(t *testing.T, dir string, nth int) (killed bool, writes int) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := peers.Command(t, peers.Strace, "-f", "-o", trace, "-e", "trace=pwrite64", "-e", fmt.Sprintf("inject=pwrite64:error=EIO:signal=KILL:when=%d", nth),
		os.Args[0], "-test.run=^TestMigrateKilled$")
	cmd.Env = append(cmd.Env, openThis+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() > 0 {
		t.Fatalf("a process that opens an older database: %v\n%s", err, out)
	}
	text, readErr := os.ReadFile(trace)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return err != nil, bytes.Count(text, []byte(" pwrite64("))
}

// openThis names the directory of a database to the process that openKilled starts.
const openThis = "POSTRIDER_TEST_OPEN"

// A process that is killed while it migrates an older database leaves what the
// next one opens, with all messages, and a copy that is as good.
func TestMigrateKilled(t *testing.T) {
	if dir := os.Getenv(openThis); dir != "" {
		runtime.LockOSThread() // strace counts each thread's writes
		db, err := sqlite.Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		return
	}
	peers.Find(t, peers.Strace)
	older := t.TempDir()
	db := open(t, older)
	kept := map[string][]byte{}
	for i := range 20 {
		size := 40_000
		if i == 10 {
			size = 2 << 20 // goes to a file
		}
		msg := bytes.Repeat(fmt.Appendf(nil, "%d %x\r\n", i, rand.Uint64()), size/20)
		id, err := db.Inbox().Add(t.Context(), arrival(), bytes.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		kept[id] = msg
	}
	db.Close()
	sqlite.Downgrade(t, older, 1)

	whole := func(dir, what string, nth int) {
		t.Helper()
		db := open(t, dir)
		defer db.Close()
		if s, err := db.Inbox().Stats(t.Context()); err != nil || s.Messages != len(kept) {
			t.Errorf("killed at write %d, %s: %+v, %v; want %d messages", nth, what, s, err, len(kept))
		}
		for id, want := range kept {
			b, err := db.Inbox().Open(t.Context(), id)
			if err != nil {
				t.Fatalf("killed at write %d, %s: %v", nth, what, err)
			}
			got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			b.Close()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("killed at write %d, %s: %s has %d octets (%v), want %d", nth, what, id, len(got), err, len(want))
			}
		}
	}
	again := func() string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "db")
		if err := os.CopyFS(dir, os.DirFS(older)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	killed, writes := openKilled(t, again(), 1<<16-1)
	if killed || writes < 100 {
		t.Fatalf("undisturbed it wrote %d times and was killed: %v", writes, killed)
	}
	const kills = 6
	stages := map[string]int{}
	for i := range kills {
		// One moment in each part of the work.
		dir, nth := again(), 1+writes*i/kills+rand.IntN(writes/kills)
		if killed, _ := openKilled(t, dir, nth); !killed {
			t.Logf("write %d of %d did not come", nth, writes)
		}
		backup := filepath.Join(dir, "postrider-schema1.db")
		stage := "with the copy"
		if _, err := os.Stat(backup); err != nil {
			stage = "before the copy was whole"
		}
		stages[stage]++
		whole(dir, stage, nth)
		if err := os.Rename(backup, filepath.Join(dir, "postrider.db")); err != nil {
			t.Fatal(err)
		}
		whole(dir, "from the copy", nth)
	}
	if len(stages) != 2 {
		t.Errorf("it was killed %v; want some of each", stages)
	}
	t.Logf("of %d writes killed %v", writes, stages)
}
