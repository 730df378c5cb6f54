//go:build linux || darwin

package main

import "syscall"

// space returns what is free on the disk of a directory for this user, and how
// large it is, in octets.
func space(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
