package deliver

import (
	"cmp"
	"net"
	"net/netip"
	"strings"
)

// The variables that say where StatsD listens, and those of Datadog's clients.
const (
	statsdHost    = "STATSD_HOST"
	statsdPort    = "STATSD_PORT"
	datadogURL    = "DD_DOGSTATSD_URL"
	datadogHost   = "DD_AGENT_HOST"
	datadogPort   = "DD_DOGSTATSD_PORT"
	localHost     = "127.0.0.1"
	standardPort  = "8125"
	wantedURL     = "udp://HOST[:PORT] or unix:///PATH"
	wantedHost    = "a host name or an address"
	portElsewhere = "; the port goes into "
)

// FromEnvironment returns where StatsD listens according to the environment, 127.0.0.1:8125 if that does not say;
// with datadog, the variables of Datadog's clients come first. Whoever sets the environment need not be whoever
// runs the program: it can name a receiver of datagrams, but never a file.
func FromEnvironment(getenv func(string) string, datadog bool) (Datagram, error) {
	switch {
	case datadog && getenv(datadogURL) != "":
		return fromURL(getenv(datadogURL), getenv)
	case datadog && (getenv(datadogHost) != "" || getenv(datadogPort) != ""):
		return fromHost(datadogHost, datadogPort, getenv)
	}
	return fromHost(statsdHost, statsdPort, getenv)
}

// fromURL reads DD_DOGSTATSD_URL as Datadog's clients do. Their unix:// is a datagram socket: for streams
// DogStatsD has a framing of its own.
func fromURL(url string, getenv func(string) string) (Datagram, error) {
	network, address, _ := strings.Cut(url, "://")
	switch network {
	case "unix", "unixgram":
		if !isSocketPath(address) {
			return Datagram{}, invalid(datadogURL, url, network+":// and "+socketPath)
		}
		return Datagram{"unixgram", address}, nil
	case "udp":
		host, port, err := net.SplitHostPort(address)
		if err != nil { // without a port
			if port, err = portOf(datadogPort, getenv); err != nil {
				return Datagram{}, err
			}
			host = withoutBrackets(address)
		}
		switch {
		case !isHost(host):
			return Datagram{}, invalid(datadogURL, url, wantedURL)
		case !isPort(port):
			return Datagram{}, invalid(datadogURL, url, portRange)
		}
		return Datagram{"udp", net.JoinHostPort(host, port)}, nil
	}
	return Datagram{}, invalid(datadogURL, url, wantedURL)
}

func fromHost(hostName, portName string, getenv func(string) string) (Datagram, error) {
	text := cmp.Or(getenv(hostName), localHost)
	host := withoutBrackets(text)
	if !isHost(host) {
		return Datagram{}, invalid(hostName, text, wantedHost+portElsewhere+portName)
	}
	port, err := portOf(portName, getenv)
	if err != nil {
		return Datagram{}, err
	}
	return Datagram{"udp", net.JoinHostPort(host, port)}, nil
}

func portOf(name string, getenv func(string) string) (string, error) {
	port := cmp.Or(getenv(name), standardPort)
	if !isPort(port) {
		return "", invalid(name, port, portRange)
	}
	return port, nil
}

// isHost reports whether a text can be a host name, or is an address. The zone of an address is the name of an
// interface.
func isHost(text string) bool {
	const separators = ":/[]"
	if address, err := netip.ParseAddr(text); err == nil {
		return !strings.ContainsAny(address.Zone(), separators)
	}
	return text != "" && !strings.ContainsAny(text, separators)
}

// withoutBrackets returns an address as it is written when no port follows.
func withoutBrackets(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}
