//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fillQueue adds n messages to the deferred queue. They are copies of the queue file and the defer log
// of a message that lies there, under IDs such as Postfix would have given them: showq lists them like
// any other, and a restart does not rename them.
//
// If the message has the number 0000000 in it, each copy has another one in its place.
func (p *postfixInstance) fillQueue(n int) {
	p.t.Helper()
	deferred := p.queueIDs("deferred")
	if len(deferred) == 0 {
		p.t.Fatal("fillQueue: no message in the deferred queue to copy")
	}
	message, err := openOriginal("deferred", deferred[0])
	if err != nil {
		p.t.Fatal(err)
	}
	log, err := openOriginal("defer", deferred[0])
	if err != nil {
		p.t.Fatal(err)
	}
	long := strings.Contains(deferred[0], longIDMark)
	now := time.Now()
	for i := range n {
		// IDs are told apart by their inode. The microseconds are spread, for they decide about the
		// hash directory.
		id := queueID{seconds: now.Unix(), microseconds: i * 7919 % 1_000_000, long: long}
		message.number, log.number = i+1, i+1
		name, err := message.copy(id, now.Add(time.Hour)) // the time of the next attempt
		if err == nil {
			err = log.copyTo(log.path(id.hash(), name), now)
		}
		if err != nil {
			p.t.Fatalf("copy %d of %d: %v", i+1, n, err)
		}
	}
}

// An originalFile is a file of the spool that is to be copied.
type originalFile struct {
	top     string // the queue: a directory of the spool
	depth   int    // levels of hash directories in it
	content []byte
	number  int // of the copy
	stat    unix.Stat_t
	made    map[string]bool // directories that exist
}

// openOriginal finds the file of a message in a queue, at any depth of hash directories.
func openOriginal(queue, id string) (*originalFile, error) {
	o := &originalFile{top: filepath.Join(spoolDir, queue), made: make(map[string]bool)}
	err := filepath.WalkDir(o.top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != id {
			return err
		}
		inside, err := filepath.Rel(o.top, path)
		if err != nil {
			return err
		}
		o.depth = strings.Count(inside, "/")
		if o.content, err = os.ReadFile(path); err != nil {
			return err
		}
		if err := unix.Stat(path, &o.stat); err != nil {
			return err
		}
		return fs.SkipAll
	})
	if err == nil && o.content == nil {
		err = fmt.Errorf("no %s in %s", id, o.top)
	}
	return o, err
}

// path returns the path of a file whose ID has that hash.
func (o *originalFile) path(hash, name string) string {
	path := o.top
	for _, c := range hash[:o.depth] {
		path = filepath.Join(path, string(c))
	}
	return filepath.Join(path, name)
}

// copy makes a copy and names it by the ID with the copy's own inode.
func (o *originalFile) copy(id queueID, modified time.Time) (name string, err error) {
	draft := o.path(id.hash(), "draft")
	if err := o.copyTo(draft, modified); err != nil {
		return "", err
	}
	var stat unix.Stat_t
	if err := unix.Stat(draft, &stat); err != nil {
		return "", err
	}
	id.inode = stat.Ino
	name = id.String()
	return name, os.Rename(draft, o.path(id.hash(), name))
}

// copyTo makes a copy with the original's owner and mode. It calls the system directly: for 100,000
// files that halves the time.
func (o *originalFile) copyTo(path string, modified time.Time) error {
	if err := o.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	// The mode comes last, for a queue file that may be executed is complete.
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	defer unix.Close(fd)
	content := o.content
	if o.number > 0 && o.number < 10_000_000 {
		content = bytes.ReplaceAll(content, []byte("0000000"), fmt.Appendf(nil, "%07d", o.number))
	}
	if _, err := unix.Write(fd, content); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	times := []unix.Timeval{unix.NsecToTimeval(modified.UnixNano()), unix.NsecToTimeval(modified.UnixNano())}
	return errors.Join(
		unix.Fchown(fd, int(o.stat.Uid), int(o.stat.Gid)),
		unix.Futimes(fd, times),
		unix.Fchmod(fd, o.stat.Mode&0o7777),
	)
}

// makeDir makes a hash directory as Postfix does, for itself alone.
func (o *originalFile) makeDir(dir string) error {
	if dir == o.top || o.made[dir] {
		return nil
	}
	if err := o.makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	o.made[dir] = true
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chown(dir, int(o.stat.Uid), int(o.stat.Gid))
}

// A queueID is taken apart as in Postfix's mail_queue.h. The short form is the microseconds and the
// inode in hexadecimal, the long one (enable_long_queue_ids) is seconds and microseconds in base 52, a
// z, and the inode in base 51.
type queueID struct {
	seconds      int64
	microseconds int
	inode        uint64
	long         bool
}

const (
	longIDMark     = "z"
	longIDAlphabet = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
)

func (id queueID) String() string {
	if !id.long {
		return fmt.Sprintf("%05X%X", id.microseconds, id.inode)
	}
	return longIDDigits(uint64(id.seconds), 52, 6) +
		longIDDigits(uint64(id.microseconds), 52, 4) +
		longIDMark +
		longIDDigits(id.inode, 51, 1)
}

// hash is what the hash directories are named after, one character each.
func (id queueID) hash() string { return fmt.Sprintf("%05X", id.microseconds) }

// longIDDigits writes n in at least width digits of the alphabet.
func longIDDigits(n, base uint64, width int) string {
	var digits []byte
	for ; n > 0 || len(digits) < width; n /= base {
		digits = append([]byte{longIDAlphabet[n%base]}, digits...)
	}
	return string(digits)
}

// parseQueueID takes an ID of either form apart.
func parseQueueID(text string) (queueID, error) {
	head, inode, long := cutLast(text, longIDMark) // a z also occurs in the time, never in the inode
	if !long {
		if len(text) < 6 {
			return queueID{}, fmt.Errorf("queue ID %q: too short", text)
		}
		microseconds, err := strconv.ParseUint(text[:5], 16, 32)
		if err != nil {
			return queueID{}, fmt.Errorf("queue ID %q: %w", text, err)
		}
		inode, err := strconv.ParseUint(text[5:], 16, 64)
		if err != nil {
			return queueID{}, fmt.Errorf("queue ID %q: %w", text, err)
		}
		return queueID{microseconds: int(microseconds), inode: inode}, nil
	}
	if len(head) != 10 || inode == "" {
		return queueID{}, fmt.Errorf("queue ID %q: not 10 characters before the last %s", text, longIDMark)
	}
	value := func(digits string, base uint64) (n uint64) {
		for _, c := range digits {
			n = n*base + uint64(strings.IndexRune(longIDAlphabet, c))
		}
		return n
	}
	return queueID{
		seconds:      int64(value(head[:6], 52)),
		microseconds: int(value(head[6:], 52)),
		inode:        value(inode, 51),
		long:         true,
	}, nil
}
