package source

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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

// AddReasons adds the deferral reasons to messages that were read without: a listing has them.
func (l *live) AddReasons(ctx context.Context, messages []*queue.Message) error {
	if files, ok := l.Source.(*liveSpool); ok {
		return files.AddReasons(ctx, messages)
	}
	return nil
}

// Limits returns those of the queue manager.
func (l *live) Limits(ctx context.Context) queue.Limits {
	if l.postfix == nil {
		return queue.Limits{Active: defaultActiveLimit, RunDelay: defaultRunDelay}
	}
	runDelay, _ := l.postfix.duration(ctx, "queue_run_delay", "s", defaultRunDelay)
	return queue.Limits{
		Active:   l.postfix.number(ctx, "qmgr_message_active_limit", defaultActiveLimit),
		RunDelay: runDelay,
	}
}

// Space returns what is left for the queue. Any user may ask.
func (l *live) Space(ctx context.Context) *queue.Space {
	var fs unix.Statfs_t
	if l.dir == "" || unix.Statfs(l.dir, &fs) != nil {
		return nil
	}
	blockBytes := int64(fs.Frsize) //nolint:unconvert // 32 bits on some machines
	space := &queue.Space{FreeBytes: int64(fs.Bavail) * blockBytes, BlockBytes: blockBytes}
	space.ReadOnly = fs.Flags&unix.ST_RDONLY != 0 && isReadOnly(l.dir)
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

// isReadOnly reports whether the file system of a path is read-only for everybody, as after an error of its disk, and
// not only where this process sees it, as in a systemd unit with ProtectSystem=.
func isReadOnly(path string) bool {
	var stat unix.Stat_t
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil || unix.Stat(path, &stat) != nil {
		return false
	}
	defer mounts.Close()
	return hasReadOnlyOption(mounts, fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
}

// hasReadOnlyOption reports whether the file system of a device, major:minor, has the option ro itself: it is in the
// last field of proc_pid_mountinfo(5), and that of the mount is in another.
func hasReadOnlyOption(mountinfo io.Reader, device string) bool {
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, system, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(mount); len(fields) < 3 || fields[2] != device {
			continue
		}
		options := system[strings.LastIndexByte(system, ' ')+1:]
		return slices.Contains(strings.Split(options, ","), "ro")
	}
	return false
}
