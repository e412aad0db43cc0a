package cli

import (
	"context"
	"errors"
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
