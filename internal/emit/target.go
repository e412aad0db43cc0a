package emit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxDatagram is how many bytes go into one datagram: what fits into an
// Ethernet frame with every header there may be.
const maxDatagram = 1432

// Target is where a document goes.
type Target interface {
	// Send delivers the document, or says why not.
	Send(ctx context.Context, document []byte) error
	String() string
}

// ParseTarget reads the value of --to: - for stdout; the path of a file, which
// has a slash; or udp://HOST:PORT, where udp:// alone is STATSD_HOST and
// STATSD_PORT of the environment, or what statsd listens on by default.
func ParseTarget(text string, stdout io.Writer, getenv func(string) string) (Target, error) {
	address, isUDP := strings.CutPrefix(text, "udp://")
	switch {
	case text == "-":
		return Stdout{stdout}, nil
	case !isUDP && strings.Contains(text, "/") && !strings.Contains(text, "://"):
		return File(text), nil
	case !isUDP:
		return nil, fmt.Errorf("%s is no target; it is - (standard output), a path with a slash, udp://HOST:PORT or udp://", text)
	case address == "":
		address = net.JoinHostPort(orDefault(getenv("STATSD_HOST"), "127.0.0.1"), orDefault(getenv("STATSD_PORT"), "8125"))
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("%s is no target; a UDP target is udp://HOST:PORT", text)
	}
	return UDP(address), nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// Stdout is standard output.
type Stdout struct{ w io.Writer }

// Send writes the document at once.
func (s Stdout) Send(_ context.Context, document []byte) error {
	_, err := s.w.Write(document)
	return err
}

func (Stdout) String() string { return "standard output" }

// File is the path of a file. It is replaced as a whole: whoever reads it
// finds the old document or the new one, at any moment and after a crash.
type File string

// Send writes the file, with mode 0644.
func (path File) Send(_ context.Context, document []byte) error {
	return path.write(document, 0o644)
}

// PrivateFile is a File that not everybody may read: it has addresses in it.
type PrivateFile struct{ File }

// Send writes the file, with mode 0640.
func (f PrivateFile) Send(_ context.Context, document []byte) error {
	return f.write(document, 0o640)
}

func (path File) write(document []byte, mode os.FileMode) (err error) {
	// Neither a link nor a device, such as /dev/null, is to become a file.
	switch info, err := os.Stat(string(path)); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("cannot write %s: it is no regular file; standard output is -", path)
	case err == nil:
		if resolved, err := filepath.EvalSymlinks(string(path)); err == nil {
			path = File(resolved)
		}
	}
	// In the same directory, for the rename; hidden from those who take every
	// file of a certain ending.
	f, err := os.CreateTemp(filepath.Dir(string(path)), "."+filepath.Base(string(path))+".new-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if _, err := f.Write(document); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), string(path))
}

func (path File) String() string { return string(path) }

// UDP is the address, HOST:PORT, of a receiver of datagrams.
type UDP string

// Send sends whole lines, in as few datagrams as possible.
func (address UDP) Send(ctx context.Context, document []byte) error {
	if err := sendDatagrams(ctx, string(address), document); err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err // without the addresses, which are said already
		}
		return fmt.Errorf("cannot send to %s: %w", address, err)
	}
	return nil
}

func (address UDP) String() string { return "udp://" + string(address) }

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
