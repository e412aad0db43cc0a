package deliver

import (
	"strings"
	"testing"
)

type environment map[string]string

func (e environment) getenv(name string) string { return e[name] }

func TestFromEnvironment(t *testing.T) {
	tests := []struct {
		name    string
		env     environment
		datadog bool
		want    string
	}{
		{"nothing", nil, false, "udp://127.0.0.1:8125"},
		{"host", environment{"STATSD_HOST": "statsd.example.com"}, false, "udp://statsd.example.com:8125"},
		{"address and port", environment{"STATSD_HOST": "::1", "STATSD_PORT": "9125"}, false, "udp://[::1]:9125"},
		{"address in brackets", environment{"STATSD_HOST": "[::1]"}, false, "udp://[::1]:8125"},
		{"address with a zone", environment{"STATSD_HOST": "fe80::1%eth0"}, false, "udp://[fe80::1%eth0]:8125"},
		{"Datadog's without its style", environment{"DD_DOGSTATSD_URL": "udp://dd"}, false, "udp://127.0.0.1:8125"},

		{"Datadog: nothing", nil, true, "udp://127.0.0.1:8125"},
		{"Datadog: StatsD's", environment{"STATSD_HOST": "a"}, true, "udp://a:8125"},
		{"Datadog: host", environment{"DD_AGENT_HOST": "dd", "STATSD_HOST": "a"}, true, "udp://dd:8125"},
		{"Datadog: host and port", environment{"DD_AGENT_HOST": "::1", "DD_DOGSTATSD_PORT": "9"}, true, "udp://[::1]:9"},
		{"Datadog: address in brackets", environment{"DD_AGENT_HOST": "[::1]"}, true, "udp://[::1]:8125"},
		{"Datadog: port", environment{"DD_DOGSTATSD_PORT": "9"}, true, "udp://127.0.0.1:9"},
		{"URL before host", environment{"DD_DOGSTATSD_URL": "udp://a:1", "DD_AGENT_HOST": "b"}, true, "udp://a:1"},
		{"URL with its port", environment{"DD_DOGSTATSD_URL": "udp://a:1", "DD_DOGSTATSD_PORT": "x"}, true, "udp://a:1"},
		{"URL without a port", environment{"DD_DOGSTATSD_URL": "udp://a"}, true, "udp://a:8125"},
		{"URL and port", environment{"DD_DOGSTATSD_URL": "udp://a", "DD_DOGSTATSD_PORT": "9"}, true, "udp://a:9"},
		{"URL of an address", environment{"DD_DOGSTATSD_URL": "udp://[::1]"}, true, "udp://[::1]:8125"},
		{"URL of an address with a port", environment{"DD_DOGSTATSD_URL": "udp://[::1]:9"}, true, "udp://[::1]:9"},
		{"socket", environment{"DD_DOGSTATSD_URL": "unix:///run/dd.sock"}, true, "unixgram:///run/dd.sock"},
		{"socket of datagrams", environment{"DD_DOGSTATSD_URL": "unixgram:///run/dd.sock"}, true, "unixgram:///run/dd.sock"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FromEnvironment(tt.env.getenv, tt.datadog)
			if err != nil || got.String() != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestEnvironmentThatNamesNoReceiver(t *testing.T) {
	const (
		host = "a host name or an address; the port goes into "
		url  = "udp://HOST[:PORT] or unix:///PATH"
		port = "a port from 1 to 65535"
	)
	tests := []struct{ variable, value, want string }{
		{"STATSD_PORT", "x", port},
		{"STATSD_HOST", "h:1", host + "STATSD_PORT"},
		{"STATSD_HOST", "[::1]:1", host + "STATSD_PORT"},
		{"STATSD_HOST", "fe80::1%eth[0", host + "STATSD_PORT"},
		{"STATSD_HOST", "fe80::1%:1", host + "STATSD_PORT"},
		{"STATSD_HOST", "udp://h", host + "STATSD_PORT"},
		{"STATSD_HOST", "/tmp/x", host + "STATSD_PORT"},
		{"DD_AGENT_HOST", "h:1", host + "DD_DOGSTATSD_PORT"},
		{"DD_AGENT_HOST", "unix:///run/dd.sock", host + "DD_DOGSTATSD_PORT"},
		{"DD_DOGSTATSD_PORT", "0", port},
		{"DD_DOGSTATSD_URL", "/tmp/v", url},
		{"DD_DOGSTATSD_URL", "./v", url},
		{"DD_DOGSTATSD_URL", "-", url},
		{"DD_DOGSTATSD_URL", "tcp://h:1", url},
		{"DD_DOGSTATSD_URL", "unixstream:///run/dd.sock", url},
		{"DD_DOGSTATSD_URL", "udp://", url},
		{"DD_DOGSTATSD_URL", "udp://:8125", url},
		{"DD_DOGSTATSD_URL", "udp:///tmp/v", url},
		{"DD_DOGSTATSD_URL", "UDP://h", url},
		{"DD_DOGSTATSD_URL", "h:1", url},
		{"DD_DOGSTATSD_URL", "udp", url},
		{"DD_DOGSTATSD_URL", "udp://h:x", port},
		{"DD_DOGSTATSD_URL", "unix://run/s", "unix:// and an absolute path of at most 107 bytes"},
		{"DD_DOGSTATSD_URL", "unix", "unix:// and an absolute path of at most 107 bytes"},
		{
			"DD_DOGSTATSD_URL", "unixgram:///" + strings.Repeat("x", 107),
			"unixgram:// and an absolute path of at most 107 bytes",
		},
	}
	for _, tt := range tests {
		t.Run(tt.variable+"="+tt.value, func(t *testing.T) {
			got, err := FromEnvironment(environment{tt.variable: tt.value}.getenv, true)
			want := "invalid " + tt.variable + ` "` + tt.value + `": want ` + tt.want
			if err == nil || err.Error() != want || got != (Datagram{}) {
				t.Errorf("got %q, error %v; want %s", got.address, err, want)
			}
		})
	}
}

func TestBracketsBelongTogether(t *testing.T) {
	for host, want := range map[string]string{"[::1]": "::1", "[::1": "[::1", "::1]": "::1]", "h": "h"} {
		if got := withoutBrackets(host); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}
