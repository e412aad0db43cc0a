package emit

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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
		{"/run/x.json", nil, "/run/x.json"},
		{"./x.json", nil, "./x.json"},
		{"udp://a:1", map[string]string{"STATSD_HOST": "b"}, "udp://a:1"},
	}
	for _, tt := range tests {
		target, err := ParseTarget(tt.text, nil, func(name string) string { return tt.env[name] })
		if err != nil || target.String() != tt.want {
			t.Errorf("%s with %v: got %q, %v; want %q", tt.text, tt.env, target, err, tt.want)
		}
	}
	for _, text := range []string{"", "statsd", "udp://host", "udp://:8125", "udp://host:", "http://host:1", "udp:host:1"} {
		if target, err := ParseTarget(text, nil, func(string) string { return "" }); err == nil {
			t.Errorf("%q: got %q, want an error", text, target)
		}
	}
}

func TestDatagrams(t *testing.T) {
	line := func(n int) string { return strings.Repeat("x", n-1) + "\n" }
	tests := []struct {
		name     string
		document string
		want     []int
	}{
		{"nothing", "", nil},
		{"one line", line(10), []int{10}},
		{"exactly one datagram", line(1000) + line(432), []int{1432}},
		{"one byte more", line(1000) + line(433), []int{1000, 433}},
		{"many lines", strings.Repeat(line(100), 30), []int{1400, 1400, 200}},
		{"a line that is too long", line(10) + line(2000) + line(10), []int{10, 2000, 10}},
		{"no newline", strings.Repeat("x", 2000), []int{2000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			var whole []byte
			for _, d := range Datagrams([]byte(tt.document)) {
				got = append(got, len(d))
				whole = append(whole, d...)
			}
			if len(got) != len(tt.want) || string(whole) != tt.document {
				t.Fatalf("lengths %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("lengths %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestSendOverUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	target, err := ParseTarget("udp://"+server.LocalAddr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	document := strings.Repeat("postfix_queue.emails:1|g\n", 100)
	if err := target.Send(t.Context(), []byte(document)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	buf := make([]byte, 64<<10)
	for got.Len() < len(document) {
		if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n > maxDatagram || buf[n-1] != '\n' {
			t.Errorf("datagram of %d bytes that ends in %q", n, buf[n-1])
		}
		got.Write(buf[:n])
	}
	if got.String() != document {
		t.Errorf("received:\n%s", got.String())
	}
}

// Even a single datagram that nobody takes is noticed, on the same host.
func TestSendNoticesThatNobodyListens(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := server.LocalAddr().String()
	server.Close()
	target, err := ParseTarget("udp://"+address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Send(t.Context(), []byte("x:1|g\n")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
}

func TestSendToFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.prom")
	for _, document := range []string{"first\n", "second\n"} {
		if err := File(path).Send(t.Context(), []byte(document)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != document {
			t.Errorf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSendToFileFailsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := File(filepath.Join(dir, "nosuch", "x")).Send(t.Context(), []byte("x")); err == nil {
		t.Error("no error without a directory")
	}
	// A link stays, and what is no file is left alone.
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "target"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "link")).Send(t.Context(), []byte("x")); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "target")); err != nil || string(content) != "x" {
		t.Errorf("%q, %v", content, err)
	}
	if err := File("/dev/null").Send(t.Context(), []byte("x")); err == nil {
		t.Error("a device is replaced")
	}
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "x")).Send(t.Context(), []byte("x")); err == nil || !strings.HasPrefix(err.Error(), "cannot write "+dir) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
