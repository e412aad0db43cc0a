package source

import (
	"context"
	"errors"
	"io"
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
