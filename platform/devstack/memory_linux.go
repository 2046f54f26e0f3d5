package devstack

import "syscall"

const (
	// memoryFolder is the folder that Linux keeps in memory.
	memoryFolder = "/dev/shm"

	// memoryWanted is how many bytes must be free there. Servers of several tests at once take a few hundred MiB, and some
	// tests fill a million events.
	memoryWanted = 3 << 30

	// tmpfsMagic is the type of a file system in memory, by statfs(2).
	tmpfsMagic = 0x01021994
)

// inMemory returns a folder that is kept in memory and has room for servers; "" where there is none.
func inMemory() string {
	var at syscall.Statfs_t
	if err := syscall.Statfs(memoryFolder, &at); err != nil || at.Type != tmpfsMagic || at.Bavail*uint64(at.Bsize) < memoryWanted {
		return ""
	}
	return memoryFolder
}
