package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

type liveSpool struct {
	spool.Spool
	mailSystem
	// filesAlone is set if nothing but the queue directory is known: it may be mounted from where Postfix runs.
	filesAlone bool
}

// Name returns "spool".
func (*liveSpool) Name() string { return SpoolName }

// Read reads the queue directories, and finds out whether the mail system runs.
func (s *liveSpool) Read(ctx context.Context, depth queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	// Before the queue is read: it may be long because the system is down.
	var down, unseen string
	if s.filesAlone {
		down, unseen = s.downByFiles(ctx)
	} else {
		down = s.down(ctx)
	}
	facts, err := s.Spool.Read(ctx, depth, visit)
	if _, ok := errors.AsType[*spool.NotQueueDirError](err); !ok {
		facts.Down, facts.Unseen = down, unseen // in any other directory a missing socket proves nothing
	}
	return facts, err
}

// connectTimeout is for a connection on the same host: it succeeds at once, or the other side's backlog is full.
const connectTimeout = time.Second

// mailSystem is where the services of an instance listen.
type mailSystem struct {
	queueDir    string // empty: unknown
	qmgr, showq string // the names that master.cf has for them; empty: the usual ones
}

func (m mailSystem) qmgrSocket() string {
	return filepath.Join(m.queueDir, "public", cmp.Or(m.qmgr, "qmgr"))
}

func (m mailSystem) showqSocket() string {
	return filepath.Join(m.queueDir, "public", cmp.Or(m.showq, "showq"))
}

// down says why the mail system is known to be down: nothing listens for the queue manager, nor for showq. It is
// empty if something does, and if that cannot be found out. The master listens before the queue manager
// first starts and between its runs, and a connection leaves no trace in its log.
func (m mailSystem) down(ctx context.Context) string {
	reason := refusal(m.qmgrSocket(), connect(ctx, m.qmgrSocket()))
	if reason != "" && connect(ctx, m.showqSocket()) == nil {
		return "" // master.cf lacks the queue manager, or has another name for it
	}
	return reason
}

// downByFiles is like down, for an instance of which only the queue directory is known. A socket without a listener means
// down. A missing socket may have another name or not be mounted, and one without permission proves nothing: unseen then
// says why.
func (m mailSystem) downByFiles(ctx context.Context) (down, unseen string) {
	for _, path := range []string{m.showqSocket(), m.qmgrSocket()} {
		err := connect(ctx, path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			unseen = path + " does not exist"
		case errors.Is(err, os.ErrPermission):
			unseen = "no permission to connect to " + path
		case refusal(path, err) != "":
			down = refusal(path, err)
		default:
			return "", ""
		}
	}
	if down != "" {
		return down, ""
	}
	return "", unseen
}

// unreachable says what it means that nothing listens for showq, for the given reason. If the queue manager is
// there, showq alone is missing; only those who may enter the directory of the sockets can find that out.
func (m mailSystem) unreachable(ctx context.Context, reason string, instance queue.Instance) error {
	if !m.runs(ctx) {
		return &queue.DownError{Reason: reason, Instance: instance}
	}
	return fmt.Errorf("the mail system runs, but nothing listens on %s; enable showq in master.cf and reload Postfix",
		m.showqSocket())
}

// runs reports whether the mail system is known to run: something listens for the queue manager.
func (m mailSystem) runs(ctx context.Context) bool {
	return m.queueDir != "" && connect(ctx, m.qmgrSocket()) == nil
}

// connect returns an error unless something listens at path.
func connect(ctx context.Context, path string) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		// master.cf may say fifo, as it did before Postfix 2.10.
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	conn, err := dialUnix(ctx, path)
	if err != nil {
		return err
	}
	return conn.Close()
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
