//go:build !(linux || darwin || freebsd || windows)

package disk

import "errors"

// Free returns an error: these systems tell in other ways.
func Free(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }
