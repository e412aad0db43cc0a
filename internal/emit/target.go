package emit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// maxDatagram is how many bytes go into one datagram: what fits into an
// Ethernet frame with every header there may be.
const maxDatagram = 1432

// Target is where a document goes.
type Target struct {
	address string    // host:port of a UDP receiver, or empty
	stdout  io.Writer // where there is no address
}

// ParseTarget reads the value of --to: - for stdout, or udp://HOST:PORT, where
// udp:// alone is STATSD_HOST and STATSD_PORT of the environment, or what
// statsd listens on by default.
func ParseTarget(text string, stdout io.Writer, getenv func(string) string) (Target, error) {
	if text == "-" {
		return Target{stdout: stdout}, nil
	}
	address, ok := strings.CutPrefix(text, "udp://")
	if !ok {
		return Target{}, fmt.Errorf("%s is no target; it is - (standard output), udp://HOST:PORT or udp://", text)
	}
	if address == "" {
		address = net.JoinHostPort(orDefault(getenv("STATSD_HOST"), "127.0.0.1"), orDefault(getenv("STATSD_PORT"), "8125"))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return Target{}, fmt.Errorf("%s is no target; a UDP target is udp://HOST:PORT", text)
	}
	return Target{address: address}, nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// IsStdout reports whether the target is standard output.
func (t Target) IsStdout() bool { return t.address == "" }

func (t Target) String() string {
	if t.IsStdout() {
		return "standard output"
	}
	return "udp://" + t.address
}

// Send delivers the document: as a whole to standard output, in datagrams of
// whole lines over UDP.
func (t Target) Send(ctx context.Context, document []byte) error {
	if t.IsStdout() {
		_, err := t.stdout.Write(document)
		return err
	}
	if err := sendDatagrams(ctx, t.address, document); err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err // without the addresses, which are said already
		}
		return fmt.Errorf("cannot send to %s: %w", t, err)
	}
	return nil
}

// refusalWait is how long a refusal of the last datagram is waited for. On the
// same host it is there at once.
const refusalWait = 5 * time.Millisecond

func sendDatagrams(ctx context.Context, address string, document []byte) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, datagram := range Datagrams(document) {
		if _, err := conn.Write(datagram); err != nil {
			return err
		}
	}
	// Nothing is ever received; but a refused datagram is reported here.
	if err := conn.SetReadDeadline(time.Now().Add(refusalWait)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
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
