package source

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/snapshot"
	"example.org/postfix-queue-monitor/internal/units"
)

// input is a file, or standard input, with the output of postqueue -j or postqueue -p, or with a snapshot. Its
// beginning shows which it is.
type input struct {
	path       string   // "-" is stdin
	stdin      *os.File // read if path is "-"
	maxAge     time.Duration
	allowEmpty bool // no line of a listing is an empty queue
}

// readings reads the input. It refuses one that is older than maxAge, or from the future, unless maxAge is 0.
func (in *input) readings(ctx context.Context, q queue.Query) ([]queue.Reading, error) {
	f, detail, err := in.open()
	if err != nil {
		return nil, err
	}
	if in.path != "-" {
		defer f.Close()
	}
	r := bufio.NewReaderSize(&interruptible{ctx, f}, 64<<10)
	if err := skipBlanks(r); err != nil {
		return nil, in.explain(ctx, err)
	}
	start, _ := r.Peek(peekLength) // short at the end of the input, and the next read returns the error
	if snapshotStart().Match(start) {
		return in.snapshot(ctx, r, detail, q)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	isFile := info.Mode().IsRegular()
	if isFile && in.path != "-" {
		if err := in.checkAge(detail, time.Since(info.ModTime())); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	reading := summarize(ctx, &listing{r: r, allowEmpty: in.allowEmpty, detail: detail}, q)
	reading.Instance.Name = LocalName
	reading.Took = time.Since(began)
	if isFile {
		reading.Summary.AsOf = info.ModTime()
	}
	return []queue.Reading{reading}, nil
}

func (in *input) open() (f *os.File, detail string, err error) {
	if in.path == "-" {
		return in.stdin, "standard input", nil
	}
	// O_NONBLOCK: opening a FIFO would wait for its writer, but waiting must end with the context, as reading
	// does.
	f, err = os.OpenFile(in.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("cannot read the input: %w", err)
	}
	return f, in.path, nil
}

func (in *input) explain(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return errors.New("nothing came from the input before the time was up; check the program that writes it")
	}
	return fmt.Errorf("cannot read the input: %w", cmp.Or(context.Cause(ctx), err))
}

// peekLength is how many bytes of the input show what it is.
const peekLength = 80

// snapshotStart is the beginning of a snapshot: its first member says what it is.
var snapshotStart = whenUsed(`^\{\s*"format"\s*:\s*"` + snapshot.Format + `"`)

func (in *input) snapshot(ctx context.Context, r io.Reader, detail string, q queue.Query) ([]queue.Reading, error) {
	if !q.Filter.IsZero() {
		return nil, errors.New("a snapshot has numbers but no messages; filter when it is written")
	}
	now := time.Now()
	readings, taken, err := snapshot.Read(r, now)
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = errors.New("the snapshot did not end before the time was up; check the program that writes it")
		}
		return nil, fmt.Errorf("%s: %w", detail, err)
	}
	age := now.Sub(taken).Truncate(time.Second)
	if err := in.checkAge(detail, age); err != nil {
		return nil, err
	}
	for _, reading := range readings {
		if q.Reasons && reading.Complete() && reading.Summary.Reasons == nil {
			return nil, fmt.Errorf("%s does not say why mail is deferred, or uses other categories than this version; write it with --by-reason", detail)
		}
		reading.Summary.Detail = fmt.Sprintf("%s, a snapshot of %s ago", detail, units.FormatDuration(age))
	}
	return readings, nil
}

// clockSlack is how far in the future a time may be because clocks differ in precision.
const clockSlack = time.Second

func (in *input) checkAge(detail string, age time.Duration) error {
	switch {
	case in.maxAge == 0:
		return nil
	case age < -clockSlack:
		return fmt.Errorf("%s was written %s in the future; set the clock right, or judge it with --max-age 0",
			detail, units.FormatDuration(-age))
	case age > in.maxAge:
		return fmt.Errorf("%s was written %s ago, more than %s; find out why it is no longer written, or raise --max-age",
			detail, units.FormatDuration(age), units.FormatDuration(in.maxAge))
	}
	return nil
}

// errEmptyInput is an input in which there is nothing.
var errEmptyInput = errors.New("the input is empty, as it is when the command that makes it fails; " +
	"if it is the output of postqueue -j for an empty queue, add --allow-empty")

// skipBlanks skips blanks and empty lines, to the end if there is nothing else.
func skipBlanks(r *bufio.Reader) error {
	for {
		switch c, err := r.ReadByte(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !strings.ContainsRune(blanks, rune(c)):
			return r.UnreadByte()
		}
	}
}

// listing is the output of postqueue -j or postqueue -p, and of its standard error perhaps.
type listing struct {
	r          io.Reader
	allowEmpty bool
	detail     string
}

func (*listing) Name() string { return "input" }

func (l *listing) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (facts queue.Facts, err error) {
	facts.Detail = l.detail
	p := listingParser{visit: visit}
	err = p.parse(l.r)
	facts = p.facts(facts)
	switch {
	case errors.Is(err, errSaid):
		err = explainDiagnostics(p.diagnostics)
	case err != nil || p.hasBegun() || l.allowEmpty || facts.Down != "":
	case p.diagnostics != "":
		line, _, _ := strings.Cut(p.diagnostics, "\n")
		err = fmt.Errorf("there is no listing, Postfix says: %s; if the queue is empty, add --allow-empty", line)
	default:
		err = errEmptyInput
	}
	return facts, err
}

// interruptible reads a file whose reads may block, such as standard input, until its context ends.
type interruptible struct {
	ctx context.Context
	f   *os.File
}

// pollInterval is how soon the end of the context is noticed when there is nothing to read.
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
