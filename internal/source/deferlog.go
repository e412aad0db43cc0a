package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// deferLogs reads the logs in the directory defer, in which bounce(8) notes
// why the recipients of a message were deferred.
type deferLogs struct {
	dir     int // descriptor of the directory defer
	stopped func() bool
	lines   lineReader
	last    string // most reasons are that of the message before
}

// openDeferLogs opens the directory. Where there is none there are no logs:
// Postfix makes it when it is needed.
func openDeferLogs(path string) (dir int, err error) {
	dir, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return dir, nil
	case errors.Is(err, unix.ENOENT):
		return noDeferLogs, nil
	case errors.Is(err, unix.EACCES):
		return noDeferLogs, &SpoolAccessError{Path: path}
	default:
		return noDeferLogs, fmt.Errorf("cannot read %s: %w", path, err)
	}
}

const noDeferLogs = -1

// newDeferLogs returns a reader of logs for one worker, nil where there are
// none.
func newDeferLogs(dir int, stopped func() bool) *deferLogs {
	if dir == noDeferLogs {
		return nil
	}
	return &deferLogs{dir: dir, stopped: stopped, lines: lineReader{r: bufio.NewReaderSize(nil, windowSize)}}
}

// addReasons fills in, from a message's open log, why its recipients were
// deferred.
func (l *deferLogs) addReasons(m *queue.Message, fd int) error {
	l.lines.r.Reset(fileDescriptor(fd))
	index := recipientIndex{recipients: m.Recipients}
	err := parseDeferLog(&l.lines, l.stopped, func(recipient, reason []byte) {
		if i := index.of(recipient); i >= 0 && m.Recipients[i].Reason == "" {
			m.Recipients[i].Reason = l.text(reason)
		}
	})
	if errors.Is(err, unix.EISDIR) {
		return nil
	}
	return err
}

// open returns the descriptor of a message's log, -1 where there is none. The
// depth is that of the hash directories in which the message itself was found:
// where both queues are hashed, as they are unless main.cf says otherwise, the
// log lies in as many. Where hash_queue_names has only one of them it does not.
func (l *deferLogs) open(id string, depth int) (fd int, err error) {
	for _, d := range [...]int{depth, 0, 1, 2} {
		fd, err = openQuietly(l.dir, hashedPath(id, d))
		switch {
		case err == nil:
			bringSoon(fd)
			return fd, nil
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		default:
			return -1, err
		}
	}
	return -1, nil
}

// text returns a text as a string.
func (l *deferLogs) text(b []byte) string {
	if string(b) != l.last {
		l.last = string(b)
	}
	return l.last
}

// recipientIndex finds recipients by their addresses. A log usually has them
// in the order of the queue file.
type recipientIndex struct {
	recipients []queue.Recipient
	next       int
	byAddress  map[string]int
}

// of returns the index of the recipient, -1 where there is none.
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
		return -1
	}
	x.next = i + 1
	return i
}

// Where an entry has no recipient or no reason: bounce_log.c.
const (
	nobody   = "(MAILER-DAEMON)"
	noReason = "(description unavailable)"
)

// parseDeferLog calls visit for each entry of a log, as bounce_log.c of
// Postfix reads it: lines of name=value, or <recipient>: reason in logs of old
// versions, up to a blank line. The arguments are valid during the call only.
// A log that is being written may end anywhere.
func parseDeferLog(lines *lineReader, stopped func() bool, visit func(recipient, reason []byte)) error {
	var recipient, reason []byte
	inEntry := false
	end := func() {
		if inEntry && len(recipient) > 0 {
			if len(reason) == 0 {
				reason = append(reason, noReason...)
			}
			visit(recipient, reason)
		}
		recipient, reason, inEntry = recipient[:0], reason[:0], false
	}
	for n := 1; ; n++ {
		line, err := lines.next()
		if err != nil && !errors.Is(err, errLineTooLong) && !errors.Is(err, io.ErrUnexpectedEOF) {
			// As for Postfix, an entry without its blank line is not there yet.
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return err
		}
		if n%1024 == 0 && stopped != nil && stopped() {
			return nil
		}
		if len(line) == 0 {
			end()
			continue
		}
		inEntry = true
		line = printableBytes(line)
		switch name, value, ok := bytes.Cut(line, []byte("=")); {
		case line[0] == '<':
			if address, text, ok := bytes.Cut(line[1:], []byte(">: ")); ok {
				recipient = append(recipient[:0], orNobody(address)...)
				reason = append(reason[:0], bytes.TrimLeft(text, " \t")...)
			}
		case !ok:
		case string(bytes.TrimSpace(name)) == "recipient":
			recipient = append(recipient[:0], orNobody(bytes.TrimSpace(value))...)
		case string(bytes.TrimSpace(name)) == "reason":
			reason = append(reason[:0], bytes.TrimSpace(value)...)
		}
	}
}

func orNobody(address []byte) []byte {
	if len(address) == 0 {
		return []byte(nobody)
	}
	return address
}

func printableBytes(text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return []byte(printable(string(text)))
		}
	}
	return text
}

// hashedPath returns the path of a message's file below a queue directory that
// has hash directories of the given depth: mail_queue_dir of mail_queue.c.
func hashedPath(id string, depth int) string {
	if depth == 0 {
		return id
	}
	key := hashKey(id)
	var path strings.Builder
	for i := range depth {
		if i < len(key) {
			path.WriteByte(key[i])
		} else {
			path.WriteByte('_') // dir_forest.c
		}
		path.WriteByte('/')
	}
	path.WriteString(id)
	return path.String()
}

// queueIDDigits are the digits of long queue IDs: safe_ultostr.c.
const queueIDDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

// hashKey returns what the hash directories of a message are named after: its
// ID or, where that is a long one, its microseconds as a short ID begins with
// them. A long ID is six or more digits of seconds, four of microseconds, a z,
// and the inode number: mail_queue.h.
func hashKey(id string) string {
	const secondsAndMicroseconds, microsecondsOnly = 10, 4
	separator := strings.LastIndexByte(id, 'z')
	if separator < secondsAndMicroseconds {
		return id
	}
	microseconds := 0
	for _, c := range []byte(id[separator-microsecondsOnly : separator]) {
		digit := strings.IndexByte(queueIDDigits, c)
		if digit < 0 {
			microseconds = 0
			break
		}
		microseconds = microseconds*len(queueIDDigits) + digit
	}
	return fmt.Sprintf("%05X", microseconds)
}
