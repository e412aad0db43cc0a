package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Spool reads the queue directories themselves, as root or the mail owner. It
// is by far the cheapest source: an ordinary message costs one open, one stat,
// one read of 4 KiB and one close; and where that is not in the kernel's cache,
// or defer logs are read, a hint to bring it while others are read. Nothing in
// the spool is written, locked or touched, and nothing in it is trusted.
type Spool struct {
	QueueDir string // queue_directory
	// MailVersion returns mail_version, empty where it is not known. It is called
	// only if it matters; nil: it is not known.
	MailVersion func() string
	// Siblings is how many others are read at the same time, with whom the files
	// that a process may have open are shared.
	Siblings int
}

// Name returns "spool".
func (*Spool) Name() string { return "spool" }

// spoolWorkers is how many files are open at the same time: enough to keep a
// disk busy, and no more than helps with a warm cache.
const spoolWorkers = 4

// Read reads every queue. Files that vanish meanwhile have been delivered, and
// those that are not ready, not regular or no message are passed over.
func (s *Spool) Read(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	// First, for a queue may be long because of it.
	facts := queue.Facts{Detail: s.QueueDir, Down: qmgrDown(ctx, s.QueueDir)}
	raiseProcessors()
	err := s.readQueues(ctx, depth, visit)
	if err == nil {
		var corrupt int64
		if corrupt, err = s.countCorrupt(ctx); err == nil {
			facts.Corrupt = &corrupt
		}
	}
	if _, isNone := errors.AsType[*NoQueueDirError](err); isNone {
		facts.Down = "" // that nobody listens there says nothing of a mail system
	}
	return facts, err
}

func (s *Spool) readQueues(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) error {
	logs := noDeferLogs
	if depth == queue.WithReasons {
		var err error
		if logs, err = openDeferLogs(filepath.Join(s.QueueDir, "defer")); err != nil {
			return err
		}
		if logs != noDeferLogs {
			defer unix.Close(logs)
		}
	}
	// The order of showq.c: a message moves along it.
	for _, name := range []queue.Name{queue.Maildrop, queue.Active, queue.Incoming, queue.Deferred, queue.Hold} {
		if err := s.readQueue(ctx, name, logs, visit); err != nil {
			return err
		}
	}
	return nil
}

// raiseProcessors lets the workers run side by side: they wait in the kernel,
// where each holds a processor. It stays so, for another instance may be read
// at the same time, and what comes after minds nothing.
func raiseProcessors() {
	if n := min(spoolWorkers, runtime.NumCPU()); runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
}

// readQueue reads one queue, with the deferral reasons from the logs in the
// open directory unless that is noDeferLogs.
func (s *Spool) readQueue(ctx context.Context, name queue.Name, logs int, visit func(*queue.Message)) error {
	walk := newQueueWalk(filepath.Join(s.QueueDir, string(name)), name != queue.Maildrop)
	defer walk.close()
	rules := envelopeRules{stopped: func() bool { return ctx.Err() != nil }}
	if name == queue.Maildrop {
		rules.readAll = true
		rules.sizeCounts = sync.OnceValue(func() bool { return s.MailVersion != nil && sizeRecordCounts(s.MailVersion()) })
	}
	ahead := readAhead(s.Siblings)
	var visiting sync.Mutex
	errs := make([]error, spoolWorkers)
	var wg sync.WaitGroup
	for i := range spoolWorkers {
		wg.Go(func() {
			r := messageReader{rules: rules, logs: newDeferLogs(logs, rules.stopped), ahead: ahead}
			r.message.Queue = name
			visitInTurn := func(m *queue.Message) {
				visiting.Lock()
				defer visiting.Unlock()
				visit(m)
			}
			if err := guard(func() {
				errs[i] = walk.each(ctx, func(dir *walkDir, ids []string) error {
					return r.read(ctx, dir, ids, visitInTurn)
				})
			}); err != nil {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// countCorrupt counts the regular files in the corrupt queue, whatever their
// mode.
func (s *Spool) countCorrupt(ctx context.Context) (n int64, err error) {
	walk := newQueueWalk(filepath.Join(s.QueueDir, "corrupt"), true)
	defer walk.close()
	err = walk.each(ctx, func(dir *walkDir, ids []string) error {
		for _, id := range ids {
			var stat unix.Stat_t
			switch err := unix.Fstatat(dir.fd, id, &stat, unix.AT_SYMLINK_NOFOLLOW); {
			case errors.Is(err, unix.ENOENT):
			case err != nil:
				return dir.explain(id, err)
			case stat.Mode&unix.S_IFMT == unix.S_IFREG:
				n++
			}
		}
		return nil
	})
	if _, missing := errors.AsType[*NoQueueDirError](err); missing {
		return 0, nil // postsuper makes it when it needs it
	}
	return n, err
}

// messageReader reads queue files, some at a time.
type messageReader struct {
	rules   envelopeRules
	logs    *deferLogs // nil: without deferral reasons
	ahead   int        // files that are opened before the first is read
	opened  []openFile
	window  recordWindow
	message queue.Message
}

// openFile is a queue file that may hold a message, open.
type openFile struct {
	id   string
	fd   int
	stat unix.Stat_t
	log  int // descriptor of its defer log; -1: there is none, or nobody asked
}

// maxReadAhead is how many files a worker opens before it reads the first: the
// kernel brings their beginnings from the disk meanwhile. With a cold cache
// that takes half of the time and less.
const maxReadAhead = 16

// filesOfMessage is how many files a message has: its own, and its defer log.
const filesOfMessage = 2

// readAhead returns how many files a worker may open before it reads the first
// where this and so many other instances share what the process may have open.
func readAhead(siblings int) int {
	const others = 32 // files of the program's own, and directories of each instance
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	forEach := int64(min(limit.Cur, 1<<20)) / int64(siblings+1)
	return int(max(1, min(maxReadAhead, (forEach-others)/(spoolWorkers*filesOfMessage))))
}

// read visits the messages among the files of a directory.
func (r *messageReader) read(ctx context.Context, dir *walkDir, ids []string, visit func(*queue.Message)) error {
	for some := range slices.Chunk(ids, r.ahead) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.readSome(dir, some, visit); err != nil {
			return err
		}
	}
	return nil
}

func (r *messageReader) readSome(dir *walkDir, ids []string, visit func(*queue.Message)) error {
	defer r.closeAll()
	read := func(f openFile, head int) error {
		ok, err := r.readMessage(f, head)
		if err != nil {
			return dir.explain(f.id, err)
		}
		if ok {
			visit(&r.message)
		}
		return nil
	}
	for _, id := range ids {
		f, ok, err := r.open(dir, id)
		switch {
		case err != nil:
			return dir.explain(id, err)
		case !ok:
			continue
		}
		if head, ok := r.readNow(f); ok {
			err := read(f, head)
			f.close()
			if err != nil {
				return err
			}
			continue
		}
		bringSoon(f.fd)
		r.opened = append(r.opened, f)
	}
	for _, f := range r.opened {
		if err := read(f, 0); err != nil {
			return err
		}
	}
	return nil
}

// readNow reads the beginning of a file if nothing needs to be waited for, and
// returns its length.
func (r *messageReader) readNow(f openFile) (length int, ok bool) {
	if r.logs != nil {
		return 0, false // the log's beginning is to come meanwhile
	}
	return r.window.readNow(f.fd)
}

// openFlags open a file that may be anything, put there by anybody: no link is
// followed, no FIFO waited for, and no access time written back to the disk.
const openFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC

// open opens a file, and what belongs to it, and reports whether it can be a
// message.
func (r *messageReader) open(dir *walkDir, id string) (f openFile, ok bool, err error) {
	fd, err := openQuietly(dir.fd, id)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return f, false, nil // delivered meanwhile; a link; a socket, or a device that is not there
	case errors.Is(err, unix.EAGAIN) && r.message.Queue == queue.Maildrop:
		return f, false, nil // its owner holds a lease on it
	case errors.Is(err, unix.EACCES) && (r.message.Queue == queue.Maildrop || !isReadyAt(dir.fd, id)):
		return f, false, nil // showq cannot open it either, or does not try
	case err != nil:
		return f, false, err
	}
	f = openFile{id: id, fd: fd, log: -1}
	if err := unix.Fstat(fd, &f.stat); err != nil || !isReady(&f.stat) {
		f.close()
		return f, false, err
	}
	if r.logs != nil {
		if f.log, err = r.logs.open(id, dir.depth); err != nil {
			f.close()
			return f, false, err
		}
	}
	return f, true, nil
}

func (f openFile) close() {
	unix.Close(f.fd)
	if f.log >= 0 {
		unix.Close(f.log)
	}
}

// bringSoon asks the kernel for the beginning of a file without waiting for it.
func bringSoon(fd int) {
	_ = unix.Fadvise(fd, 0, windowSize, unix.FADV_WILLNEED) // no more than a hint
}

// readMessage reads the message of a file, so many bytes of which the window has
// already, and reports whether it is one.
func (r *messageReader) readMessage(f openFile, head int) (ok bool, err error) {
	r.message.ID = f.id
	r.message.ForcedExpire = f.stat.Mode&unix.S_IXGRP != 0 // MAIL_QUEUE_STAT_EXPIRE
	file := queueFile{ReaderAt: fileDescriptor(f.fd), sizeBytes: f.stat.Size, modified: arrivalTime(f.stat.Mtim.Sec), head: head}
	ok, err = r.window.readEnvelope(file, r.rules, &r.message)
	if errors.Is(err, unix.ESTALE) {
		return false, nil // delivered meanwhile, by another host
	}
	if ok && f.log >= 0 {
		err = r.logs.addReasons(&r.message, f.log)
	}
	return ok, err
}

func (r *messageReader) closeAll() {
	for _, f := range r.opened {
		f.close()
	}
	r.opened = r.opened[:0]
}

// isReady reports whether a file can be a message: a regular one with all of
// u=rwx, whatever the other bits (mail_open_ok.c).
func isReady(stat *unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Mode&unix.S_IRWXU == unix.S_IRWXU
}

func isReadyAt(dir int, name string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && isReady(&stat)
}

// openQuietly opens a file for reading without leaving a trace. Only the
// owner of a file may ask for its access time to stay as it is.
func openQuietly(dir int, name string) (fd int, err error) {
	for _, flags := range []int{openFlags | unix.O_NOATIME, openFlags} {
		for {
			fd, err = unix.Openat(dir, name, flags, 0)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if !errors.Is(err, unix.EPERM) {
			break
		}
	}
	return fd, err
}

// fileDescriptor reads from an open file without the machinery of os.File.
type fileDescriptor int

// Read reads where the last call has stopped, and ReadAt anywhere.
func (fd fileDescriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (fd fileDescriptor) ReadAt(p []byte, offset int64) (int, error) {
	for {
		n, err := unix.Pread(int(fd), p, offset)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n < len(p):
			return n, io.EOF
		default:
			return n, nil
		}
	}
}

// queueWalk gives the files of a queue directory, hashed or not, to several
// workers: each takes a batch of names at a time, so that names are never
// collected and a directory is read only as fast as its files are.
type queueWalk struct {
	hashed bool

	mu      sync.Mutex
	pending []pendingDir
	current *walkDir
	failed  error
}

// pendingDir is a directory still to be read.
type pendingDir struct {
	path  string
	depth int // below the queue's own
}

// walkDir is a directory in use: it is closed when it has been read and no
// batch of its names is left.
type walkDir struct {
	*os.File
	fd int
	pendingDir
	users  int
	atEnd  bool
	closed bool
}

// nameBatch is how many names a worker takes at a time.
const nameBatch = 256

// maxHashDepth is more than hash_queue_depth can sensibly be.
const maxHashDepth = 16

func newQueueWalk(root string, hashed bool) *queueWalk {
	return &queueWalk{hashed: hashed, pending: []pendingDir{{path: root}}}
}

// each calls do with a directory and names of files in it, again and again until
// none is left, ctx ends, or an error stops all workers.
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

// next returns a batch of names, or nil at the end. The directory is to be
// released.
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

// openNext opens the directory that is to be read next.
func (w *queueWalk) openNext() error {
	last := len(w.pending) - 1
	dir := w.pending[last]
	w.pending = w.pending[:last]
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if dir.depth > 0 {
		flags |= unix.O_NOFOLLOW // of the queues themselves root may make links, as Postfix follows them
	}
	fd, err := unix.Open(dir.path, flags, 0)
	switch {
	case err == nil:
		w.current = &walkDir{File: os.NewFile(uintptr(fd), dir.path), fd: fd, pendingDir: dir}
		return nil
	case errors.Is(err, unix.EACCES):
		return &SpoolAccessError{Path: dir.path}
	case errors.Is(err, unix.ENOENT) && dir.depth == 0:
		return &NoQueueDirError{filepath.Dir(dir.path)}
	case dir.depth > 0 && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)):
		return nil // vanished, or a file whose name is one character long
	default:
		return fmt.Errorf("cannot read %s: %w", dir.path, err)
	}
}

// pushSubdirectories remembers the hash directories among the names: as for
// mail_scan_dir.c, they are those of one character.
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

// close closes what an early end has left open. All workers have returned.
func (w *queueWalk) close() {
	if w.current != nil {
		w.current.atEnd = true
		w.current.closeIfDone()
	}
}

// explain says which file of the directory could not be read.
func (d *walkDir) explain(id string, err error) error {
	return fmt.Errorf("cannot read %s: %w", filepath.Join(d.path, id), err)
}

func (d *walkDir) closeIfDone() {
	if d.atEnd && d.users == 0 && !d.closed {
		d.closed = true
		d.Close()
	}
}

// isQueueFileName reports whether a name can be that of a message:
// mail_queue_id_ok in mail_queue.c.
func isQueueFileName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_':
		default:
			return false
		}
	}
	return name != "" && len(name) <= 255
}
