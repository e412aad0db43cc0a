package disk

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A panic would end the program with the exit code of CRITICAL.
func TestInTimeCatchesPanics(t *testing.T) {
	err := InTime(t.Context(), 0, func() error { panic("x") })
	if err == nil || err.Error() != "internal error: x; please report it" {
		t.Error(err)
	}
}

// A call that hangs is given up; one that ends soon after the context is waited for.
func TestInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		call time.Duration
		want error
	}{
		"before":      {time.Second / 2, io.EOF},
		"soon after":  {time.Second + SettleTime/2, io.EOF},
		"much later":  {time.Hour, context.DeadlineExceeded},
		"immediately": {0, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := InTime(ctx, SettleTime, func() error {
					time.Sleep(tt.call)
					return io.EOF
				})
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if took := time.Since(start); took != min(tt.call, time.Second+SettleTime) {
					t.Errorf("returned after %s", took)
				}
				time.Sleep(tt.call) // until the call has ended
			})
		})
	}
}
