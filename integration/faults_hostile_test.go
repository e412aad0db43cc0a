//go:build integration

package integration

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// maxMessagePeakBytes is the most memory that a single message may take, however many recipients it has.
const maxMessagePeakBytes = 512 << 20

// TestManyRecipients reads a single message with a million recipients. The answer comes in time, has all of them or
// says that it has not, and takes no more memory than the longest message that is read.
func TestManyRecipients(t *testing.T) {
	if raceDetector() {
		t.Skip("slow with the race detector, which the programs are built without anyway")
	}
	const many = 1_000_000
	long := strings.Repeat("reason ", 10)
	listing := func(reason string) []string {
		return []string{"--input", saveManyRecipients(t, many, reason), "--max-age", "0"}
	}
	tests := map[string]struct {
		args []string
		want string // of the text or the performance data
	}{
		"JSON": {listing(""), `recipients=1000000;;;0`},
		"JSON, not in time": {
			append(listing(""), "-t", "0.3"),
			`POSTFIX_QUEUE UNKNOWN - |recipients=1000000;;;0`, // a fast machine is in time
		},
		"JSON beyond the limit": {listing(long), `POSTFIX_QUEUE UNKNOWN - no line of the listing can be parsed`},
		"showq":                 {serveManyRecipients(t, many, "later"), `recipients=1000000;;;0`},
		"showq beyond the limit": {
			serveManyRecipients(t, many, long),
			`POSTFIX_QUEUE UNKNOWN - .* is longer than 64 MiB`,
		},
		"maildrop": {
			maildropManyRecipients(t, many),
			`POSTFIX_QUEUE OK - 1 email to \d+ recipients, .*; cannot see whether Postfix runs`,
		},
	}
	for name, test := range tests {
		for _, detail := range []string{"", "-vv"} {
			t.Run(name+" "+detail, func(t *testing.T) {
				args := test.args
				if detail != "" {
					args = append(args, detail)
				}
				r, peakBytes := measurePeak(t, program(t, checkProgram), args...)
				t.Logf("%v, peak %d MiB", r.duration, peakBytes>>20)
				// A slow machine may not get that far.
				if !regexp.MustCompile(test.want + "|did not end in time|listing stopped after|within 8 s").MatchString(r.stdout) {
					t.Errorf("want %s, got %s", test.want, r)
				}
				if peakBytes > maxMessagePeakBytes || r.duration > lateAfter {
					t.Errorf("peak %d MiB, %v", peakBytes>>20, r.duration)
				}
			})
		}
	}
}

// saveManyRecipients writes a listing of one message.
func saveManyRecipients(t *testing.T, n int, reason string) (path string) {
	t.Helper()
	path = saveListing(t, "")
	head := strings.TrimSuffix(strings.SplitAfter(twoLines, "\n")[0], `{"address": "b@example.org"}]}`+"\n")
	write(t, path, func(w *bufio.Writer) {
		fmt.Fprint(w, head)
		for i := range n {
			fmt.Fprintf(w, `{"address": "r%d@example.org", "delay_reason": %q}, `, i, reason)
		}
		fmt.Fprint(w, `{"address": "r0@example.org"}]}`+"\n")
	})
	return path
}

// maildropManyRecipients writes a message that waits for pickup.
func maildropManyRecipients(t *testing.T, n int) (args []string) {
	t.Helper()
	dir := publicTempDir(t)
	for _, queue := range append(queueNames, "defer", "public") {
		if err := os.Mkdir(filepath.Join(dir, queue), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "maildrop", "ABCDEF0123")
	write(t, path, func(w *bufio.Writer) {
		record := func(kind, data string) { fmt.Fprintf(w, "%s%c%s", kind, len(data), data) }
		record("T", "1795454099")
		record("S", "a@example.com")
		for i := range n {
			record("R", fmt.Sprintf("r%d@example.org", i))
		}
		for _, kind := range []string{"M", "X", "E"} {
			record(kind, "")
		}
	})
	if err := os.Chmod(path, 0o744); err != nil {
		t.Fatal(err)
	}
	return []string{"--queue-directory", dir}
}

// serveManyRecipients answers for showq until the end of the test.
func serveManyRecipients(t *testing.T, n int, reason string) (args []string) {
	t.Helper()
	instance := newFakeInstance(t)
	listener, err := net.Listen("unix", instance.socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w := bufio.NewWriter(conn)
			fmt.Fprint(w, "protocol\x00mail_queue_list_protocol\x00\x00queue_name\x00deferred\x00queue_id\x00ABCDEF0123\x00"+
				"time\x001700000000\x00size\x00300\x00forced_expire\x000\x00sender\x00a@example.com\x00")
			for i := range n {
				fmt.Fprintf(w, "recipient\x00r%d@example.org\x00reason\x00%s\x00", i, reason)
			}
			fmt.Fprint(w, "\x00\x00")
			_ = w.Flush() // the program may have given up
			conn.Close()
		}
	}()
	return []string{"--source", "showq", "-d", instance.configDir}
}

// write fills a file.
func write(t *testing.T, path string, fill func(*bufio.Writer)) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	fill(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
