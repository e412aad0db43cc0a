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
)

// connectTimeout is for a connection on the same host: it is there at once, or
// the other side's backlog is full.
const connectTimeout = time.Second

// qmgrDown says why the mail system of a queue directory is known to be down:
// nobody listens for the queue manager. It is empty when somebody does, and when
// that cannot be found out. The master listens before and between the lives of
// the queue manager itself, and a connection leaves no trace in its log.
func qmgrDown(ctx context.Context, queueDir string) string {
	path := filepath.Join(queueDir, "public", "qmgr")
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		// master.cf may say fifo, as it did before Postfix 2.10.
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return refusal(path, err)
	}
	if err != nil {
		return refusal(path, err)
	}
	conn, err := dialUnix(ctx, path)
	if err == nil {
		conn.Close()
	}
	return refusal(path, err)
}

// refusal says that nobody listens at path if that is what the error means.
func refusal(path string, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENXIO):
		return "nobody listens on " + path
	case errors.Is(err, os.ErrNotExist):
		return path + " does not exist"
	}
	return ""
}

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", path)
}
