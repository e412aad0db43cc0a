package source

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// Showq asks the showq service of Postfix 3.1 or later itself. Root, the mail owner and its group may.
type Showq struct {
	mailSystem

	Instance queue.Instance
}

// Name returns "showq".
func (*Showq) Name() string { return ShowqName }

// CheckAccess returns an error if this user, with the rights that the process has now, certainly cannot connect
// to the service.
func (s *Showq) CheckAccess() error {
	err := unix.Faccessat(unix.AT_FDCWD, filepath.Dir(s.showqSocket()), unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EACCES) {
		return showqDenied(s.showqSocket())
	}
	return nil
}

func showqDenied(path string) error {
	return fmt.Errorf("this user may not connect to %s: only root, the mail owner and its group may; use --source postqueue", path)
}

// Read reads the listing. The error is a *queue.DownError if nothing listens on the socket, nor on the queue
// manager's.
func (s *Showq) Read(ctx context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	path := s.showqSocket()
	facts := queue.Facts{Detail: path}
	conn, err := dialUnix(ctx, path)
	switch reason := refusal(path, err); {
	case errors.Is(err, os.ErrPermission):
		return facts, showqDenied(path)
	case reason != "":
		// In a directory that is not a queue directory there is no socket either.
		if _, err := os.Stat(filepath.Join(s.queueDir, "active")); errors.Is(err, os.ErrNotExist) {
			return facts, &spool.NotQueueDirError{Path: s.queueDir}
		}
		return facts, s.unreachable(ctx, reason, s.Instance)
	case err != nil && ctx.Err() == nil:
		return facts, fmt.Errorf("cannot connect to %s: %w", path, err)
	case err != nil:
		return facts, context.Cause(ctx)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	err = parseShowq(conn, visit)
	switch {
	case ctx.Err() != nil:
		return facts, context.Cause(ctx)
	case errors.Is(err, errOldShowq):
		return facts, fmt.Errorf("%s answers with text, as Postfix 3.0 and earlier do; use --source postqueue", path)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return facts, fmt.Errorf("%s ends before the end of the listing; look for showq in the mail log", path)
	}
	if err != nil {
		err = fmt.Errorf("%s does not speak the protocol of showq: %w; look for showq in the mail log", path, err)
	}
	return facts, err
}

// maxAttribute is the length limit of an attribute of showq, in bytes. Postfix cuts lines of its logs, and so
// reasons, at 2 KiB; addresses come from there, too.
const maxAttribute = 64 << 10

var errOldShowq = errors.New("text instead of attributes")

// parseShowq reads what showq.c of Postfix 3.1 and later writes: names and values, each followed by a NUL. An
// empty name ends a message, and another one the listing. From 3.6 on, a list of the same kind with the
// protocol's name comes first.
//
// The error is io.ErrUnexpectedEOF for a listing without its end, errOldShowq for the text of older versions, or
// says what was received.
func parseShowq(r io.Reader, visit func(*queue.Message)) error {
	p := showqParser{r: bufio.NewReaderSize(r, maxAttribute)}
	if start, _ := p.r.Peek(20); isTextHeader(start) || bytes.HasPrefix(start, []byte(textEmpty)) {
		return errOldShowq
	}
	var m queue.Message
	for first := true; ; first = false {
		name, err := p.attribute()
		switch {
		case err != nil:
			return err
		case name == "":
			if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
				return cmp.Or(err, errors.New("something follows the end of the listing"))
			}
			return nil
		case first && name == "protocol":
			if err := p.banner(); err != nil {
				return err
			}
			continue
		}
		if err := p.message(name, &m); err != nil {
			return err
		}
		visit(&m)
	}
}

type showqParser struct{ r *bufio.Reader }

func (p *showqParser) attribute() (string, error) {
	chunk, err := p.r.ReadSlice(0)
	if err == nil {
		return string(chunk[:len(chunk)-1]), nil
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("an attribute is longer than %d bytes", maxAttribute)
	}
	if errors.Is(err, io.EOF) {
		return "", io.ErrUnexpectedEOF
	}
	return "", err
}

// banner reads the rest of the list that begins with the name "protocol".
func (p *showqParser) banner() error {
	for _, want := range []string{"mail_queue_list_protocol", ""} {
		switch got, err := p.attribute(); {
		case err != nil:
			return err
		case got != want:
			return fmt.Errorf("it sends %s instead of %s", cmp.Or(got, "an end"), cmp.Or(want, "an end"))
		}
	}
	return nil
}

// message reads the attributes of a message; the name of the first has been read. It skips attributes that later
// versions add.
func (p *showqParser) message(name string, m *queue.Message) error {
	*m = queue.Message{SizeBytes: noSize, Recipients: m.Recipients[:0]}
	logClass, length := "", 0
	for name != "" {
		value, err := p.attribute()
		if err != nil {
			return err
		}
		if length += len(name) + len(value); length > lines.MaxLength {
			return fmt.Errorf("message %s is longer than %d MiB", m.ID, lines.MaxLength>>20)
		}
		switch name {
		case "queue_name":
			m.Queue = queue.Name(value)
		case "queue_id":
			m.ID = value
		case "time":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("the time is %s", value)
			}
			m.Arrival = queue.ArrivalTime(seconds)
		case "size":
			if m.SizeBytes, err = strconv.ParseInt(value, 10, 64); err != nil {
				return fmt.Errorf("the size is %s", value)
			}
		case "forced_expire":
			m.ForcedExpire = value != "0"
		case "sender":
			m.Sender = value
		case "recipient":
			m.Recipients = append(m.Recipients, queue.Recipient{Address: value})
			logClass = ""
		case "log_class":
			logClass = value
		case "reason":
			last := len(m.Recipients) - 1
			if last < 0 {
				return errors.New("a reason comes before its recipient")
			}
			if logClass == "bounce" {
				m.Recipients = m.Recipients[:last] // done: it is not waiting
			} else {
				m.Recipients[last].Reason = value
			}
		}
		if name, err = p.attribute(); err != nil {
			return err
		}
	}
	if !slices.Contains(queue.Names(), m.Queue) || m.SizeBytes < 0 || m.Arrival.IsZero() {
		return fmt.Errorf("message %s lacks its queue, size or time", m.ID)
	}
	return nil
}
