package emit

import (
	"bytes"
	"cmp"
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

// maxDatagram is how many bytes go into one datagram: what fits into an
// Ethernet frame with every header there may be.
const maxDatagram = 1432

// refusalWait is how long is waited for what the receiver may have against what
// was sent last. On the same host it is there at once.
const refusalWait = 5 * time.Millisecond

// endWait is how long a receiver of a stream has to read it to its end. Not
// every one says when it has.
const endWait = 500 * time.Millisecond

// Datagram is a receiver of datagrams: its network, udp or unixgram, and its
// address, HOST:PORT or the path of its socket.
type Datagram struct{ network, address string }

func (d Datagram) String() string { return d.network + "://" + d.address }

// Send sends whole lines, in as few datagrams as possible, to the first of the
// host's addresses that does not refuse them.
func (d Datagram) Send(ctx context.Context, document []byte) error {
	addresses, err := d.addresses(ctx)
	if err != nil {
		return cannotSend(d, "", err)
	}
	return d.sendTo(ctx, addresses, document)
}

// addresses returns all that the name of the host stands for. A dialer would
// take the first: without a connection, none ever fails.
func (d Datagram) addresses(ctx context.Context) ([]string, error) {
	if d.network != "udp" {
		return []string{d.address}, nil
	}
	host, port, err := net.SplitHostPort(d.address)
	if err != nil {
		return nil, err
	}
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, host := range hosts {
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, nil
}

func (d Datagram) sendTo(ctx context.Context, addresses []string, document []byte) error {
	var err error
	for _, address := range addresses {
		err = send(ctx, d.network, address, func(conn net.Conn) error { return d.write(conn, document) })
		if err == nil {
			return nil
		}
		err = cannotSend(d, address, err)
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func (d Datagram) write(conn net.Conn, document []byte) error {
	for _, datagram := range Datagrams(document) {
		if _, err := conn.Write(datagram); err != nil {
			return err
		}
	}
	if d.network == "unixgram" {
		return nil // what is refused, is at once
	}
	_, err := awaitEnd(conn, refusalWait)
	return err
}

// Stream is a receiver of a stream of bytes: its network, tcp or unix, and its
// address, HOST:PORT or the path of its socket.
type Stream struct{ network, address string }

func (s Stream) String() string { return s.network + "://" + s.address }

// Send sends the document and the end of the stream. Whether all of it was read
// cannot be known for certain. But a receiver that resets the connection, as one
// that goes away with something unread does, has not read it.
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
	var notEnded error // as where there is a reset, which has a better name
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		notEnded = half.CloseWrite()
	}
	ended, err := awaitEnd(conn, endWait)
	if tcp, ok := conn.(*net.TCPConn); ok && ended {
		err = awaitReset(tcp, endWait)
	}
	return cmp.Or(err, notEnded)
}

// awaitReset waits until the connection is gone on both sides, and returns how
// it was reset, if it was. Reading does not say so where the receiver ended its
// side before.
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

// send calls write with a connection that lasts no longer than ctx.
func send(ctx context.Context, network, address string, write func(net.Conn) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only where it is closed
	})
	defer stop()
	return write(conn)
}

// cannotSend says what was attempted, with the address where the target has
// another name for it, what happened, and what may mend it.
func cannotSend(target Target, address string, err error) error {
	to := target.String()
	if address != "" && !strings.HasSuffix(to, "://"+address) {
		to += " (" + address + ")"
	}
	// Without the addresses, which are said already, however often. In what a
	// lookup says there may be those of a server of names.
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
	dns, isLookup := errors.AsType[*net.DNSError](err)
	switch {
	case isLookup && dns.Timeout():
		return "; the server of names does not answer"
	case isLookup:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return "; does the receiver run?"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ENOTCONN):
		return "; its log may say why"
	case errors.Is(err, syscall.EPROTOTYPE):
		return "; unixgram:// is for a socket of datagrams, unix:// for one of streams"
	case errors.Is(err, syscall.EACCES):
		return "; its owner or mode keeps this user out"
	case errors.As(err, &slow) && slow.Timeout():
		return "; the receiver does not answer or does not read"
	}
	return ""
}

// awaitEnd waits that long for the receiver to end the connection, and reports
// whether it did, or what it has against what was sent. Nothing is ever received.
func awaitEnd(conn net.Conn, patience time.Duration) (ended bool, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// Datagrams divides a document of lines into as few datagrams as possible,
// none larger than 1432 bytes unless a single line is, and none with a part of
// a line.
func Datagrams(document []byte) [][]byte {
	var datagrams [][]byte
	for len(document) > 0 {
		end := len(document)
		if end > maxDatagram {
			end = bytes.LastIndexByte(document[:maxDatagram], '\n') + 1
			if end == 0 {
				end = bytes.IndexByte(document, '\n') + 1
			}
			if end == 0 {
				end = len(document)
			}
		}
		datagrams = append(datagrams, document[:end])
		document = document[end:]
	}
	return datagrams
}
