package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/disk"
)

// File is the path of a file. Send replaces it as a whole, as disk.Replace does, and refuses a link.
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
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot write %s in time; the disk may hang: look into the kernel log", path)
	}
	return fmt.Errorf("cannot write %s: %w", path, err)
}

func (path File) replace(ctx context.Context, document []byte, mode os.FileMode) error {
	name := filepath.Base(string(path))
	var dir *os.File
	if err := disk.InTime(ctx, disk.SettleTime, func() (err error) {
		dir, err = disk.OpenDir(filepath.Dir(string(path)), disk.OwnLinks)
		return err
	}); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() == nil { // else a call that hangs may still use it
			dir.Close()
		}
	}()
	if err := disk.InTime(ctx, disk.SettleTime, func() error { return checkReplaceable(int(dir.Fd()), name) }); err != nil {
		return err
	}
	return disk.Replace(ctx, dir, name, document, mode)
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

func (path File) String() string { return string(path) }
