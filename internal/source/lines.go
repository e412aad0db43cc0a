package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is how long a line of a listing may be. A message with a million
// recipients and their reasons stays below it.
const maxLine = 64 << 20

// keepBuffer is how large a line's buffer may stay for the lines after it.
const keepBuffer = 1 << 20

var errLineTooLong = errors.New("line is longer than 64 MiB")

// lineReader gives the lines of a listing, one at a time.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

func newLineReader(r io.Reader) *lineReader {
	if b, ok := r.(*bufio.Reader); ok {
		return &lineReader{r: b}
	}
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns a line without its end; it is valid until the next call. The
// error is io.EOF at the end, io.ErrUnexpectedEOF with a last line that has no
// newline, errLineTooLong (and the line's beginning) with a line that was
// passed over, or the reader's own.
func (l *lineReader) next() ([]byte, error) {
	chunk, err := l.r.ReadSlice('\n')
	if err == nil {
		return trimLineEnd(chunk), nil // the usual case: nothing is copied
	}
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	l.buf = append(l.buf[:0], chunk...)
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		chunk, err = l.r.ReadSlice('\n')
		if len(l.buf)+len(chunk) > maxLine {
			tooLong = true
			continue
		}
		l.buf = append(l.buf, chunk...)
	}
	switch {
	case err == nil && tooLong:
		return l.buf, errLineTooLong
	case err == nil:
		return trimLineEnd(l.buf), nil
	case errors.Is(err, io.EOF) && len(l.buf) > 0:
		return l.buf, io.ErrUnexpectedEOF
	default:
		return l.buf, err
	}
}

func trimLineEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")) // a terminal stood between
}
