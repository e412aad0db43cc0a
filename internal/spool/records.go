package spool

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// The record types of a queue file that matter here: rec_type.h of Postfix.
const (
	recordSize        = 'C' // message size, data offset, recipient count, ...
	recordTime        = 'T' // arrival time: seconds and microseconds
	recordFilter      = 'L' // content_filter, transport:nexthop
	recordSender      = 'S'
	recordRecipient   = 'R' // a recipient that is still waiting
	recordDone        = 'D' // a recipient that has been delivered to
	recordAttribute   = 'A' // name=value
	recordPointer     = 'p' // the next record is elsewhere in the file
	recordDeletedText = 'w' // padding
	recordMessage     = 'M' // the message's content follows
	recordEnd         = 'E'
)

// maxRecord is the longest record that is read, in bytes. Longer ones are skipped; Postfix writes at most 2 KiB.
const maxRecord = 64 << 10

// windowSize is how much of a file one read fetches, in bytes. It covers the envelope of an ordinary message.
const windowSize = 4 << 10

type queueFile struct {
	io.ReaderAt
	sizeBytes int64
	modified  time.Time
}

// recordWindow reads the records of queue files, one file after another. It is the part of the file that has been
// read.
type recordWindow struct {
	f         queueFile
	buf       []byte
	start     int64 // offset of buf in the file
	n         int   // bytes of buf that are filled
	preloaded bool  // buf holds the beginning of the file that is read next
}

// preload reads the beginning of the file that is read next, unless that would mean waiting for the disk, and
// reports whether it did.
func (w *recordWindow) preload(fd descriptor) bool {
	w.allocate()
	n, err := unix.Preadv2(int(fd), [][]byte{w.buf[:windowSize]}, 0, unix.RWF_NOWAIT)
	w.n, w.preloaded = max(n, 0), err == nil
	return w.preloaded
}

// reset makes f the file that is read. It uses what was preloaded of it.
func (w *recordWindow) reset(f queueFile) {
	w.allocate()
	if !w.preloaded {
		w.n = 0
	}
	w.f, w.start, w.preloaded = f, 0, false
}

func (w *recordWindow) allocate() {
	if cap(w.buf) < windowSize {
		w.buf = make([]byte, windowSize)
	}
}

// The attributes that are read, by what they begin with: mail_proto.h of Postfix.
var (
	// createTime says when the message was made, in seconds since 1970. Its age counts from there: unlike its arrival it
	// is new when a message is requeued.
	createTime = []byte("create_time=")
	login      = []byte("sasl_username=")
	client     = []byte("log_client_address=") // as logged, after XCLIENT and XFORWARD
)

func isWanted(attribute []byte) bool {
	if len(attribute) == 0 {
		return false
	}
	switch attribute[0] { // most attributes begin with another letter
	case 'c':
		return bytes.HasPrefix(attribute, createTime)
	case 's':
		return bytes.HasPrefix(attribute, login)
	case 'l':
		return bytes.HasPrefix(attribute, client)
	}
	return false
}

var errDamaged = errors.New("damaged record")

// skipAttributes returns the offset of the first record at or after offset that is not an attribute, or is one that
// matters, or that is not certain to be one without another read.
func (w *recordWindow) skipAttributes(offset int64) int64 {
	i, n := offset-w.start, int64(w.n)-1
	for i >= 0 && i < n && w.buf[i] == recordAttribute && w.buf[i+1] < 0x80 && !isWanted(w.buf[i+2:w.n]) {
		i += 2 + int64(w.buf[i+1])
	}
	return w.start + i
}

// record returns the record at an offset, and the offset of the next one. The data are valid until the next call;
// those of a record over 64 KiB are left out. The error is io.EOF at the end, errDamaged, or that of reading the
// file.
func (w *recordWindow) record(offset int64) (kind byte, data []byte, next int64, err error) {
	// The usual record is short, and in the window.
	if i := offset - w.start; i >= 0 && i < int64(w.n)-1 {
		length := int64(w.buf[i+1])
		if next = offset + 2 + length; length < 0x80 && i+2+length <= int64(w.n) && next <= w.f.sizeBytes {
			return w.buf[i], w.buf[i+2 : i+2+length], next, nil
		}
	}
	const maxHead = 1 + 4 // the type, and as many length bytes as rec_get reads
	head, err := w.bytes(offset, maxHead)
	if err != nil || len(head) == 0 {
		return 0, nil, 0, cmp.Or(err, io.EOF)
	}
	kind = head[0]
	length, shift, i := int64(0), 0, 1
	for {
		if i >= len(head) {
			return 0, nil, 0, errDamaged
		}
		length |= int64(head[i]&0x7f) << shift
		shift += 7
		i++
		if head[i-1]&0x80 == 0 {
			break
		}
	}
	begin := offset + int64(i)
	next = begin + length
	if next > w.f.sizeBytes {
		return 0, nil, 0, errDamaged
	}
	if length > maxRecord {
		return kind, nil, next, nil
	}
	data, err = w.bytes(begin, int(length))
	if err == nil && len(data) < int(length) {
		err = errDamaged // the file has become shorter
	}
	return kind, data, next, err
}

// bytes returns up to n bytes at an offset; fewer only at the end of the file.
func (w *recordWindow) bytes(offset int64, n int) ([]byte, error) {
	end := min(offset+int64(n), w.f.sizeBytes)
	if offset >= end {
		return nil, nil
	}
	if offset < w.start || end > w.start+int64(w.n) {
		if n > len(w.buf) {
			w.buf = make([]byte, maxRecord)
		}
		got, err := w.f.ReadAt(w.buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.start, w.n = offset, got
		end = min(end, offset+int64(got))
	}
	return w.buf[offset-w.start : end-w.start], nil
}
