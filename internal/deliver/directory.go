package deliver

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's limit of links in a path.
const maxLinks = 40

// openDir opens a directory, and follows only the links on the way to it whose owner is trusted. Each part of the path
// is opened in the one before: nobody can lay a link in the meantime.
func openDir(path string, trusted func(owner uint32) bool) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	open := func(at int, name string) (*os.File, error) {
		fd, err := unix.Openat(at, name, flags, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), name), nil
	}
	start := func(path string) (*os.File, error) {
		if strings.HasPrefix(path, "/") {
			return open(unix.AT_FDCWD, "/")
		}
		return open(unix.AT_FDCWD, ".")
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
		next, err := open(int(dir.Fd()), name)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) { // a link, perhaps
			target, isLink, linkErr := readLink(dir, name, trusted)
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
func readLink(dir *os.File, name string, trusted func(owner uint32) bool) (target string, isLink bool, err error) {
	var stat unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err != nil:
		return "", false, err
	case stat.Mode&unix.S_IFMT != unix.S_IFLNK:
		return "", false, nil
	case !trusted(stat.Uid):
		return "", false, fmt.Errorf("the path goes through %s, a symbolic link of another user; name the directory itself", name)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	return string(buf[:max(0, n)]), true, err
}

// trustsLink reports whether this user follows a link of that owner: root follows only root's, because others could
// lead it to any file.
func trustsLink(owner uint32) bool { return owner == 0 || os.Geteuid() != 0 }
