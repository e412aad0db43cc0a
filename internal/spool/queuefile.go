package spool

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// messageReader is one worker's reader of queue files.
type messageReader struct {
	rules  envelopeRules
	queue  queue.Name
	logs   *deferLogs // nil: without deferral reasons
	ahead  int        // files that are opened before the first is read
	opened []openFile
	window recordWindow

	// Messages are visited some at a time: whatever counts them goes back and forth between processors, which
	// takes longer than reading an envelope does.
	visit   func([]queue.Message)
	waiting []queue.Message
}

const (
	maxWaiting     = 16
	manyRecipients = 64 // a message with more of them does not wait
)

// openFile is an open queue file that may hold a message.
type openFile struct {
	descriptor
	id   string
	stat unix.Stat_t
	log  descriptor // its defer log, or noFile
}

func (f openFile) close() {
	f.descriptor.close()
	f.log.close()
}

// read visits the messages among the files of a directory.
func (r *messageReader) read(ctx context.Context, dir *walkDir, ids []string) error {
	defer r.flush()
	for batch := range slices.Chunk(ids, r.ahead) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.readBatch(dir, batch); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads at once what is in the kernel's cache, and the other files after all of them have been asked
// for.
func (r *messageReader) readBatch(dir *walkDir, ids []string) error {
	defer r.closeOpened()
	for _, id := range ids {
		f, ok, err := r.open(dir, id)
		switch {
		case err != nil:
			return dir.explain(id, err)
		case !ok:
			continue
		}
		// A defer log is never read at once: it comes from the disk together with the queue files.
		if r.logs == nil && r.window.preload(f.descriptor) {
			err := r.readMessage(dir, f)
			f.close()
			if err != nil {
				return err
			}
			continue
		}
		f.fetchSoon()
		r.opened = append(r.opened, f)
	}
	for _, f := range r.opened {
		if err := r.readMessage(dir, f); err != nil {
			return err
		}
	}
	return nil
}

// open opens a file and its defer log, and reports whether it can be a message.
func (r *messageReader) open(dir *walkDir, id string) (f openFile, ok bool, err error) {
	fd, err := dir.fd.openAt(id)
	switch {
	case dir.confirmsGone(id, err):
		return f, false, nil
	case errors.Is(err, unix.EAGAIN) && r.queue == queue.Maildrop:
		return f, false, nil // its owner holds a lease on it
	case errors.Is(err, unix.EACCES) && r.passesOver(dir, id):
		return f, false, nil // showq cannot open it either, or does not try
	case err != nil:
		return f, false, err
	}
	f = openFile{descriptor: fd, id: id, log: noFile}
	if err := unix.Fstat(int(fd), &f.stat); err != nil || !isReady(&f.stat) {
		f.close()
		if dir.confirmsGone(id, err) {
			err = nil
		}
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

// readMessage reads the file and lets its message, if it is one, wait to be visited.
func (r *messageReader) readMessage(dir *walkDir, f openFile) error {
	if len(r.waiting) == cap(r.waiting) {
		r.flush()
	}
	m := &r.waiting[:len(r.waiting)+1][len(r.waiting)]
	m.Queue, m.ID = r.queue, f.id
	m.ForcedExpire = f.stat.Mode&unix.S_IXGRP != 0 // MAIL_QUEUE_STAT_EXPIRE
	m.Entered, m.Due = timeOf(f.stat.Ctim), timeOf(f.stat.Mtim)
	file := queueFile{ReaderAt: f.descriptor, sizeBytes: f.stat.Size, modified: m.Due}
	ok, err := r.window.readEnvelope(file, r.rules, m)
	if dir.confirmsGone(f.id, err) {
		return nil
	}
	if ok && f.log.isOpen() {
		if err = r.logs.addReasons(m, f.log); err == nil && lacksTransport(m) {
			m.ContentFilter, err = r.window.readFilter(file, r.rules)
		}
	}
	switch {
	case err != nil:
		return dir.explain(f.id, err)
	case ok:
		r.waiting = r.waiting[:len(r.waiting)+1]
		if len(m.Recipients) > manyRecipients {
			r.flush()
		}
	}
	return nil
}

// timeOf returns a time of a file. Its seconds have 32 bits on some machines.
func timeOf(t unix.Timespec) time.Time {
	seconds, _ := t.Unix()
	return queue.ArrivalTime(seconds)
}

// confirmsGone reports whether an error means that a file has been delivered meanwhile, or is a link, a socket or a
// device that is not there, and the directory agrees: it has no ready file of that name. A file system that loses
// its files must not look like an empty queue.
func (d *walkDir) confirmsGone(id string, err error) bool {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		stat, err := d.fd.statAt(id)
		return errors.Is(err, unix.ENOENT) || err == nil && !isReady(&stat)
	}
	return false
}

func (r *messageReader) flush() {
	r.visit(r.waiting)
	for i := range r.waiting {
		if cap(r.waiting[i].Recipients) > manyRecipients {
			r.waiting[i].Recipients = nil // gives the memory back
		}
	}
	r.waiting = r.waiting[:0]
}

func (r *messageReader) closeOpened() {
	for _, f := range r.opened {
		f.close()
	}
	r.opened = r.opened[:0]
}

// isReady reports whether a file can be a message: a regular file with all of u=rwx, whatever the other bits
// (mail_open_ok.c).
func isReady(stat *unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Mode&unix.S_IRWXU == unix.S_IRWXU
}

// passesOver reports whether a file that this user may not open does not count: any file in maildrop, and one
// that is not ready. If the directory cannot be searched, it is not known what the file is.
func (r *messageReader) passesOver(dir *walkDir, id string) bool {
	stat, err := dir.fd.statAt(id)
	return !errors.Is(err, unix.EACCES) && (r.queue == queue.Maildrop || err != nil || !isReady(&stat))
}
