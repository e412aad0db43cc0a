//go:build integration

package integration

import (
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
)

// The most that a program may have in memory at a time, however long the listing is.
const maxPeakBytes = 24 << 20

// TestMemory shows that memory does not grow with the number of messages.
func TestMemory(t *testing.T) {
	if raceDetector() {
		t.Skip("slow with the race detector, which the programs are built without anyway")
	}
	const few, many = 5_000, 500_000
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
		// peak runs a command several times, for a garbage collector is not always in time.
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
			small := peak(t, 15, few, reading(short)...)
			large := peak(t, 3, many, reading(long)...)
			if large > small+small/10 {
				t.Errorf("the peak is %d KiB for %d messages and %d KiB for %d", small>>10, few, large>>10, many)
			}
			if large > maxPeakBytes {
				t.Errorf("the peak is %d KiB", large>>10)
			}
			if small <= floor {
				t.Errorf("this measures nothing: the peak of a program that does nothing is %d KiB", floor>>10)
			}
		})
		t.Run(name+", a million messages through a pipe", func(t *testing.T) {
			pipeline := fmt.Sprintf("cat %[1]s %[1]s | exec %s", long, strings.Join(append(tested.args, "-t", "100", "--input", "-"), " "))
			if got := peak(t, 1, 2*many, "sh", "-c", pipeline); got > maxPeakBytes {
				t.Errorf("the peak is %d KiB", got>>10)
			}
		})
	}
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
