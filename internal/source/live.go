package source

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// live is a source of a queue that Postfix may be working on, and what that needs.
type live struct {
	queue.Source
	postfix *postfix // nil: nobody knows which one works on it, or whether any does
	dir     string   // queue_directory; empty: unknown
}

// The defaults in postconf(5).
const (
	defaultActiveLimit      = 20_000
	defaultRunDelay         = 300 * time.Second
	defaultMessageSizeLimit = 10_240_000
)

// Glance visits the messages of the named queues: a listing has all of them.
func (l *live) Glance(ctx context.Context, queues []queue.Name, visit func(*queue.Message)) error {
	if files, ok := l.Source.(*liveSpool); ok {
		return files.Glance(ctx, queues, visit)
	}
	_, err := l.Read(ctx, queue.Envelopes, visit)
	return err
}

// Limits returns those of the queue manager.
func (l *live) Limits(ctx context.Context) queue.Limits {
	if l.postfix == nil {
		return queue.Limits{Active: defaultActiveLimit, RunDelay: defaultRunDelay}
	}
	return queue.Limits{
		Active:   l.postfix.number(ctx, "qmgr_message_active_limit", defaultActiveLimit),
		RunDelay: l.postfix.duration(ctx, "queue_run_delay", "s", defaultRunDelay),
	}
}

// Space returns what is left for the queue. Any user may ask.
func (l *live) Space(ctx context.Context) *queue.Space {
	var fs unix.Statfs_t
	if l.dir == "" || unix.Statfs(l.dir, &fs) != nil {
		return nil
	}
	space := &queue.Space{FreeBytes: int64(fs.Bavail) * fs.Frsize, BlockBytes: fs.Frsize}
	if fs.Files > 0 {
		inodes := int64(fs.Ffree)
		space.FreeInodes = &inodes
	}
	if l.postfix != nil {
		space.MinFreeBytes = l.postfix.number(ctx, "queue_minfree", 0)
		space.MessageSizeLimit = l.postfix.number(ctx, "message_size_limit", defaultMessageSizeLimit)
	}
	return space
}
