package lines

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReset(t *testing.T) {
	r := NewReader(bufio.NewReader(strings.NewReader("first\nrest")))
	if got, err := r.Next(); string(got) != "first" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	r.Reset(strings.NewReader("second\n"))
	if got, err := r.Next(); string(got) != "second" || err != nil {
		t.Errorf("after Reset: %q, %v", got, err)
	}
}

func TestReaderReturnsTheErrorOfReading(t *testing.T) {
	broken := errors.New("disk")
	r := NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)))
	if got, err := r.Next(); string(got) != "a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

// A line that is too long is passed over: its beginning is there, and the next line.
func TestLineThatIsTooLong(t *testing.T) {
	chunk := strings.NewReader(strings.Repeat("x", 1<<20))
	var parts []io.Reader
	for range MaxLength>>20 + 1 {
		parts = append(parts, io.NewSectionReader(chunk, 0, chunk.Size()))
	}
	r := NewReader(io.MultiReader(append(parts, strings.NewReader("\nnext\n"))...))
	got, err := r.Next()
	if !errors.Is(err, ErrTooLong) || len(got) == 0 || len(got) > MaxLength {
		t.Errorf("%d bytes, %v; want %v", len(got), err, ErrTooLong)
	}
	if got, err := r.Next(); string(got) != "next" || err != nil {
		t.Errorf("the next line: %q, %v", got, err)
	}
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	r := NewReader(strings.NewReader("a\n" + long + "\r\n\nlast"))
	for i, want := range []string{"a", long, ""} {
		if got, err := r.Next(); string(got) != want || err != nil {
			t.Errorf("line %d: %d bytes, %v; want %d bytes", i, len(got), err, len(want))
		}
	}
	if got, err := r.Next(); string(got) != "last" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("last line: %q, %v", got, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last line: %v", err)
	}
}
