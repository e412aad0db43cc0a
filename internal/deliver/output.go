package deliver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/disk"
)

// Output is standard output or standard error. No write holds the program for longer than a limit, whether nobody
// reads a pipe, a terminal is stopped, or a disk hangs. After the first write that fails all others do, at once.
type Output struct {
	file  *os.File
	limit time.Duration // of each write
	err   error
}

// NewOutput returns the output that goes to the file.
func NewOutput(file *os.File, limit time.Duration) *Output {
	return &Output{file: file, limit: limit}
}

// Write writes p. If it fails, part of p may have been written.
func (o *Output) Write(p []byte) (n int, err error) {
	if o.err == nil {
		o.err = o.write(bytes.Clone(p)) // which may go on after the return
	}
	if o.err != nil {
		return 0, o.err
	}
	return len(p), nil
}

func (o *Output) write(p []byte) error {
	if wasClosed(o.file) {
		return errors.New("it is closed; to discard what is written, use /dev/null")
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.limit)
	defer cancel()
	err := disk.InTime(ctx, 0, func() error {
		_, err := o.file.Write(p)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("not in time; its reader does not read, or the disk hangs")
	}
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err // without a name, which would be /dev/stdout or /dev/stderr
	}
	return err
}

// wasClosed reports whether a standard output was closed when the program was started, as by >&- in a shell. What
// is written to it then vanishes: the Go runtime opens /dev/null in its place, for reading and writing, so that no
// other file gets its number (checkfds in runtime/fds_unix.go).
//
// That differs from >/dev/null in a shell, which is open for writing only, and from a daemon's /dev/null, which
// often is open for reading and writing but duplicated: the runtime opens each anew. Nothing tells it from a
// /dev/null that the parent has opened for reading and writing for this output alone, as Python's
// subprocess.DEVNULL can be.
func wasClosed(file *os.File) bool {
	raw, err := file.SyscallConn()
	if err != nil {
		return false // it is closed now, and writing will report that
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var stat unix.Stat_t
		if err := unix.Fstat(int(fd), &stat); err != nil {
			return
		}
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		isDevNull := stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == unix.Mkdev(1, 3)
		closed = err == nil && isDevNull && flags&unix.O_ACCMODE == unix.O_RDWR && !isDuplicated(fd)
	})
	return err == nil && closed
}

// isDuplicated reports whether another standard descriptor is the same open file, a duplicate by dup(2).
func isDuplicated(fd uintptr) bool {
	const kcmpFile = 0 // KCMP_FILE in linux/kcmp.h
	pid := uintptr(os.Getpid())
	for other := range uintptr(3) {
		if other == fd {
			continue
		}
		different, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, fd, other, 0)
		if errno == 0 && different == 0 {
			return true
		}
	}
	return false
}
