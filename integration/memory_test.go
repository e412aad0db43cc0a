//go:build integration

package integration

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// maxPeakBytes is the most memory that a program may use, however long the listing is.
const maxPeakBytes = 24 << 20

// TestMemory shows that memory does not grow with the number of messages.
func TestMemory(t *testing.T) {
	if raceDetector() {
		t.Skip("slow with the race detector, which the programs are built without anyway")
	}
	const few, many = 50_000, 500_000 // enough of both for the garbage collector to run often
	short, long := generateListing(t, few), generateListing(t, many)
	for name, tested := range map[string]struct {
		args   []string
		emails func(n int) string // what the program must say of n messages
	}{
		checkProgram: {
			[]string{program(t, checkProgram)},
			func(n int) string { return fmt.Sprintf(" emails=%d;;;0 ", n) },
		},
		emitterProgram: {
			[]string{program(t, emitterProgram), "-f", "statsd"},
			func(n int) string {
				return fmt.Sprintf("postfix_queue.emails:%d|g\npostfix_queue.size:%d|g\n", n, n*generatedSizeBytes)
			},
		},
	} {
		// peak runs a command several times, because the garbage collector is not always in time.
		peak := func(t *testing.T, runs, emails int, command ...string) int64 {
			t.Helper()
			var peaks []int64
			for range runs {
				r, peakBytes := measurePeak(t, command[0], command[1:]...)
				if r.exitCode != 0 || !strings.Contains(r.stdout, tested.emails(emails)) {
					t.Fatal(r)
				}
				peaks = append(peaks, peakBytes)
			}
			t.Logf("peaks with %d messages: %d KiB", emails, inKiB(peaks))
			return median(peaks)
		}
		t.Run(name, func(t *testing.T) {
			_, floor := measurePeak(t, "true")
			t.Logf("peak of a program that does nothing: %d KiB", floor>>10)
			reading := func(path string) []string { return append(tested.args, "-t", "100", "--input", path) }
			small := peak(t, 7, few, reading(short)...)
			large := peak(t, 3, many, reading(long)...)
			if large > small+small/5 {
				t.Errorf("the peak is %d KiB for %d messages and %d KiB for %d", small>>10, few, large>>10, many)
			}
			if large > maxPeakBytes {
				t.Errorf("the peak is %d KiB", large>>10)
			}
			if small <= floor {
				t.Errorf("the measurement is useless: the peak of a program that does nothing is %d KiB", floor>>10)
			}
		})
		t.Run(name+", a million messages through a pipe", func(t *testing.T) {
			reader := strings.Join(append(tested.args, "-t", "100", "--input", "-"), " ")
			pipeline := fmt.Sprintf("cat %[1]s %[1]s | exec %[2]s", long, reader)
			if got := peak(t, 1, 2*many, "sh", "-c", pipeline); got > maxPeakBytes {
				t.Errorf("the peak is %d KiB", got>>10)
			}
		})
	}
}

// maxHostilePeakBytes is the most memory that the breakdown of a queue may use, even if strangers have filled
// it.
const maxHostilePeakBytes = 20 << 20

// TestMemoryOfHostileQueue shows that the breakdown stays small for a million messages with different domains
// and reasons, all of the greatest length.
func TestMemoryOfHostileQueue(t *testing.T) {
	if raceDetector() {
		t.Skip("slow with the race detector, which the programs are built without anyway")
	}
	const emails = 1_000_000
	for name, tested := range map[string]struct {
		args []string
		want []string
	}{
		checkProgram: {
			[]string{"-vv"},
			[]string{
				" - 1000000 emails, ",
				"recipients by domain and age in minutes, at least\n",
				"1000000 100%  at least ",
				"emails  rcpts domains since    newest   why\n",
			},
		},
		emitterProgram: {
			[]string{"-f", "json", "--by-reason", "--breakdown"},
			[]string{`"messages": 1000000,`, `"mailbox_full": 1000000`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			fifo := filepath.Join(publicTempDir(t), "listing")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() { written <- writeHostileListing(fifo, emails) }()
			r, peakBytes := measurePeak(t, program(t, name), append(tested.args, "-t", "500", "--input", fifo)...)
			if err := <-written; err != nil {
				t.Error(err)
			}
			t.Logf("peak %d KiB", peakBytes>>10)
			for _, want := range tested.want {
				if r.exitCode != 0 || !strings.Contains(r.stdout, want) {
					t.Fatalf("no %q in %s", want, r)
				}
			}
			if peakBytes > maxHostilePeakBytes {
				t.Errorf("the peak is %d KiB", peakBytes>>10)
			}
		})
	}
}

// writeHostileListing writes a listing of n messages. Addresses have the greatest length of SMTP, and
// reasons that of a line in a log of bounce(8).
func writeHostileListing(path string, n int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		return err
	}
	const maxDomain, maxReason = 253, 1900
	local, words := strings.Repeat("l", 64), strings.Repeat("w", maxReason)
	labels := strings.Repeat("."+strings.Repeat("d", 63), 4)
	w := bufio.NewWriterSize(f, 64<<10)
	var line []byte
	for i := range n {
		number := strconv.Itoa(i)
		domain := (number + labels)[:maxDomain-len(".example")] + ".example"
		line = append(line[:0], `{"queue_name": "deferred", "queue_id": "A`...)
		line = append(append(line, number...), `", "arrival_time": 1700000000, "message_size": 3000, `...)
		line = append(line, `"forced_expire": false, "sender": "`...)
		line = append(append(append(line, local...), "@s"...), domain[:maxDomain-1]...)
		line = append(append(append(append(line, `", "recipients": [{"address": "`...), local...), '@'), domain...)
		line = append(line, `", "delay_reason": "host mx.example[192.0.2.1] said: 452 4.2.2 `...)
		line = append(append(line, number...), ' ')
		line = append(append(line, words...), "\"}]}\n"...)
		if _, err := w.Write(line); err != nil {
			break // Flush says it again
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

func inKiB(bytes []int64) []int64 {
	var kib []int64
	for _, b := range bytes {
		kib = append(kib, b>>10)
	}
	return kib
}

// raceDetector reports whether this binary was built with the race detector.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}
