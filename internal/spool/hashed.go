package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// queueDir is an open directory below the queue directory, such as deferred and defer.
type queueDir struct {
	descriptor
	path string
}

// openQueueDir opens a directory. It is not open if it does not exist: Postfix creates it when it needs it.
func openQueueDir(path string) (queueDir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return queueDir{descriptor(fd), path}, nil
	case errors.Is(err, unix.ENOENT):
		return queueDir{noFile, path}, nil
	case errors.Is(err, unix.EACCES):
		return queueDir{noFile, path}, denied(path)
	default:
		return queueDir{noFile, path}, fmt.Errorf("cannot read %s: %w", path, err)
	}
}

// hashedFiles opens files of messages in a directory with hash directories.
type hashedFiles struct {
	dir       queueDir
	lastDepth int // of the file that was found last; -1: none was
}

func newHashedFiles(dir queueDir) *hashedFiles { return &hashedFiles{dir: dir, lastDepth: -1} }

// open opens a message's file; noFile if it has none. It looks first where the file before was, then at the expected
// depth, such as that of the message for its log. They differ if hash_queue_names has only one of the two queues.
func (h *hashedFiles) open(id string, depth int) (descriptor, error) {
	first := depth
	if h.lastDepth >= 0 {
		first = h.lastDepth
	}
	if file, err := h.openAt(id, first); file.isOpen() || err != nil {
		return file, err
	}
	if depth != first {
		if file, err := h.openAt(id, depth); file.isOpen() || err != nil {
			return file, err
		}
	}
	for d := range maxHashDepth + 1 {
		if d == first || d == depth {
			continue
		}
		if d > 0 && !h.hasDir(hashDir(id, d)) {
			break // and none is deeper
		}
		if file, err := h.openAt(id, d); file.isOpen() || err != nil {
			return file, err
		}
	}
	return noFile, nil
}

func (h *hashedFiles) hasDir(name string) bool {
	_, err := h.dir.statAt(name)
	return err == nil
}

// openAt opens the file at a depth; noFile if there is none.
func (h *hashedFiles) openAt(id string, depth int) (descriptor, error) {
	file, err := h.dir.openAt(hashedPath(id, depth))
	switch {
	case h.confirmsGone(id, depth, err):
		return noFile, nil
	case err == nil:
		file.fetchSoon()
		h.lastDepth = depth
		return file, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return noFile, nil
	}
	return noFile, h.named(id, depth, err)
}

// confirmsGone reports whether an error says that a file in a network file system was removed meanwhile, and the directory
// agrees.
func (h *hashedFiles) confirmsGone(id string, depth int, err error) bool {
	if !errors.Is(err, unix.ESTALE) {
		return false
	}
	_, err = h.dir.statAt(hashedPath(id, depth))
	return errors.Is(err, unix.ENOENT)
}

// named returns an error of a message's file, or nil.
func (h *hashedFiles) named(id string, depth int, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "read", Path: filepath.Join(h.dir.path, hashedPath(id, depth)), Err: err}
}
