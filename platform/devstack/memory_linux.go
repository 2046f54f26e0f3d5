package devstack

import "syscall"

// Of the folder in memory that Linux has, and how much must be free there: servers of several tests at once take a
// few hundred MiB, and some tests fill a million events.
const (
	memoryFolder = "/dev/shm"
	memoryWanted = 3 << 30
	tmpfsMagic   = 0x01021994
)

// inMemory returns a folder that is kept in memory and has room for servers; "" where there is none.
func inMemory() string {
	var at syscall.Statfs_t
	if err := syscall.Statfs(memoryFolder, &at); err != nil || int64(at.Type) != tmpfsMagic || at.Bavail*uint64(at.Bsize) < memoryWanted {
		return ""
	}
	return memoryFolder
}
