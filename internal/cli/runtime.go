package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/units"
)

// LimitMemory keeps the heap small: a mail server in trouble needs its memory for itself. What the programs need
// is the same for a queue of any length.
func LimitMemory() {
	debug.SetGCPercent(25) // of the smallest heap, 4 MiB: a short listing is read without a collection
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
