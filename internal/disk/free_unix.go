//go:build linux || darwin || freebsd

package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Free returns how many octets of the file system that dir is on may still be written to by whoever has no special
// rights, and how many it has in all. An error says that it does not tell.
func Free(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	// QUIRK: FUSE and network file systems may leave out what they do not know.
	if s.Blocks == 0 {
		return 0, 0, errors.ErrUnsupported
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}
