// Package leak lets a package's tests fail for goroutines that outlive them.
package leak

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// What is counted as left: a goroutine that is still there when everything has been
// closed. One that is about to end is given the time it needs, which on a machine
// with much to do is more than goleak's own patience.

// patience bounds the wait for goroutines that are ending; it is over as soon as
// they have.
const patience = 30 * time.Second

// Main runs the tests of m and returns the exit code for os.Exit: that of the tests,
// or 1 if they passed and goroutines are left, which are printed. It belongs into
// TestMain. While fuzzing it looks for none, as other tests' are not run to their end.
func Main(m *testing.M, ignore ...goleak.Option) int {
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); code != 0 || f != nil && f.Value.String() != "" {
		return code
	}
	err := left(patience, ignore...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "left behind by the tests:", err)
		return 1
	}
	return 0
}

// left waits for goroutines to end and tells which have not.
func left(patience time.Duration, ignore ...goleak.Option) error {
	err := goleak.Find(ignore...)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
		err = goleak.Find(ignore...)
	}
	return err
}
