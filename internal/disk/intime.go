// Package disk replaces files as a whole, reaches directories through trusted paths alone, and never waits for a disk
// that hangs.
package disk

import (
	"context"
	"fmt"
	"time"
)

// SettleTime is how long a system call may go on after the end of the context: one that is under way then ends
// long before, unless it hangs.
const SettleTime = 250 * time.Millisecond

// InTime returns what do returns, a panic as an error. If do is still running when settle has passed after the end of the
// context, it returns the context's cause; a system call that hangs goes on until it returns or the program ends.
func InTime(ctx context.Context, settle time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("internal error: %v; please report it", p)
			}
		}()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(settle):
		return context.Cause(ctx)
	}
}
