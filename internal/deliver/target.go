// Package deliver sends a document to where --to says: standard output, a file, a socket. It knows nothing of
// what is in the document.
package deliver

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Target is where a document goes.
type Target interface {
	// Send delivers the document, or says why it cannot.
	Send(ctx context.Context, document []byte) error
	String() string
}

// maxSocketPath is the length limit of a socket's path, in bytes: unix(7), sun_path.
const maxSocketPath = 107

// ParseTarget reads the value of --to: - for stdout; the path of a file, which contains a slash; udp://HOST:PORT
// or tcp://HOST:PORT; unixgram:///PATH or unix:///PATH, a datagram or a stream socket.
func ParseTarget(text string, stdout io.Writer) (Target, error) {
	network, address, isURL := strings.Cut(text, "://")
	switch {
	case text == "-":
		return Stdout{stdout}, nil
	case hasOneSlash(text):
		return nil, invalidTarget(text, withTwoSlashes(text))
	case !isURL && strings.Contains(text, "/"):
		return File(text), nil
	}
	switch network {
	case "udp", "tcp":
		switch host, port, err := net.SplitHostPort(address); {
		case err != nil || host == "" || port == "":
			return nil, invalidTarget(text, network+"://HOST:PORT")
		case !isPort(port):
			return nil, invalidTarget(text, portRange)
		}
	case "unix", "unixgram":
		if !isSocketPath(address) {
			return nil, invalidTarget(text, fmt.Sprintf("%s:// and %s", network, socketPath))
		}
	default:
		return nil, invalidTarget(text, "- (standard output), a path with a slash, udp://HOST:PORT, udp://, "+
			"tcp://HOST:PORT, unix:///PATH or unixgram:///PATH")
	}
	if network == "udp" || network == "unixgram" {
		return Datagram{network, address}, nil
	}
	return Stream{network, address}, nil
}

// hasOneSlash reports whether the text is a URL but for a slash, and not the name of a file.
func hasOneSlash(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":/")
	return ok && !strings.HasPrefix(rest, "/") && slices.Contains([]string{"udp", "tcp", "unix", "unixgram"}, scheme)
}

func withTwoSlashes(text string) string {
	scheme, rest, _ := strings.Cut(text, ":/")
	if strings.HasPrefix(scheme, "unix") {
		return fmt.Sprintf("two slashes and an absolute path, as in %s:///%s", scheme, rest)
	}
	return fmt.Sprintf("two slashes, as in %s://%s", scheme, rest)
}

func invalidTarget(text, want string) error { return invalid("target", text, want) }

func invalid(what, text, want string) error {
	return fmt.Errorf(`invalid %s "%s": want %s`, what, text, want)
}

const portRange = "a port from 1 to 65535"

func isPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number > 0
}

var socketPath = fmt.Sprintf("an absolute path of at most %d bytes", maxSocketPath)

func isSocketPath(text string) bool {
	return strings.HasPrefix(text, "/") && len(text) <= maxSocketPath
}

// Stdout is standard output.
type Stdout struct{ Writer io.Writer }

// Send writes the document in one call. The writer limits how long that takes.
func (s Stdout) Send(_ context.Context, document []byte) error {
	if _, err := s.Writer.Write(document); err != nil {
		return fmt.Errorf("cannot write to %s: %w", s, err)
	}
	return nil
}

func (Stdout) String() string { return "standard output" }
