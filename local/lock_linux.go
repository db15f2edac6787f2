package local

import "golang.org/x/sys/unix"

// setLock has the lock belong to the open file and not to the process, so that it holds between goroutines too; it and
// what other programs do by F_SETLK keep each other out (fcntl(2)).
const setLock = unix.F_OFD_SETLK
