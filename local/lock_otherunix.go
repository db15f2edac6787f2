//go:build unix && !linux

package local

import "syscall"

// setLock has the lock belong to the process: these systems have no other.
const setLock = syscall.F_SETLK
