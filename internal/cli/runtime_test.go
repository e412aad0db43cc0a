package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithTimeoutSaysHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := Common{Timeout: Duration(2500 * time.Millisecond)}
		ctx, cancel := opts.WithTimeout(t.Context())
		defer cancel()
		<-ctx.Done()
		err := context.Cause(ctx)
		const want = "the queue could not be read within 2.5 s; raise --timeout"
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}

// A signal ends the program's context. A program that does not end then is given up.
func TestRunUntil(t *testing.T) {
	const failed = 3
	for name, tt := range map[string]struct {
		signal  bool
		program func(context.Context) int
		want    int
		after   time.Duration
	}{
		"no signal": {
			program: func(ctx context.Context) int {
				time.Sleep(time.Hour)
				if ctx.Err() != nil {
					return failed
				}
				return 7
			},
			want:  7,
			after: time.Hour,
		},
		"a signal": {
			signal: true,
			program: func(ctx context.Context) int {
				<-ctx.Done()
				time.Sleep(time.Second)
				if err := context.Cause(ctx); err == nil || err.Error() != "interrupted by a signal" {
					t.Errorf("error %v", err)
				}
				return 7
			},
			want:  7,
			after: time.Minute + time.Second,
		},
		"a signal while it hangs": {
			signal:  true,
			program: func(context.Context) int { time.Sleep(time.Hour); return 7 },
			want:    failed,
			after:   time.Minute + lastWords,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan os.Signal, 1)
				if tt.signal {
					time.AfterFunc(time.Minute, func() { signals <- syscall.SIGTERM })
				}
				start := time.Now()
				if got := runUntil(signals, tt.program, failed); got != tt.want {
					t.Errorf("exit code %d, want %d", got, tt.want)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("returned after %s, want %s", took, tt.after)
				}
				time.Sleep(time.Hour) // until the program has ended
			})
		})
	}
}
