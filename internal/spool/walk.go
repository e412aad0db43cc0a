package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// queueWalk hands out the files of a queue directory to several workers. Each takes a batch of names at a time,
// so that names do not pile up and a directory is read only as fast as its files are.
type queueWalk struct {
	hashed bool // directories with names of one character are hash directories

	mu      sync.Mutex
	pending []pendingDir
	current *walkDir
	failed  error
}

type pendingDir struct {
	path  string
	depth int // below the queue's own directory
}

// walkDir is a directory in use. It is closed when it has been read and no batch of its names is in use.
type walkDir struct {
	*os.File
	fd descriptor
	pendingDir
	users  int
	atEnd  bool
	closed bool
}

// nameBatch is how many names a worker takes at a time.
const nameBatch = 256

// maxHashDepth is more than hash_queue_depth can sensibly be.
const maxHashDepth = 16

func walkHashed(root string) *queueWalk {
	return &queueWalk{hashed: true, pending: []pendingDir{{path: root}}}
}

func walkFlat(root string) *queueWalk {
	return &queueWalk{pending: []pendingDir{{path: root}}}
}

// each calls do with a directory and names of files in it, again and again until none is left, ctx ends, or an
// error stops all workers.
func (w *queueWalk) each(ctx context.Context, do func(dir *walkDir, ids []string) error) error {
	for {
		dir, names, err := w.next(ctx)
		if err != nil || names == nil {
			return err
		}
		ids := slices.DeleteFunc(names, func(name string) bool {
			return !isQueueFileName(name) || (w.hashed && len(name) == 1)
		})
		if err := do(dir, ids); err != nil && ctx.Err() == nil {
			w.fail(err)
		}
		w.release(dir)
	}
}

// next returns a batch of names, nil at the end. The caller releases the directory.
func (w *queueWalk) next(ctx context.Context) (*walkDir, []string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.failed != nil:
			return nil, nil, w.failed
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case w.current == nil && len(w.pending) == 0:
			return nil, nil, nil
		}
		if w.current == nil {
			if w.failed = w.openNext(); w.failed != nil || w.current == nil {
				continue
			}
		}
		names, err := w.current.Readdirnames(nameBatch)
		if err != nil && !errors.Is(err, io.EOF) {
			w.failed = fmt.Errorf("cannot read %s: %w", w.current.path, err)
			continue
		}
		if len(names) == 0 {
			w.current.atEnd = true
			w.current.closeIfDone()
			w.current = nil
			continue
		}
		if w.hashed {
			w.pushSubdirectories(names)
		}
		w.current.users++
		return w.current, names, nil
	}
}

// openNext opens the directory that is read next. It leaves out a hash directory that has vanished.
func (w *queueWalk) openNext() error {
	last := len(w.pending) - 1
	dir := w.pending[last]
	w.pending = w.pending[:last]
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if dir.depth > 0 {
		flags |= unix.O_NOFOLLOW // only the queues themselves may be links, made by root
	}
	fd, err := unix.Open(dir.path, flags, 0)
	switch {
	case err == nil:
		w.current = &walkDir{File: os.NewFile(uintptr(fd), dir.path), fd: descriptor(fd), pendingDir: dir}
		return nil
	case errors.Is(err, unix.EACCES):
		return denied(dir.path)
	case errors.Is(err, unix.ENOENT) && dir.depth == 0:
		return &NotQueueDirError{filepath.Dir(dir.path)}
	case dir.depth > 0 && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)):
		return nil // vanished, or a file with a name of one character
	default:
		return fmt.Errorf("cannot read %s: %w", dir.path, err)
	}
}

// pushSubdirectories remembers the hash directories among the names. As in mail_scan_dir.c, they are those of one
// character.
func (w *queueWalk) pushSubdirectories(names []string) {
	for _, name := range names {
		if len(name) == 1 && isQueueFileName(name) && w.current.depth < maxHashDepth {
			w.pending = append(w.pending, pendingDir{filepath.Join(w.current.path, name), w.current.depth + 1})
		}
	}
}

func (w *queueWalk) release(dir *walkDir) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dir.users--
	dir.closeIfDone()
}

func (w *queueWalk) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

// close closes the directory that an early end has left open. All workers have returned.
func (w *queueWalk) close() {
	if w.current != nil {
		w.current.atEnd = true
		w.current.closeIfDone()
	}
}

func (d *walkDir) explain(id string, err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok { // the defer log
		return fmt.Errorf("cannot read %s: %w", named.Path, named.Err)
	}
	return fmt.Errorf("cannot read %s: %w", filepath.Join(d.path, id), err)
}

func (d *walkDir) closeIfDone() {
	if d.atEnd && d.users == 0 && !d.closed {
		d.closed = true
		d.Close()
	}
}
