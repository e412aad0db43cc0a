package spool

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// An error that says that a file is gone is believed only if the directory no longer has it.
func TestConfirmsGone(t *testing.T) {
	path := t.TempDir()
	writeFile(t, filepath.Join(path, "READY"), "", 0o700)
	writeFile(t, filepath.Join(path, "BEGUN"), "", 0o600)
	if err := os.Symlink("READY", filepath.Join(path, "LINK")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dir := &walkDir{fd: descriptor(fd)}
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ESTALE, unix.ELOOP, unix.ENXIO} {
		for id, want := range map[string]bool{"READY": false, "BEGUN": true, "LINK": true, "GONE": true} {
			if got := dir.confirmsGone(id, errno); got != want {
				t.Errorf("%s, %v: %v, want %v", id, errno, got, want)
			}
		}
	}
	for _, errno := range []error{nil, unix.EIO, unix.EMFILE, unix.EACCES} {
		if dir.confirmsGone("GONE", errno) {
			t.Errorf("%v does not say that a file is gone", errno)
		}
	}
}
