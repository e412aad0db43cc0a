package source

import (
	"bufio"
	"bytes"
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

	"example.org/postfix-queue-monitor/internal/queue"
)

// Showq asks the showq service itself, as root, the mail owner or a member of
// its group. Postfix 3.1 or later.
type Showq struct {
	QueueDir string // queue_directory
	Instance queue.Instance
}

// Name returns "showq".
func (*Showq) Name() string { return "showq" }

// Read reads the listing. A service that nobody listens for is a *DownError.
func (s *Showq) Read(ctx context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	path := filepath.Join(s.QueueDir, "public", "showq")
	facts := queue.Facts{Detail: path}
	conn, err := dialUnix(ctx, path)
	switch reason := refusal(path, err); {
	case errors.Is(err, os.ErrPermission):
		return facts, &ShowqAccessError{path}
	case reason != "":
		// A directory that is no queue directory has no socket either.
		if _, err := os.Stat(filepath.Join(s.QueueDir, "active")); errors.Is(err, os.ErrNotExist) {
			return facts, &NoQueueDirError{s.QueueDir}
		}
		facts.Down = reason
		return facts, &DownError{reason, s.Instance}
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
		return facts, &OldShowqError{path}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return facts, &ShowqProtocolError{path, "it ends before the end of the listing"}
	case err != nil:
		return facts, &ShowqProtocolError{path, err.Error()}
	}
	return facts, nil
}

// maxAttribute is how long an attribute of showq may be. Postfix cuts lines of
// its logs, and with them reasons, at 2 KiB; addresses come from there too.
const maxAttribute = 64 << 10

var errOldShowq = errors.New("text instead of attributes")

// parseShowq reads what showq.c of Postfix 3.1 and later writes: names and
// values, each ended by a NUL. An empty name ends a message, and another one
// the listing. From 3.6 on the same kind of list, with the protocol's name,
// comes first.
//
// The error is io.ErrUnexpectedEOF for a listing without its end, errOldShowq
// for the text of older versions, or says what was received.
func parseShowq(r io.Reader, visit func(*queue.Message)) error {
	p := showqParser{r: bufio.NewReaderSize(r, 64<<10)}
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

// attribute reads up to the next NUL.
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
	const want = "mail_queue_list_protocol"
	value, err := p.attribute()
	if err != nil {
		return err
	}
	if value != want {
		return fmt.Errorf("it calls its protocol %s, not %s", value, want)
	}
	end, err := p.attribute()
	if err == nil && end != "" {
		err = fmt.Errorf("the protocol's name is followed by %s", end)
	}
	return err
}

// message reads the attributes of a message, the name of the first of which
// has been read. Attributes that later versions add are passed over.
func (p *showqParser) message(name string, m *queue.Message) error {
	*m = queue.Message{SizeBytes: noSize, Recipients: m.Recipients[:0]}
	logClass, length := "", 0
	for name != "" {
		value, err := p.attribute()
		if err != nil {
			return err
		}
		if length += len(name) + len(value); length > maxLine {
			return fmt.Errorf("message %s is longer than 64 MiB", m.ID)
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
			m.Arrival = arrivalTime(seconds)
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
				m.Recipients = m.Recipients[:last] // done: it waits for nothing
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
