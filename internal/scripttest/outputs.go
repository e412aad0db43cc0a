package scripttest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Ended is how a run of a program ended.
type Ended struct {
	ExitCode       int
	Stdout, Stderr string
}

// run runs the command to its end. It fails the test if a signal ended it.
func run(t *testing.T, cmd *exec.Cmd, during func()) Ended {
	t.Helper()
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0") // the race detector's second adds up
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	during()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || !exit.Exited()) {
		t.Fatalf("%v: %v, errors %q", cmd.Args, err, stderr.String())
	}
	return Ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Bad are outputs that cannot be written.
func Bad(t *testing.T) map[string]*os.File {
	t.Helper()
	broken, toBroken := Pipe(t)
	broken.Close()
	disk, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	return map[string]*os.File{"a broken pipe": toBroken, "a full disk": disk, "a pipe that nobody reads": FullPipe(t)}
}

// Pipe is a pipe until the end of the test.
func Pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// FullPipe is the end for writing of a pipe that is full and that nobody reads.
func FullPipe(t *testing.T) *os.File {
	t.Helper()
	_, w := Pipe(t)
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// Here the descriptor does not wait. The program gets one that does.
	for _, size := range []int{64 << 10, 1} {
		var writeErr error
		err := raw.Control(func(fd uintptr) {
			for chunk := make([]byte, size); writeErr == nil; {
				_, writeErr = syscall.Write(int(fd), chunk)
			}
		})
		if err != nil || !errors.Is(writeErr, syscall.EAGAIN) {
			t.Fatalf("the pipe is not full: %v, %v", err, writeErr)
		}
	}
	return w
}

// RunInto runs a program with its standard output or standard error going to a file, if that is not nil.
func RunInto(t *testing.T, stdout, stderr *os.File, program string, args ...string) Ended {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	return run(t, cmd, func() {})
}

// Interrupt runs a program many times, with a hundred copies of the listing as its standard input, and calls
// verify after each run. At a random moment, from when it begins to read until it ends, the program gets a signal.
// The test fails if the signal itself ends it.
func Interrupt(t *testing.T, runs int, listing []byte, cmd func() *exec.Cmd, verify func(Ended)) {
	t.Helper()
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	const unsignalled = 3
	took := time.Hour // by the fastest run without a signal
	for i := range unsignalled + runs {
		stdin, feed := Pipe(t)
		cmd := cmd()
		cmd.Stdin = stdin
		var start time.Time
		ended := run(t, cmd, func() {
			stdin.Close()
			// A pipe does not hold this: when it is written, the program is reading.
			if _, err := feed.Write(bytes.Repeat([]byte("\n"), 128<<10)); err != nil {
				t.Fatal(err)
			}
			start = time.Now()
			if i >= unsignalled {
				time.AfterFunc(rand.N(took), func() {
					_ = cmd.Process.Signal(signals[i%len(signals)]) // it may have ended
				})
			}
			for range 100 { // the program needs a while
				if _, err := feed.Write(listing); err != nil {
					break // it has been interrupted
				}
			}
			feed.Close()
		})
		if i < unsignalled {
			took = min(took, time.Since(start))
		}
		verify(ended)
	}
}
