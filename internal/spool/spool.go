// Package spool reads the queue directories of Postfix: queue files and defer logs. It is the one place that
// reads files which anybody may have made. It writes, locks and touches nothing, and trusts nothing.
package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Spool is a queue directory. Root and the mail owner can read it, and no other way is as cheap: an ordinary
// message costs one open, one stat, one read of 4 KiB and one close, and if it is not in the kernel's cache, a
// hint to fetch it while others are read.
type Spool struct {
	Dir string // queue_directory
	// MailVersion returns mail_version, empty if it is unknown. It is called only if it matters; nil: it is
	// unknown.
	MailVersion func() string
	// UTF8 reports whether Postfix shows UTF-8 as it is, smtputf8_enable; nil: it does. It is called only if it
	// matters, and perhaps by several workers at the same time.
	UTF8 func() bool
	// Lifetimes returns how long messages may wait. If it is nil or fails, that is unknown, and so are messages that
	// expire. It is called only if it matters, and perhaps by several workers at the same time.
	Lifetimes func() (Lifetimes, error)
	// MaxOpenFiles limits the files that are open at the same time; 0: only the read-ahead limits them.
	MaxOpenFiles int
}

// Lifetimes are how long messages may wait before they are returned to their senders.
type Lifetimes struct {
	Mail    time.Duration // maximal_queue_lifetime
	Bounces time.Duration // bounce_queue_lifetime
}

// NotQueueDirError says that a directory is not a queue directory of Postfix.
type NotQueueDirError struct{ Path string }

func (e *NotQueueDirError) Error() string {
	return fmt.Sprintf("%s is not a Postfix queue directory; name the right one, or create what is missing: postfix check", e.Path)
}

func denied(path string) error {
	return fmt.Errorf("this user may not read %s: only root and the mail owner may; use --source postqueue", path)
}

// CheckAccess returns an error if this user, with the rights that the process has now, certainly cannot read the
// spool.
func (s *Spool) CheckAccess() error {
	path := filepath.Join(s.Dir, string(queue.Maildrop))
	if errors.Is(unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.X_OK, unix.AT_EACCESS), unix.EACCES) {
		return denied(path)
	}
	return nil
}

// Workers is how many workers read a queue: enough to keep a disk busy, and no more than helps with a warm cache.
const Workers = 4

// Read visits the messages of every queue, never two at a time. A file that vanishes meanwhile has been
// delivered; files that are not ready, not regular or not messages are skipped.
func (s *Spool) Read(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	facts := queue.Facts{Detail: s.Dir, KnowsClients: true, KnowsExpiry: s.Lifetimes != nil}
	isEmpty := true
	err := s.readQueues(ctx, depth, func(m *queue.Message) {
		isEmpty = false
		visit(m)
	})
	if s.Lifetimes != nil && !isEmpty {
		_, err := s.Lifetimes()
		facts.KnowsExpiry = err == nil
	}
	if err == nil {
		facts.Corrupt, err = s.countCorrupt(ctx)
	}
	return facts, err
}

func (s *Spool) readQueues(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) error {
	logs := queueDir{descriptor: noFile}
	if depth == queue.WithReasons {
		var err error
		if logs, err = openQueueDir(filepath.Join(s.Dir, "defer")); err != nil {
			return err
		}
		defer logs.close()
	}
	for _, name := range order {
		if err := s.readQueue(ctx, name, logs, visit); err != nil {
			return err
		}
	}
	return nil
}

// order is that of showq.c: a message moves along it.
var order = []queue.Name{queue.Maildrop, queue.Active, queue.Incoming, queue.Deferred, queue.Hold}

// Glance visits the messages of the named queues, without deferral reasons.
func (s *Spool) Glance(ctx context.Context, queues []queue.Name, visit func(*queue.Message)) error {
	for _, name := range order {
		if !slices.Contains(queues, name) {
			continue
		}
		if err := s.readQueue(ctx, name, queueDir{descriptor: noFile}, visit); err != nil {
			return err
		}
	}
	return nil
}

// readQueue reads one queue, with the deferral reasons from the logs in the open directory, if there is one.
func (s *Spool) readQueue(ctx context.Context, name queue.Name, logs queueDir, visit func(*queue.Message)) error {
	rules := envelopeRules{utf8: s.UTF8, stopped: func() bool { return ctx.Err() != nil }}
	if name == queue.Active || name == queue.Incoming || name == queue.Deferred {
		rules.expires = s.expires(time.Now())
	}
	walk := walkHashed(filepath.Join(s.Dir, string(name)))
	if name == queue.Maildrop {
		walk = walkFlat(filepath.Join(s.Dir, string(name)))
		rules.readAll = true
		rules.sizeCounts = sync.OnceValue(func() bool { return s.MailVersion != nil && sizeRecordCounts(s.MailVersion()) })
	}
	defer walk.close()
	var visiting sync.Mutex
	visitInTurn := func(messages []queue.Message) {
		visiting.Lock()
		defer visiting.Unlock()
		for i := range messages {
			visit(&messages[i])
		}
	}
	errs := make([]error, Workers)
	var wg sync.WaitGroup
	for i := range Workers {
		wg.Go(func() {
			r := messageReader{
				rules: rules, queue: name, logs: newDeferLogs(logs, rules), ahead: s.readAhead(),
				visit: visitInTurn, waiting: make([]queue.Message, 0, maxWaiting),
			}
			errs[i] = queue.Guard(func() error {
				return walk.each(ctx, func(dir *walkDir, ids []string) error { return r.read(ctx, dir, ids) })
			})
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// expires returns the rule by which the next try within a day returns a message to its sender; nil if it is unknown.
// The queue manager does so when a try fails and the lifetime has passed since the message was made: qmgr_deliver.c.
func (s *Spool) expires(now time.Time) func(created time.Time, isBounce bool) bool {
	if s.Lifetimes == nil {
		return nil
	}
	return func(created time.Time, isBounce bool) bool {
		l, err := s.Lifetimes()
		lifetime := l.Mail
		if isBounce {
			lifetime = min(lifetime, l.Bounces)
		}
		return err == nil && now.Sub(created) > lifetime-min(24*time.Hour, lifetime/5)
	}
}

// maxReadAhead is how many files a worker opens before it reads the first: the kernel fetches their beginnings
// meanwhile. With a cold cache that halves the time or better.
const maxReadAhead = 16

func (s *Spool) readAhead() int {
	const directories = 32   // and whatever else is open
	const filesOfMessage = 2 // the queue file and the defer log
	if s.MaxOpenFiles == 0 {
		return maxReadAhead
	}
	return max(1, min(maxReadAhead, (s.MaxOpenFiles-directories)/(Workers*filesOfMessage)))
}

// countCorrupt counts the regular files in the corrupt queue, whatever their mode.
func (s *Spool) countCorrupt(ctx context.Context) (count *int64, err error) {
	var n int64
	walk := walkHashed(filepath.Join(s.Dir, "corrupt"))
	defer walk.close()
	err = walk.each(ctx, func(dir *walkDir, ids []string) error {
		for _, id := range ids {
			switch stat, err := dir.fd.statAt(id); {
			case errors.Is(err, unix.ENOENT):
			case err != nil:
				return dir.explain(id, err)
			case stat.Mode&unix.S_IFMT == unix.S_IFREG:
				n++
			}
		}
		return nil
	})
	if _, missing := errors.AsType[*NotQueueDirError](err); missing {
		err = nil // postsuper creates it when it needs it
	}
	return &n, err
}
