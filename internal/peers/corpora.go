package peers

import (
	"os"
	"path/filepath"
	"testing"
)

// Corpora returns the folder of the corpora that nobody here wrote: POSTRIDER_CORPORA, or ../shared/data beside the
// module if that is there. Without it the test is skipped, or fails where peers are required.
func Corpora(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("POSTRIDER_CORPORA")
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared", "data")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		absent(t, "the corpora are not installed: put them at ../shared/data, or set POSTRIDER_CORPORA to their folder")
	}
	return dir
}

// Root returns the folder of the module: the nearest one with a go.mod, from the test's own folder upwards.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod in the test's folder or above it")
		}
		dir = parent
	}
}
