//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bareRunner is the least that a Go program can do to get an answer from postqueue.
const bareRunner = `package main

import (
	"os"
	"os/exec"
)

func main() {
	cmd := exec.Command("/usr/sbin/postqueue", "-j")
	cmd.Stdout = os.Stdout
	if cmd.Run() != nil {
		os.Exit(1)
	}
}
`

// BenchmarkEmptyQueue is what an ordinary user's check of an empty queue takes, as by NRPE: the start of two
// programs. It reports the ratio to "postqueue -p", and that of a program which does nothing but run
// postqueue.
func BenchmarkEmptyQueue(b *testing.B) {
	startPostfix(b)
	check, bare := program(b, checkProgram), buildBareRunner(b)
	duration(b, postqueueProgram, "-p") // the first one starts showq

	var checks, bares []float64
	for b.Loop() {
		for i := range 5 * pairsPerIteration {
			var postqueue, tested, least float64
			if i%2 == 0 {
				postqueue, tested, least = duration(b, postqueueProgram, "-p"), duration(b, check), duration(b, bare)
			} else {
				least, tested, postqueue = duration(b, bare), duration(b, check), duration(b, postqueueProgram, "-p")
			}
			checks, bares = append(checks, tested/postqueue), append(bares, least/postqueue)
		}
	}
	b.ReportMetric(0, "ns/op") // of many runs of three programs
	b.ReportMetric(median(checks), "check-ratio")
	b.ReportMetric(median(bares), "bare-ratio")
}

func buildBareRunner(b *testing.B) (path string) {
	b.Helper()
	dir := publicTempDir(b)
	source, path := filepath.Join(dir, "main.go"), filepath.Join(dir, "bare")
	if err := os.WriteFile(source, []byte(bareRunner), 0o600); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", path, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	return path
}
