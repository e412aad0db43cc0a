package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// input is a file, or standard input, with a listing that postqueue -j or
// postqueue -p has printed, or with a snapshot. What it is shows its beginning.
type input struct {
	path       string   // "-" is stdin
	stdin      *os.File // read where path is "-"
	maxAge     time.Duration
	allowEmpty bool // no bytes at all are an empty queue
}

// read reads the input. One that is older than maxAge, or from the future, is
// refused with a *StaleError unless maxAge is 0.
func (in *input) read(ctx context.Context, q queue.Query) []queue.Reading {
	readings, err := in.open(ctx, q)
	if err != nil {
		return []queue.Reading{{Instance: queue.Instance{Name: LocalName}, Err: err}}
	}
	return readings
}

func (in *input) open(ctx context.Context, q queue.Query) ([]queue.Reading, error) {
	f, detail := in.stdin, "standard input"
	if in.path != "-" {
		detail = in.path
		// O_NONBLOCK: to open a FIFO is to wait for its writer, and that must end
		// with the context, as reading does.
		opened, err := os.OpenFile(in.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot read the input: %w", err)
		}
		defer opened.Close()
		f = opened
	}
	r := bufio.NewReaderSize(&interruptible{ctx, f}, 64<<10)
	empty, err := skipSpace(r)
	if err != nil {
		return nil, in.explain(ctx, err)
	}
	start, _ := r.Peek(peekLength) // less at the end, whose reason is met again
	if isSnapshot(start) {
		return in.snapshot(ctx, r, detail, q)
	}
	if in.path != "-" {
		if err := in.checkAge(f); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	reading := summarize(ctx, &listing{r: r, start: start, empty: empty, allowEmpty: in.allowEmpty, detail: detail}, q)
	reading.Instance.Name = LocalName
	reading.Took = time.Since(began)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		reading.Summary.AsOf = info.ModTime()
	}
	return []queue.Reading{reading}, nil
}

func (in *input) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return errors.New("nothing came from the input before the time was up; see what should write it")
		}
		return fmt.Errorf("nothing could be read from the input: %w", context.Cause(ctx))
	}
	return fmt.Errorf("cannot read the input: %w", err)
}

// peekLength is how much of the input shows what it is.
const peekLength = 80

// isSnapshot reports whether a document that begins so is a snapshot: its first
// member says so.
func isSnapshot(start []byte) bool {
	pattern := regexp.MustCompile(`^\{\s*"format"\s*:\s*"` + queue.SnapshotFormat + `"`)
	return pattern.Match(start)
}

// snapshot reads a snapshot.
func (in *input) snapshot(ctx context.Context, r io.Reader, detail string, q queue.Query) ([]queue.Reading, error) {
	if !q.Filter.IsZero() {
		return nil, errors.New("a snapshot holds numbers, no messages: filter where it is written")
	}
	now := time.Now()
	readings, taken, err := queue.ReadSnapshot(r, now)
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = errors.New("the snapshot did not end before the time was up; see what should write it")
		}
		return nil, fmt.Errorf("%s: %w", detail, err)
	}
	age := now.Sub(taken).Truncate(time.Second)
	if in.maxAge > 0 && (age > in.maxAge || age < -clockSlack) {
		return nil, &StaleError{Path: detail, Age: age, MaxAge: in.maxAge}
	}
	for _, reading := range readings {
		if q.Reasons && reading.Complete() && reading.Summary.Reasons == nil {
			return nil, fmt.Errorf("%s does not say why mail is deferred; write it with --by-reason", detail)
		}
	}
	for _, reading := range readings {
		reading.Summary.Detail = fmt.Sprintf("%s, a snapshot of %s ago", detail, age)
	}
	return readings, nil
}

// clockSlack is how much of the future is only a coarser clock.
const clockSlack = time.Second

func (in *input) checkAge(f *os.File) error {
	info, err := f.Stat()
	if err != nil || in.maxAge == 0 || !info.Mode().IsRegular() {
		return err
	}
	if age := time.Since(info.ModTime()); age > in.maxAge || age < -clockSlack {
		return &StaleError{Path: in.path, Age: age, MaxAge: in.maxAge}
	}
	return nil
}

// skipSpace passes over white space and reports whether there is nothing else.
func skipSpace(r *bufio.Reader) (empty bool, err error) {
	for {
		switch c, err := r.ReadByte(); {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return false, r.UnreadByte()
		}
	}
}

// listing is what postqueue -j or postqueue -p has printed.
type listing struct {
	r          io.Reader
	start      []byte // of r
	empty      bool   // r has nothing
	allowEmpty bool
	detail     string
}

func (*listing) Name() string { return "input" }

func (l *listing) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (facts queue.Facts, err error) {
	facts.Detail = l.detail
	switch {
	case l.empty && l.allowEmpty:
	case l.empty:
		err = ErrEmptyInput
	case l.start[0] == '{':
		facts.Unreadable, err = parseJSON(l.r, visit)
	case isTextHeader(l.start), bytes.HasPrefix(l.start, []byte(textEmpty)):
		facts.Blind, facts.Timeless = textBlind(), true
		err = parseText(l.r, visit)
	default:
		line, _, _ := bytes.Cut(l.start, []byte("\n"))
		err = &UnknownFormatError{Start: string(line[:min(len(line), 40)])}
	}
	return facts, err
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
