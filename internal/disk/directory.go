package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's limit of links in a path.
const maxLinks = 40

// A Judge returns an error for a part of a path, a directory or a link, that must not be passed through.
type Judge func(path string, stat *unix.Stat_t) error

// OwnLinks judges links: root follows only root's, because others could lead it to any file.
func OwnLinks(path string, stat *unix.Stat_t) error {
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK && stat.Uid != 0 && os.Geteuid() == 0 {
		return fmt.Errorf("the path goes through %s, a symbolic link of another user; name the directory itself", path)
	}
	return nil
}

// OpenDir opens a directory if judge accepts it, and every directory and link on the way. Each part is opened relative to
// the one before, so nobody can slip in a link meanwhile.
func OpenDir(path string, judge Judge) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	open := func(at int, name, path string) (*os.File, error) {
		fd, err := unix.Openat(at, name, flags, 0)
		if err != nil {
			return nil, err
		}
		next := os.NewFile(uintptr(fd), path)
		var stat unix.Stat_t
		if err = unix.Fstat(fd, &stat); err == nil {
			err = judge(path, &stat)
		}
		if err != nil {
			next.Close()
			return nil, err
		}
		return next, nil
	}
	start := func(path string) (*os.File, error) {
		if strings.HasPrefix(path, "/") {
			return open(unix.AT_FDCWD, "/", "/")
		}
		return open(unix.AT_FDCWD, ".", ".")
	}
	dir, err := start(path)
	if err != nil {
		return nil, err
	}
	rest, links := strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" {
			continue
		}
		next, err := open(int(dir.Fd()), name, filepath.Join(dir.Name(), name))
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) { // a link, perhaps
			target, isLink, linkErr := readLink(dir, name, judge)
			if links++; links > maxLinks {
				linkErr = unix.ELOOP
			}
			switch {
			case linkErr != nil:
				err = linkErr
			case isLink:
				rest = append(strings.Split(target, "/"), rest...)
				next, err = dir, nil
				if strings.HasPrefix(target, "/") {
					next, err = start(target)
				}
			}
		}
		if next != dir {
			dir.Close()
		}
		if err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

// readLink returns where a link leads. Anything else is not a link.
func readLink(dir *os.File, name string, judge Judge) (target string, isLink bool, err error) {
	var stat unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err != nil:
		return "", false, err
	case stat.Mode&unix.S_IFMT != unix.S_IFLNK:
		return "", false, nil
	}
	if err := judge(filepath.Join(dir.Name(), name), &stat); err != nil {
		return "", false, err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	return string(buf[:max(0, n)]), true, err
}
