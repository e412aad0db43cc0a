package deliver

import (
	"io"
	"net"
	"strings"
	"testing"
)

// checkAddress fails unless the address can be dialed as far as its form goes.
func checkAddress(t *testing.T, text, network, address string) {
	t.Helper()
	switch network {
	case "udp", "tcp":
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || !isPort(port) {
			t.Errorf("%q: address %q, %v", text, address, err)
		}
	case "unix", "unixgram":
		if !strings.HasPrefix(address, "/") || len(address) > maxSocketPath {
			t.Errorf("%q: path %q", text, address)
		}
	default:
		t.Errorf("%q: network %q", text, network)
	}
}

func checkTarget(t *testing.T, text string, target Target) {
	t.Helper()
	switch target := target.(type) {
	case Datagram:
		checkAddress(t, text, target.network, target.address)
		if target.network != "udp" && target.network != "unixgram" {
			t.Errorf("%q: datagrams by %s", text, target.network)
		}
	case Stream:
		checkAddress(t, text, target.network, target.address)
		if target.network != "tcp" && target.network != "unix" {
			t.Errorf("%q: a stream by %s", text, target.network)
		}
	case File:
		if string(target) != text || !strings.Contains(text, "/") || strings.Contains(text, "://") {
			t.Errorf("%q: file %q", text, target)
		}
	case Stdout:
		if text != "-" {
			t.Errorf("%q: standard output", text)
		}
	default:
		t.Errorf("%q: target %v", text, target)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, text := range []string{
		"-", "udp://", "udp://h:1", "udp://[::1]:8125", "tcp://h:2003", "unix:///run/s", "unixgram:///run/s", "./x",
		"/x", "http://h:1",
	} {
		f.Add(text, "", "")
	}
	f.Add("udp://", "fe80::1%eth0", "9125")
	f.Add("udp://", "[::1]", "")
	f.Add("udp://", "h:1", "x")
	f.Fuzz(func(t *testing.T, text, host, port string) {
		env := map[string]string{"STATSD_HOST": host, "STATSD_PORT": port}
		target, err := ParseTarget(text, io.Discard, func(name string) string { return env[name] })
		if err != nil {
			if target != nil || err.Error() == "" {
				t.Errorf("%q: target %v, error %q", text, target, err)
			}
			return
		}
		checkTarget(t, text, target)
	})
}

func FuzzDatadogTarget(f *testing.F) {
	f.Add("udp://h:1", "", "")
	f.Add("udp://[::1]", "", "9")
	f.Add("unix:///run/s", "h", "")
	f.Add("unixstream:///run/s", "", "")
	f.Add("", "::1", "8125")
	f.Fuzz(func(t *testing.T, url, host, port string) {
		env := map[string]string{"DD_DOGSTATSD_URL": url, "DD_AGENT_HOST": host, "DD_DOGSTATSD_PORT": port}
		getenv := func(name string) string { return env[name] }
		text := DatadogTarget(getenv)
		if text == "" {
			if url+host+port != "" {
				t.Errorf("%q, %q and %q do not count", url, host, port)
			}
			return
		}
		target, err := ParseTarget(text, io.Discard, getenv)
		if err != nil {
			return
		}
		checkTarget(t, text, target)
		if _, isDatagram := target.(Datagram); !isDatagram && text != url {
			t.Errorf("%q, %q and %q: target %v", url, host, port, target)
		}
	})
}
