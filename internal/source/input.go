package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Input reads a listing that postqueue -j or postqueue -p has printed.
type Input struct {
	Path       string   // of the listing; "-" is Stdin
	Stdin      *os.File // read where Path is "-"
	MaxAge     time.Duration
	AllowEmpty bool // no bytes at all are an empty queue
}

// Name returns "input".
func (*Input) Name() string { return "input" }

// Read reads the listing, whose format it knows by its beginning. A file that
// was last written longer than MaxAge ago, or in the future, is refused with a
// *StaleError unless MaxAge is 0.
func (in *Input) Read(ctx context.Context, visit func(*queue.Message)) (facts queue.Facts, err error) {
	f := in.Stdin
	facts.Detail = "standard input"
	if in.Path != "-" {
		facts.Detail = in.Path
		// O_NONBLOCK: to open a FIFO is to wait for its writer, and that must end
		// with the context, as reading does.
		f, err = os.OpenFile(in.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return facts, fmt.Errorf("cannot read the listing: %w", err)
		}
		defer f.Close()
		if err := in.checkAge(f); err != nil {
			return facts, err
		}
	}

	r := bufio.NewReaderSize(&interruptible{ctx, f}, 64<<10)
	if err := skipSpace(r); err != nil {
		switch {
		case !errors.Is(err, io.EOF):
			return facts, err
		case in.AllowEmpty:
			return facts, nil
		default:
			return facts, ErrEmptyInput
		}
	}
	start, err := r.Peek(40)
	if err != nil && !errors.Is(err, io.EOF) {
		return facts, err
	}
	switch {
	case start[0] == '{':
		facts.Unreadable, err = parseJSON(r, visit)
	case isTextHeader(start), bytes.HasPrefix(start, []byte(textEmpty)):
		facts.Blind, facts.Timeless = textBlind(), true
		err = parseText(r, visit)
	default:
		line, _, _ := bytes.Cut(start, []byte("\n"))
		err = &UnknownFormatError{Start: string(line)}
	}
	return facts, err
}

// skipSpace passes over white space; the error is io.EOF where there is
// nothing else.
func skipSpace(r *bufio.Reader) error {
	for {
		switch c, err := r.ReadByte(); {
		case err != nil:
			return err
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return r.UnreadByte()
		}
	}
}

func (in *Input) checkAge(f *os.File) error {
	info, err := f.Stat()
	if err != nil || in.MaxAge == 0 || !info.Mode().IsRegular() {
		return err
	}
	// A second of the future is a file system's coarser clock.
	if age := time.Since(info.ModTime()); age > in.MaxAge || age < -time.Second {
		return &StaleError{Path: in.Path, Age: age, MaxAge: in.MaxAge}
	}
	return nil
}

// interruptible reads a file whose reads may block, such as standard input,
// until its context ends.
type interruptible struct {
	ctx context.Context
	f   *os.File
}

// pollInterval is how soon the end of the context is noticed while there is
// nothing to read.
const pollInterval = 50 * time.Millisecond

func (r *interruptible) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		fds := []unix.PollFd{{Fd: int32(r.f.Fd()), Events: unix.POLLIN}}
		ready, err := unix.Poll(fds, int(pollInterval/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, os.NewSyscallError("poll", err)
		}
		if ready > 0 {
			return r.f.Read(p)
		}
	}
}
