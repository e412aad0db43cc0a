package spool

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// descriptor is an open file or directory, without the machinery of os.File, which costs more than reading a
// queue file does.
type descriptor int

// noFile is the descriptor of a file that does not exist or was not asked for.
const noFile descriptor = -1

func (fd descriptor) isOpen() bool { return fd >= 0 }

func (fd descriptor) close() {
	if fd.isOpen() {
		unix.Close(int(fd))
	}
}

// openFlags open a file of unknown kind and origin: they follow no link, wait for no FIFO, and cause no access
// time to be written back to the disk.
const openFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC

// openAt opens a file in this directory for reading, without leaving a trace: only the owner of a file may ask
// the kernel to leave its access time alone.
func (fd descriptor) openAt(name string) (descriptor, error) {
	for _, flags := range []int{openFlags | unix.O_NOATIME, openFlags} {
		opened, err := retry(func() (int, error) { return unix.Openat(int(fd), name, flags, 0) })
		switch {
		case err == nil:
			return descriptor(opened), nil
		case !errors.Is(err, unix.EPERM):
			return noFile, err
		}
	}
	return noFile, unix.EPERM
}

// statAt returns the status of a file in this directory, or of a link itself.
func (fd descriptor) statAt(name string) (stat unix.Stat_t, err error) {
	err = unix.Fstatat(int(fd), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	return stat, err
}

// fetchSoon asks the kernel for the beginning of the file without waiting for it. It is only a hint, so errors do
// not matter.
func (fd descriptor) fetchSoon() {
	_ = unix.Fadvise(int(fd), 0, windowSize, unix.FADV_WILLNEED)
}

// Read reads from the current position.
func (fd descriptor) Read(p []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(int(fd), p) })
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// ReadAt implements io.ReaderAt.
func (fd descriptor) ReadAt(p []byte, offset int64) (int, error) {
	n, err := retry(func() (int, error) { return unix.Pread(int(fd), p, offset) })
	switch {
	case err != nil:
		return 0, err
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
