package deliver

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// endWait is how long a receiver has to read a stream to its end. Not every receiver says when it has.
const endWait = 500 * time.Millisecond

// Stream is a receiver of a stream of bytes: its network, tcp or unix, and its address, HOST:PORT or the path of
// a socket.
type Stream struct{ network, address string }

func (s Stream) String() string { return s.network + "://" + s.address }

// Send sends the document and the end of the stream. Nothing proves that the receiver has read all of it. But a
// receiver that resets the connection, as one does that goes away with something unread, has not.
func (s Stream) Send(ctx context.Context, document []byte) error {
	err := send(ctx, s.network, s.address, func(conn net.Conn) error { return writeStream(conn, document) })
	if err != nil {
		return cannotSend(s, s.address, err)
	}
	return nil
}

func writeStream(conn net.Conn, document []byte) error {
	if _, err := conn.Write(document); err != nil {
		return err
	}
	var notEnded error // also set after a reset, which awaitReset names better
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		notEnded = half.CloseWrite()
	}
	closed, err := awaitClose(conn, endWait)
	if tcp, ok := conn.(*net.TCPConn); ok && closed {
		err = awaitReset(tcp, endWait)
	}
	return cmp.Or(err, notEnded)
}

// awaitReset waits until the connection is closed on both sides, and returns the reset, if there was one. Read
// does not report it if the receiver had closed its side before.
func awaitReset(conn *net.TCPConn, patience time.Duration) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	var reset error
	err = raw.Read(func(fd uintptr) (isGone bool) {
		if _, err := syscall.Getpeername(int(fd)); err == nil {
			return false
		}
		if code, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR); err == nil && code != 0 {
			reset = os.NewSyscallError("write", syscall.Errno(code))
		}
		return true
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return reset
}
