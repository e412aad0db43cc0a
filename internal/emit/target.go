package emit

import (
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
	// Send delivers the document, or says why not.
	Send(ctx context.Context, document []byte) error
	String() string
}

// maxSocketPath is how long the path of a socket can be: unix(7), sun_path.
const maxSocketPath = 107

// ParseTarget reads the value of --to: - for stdout; the path of a file, which
// has a slash; udp://HOST:PORT or tcp://HOST:PORT; unixgram:///PATH or
// unix:///PATH, a socket of datagrams or of streams. udp:// alone is STATSD_HOST
// and STATSD_PORT of the environment, or what statsd listens on by default.
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
			return nil, fmt.Errorf("%s is no target; it would be %s://HOST:PORT", text, network)
		case !isPort(port):
			return nil, fmt.Errorf("%s is no target: %s is no number of a port", text, port)
		}
	case "unix", "unixgram":
		if !strings.HasPrefix(address, "/") || len(address) > maxSocketPath {
			return nil, fmt.Errorf("%s is no target; it would be %s:// and an absolute path of at most %d bytes", text, network, maxSocketPath)
		}
	default:
		return nil, fmt.Errorf("%s is no target; it is - (standard output), a path with a slash, udp://HOST:PORT, udp://, tcp://HOST:PORT, unix:///PATH or unixgram:///PATH", text)
	}
	if network == "udp" || network == "unixgram" {
		return Datagram{network, address}, nil
	}
	return Stream{network, address}, nil
}

// statsdAddress returns where the environment says that StatsD listens.
func statsdAddress(getenv func(string) string) (string, error) {
	host, port := orDefault(getenv("STATSD_HOST"), "127.0.0.1"), orDefault(getenv("STATSD_PORT"), "8125")
	if _, err := netip.ParseAddr(withoutBrackets(host)); err != nil && strings.Contains(host, ":") {
		return "", fmt.Errorf("STATSD_HOST is %s, and that is no host; its port goes into STATSD_PORT", host)
	}
	if !isPort(port) {
		return "", fmt.Errorf("STATSD_PORT is %s, and that is no number of a port", port)
	}
	return net.JoinHostPort(withoutBrackets(host), port), nil
}

func isPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number > 0
}

// withoutBrackets returns an address as it is written where no port follows.
func withoutBrackets(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}

// DatadogTarget returns what the environment says, as the clients of Datadog
// read it, of where DogStatsD listens, as ParseTarget takes it; empty where it
// says nothing. A unix:// of theirs is a socket of datagrams: streams have a
// framing of their own there.
func DatadogTarget(getenv func(string) string) string {
	port := orDefault(getenv("DD_DOGSTATSD_PORT"), "8125")
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
		return "udp://" + net.JoinHostPort(withoutBrackets(orDefault(host, "127.0.0.1")), port)
	}
	return ""
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
