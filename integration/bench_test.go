//go:build integration

package integration

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// pairsPerIteration is how often both commands run in one iteration of the benchmark. A single pair says
// nothing: other processes disturb it.
const pairsPerIteration = 15

// BenchmarkCheck compares the check with what it stands on: it reports how many times as long as
// "postqueue -j >/dev/null" it takes, for a queue of N messages (an environment variable, 50000 by
// default).
func BenchmarkCheck(b *testing.B) {
	benchmarkAgainstPostqueue(b, checkProgram, "--source", "postqueue", "-t", "1000")
}

// BenchmarkEmit does the same for the emitter.
func BenchmarkEmit(b *testing.B) {
	benchmarkAgainstPostqueue(b, emitterProgram, "--source", "postqueue", "-t", "1000")
}

func benchmarkAgainstPostqueue(b *testing.B, name string, args ...string) {
	emails := 50_000
	if n := os.Getenv("N"); n != "" {
		emails = number(b, n)
	}
	p := startPostfix(b)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(emails - 1)
	tested := program(b, name)
	if a := nobody.check(b, "-t", "1000"); a.perf["emails"] != int64(emails) {
		b.Fatalf("want %d messages, got %s", emails, a)
	}
	duration(b, postqueueProgram, "-j") // the first one starts showq

	var postqueues, programs, ratios []float64
	for b.Loop() {
		for i := range pairsPerIteration {
			var postqueue, program float64
			// Neither is always the one that finds the caches as the other left them.
			if i%2 == 0 {
				postqueue, program = duration(b, postqueueProgram, "-j"), duration(b, tested, args...)
			} else {
				program, postqueue = duration(b, tested, args...), duration(b, postqueueProgram, "-j")
			}
			postqueues = append(postqueues, postqueue)
			programs = append(programs, program)
			ratios = append(ratios, program/postqueue)
		}
	}
	b.ReportMetric(0, "ns/op") // of many runs of two programs
	b.ReportMetric(median(postqueues), "postqueue-s")
	b.ReportMetric(median(programs), "program-s")
	b.ReportMetric(median(ratios), "ratio")
}

// duration is how many seconds a program takes that runs as nobody with its output to /dev/null.
func duration(b *testing.B, program string, args ...string) (seconds float64) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b, "nobody")}
	started := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", cmd, err)
	}
	return time.Since(started).Seconds()
}
