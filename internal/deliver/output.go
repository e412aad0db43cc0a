package deliver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"
)

// Output is standard output or standard error. No write holds the program for longer than a limit, whether nobody
// reads a pipe, a terminal is stopped, or a disk hangs. After the first write that fails all others do, at once.
type Output struct {
	file  *os.File
	limit time.Duration // of each write
	err   error
}

// NewOutput returns the output that goes to the file.
func NewOutput(file *os.File, limit time.Duration) *Output {
	return &Output{file: file, limit: limit}
}

// Write writes p. If it fails, part of p may have been written.
func (o *Output) Write(p []byte) (n int, err error) {
	if o.err == nil {
		o.err = o.write(bytes.Clone(p)) // which may go on after the return
	}
	if o.err != nil {
		return 0, o.err
	}
	return len(p), nil
}

func (o *Output) write(p []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.limit)
	defer cancel()
	err := inTime(ctx, 0, func() error {
		_, err := o.file.Write(p)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("not in time; its reader does not read, or the disk hangs")
	}
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		return failed.Err // without a name, which would be /dev/stdout or /dev/stderr
	}
	return err
}

// inTime returns what do returns, or the cause of the context's end if do has not returned when settle has passed
// after that. The system call that do hangs in goes on until it returns or the program ends.
func inTime(ctx context.Context, settle time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
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
