package disk

import "golang.org/x/sys/windows"

// Free returns how many octets of the volume that dir is on its owner may still write, and how many it has in all. An
// error says that it does not tell.
func Free(dir string) (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var left, all uint64
	err = windows.GetDiskFreeSpaceEx(name, &left, &all, nil)
	return int64(left), int64(all), err
}
