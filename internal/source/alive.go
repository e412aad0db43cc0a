package source

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

type liveSpool struct{ spool.Spool }

// Name returns "spool".
func (*liveSpool) Name() string { return SpoolName }

// Read reads the queue directories, and finds out whether the mail system runs.
func (s *liveSpool) Read(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	// Before the queue is read: it may be long because the system is down.
	down := qmgrDown(ctx, s.Dir)
	facts, err := s.Spool.Read(ctx, depth, visit)
	if _, ok := errors.AsType[*spool.NotQueueDirError](err); !ok {
		facts.Down = down // in any other directory a missing socket proves nothing
	}
	return facts, err
}

// connectTimeout is for a connection on the same host: it succeeds at once, or the other side's backlog is full.
const connectTimeout = time.Second

// qmgrDown says why the mail system of a queue directory is known to be down: nothing listens for the queue
// manager. It is empty if something does, and if that cannot be found out. The master listens before the queue
// manager's first life and between its lives, and a connection leaves no trace in its log.
func qmgrDown(ctx context.Context, queueDir string) string {
	path := filepath.Join(queueDir, "public", "qmgr")
	var err error
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode()&os.ModeNamedPipe != 0 {
		// master.cf may say fifo, as it did before Postfix 2.10.
		var fd int
		if fd, err = unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
		}
	} else {
		var conn net.Conn
		if conn, err = dialUnix(ctx, path); err == nil {
			conn.Close()
		}
	}
	return refusal(path, err)
}

// refusal says that nothing listens at path, if that is what the error means.
func refusal(path string, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENXIO):
		return "nothing listens on " + path
	case errors.Is(err, os.ErrNotExist):
		return path + " does not exist"
	}
	return ""
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", path)
}
