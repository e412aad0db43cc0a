package deliver

import (
	"fmt"
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
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text, io.Discard)
		if err != nil {
			if target != nil || err.Error() == "" {
				t.Errorf("%q: target %v, error %q", text, target, err)
			}
			return
		}
		checkTarget(t, text, target)
	})
}

// Nothing in the environment leads to anything but a receiver of datagrams, and an error names the variable.
func FuzzFromEnvironment(f *testing.F) {
	f.Add("DD_DOGSTATSD_URL", "udp://h:1", "", true)
	f.Add("DD_DOGSTATSD_URL", "udp://[::1]", "9", true)
	f.Add("DD_DOGSTATSD_URL", "unix:///run/s", "", true)
	f.Add("DD_DOGSTATSD_URL", "unixstream:///run/s", "", true)
	f.Add("DD_DOGSTATSD_URL", "/tmp/v", "", true)
	f.Add("DD_AGENT_HOST", "::1", "8125", true)
	f.Add("STATSD_HOST", "fe80::1%eth0", "9125", false)
	f.Add("STATSD_HOST", "h:1", "x", false)
	f.Fuzz(func(t *testing.T, variable, value, port string, datadog bool) {
		env := environment{"STATSD_PORT": port, "DD_DOGSTATSD_PORT": port, variable: value}
		target, err := FromEnvironment(env.getenv, datadog)
		if err != nil {
			named := false
			for _, name := range []string{statsdHost, statsdPort, datadogURL, datadogHost, datadogPort} {
				named = named || strings.HasPrefix(err.Error(), "invalid "+name+` "`+env[name]+`": want `)
			}
			if !named || target != (Datagram{}) {
				t.Errorf("%v: target %v, error %q", env, target, err)
			}
			return
		}
		checkTarget(t, fmt.Sprint(env), target)
		if target.network == "unixgram" && !strings.HasSuffix(env[datadogURL], "://"+target.address) {
			t.Errorf("%v: target %v", env, target)
		}
	})
}
