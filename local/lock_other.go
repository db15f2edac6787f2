//go:build !unix

package local

import (
	"context"
	"os"
)

// lockFile does nothing where there is no fcntl: the lock file is the lock.
func lockFile(context.Context, *os.File) error { return nil }
