//go:build unix

package main

import (
	"os"
	"syscall"
)

// keepOwner gives a file the owner and the group that info tells of another one.
func keepOwner(f *os.File, info os.FileInfo) error {
	was, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
