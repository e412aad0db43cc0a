package deliver

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		text string
		want string
	}{
		{"-", "standard output"},
		{"udp://statsd.example.com:8126", "udp://statsd.example.com:8126"},
		{"udp://[::1]:8125", "udp://[::1]:8125"},
		{"tcp://graphite.example.com:2003", "tcp://graphite.example.com:2003"},
		{"unix:///run/x.sock", "unix:///run/x.sock"},
		{"unixgram:///run/x.sock", "unixgram:///run/x.sock"},
		{"/run/x.json", "/run/x.json"},
		{"./x.json", "./x.json"},
		{"unix:///" + strings.Repeat("x", 106), "unix:///" + strings.Repeat("x", 106)},
	}
	for _, tt := range tests {
		target, err := ParseTarget(tt.text, nil)
		if err != nil || target.String() != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.text, target, err, tt.want)
		}
	}
	for _, text := range []string{"", "statsd", "udp://", "udp://host", "udp://:8125", "udp://host:", "http://host:1",
		"udp:host:1", "tcp://", "tcp://host",
		"unix://", "unix://x", "unixgram://x", "unix:x", "unix:///" + strings.Repeat("x", 107), "UDP://a:1"} {
		if target, err := ParseTarget(text, nil); err == nil {
			t.Errorf("%q: got %q, want an error", text, target)
		}
	}
}

func TestSendToStdout(t *testing.T) {
	var out strings.Builder
	target, err := ParseTarget("-", &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Send(t.Context(), []byte("x\n")); err != nil || out.String() != "x\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestInvalidTargetSaysWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		"udp:/h:8125":   `invalid target "udp:/h:8125": want two slashes, as in udp://h:8125`,
		"unix:/run/x":   `invalid target "unix:/run/x": want two slashes and an absolute path, as in unix:///run/x`,
		"udp://h:x":     `invalid target "udp://h:x": want a port from 1 to 65535`,
		"tcp://h:65536": `invalid target "tcp://h:65536": want a port from 1 to 65535`,
		"tcp://h:0":     `invalid target "tcp://h:0": want a port from 1 to 65535`,
		"udp://h:+1":    `invalid target "udp://h:+1": want a port from 1 to 65535`,
	} {
		if _, err := ParseTarget(text, nil); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
