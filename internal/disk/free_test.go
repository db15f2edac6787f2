package disk

import (
	"errors"
	"testing"
)

// What a file system has, and that one which has no blocks does not tell.
func TestFree(t *testing.T) {
	free, total, err := Free(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system does not tell")
	}
	if err != nil || free <= 0 || total < free {
		t.Errorf("got %d of %d octets, %v", free, total, err)
	}
	if _, _, err := Free("/proc"); err == nil {
		t.Error("a file system without blocks has room")
	}
	if _, _, err := Free(t.TempDir() + "/none"); err == nil {
		t.Error("a directory that is not there has room")
	}
}
