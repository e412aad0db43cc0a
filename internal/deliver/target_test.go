package deliver

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		text string
		env  map[string]string
		want string
	}{
		{"-", nil, "standard output"},
		{"udp://statsd.example.com:8126", nil, "udp://statsd.example.com:8126"},
		{"udp://[::1]:8125", nil, "udp://[::1]:8125"},
		{"udp://", nil, "udp://127.0.0.1:8125"},
		{"udp://", map[string]string{"STATSD_HOST": "statsd.example.com"}, "udp://statsd.example.com:8125"},
		{"udp://", map[string]string{"STATSD_HOST": "::1", "STATSD_PORT": "9125"}, "udp://[::1]:9125"},
		{"udp://", map[string]string{"STATSD_HOST": "[::1]"}, "udp://[::1]:8125"},
		{"udp://", map[string]string{"STATSD_HOST": "fe80::1%eth0"}, "udp://[fe80::1%eth0]:8125"},
		{"tcp://graphite.example.com:2003", nil, "tcp://graphite.example.com:2003"},
		{"unix:///run/x.sock", nil, "unix:///run/x.sock"},
		{"unixgram:///run/x.sock", nil, "unixgram:///run/x.sock"},
		{"/run/x.json", nil, "/run/x.json"},
		{"./x.json", nil, "./x.json"},
		{"unix:///" + strings.Repeat("x", 106), nil, "unix:///" + strings.Repeat("x", 106)},
		{"udp://a:1", map[string]string{"STATSD_HOST": "b"}, "udp://a:1"},
	}
	for _, tt := range tests {
		target, err := ParseTarget(tt.text, nil, func(name string) string { return tt.env[name] })
		if err != nil || target.String() != tt.want {
			t.Errorf("%s with %v: got %q, %v; want %q", tt.text, tt.env, target, err, tt.want)
		}
	}
	for _, text := range []string{"", "statsd", "udp://host", "udp://:8125", "udp://host:", "http://host:1",
		"udp:host:1", "tcp://", "tcp://host",
		"unix://", "unix://x", "unixgram://x", "unix:x", "unix:///" + strings.Repeat("x", 107), "UDP://a:1"} {
		if target, err := ParseTarget(text, nil, func(string) string { return "" }); err == nil {
			t.Errorf("%q: got %q, want an error", text, target)
		}
	}
}

func TestSendToStdout(t *testing.T) {
	var out strings.Builder
	target, err := ParseTarget("-", &out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Send(t.Context(), []byte("x\n")); err != nil || out.String() != "x\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestWrongHostsAndPorts(t *testing.T) {
	tests := []struct {
		name string
		text string
		env  map[string]string
		want string
	}{
		{"port that is a name", "udp://h:x", nil, `invalid target "udp://h:x": want a port from 1 to 65535`},
		{"port that is too large", "tcp://h:65536", nil, `invalid target "tcp://h:65536": want a port from 1 to 65535`},
		{"port 0", "tcp://h:0", nil, `invalid target "tcp://h:0": want a port from 1 to 65535`},
		{"port with a sign", "udp://h:+1", nil, `invalid target "udp://h:+1": want a port from 1 to 65535`},
		{
			"STATSD_PORT",
			"udp://",
			map[string]string{"STATSD_PORT": "x"},
			`invalid STATSD_PORT "x": want a port from 1 to 65535`,
		},
		{
			"STATSD_HOST with a port",
			"udp://",
			map[string]string{"STATSD_HOST": "h:1"},
			`invalid STATSD_HOST "h:1": want a host name or an address; the port goes into STATSD_PORT`,
		},
		{
			"STATSD_HOST with an address and a port",
			"udp://",
			map[string]string{"STATSD_HOST": "[::1]:1"},
			`invalid STATSD_HOST "[::1]:1": want a host name or an address; the port goes into STATSD_PORT`,
		},
		{
			"STATSD_HOST with a scheme",
			"udp://",
			map[string]string{"STATSD_HOST": "udp://h"},
			`invalid STATSD_HOST "udp://h": want a host name or an address; the port goes into STATSD_PORT`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseTarget(tt.text, nil, func(name string) string { return tt.env[name] })
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
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

func TestDatadogTarget(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want string
	}{
		{"nothing", nil, ""},
		{"another's", map[string]string{"STATSD_HOST": "a"}, ""},
		{"host", map[string]string{"DD_AGENT_HOST": "dd.example.com"}, "udp://dd.example.com:8125"},
		{"host and port", map[string]string{"DD_AGENT_HOST": "::1", "DD_DOGSTATSD_PORT": "9"}, "udp://[::1]:9"},
		{"address in brackets", map[string]string{"DD_AGENT_HOST": "[::1]"}, "udp://[::1]:8125"},
		{"port", map[string]string{"DD_DOGSTATSD_PORT": "9"}, "udp://127.0.0.1:9"},
		{"URL before host", map[string]string{"DD_DOGSTATSD_URL": "udp://a:1", "DD_AGENT_HOST": "b"}, "udp://a:1"},
		{"URL without a port", map[string]string{"DD_DOGSTATSD_URL": "udp://a"}, "udp://a:8125"},
		{"URL of an address without a port", map[string]string{"DD_DOGSTATSD_URL": "udp://[::1]"}, "udp://[::1]:8125"},
		{"socket", map[string]string{"DD_DOGSTATSD_URL": "unix:///run/dd.sock"}, "unixgram:///run/dd.sock"},
		{"socket of datagrams", map[string]string{"DD_DOGSTATSD_URL": "unixgram:///run/dd.sock"}, "unixgram:///run/dd.sock"},
		{
			"socket of streams",
			map[string]string{"DD_DOGSTATSD_URL": "unixstream:///run/dd.sock"},
			"unixstream:///run/dd.sock",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DatadogTarget(func(name string) string { return tt.env[name] }); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
