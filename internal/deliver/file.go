package deliver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// File is the path of a file. Send replaces it as a whole: a reader finds the old document or the new one, at any
// moment and after a crash. Send refuses a link.
//
// Send returns soon after the end of its context, even if the disk hangs, and leaves no other file behind. It
// cannot prevent two things. SIGKILL leaves the new document under its temporary name if it comes just before that
// is renamed or, in a file system without unnamed files, while it is being written. And if nothing at all can
// interrupt a system call, Send returns, but the kernel keeps the process until the call has ended.
type File string

// Send writes the file, with mode 0644.
func (path File) Send(ctx context.Context, document []byte) error {
	return path.write(ctx, document, 0o644)
}

// PrivateFile is a File with addresses in it, which others may not read.
type PrivateFile struct{ File }

// Send writes the file, with mode 0640.
func (f PrivateFile) Send(ctx context.Context, document []byte) error {
	return f.write(ctx, document, 0o640)
}

func (path File) write(ctx context.Context, document []byte, mode os.FileMode) error {
	err := path.replace(ctx, document, mode)
	// Nobody knows the name of the temporary file.
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	} else if failed, ok := errors.AsType[*os.LinkError](err); ok {
		err = failed.Err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot write %s in time; the disk may hang: look into the kernel log", path)
	}
	return fmt.Errorf("cannot write %s: %w", path, err)
}

// settleTime is how long a system call may go on after the end of the context: one that is under way then ends
// long before, unless it hangs.
const settleTime = 250 * time.Millisecond

func (path File) replace(ctx context.Context, document []byte, mode os.FileMode) (err error) {
	// In the same directory, for the rename. The dot hides it from readers that take every file with a certain
	// ending.
	base := filepath.Base(string(path))
	name := "." + base + ".new-" + strconv.FormatUint(rand.Uint64(), 36)
	var dir *os.File
	if err := inTime(ctx, settleTime, func() (err error) {
		dir, err = openDir(filepath.Dir(string(path)), trustsLink)
		return err
	}); err != nil {
		return err
	}
	at := int(dir.Fd())
	defer func() {
		if err != nil {
			_ = inTime(ctx, settleTime, func() error { return unix.Unlinkat(at, name, 0) })
		}
		if !errors.Is(err, context.DeadlineExceeded) { // else a call that hangs may still use it
			dir.Close()
		}
	}()
	err = inTime(ctx, settleTime, func() error {
		if err := checkReplaceable(at, base); err != nil {
			return err
		}
		return draft(ctx, at, name, document, mode)
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return inTime(ctx, settleTime, func() error { return unix.Renameat(at, name, at, base) })
}

// checkReplaceable returns an error for what must not become a file, such as /dev/null. Anybody who may write to
// the directory can lay a link to a file that he may not write: it is not followed, and one that is laid later is
// itself replaced.
func checkReplaceable(at int, name string) error {
	var stat unix.Stat_t
	switch err := unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFLNK:
		return errors.New("it is a link, and links are not followed; name the file itself; standard output is -")
	}
	return errors.New("not a regular file; standard output is -")
}

// draft writes the document to a new file of this name.
func draft(ctx context.Context, at int, name string, document []byte, mode os.FileMode) error {
	if done, err := draftUnnamed(ctx, at, name, document, mode); done || err != nil {
		return err
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

func (path File) String() string { return string(path) }
