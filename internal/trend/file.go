package trend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/disk"
	"example.org/postfix-queue-monitor/internal/queue"
)

// Now returns the time by both clocks.
func Now() (Clock, error) {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return Clock{}, fmt.Errorf("cannot tell the time since the boot: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Clock{}, fmt.Errorf("cannot tell one boot from another: %w", err)
	}
	return Clock{Wall: time.Now(), Boot: time.Duration(boot.Nano()), BootID: strings.TrimSpace(string(id))}, nil
}

// File is the absolute path of a file that remembers numbers of messages. Nobody else may have made it or be able to
// change it.
type File string

// Record adds the numbers of messages at a moment, and returns the growth of each if that is known. With an error the
// numbers are not in the file, but the growth may be known nevertheless. Record returns soon after the end of its context,
// even if the disk hangs.
//
// The file is replaced as a whole. If somebody else is about to do so, Record does not wait: it only reads.
func (path File) Record(ctx context.Context, now Clock, emails map[Key]int64) (map[Key]queue.Growth, error) {
	opened := make(chan *state, 1)
	err := disk.InTime(ctx, disk.SettleTime, func() error {
		s, err := path.open()
		opened <- s
		return err
	})
	var s *state
	select {
	case s = <-opened:
	default: // it hangs
	}
	if s == nil {
		return nil, path.explain("read", err)
	}
	next, growth := s.record(now, emails)
	if s.readOnly == nil {
		s.readOnly = s.replace(ctx, next)
	}
	if ctx.Err() == nil { // else a call that hangs may still use it
		s.close()
	}
	return growth, path.explain("write", s.readOnly)
}

// explain says what could not be done.
func (path File) explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("cannot %s %s in time", what, path)
	}
	return fmt.Errorf("cannot %s %s: %w", what, path, err)
}

// state is a file that has been read.
type state struct {
	document
	dir      *os.File
	name     string
	file     *os.File // locked unless it is readOnly; nil if there is none yet
	readOnly error    // why it cannot be replaced
}

func (s *state) close() {
	s.dir.Close()
	if s.file != nil {
		s.file.Close()
	}
}

func (s *state) replace(ctx context.Context, d document) error {
	text, err := d.encode()
	if err != nil {
		return err
	}
	return disk.Replace(ctx, s.dir, s.name, text, 0o600)
}

// open reads the file, and locks it if that can be done at once. If there is none, nothing is locked: of two that make
// the first one, one is lost.
func (path File) open() (s *state, err error) {
	dir, err := disk.OpenDir(filepath.Dir(string(path)), judgeWay)
	if err != nil {
		return nil, err
	}
	s = &state{dir: dir, name: filepath.Base(string(path))}
	if err = s.read(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *state) read() error {
	if err := checkDirectory(s.dir); err != nil {
		return err
	}
	err := s.openFile()
	if err != nil || s.file == nil {
		return err
	}
	if s.readOnly == nil {
		s.readOnly = s.lock()
	}
	s.document, err = decode(s.file)
	return err
}

// openFile opens the file if there is one. Opening anything but a regular file could have side effects.
func (s *state) openFile() error {
	var stat unix.Stat_t
	switch err := unix.Fstatat(int(s.dir.Fd()), s.name, &stat, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	}
	if err := checkFile(&stat); err != nil {
		return err
	}
	const flags = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat(int(s.dir.Fd()), s.name, unix.O_RDWR|flags, 0)
	if err != nil {
		s.readOnly = err
		fd, err = unix.Openat(int(s.dir.Fd()), s.name, unix.O_RDONLY|flags, 0)
	}
	if err != nil {
		return err
	}
	s.file = os.NewFile(uintptr(fd), s.name)
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	return checkFile(&stat)
}

var errLocked = errors.New("another check is writing to it")

// lock returns an error if somebody else has the lock, or had it a moment ago and has replaced the file.
func (s *state) lock() error {
	switch err := unix.Flock(int(s.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errLocked
	case err != nil:
		return err
	}
	var locked, named unix.Stat_t
	err := errors.Join(unix.Fstat(int(s.file.Fd()), &locked),
		unix.Fstatat(int(s.dir.Fd()), s.name, &named, unix.AT_SYMLINK_NOFOLLOW))
	if err == nil && (locked.Ino != named.Ino || locked.Dev != named.Dev) {
		err = errLocked
	}
	return err
}

const othersMayWrite = 0o022

// judgeWay rejects, for root, a part of the path that is not root's or that others may write to: they could redirect it.
// From a sticky directory nobody can take away what is root's.
func judgeWay(path string, stat *unix.Stat_t) error {
	isLink, isSticky := stat.Mode&unix.S_IFMT == unix.S_IFLNK, stat.Mode&unix.S_ISVTX != 0
	switch {
	case os.Geteuid() != 0:
		return nil
	case stat.Uid != 0:
		return fmt.Errorf("%s belongs to another user; as root, use a directory of root's", path)
	case stat.Mode&othersMayWrite != 0 && !isSticky && !isLink:
		return othersCanWrite(path)
	}
	return nil
}

// checkDirectory returns an error unless only root and this user can put files there.
func checkDirectory(dir *os.File) error {
	var stat unix.Stat_t
	switch err := unix.Fstat(int(dir.Fd()), &stat); {
	case err != nil:
		return err
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user; use a directory of this one", dir.Name())
	case stat.Mode&othersMayWrite != 0:
		return othersCanWrite(dir.Name())
	}
	return nil
}

func othersCanWrite(path string) error {
	return fmt.Errorf("others can write to %s; take that from them (chmod go-w), or use another directory", path)
}

// checkFile returns an error for a file that somebody else may have made or changed.
func checkFile(stat *unix.Stat_t) error {
	switch kind := stat.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return errors.New("it is a link; name the file itself")
	case kind != unix.S_IFREG:
		return errors.New("it is not a regular file")
	case int(stat.Uid) != os.Geteuid():
		return errors.New("it belongs to another user; use a separate file for each user")
	case stat.Mode&othersMayWrite != 0:
		return errors.New("others can write to it; remove it")
	}
	return nil
}
