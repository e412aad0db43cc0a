// Package lines reads text of unknown origin line by line, in bounded memory.
package lines

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxLength is the longest line that is kept, in bytes. A message with a million recipients and their reasons
// stays below it.
const MaxLength = 64 << 20

// ErrTooLong reports a line longer than MaxLength.
var ErrTooLong = errors.New("line is longer than 64 MiB")

// keepBuffer is the largest buffer that is kept for the next line, in bytes.
const keepBuffer = 1 << 20

// Reader reads lines, one at a time.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader returns a Reader of r. It uses r itself if that is a bufio.Reader.
func NewReader(r io.Reader) *Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return &Reader{r: b}
	}
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Reset makes the Reader read from r.
func (l *Reader) Reset(r io.Reader) { l.r.Reset(r) }

// Next returns the next line without its end. It is valid until the next call. The error is io.EOF at the end;
// io.ErrUnexpectedEOF together with a last line that has no newline; ErrTooLong together with the beginning of a
// line that was skipped; or that of the underlying reader.
func (l *Reader) Next() ([]byte, error) {
	chunk, err := l.r.ReadSlice('\n')
	if err == nil {
		return trimEnd(chunk), nil // the usual case: nothing is copied
	}
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	l.buf = append(l.buf[:0], chunk...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		chunk, err = l.r.ReadSlice('\n')
		if len(l.buf)+len(chunk) > MaxLength {
			tooLong = true
			continue
		}
		l.buf = append(l.buf, chunk...)
	}
	switch {
	case err == nil && tooLong:
		return l.buf, ErrTooLong
	case err == nil:
		return trimEnd(l.buf), nil
	case errors.Is(err, io.EOF) && len(l.buf) > 0:
		return l.buf, io.ErrUnexpectedEOF
	default:
		return l.buf, err
	}
}

// trimEnd cuts off the newline, and the carriage return that a terminal adds.
func trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
