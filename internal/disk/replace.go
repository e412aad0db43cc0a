package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Replace replaces the file of this name in the directory as a whole: a reader finds the old document or the new one, at
// any moment and after a crash. A link is itself replaced, not followed.
//
// Replace returns soon after the end of its context, even if the disk hangs, and leaves no other file behind. It
// cannot prevent two things. SIGKILL leaves the new document under its temporary name if it comes just before that
// is renamed or, in a file system without unnamed files, while it is being written. And if nothing at all can
// interrupt a system call, Replace returns, but the kernel keeps the process until the call has ended.
func Replace(ctx context.Context, dir *os.File, name string, document []byte, mode os.FileMode) error {
	err := replace(ctx, dir, name, document, mode)
	// Nobody knows the name of the temporary file.
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err
	} else if failed, ok := errors.AsType[*os.LinkError](err); ok {
		return failed.Err
	}
	return err
}

func replace(ctx context.Context, dir *os.File, name string, document []byte, mode os.FileMode) (err error) {
	inTime := func(do func(at int) error) error {
		return InTime(ctx, SettleTime, func() error {
			defer runtime.KeepAlive(dir) // a call that hangs still uses it
			return do(int(dir.Fd()))
		})
	}
	// In the same directory, for the rename. The dot hides it from readers that take every file with a certain
	// ending.
	temporary := "." + name + ".new-" + strconv.FormatUint(rand.Uint64(), 36)
	defer func() {
		if err != nil {
			_ = inTime(func(at int) error { return unix.Unlinkat(at, temporary, 0) })
		}
	}()
	err = inTime(func(at int) error { return draft(ctx, at, temporary, document, mode) })
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return inTime(func(at int) error { return unix.Renameat(at, temporary, at, name) })
}

// draft writes the document to a new file of this name.
func draft(ctx context.Context, at int, name string, document []byte, mode os.FileMode) error {
	if done, err := draftUnnamed(ctx, at, name, document, mode); done || err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // nobody may be left who would remove it
	}
	return draftNamed(at, name, document, mode)
}

func draftNamed(at int, name string, document []byte, mode os.FileMode) error {
	fd, err := unix.Openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return fill(f, document, mode)
}

// draftUnnamed does so with a file that has no name until it is on the disk: nothing can leave half of it behind,
// not even SIGKILL. Not every file system can do that, and without /proc it cannot be done; then done is false.
func draftUnnamed(ctx context.Context, at int, name string, document []byte, mode os.FileMode) (done bool, err error) {
	fd, err := unix.Openat(at, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false, nil // opening a file with a name reports what is wrong with the directory
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := fill(f, document, mode); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx) // nobody may be left who would remove it
	}
	// A rename needs a name, and a link cannot replace a file.
	unnamed := fmt.Sprintf("/proc/self/fd/%d", fd)
	err = unix.Linkat(unix.AT_FDCWD, unnamed, at, name, unix.AT_SYMLINK_FOLLOW)
	return err == nil, nil
}

func fill(f *os.File, document []byte, mode os.FileMode) error {
	if _, err := f.Write(document); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}
