//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package persist

import "os"

// foldersLock says that several processes can tell whose folder is whose: here
// they cannot, and each needs a spool of its own.
const foldersLock = false

// lockFile opens the file and locks nothing.
func lockFile(path string) (lock *os.File, ok bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	return f, err == nil, err
}
