package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"example.org/postfix-queue-monitor/internal/units"
)

// LimitMemory keeps the heap small: a mail server in trouble needs its memory for itself. What the programs need
// is the same for a queue of any length.
func LimitMemory() {
	debug.SetGCPercent(25) // of the smallest heap, 4 MiB: a short listing is read without a collection
}

// interruptedError is why the context that Run gives to a program ends: context.Canceled in plain words.
type interruptedError struct{}

func (interruptedError) Error() string        { return "interrupted by a signal" }
func (interruptedError) Is(target error) bool { return target == context.Canceled }

// lastWords is how long a program may go on after a signal. It needs much less unless something hangs: reading
// ends within a second or so, and then what can be said about it is written, which has a limit, too.
const lastWords = 5 * time.Second

// Run runs a program and returns its exit code. The signals that ask it to end cancel its context; if it does not
// end soon after that, Run returns the exit code interrupted. It is for main: the program may still be running
// then, and later signals are ignored.
//
// Writing to a broken pipe is an error like any other: SIGPIPE does nothing. It is caught, and not ignored,
// because the programs of Postfix would inherit that.
func Run(program func(context.Context) (exitCode int), interrupted int) (exitCode int) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	return runUntil(signals, program, interrupted)
}

func runUntil(signals <-chan os.Signal, program func(context.Context) int, interrupted int) (exitCode int) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan int, 1)
	go func() { done <- program(ctx) }()
	select {
	case exitCode := <-done:
		return exitCode
	case <-signals:
		cancel(interruptedError{})
	}
	select {
	case exitCode := <-done:
		return exitCode
	case <-time.After(lastWords):
		return interrupted
	}
}

// WithTimeout returns a context for reading the queue, which ends at the latest after --timeout.
func (o *Common) WithTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := time.Duration(o.Timeout)
	return context.WithTimeoutCause(ctx, timeout, lateError{timeout})
}

// lateError is context.DeadlineExceeded in words that a user understands.
type lateError struct{ timeout time.Duration }

func (e lateError) Error() string {
	return fmt.Sprintf("the queue could not be read within %s; raise --timeout", units.Seconds.FormatExact(e.timeout.Seconds()))
}

func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// Version returns the version that was stamped into the program or, if there is none, that of the module it was
// built from.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version[1:]
	}
	return "unknown"
}
