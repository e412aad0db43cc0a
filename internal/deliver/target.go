// Package deliver sends a document to where --to says: standard output, a file, a socket. It knows nothing of
// what is in the document.
package deliver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
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
// or tcp://HOST:PORT; unixgram:///PATH or unix:///PATH, a datagram or a stream socket. udp:// alone stands for
// STATSD_HOST and STATSD_PORT of the environment; they default to 127.0.0.1 and 8125.
func ParseTarget(text string, stdout io.Writer, getenv func(string) string) (Target, error) {
	network, address, isURL := strings.Cut(text, "://")
	switch {
	case text == "-":
		return Stdout{stdout}, nil
	case !isURL && strings.Contains(text, "/"):
		return File(text), nil
	case text == "udp://":
		var err error
		if address, err = statsdAddress(getenv); err != nil {
			return nil, err
		}
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
		if !strings.HasPrefix(address, "/") || len(address) > maxSocketPath {
			return nil, invalidTarget(text, fmt.Sprintf("%s:// and an absolute path of at most %d bytes", network, maxSocketPath))
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

func invalidTarget(text, want string) error {
	return fmt.Errorf(`invalid target "%s": want %s`, text, want)
}

const portRange = "a port from 1 to 65535"

// statsdAddress returns where StatsD listens according to the environment.
func statsdAddress(getenv func(string) string) (string, error) {
	host, port := cmp.Or(getenv("STATSD_HOST"), "127.0.0.1"), cmp.Or(getenv("STATSD_PORT"), "8125")
	if _, err := netip.ParseAddr(withoutBrackets(host)); err != nil && strings.Contains(host, ":") {
		return "", fmt.Errorf(`invalid STATSD_HOST "%s": want a host name or an address; the port goes into STATSD_PORT`, host)
	}
	if !isPort(port) {
		return "", fmt.Errorf(`invalid STATSD_PORT "%s": want %s`, port, portRange)
	}
	return net.JoinHostPort(withoutBrackets(host), port), nil
}

func isPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number > 0
}

// withoutBrackets returns an address as it is written when no port follows.
func withoutBrackets(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}

// DatadogTarget returns where DogStatsD listens according to the environment, in the form that ParseTarget takes;
// empty if the environment does not say. It reads the variables as Datadog's clients do. Their unix:// is a
// datagram socket: for streams DogStatsD has a framing of its own.
func DatadogTarget(getenv func(string) string) string {
	port := cmp.Or(getenv("DD_DOGSTATSD_PORT"), "8125")
	url, host := getenv("DD_DOGSTATSD_URL"), getenv("DD_AGENT_HOST")
	if path, ok := strings.CutPrefix(url, "unix://"); ok {
		return "unixgram://" + path
	}
	if address, ok := strings.CutPrefix(url, "udp://"); ok {
		if _, _, err := net.SplitHostPort(address); err == nil {
			return url
		}
		return "udp://" + net.JoinHostPort(withoutBrackets(address), port)
	}
	switch {
	case url != "":
		return url
	case host != "" || getenv("DD_DOGSTATSD_PORT") != "":
		return "udp://" + net.JoinHostPort(withoutBrackets(cmp.Or(host, "127.0.0.1")), port)
	}
	return ""
}

// Stdout is standard output.
type Stdout struct{ w io.Writer }

// Send writes the document in one call.
func (s Stdout) Send(_ context.Context, document []byte) error {
	_, err := s.w.Write(document)
	return err
}

func (Stdout) String() string { return "standard output" }
