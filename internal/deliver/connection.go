package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

func send(ctx context.Context, network, address string, write func(net.Conn) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only if it is closed
	})
	defer stop()
	return write(conn)
}

// awaitClose waits up to patience for the peer to close, and reports whether it did. The error is the peer's
// refusal. Nothing is ever received.
func awaitClose(conn net.Conn, patience time.Duration) (closed bool, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// cannotSend says what was attempted, with the address if the target does not show it, what happened, and what
// may mend it.
func cannotSend(target Target, address string, err error) error {
	to := target.String()
	if address != "" && !strings.HasSuffix(to, "://"+address) {
		to += " (" + address + ")"
	}
	// Addresses are dropped: they have been said. A lookup error keeps those of the DNS server.
	dns, isLookup := errors.AsType[*net.DNSError](err)
	if isLookup {
		err = dns
	}
	for op, ok := errors.AsType[*net.OpError](err); ok && !isLookup; op, ok = errors.AsType[*net.OpError](err) {
		err = op.Err
	}
	return fmt.Errorf("cannot send to %s: %w%s", to, err, remedy(err))
}

func remedy(err error) string {
	var slow interface{ Timeout() bool }
	switch dns, isLookup := errors.AsType[*net.DNSError](err); {
	case isLookup && dns.Timeout():
		return "; the DNS server does not answer"
	case isLookup:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "; is the receiver running?"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ENOTCONN):
		return "; the receiver's log may say why"
	case errors.Is(err, syscall.EPROTOTYPE):
		return "; unixgram:// is for a datagram socket, unix:// for a stream socket"
	case errors.Is(err, syscall.EACCES):
		return "; the socket's owner or mode does not admit this user"
	case errors.As(err, &slow) && slow.Timeout():
		return "; the receiver does not answer or does not read"
	}
	return ""
}
