package spool

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

// deferLogs reads the logs in the directory defer, where bounce(8) notes why the recipients of a message were
// deferred.
type deferLogs struct {
	*hashedFiles
	utf8     utf8Setting
	stopped  func() bool
	lines    *lines.Reader
	lastText string // most reasons are that of the message before
	listed   []queue.Recipient
}

func newDeferLogs(dir queueDir, rules envelopeRules) *deferLogs {
	if !dir.isOpen() {
		return nil
	}
	return &deferLogs{
		hashedFiles: newHashedFiles(dir), utf8: rules.utf8, stopped: rules.stopped,
		lines: lines.NewReader(bufio.NewReaderSize(nil, windowSize)),
	}
}

// addReasons lists the recipients of a message as showq does: first those in its log, with their reasons, then the
// others. The log has recipients that the queue file has not if the queue manager delivers to another address, as
// after REDIRECT in header_checks.
func (l *deferLogs) addReasons(m *queue.Message, log descriptor) error {
	l.lines.Reset(log)
	index := recipientIndex{recipients: m.Recipients}
	l.listed = l.listed[:0]
	err := parseDeferLog(l.lines, l.utf8, l.stopped, func(recipient, reason []byte) {
		i := index.of(recipient)
		switch {
		case i == unknown && len(l.listed) < maxRecipients:
			l.listed = append(l.listed, queue.Recipient{Address: string(recipient), Reason: l.text(reason)})
			index.byAddress[string(recipient)] = listed
		case i >= 0 && m.Recipients[i].Reason == "":
			m.Recipients[i].Reason = l.text(reason)
			l.listed = append(l.listed, m.Recipients[i])
		}
	})
	for _, r := range m.Recipients {
		if r.Reason == "" {
			l.listed = append(l.listed, r)
		}
	}
	m.Recipients = append(m.Recipients[:0], l.listed...)
	if cap(l.listed) > manyRecipients {
		l.listed = nil // gives the memory back
	}
	return l.readError(m.ID, err)
}

// readError returns an error of reading a log, unless the log is a directory, or has gone meanwhile.
func (l *deferLogs) readError(id string, err error) error {
	if errors.Is(err, unix.EISDIR) || l.confirmsGone(id, l.lastDepth, err) {
		return nil
	}
	return l.named(id, l.lastDepth, err)
}

// AddReasons adds the deferral reasons in the logs of messages, and the content filter that a reason depends on.
func (s *Spool) AddReasons(ctx context.Context, messages []*queue.Message) error {
	dir, err := openQueueDir(filepath.Join(s.Dir, "defer"))
	if err != nil {
		return err
	}
	defer dir.close()
	rules := envelopeRules{utf8: s.UTF8, stopped: func() bool { return ctx.Err() != nil }}
	errs := make([]error, Workers)
	var wg sync.WaitGroup
	for i, part := range slices.Collect(slices.Chunk(messages, 1+len(messages)/Workers)) {
		wg.Go(func() {
			errs[i] = queue.Guard(func() error {
				return cmp.Or(newDeferLogs(dir, rules).addEach(ctx, part, s.readAhead()), s.addFilters(ctx, part, rules))
			})
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// addEach adds the reasons of messages. It asks for some logs at once before it reads the first.
func (l *deferLogs) addEach(ctx context.Context, messages []*queue.Message, ahead int) error {
	if l == nil {
		return nil
	}
	for batch := range slices.Chunk(messages, ahead) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := l.addBatch(batch); err != nil {
			return err
		}
	}
	return nil
}

func (l *deferLogs) addBatch(messages []*queue.Message) error {
	logs := slices.Repeat([]descriptor{noFile}, len(messages))
	defer func() {
		for _, log := range logs {
			log.close()
		}
	}()
	for i, m := range messages {
		if m.Queue != queue.Maildrop {
			var err error
			if logs[i], err = l.open(m.ID, usualHashDepth); err != nil {
				return err
			}
		}
	}
	for i, m := range messages {
		if !logs[i].isOpen() {
			continue
		}
		l.lines.Reset(logs[i])
		err := parseDeferLog(l.lines, l.utf8, l.stopped, func(recipient, reason []byte) {
			m.AddReason(string(recipient), string(reason))
		})
		if err := l.readError(m.ID, err); err != nil {
			return err
		}
	}
	return nil
}

// usualHashDepth is that of main.cf, unless it says otherwise: hash_queue_depth.
const usualHashDepth = 1

func (l *deferLogs) text(b []byte) string {
	if string(b) != l.lastText {
		l.lastText = string(b)
	}
	return l.lastText
}

// recipientIndex finds recipients by their addresses. A log usually has them in the order of the queue file.
type recipientIndex struct {
	recipients []queue.Recipient
	next       int
	byAddress  map[string]int
}

// What recipientIndex knows about an address that is not among its recipients.
const (
	unknown = -1
	listed  = -2 // the log has had it before
)

func (x *recipientIndex) of(address []byte) int {
	if x.next < len(x.recipients) && x.recipients[x.next].Address == string(address) {
		x.next++
		return x.next - 1
	}
	if x.byAddress == nil {
		x.byAddress = make(map[string]int, len(x.recipients))
		for i, r := range x.recipients {
			x.byAddress[r.Address] = i
		}
	}
	i, ok := x.byAddress[string(address)]
	if !ok {
		return unknown
	}
	if i >= 0 {
		x.next = i + 1
	}
	return i
}

// What an entry without a recipient or without a reason has: bounce_log.c.
const (
	nobody   = "(MAILER-DAEMON)"
	noReason = "(description unavailable)"
)

// parseDeferLog calls visit for each entry of a log, as bounce_log.c of Postfix reads it: lines of name=value, or
// <recipient>: reason in logs of old versions, up to a blank line. The arguments are valid during the call only.
// A log that is being written may end anywhere.
func parseDeferLog(log *lines.Reader, utf8 utf8Setting, stopped func() bool, visit func(recipient, reason []byte)) error {
	var e logEntry
	for n := 1; ; n++ {
		line, err := log.Next()
		switch {
		case err == nil, errors.Is(err, lines.ErrTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		case errors.Is(err, io.EOF):
			return nil // for Postfix, too, an entry counts only with its blank line
		default:
			return err
		}
		if n%1024 == 0 && stopped != nil && stopped() {
			return nil
		}
		if len(line) > 0 {
			e.take(utf8.printableBytes(line))
			continue
		}
		if len(e.recipient) > 0 {
			if len(e.reason) == 0 {
				e.reason = append(e.reason, noReason...)
			}
			visit(e.recipient, e.reason)
		}
		e.recipient, e.reason = e.recipient[:0], e.reason[:0]
	}
}

type logEntry struct{ recipient, reason []byte }

func (e *logEntry) take(line []byte) {
	if line[0] == '<' {
		if address, text, ok := bytes.Cut(line[1:], []byte(">: ")); ok {
			e.recipient = append(e.recipient[:0], orNobody(address)...)
			e.reason = append(e.reason[:0], bytes.TrimLeft(text, " \t")...)
		}
		return
	}
	name, value, ok := bytes.Cut(line, []byte("="))
	if !ok {
		return
	}
	value = bytes.TrimSpace(value)
	switch string(bytes.TrimSpace(name)) {
	case "recipient":
		e.recipient = append(e.recipient[:0], orNobody(value)...)
	case "reason":
		e.reason = append(e.reason[:0], value...)
	}
}

func orNobody(address []byte) []byte {
	if len(address) == 0 {
		return []byte(nobody)
	}
	return address
}

func (utf8 utf8Setting) printableBytes(text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return []byte(utf8.printable(string(text)))
		}
	}
	return text
}
