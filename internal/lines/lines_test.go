package lines

import (
	"errors"
	"io"
	"strings"
	"testing"
)

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
