package source

import (
	"cmp"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// HasListing reports whether standard input has a listing or a snapshot that was not read, as when --input was forgotten.
// It consumes nothing. Other data is for another program, as in a loop that reads host names.
func HasListing(stdin *os.File) bool {
	start, err := peek(stdin)
	return err == nil && listingStart().Match(start)
}

// peek returns the beginning of what is in a pipe now, or follows in a file.
func peek(f *os.File) ([]byte, error) {
	start := make([]byte, peekLength)
	if offset, err := f.Seek(0, io.SeekCurrent); err == nil {
		n, err := unix.Pread(int(f.Fd()), start, offset)
		return start[:max(0, n)], err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	if n, err := unix.Tee(int(f.Fd()), int(w.Fd()), peekLength, unix.SPLICE_F_NONBLOCK); n <= 0 { // not a pipe, or empty
		return nil, cmp.Or(err, io.EOF)
	}
	n, err := r.Read(start)
	return start[:n], err
}

// listingStart is the beginning of a snapshot or of a listing that is not empty.
var listingStart = whenUsed(`^\s*(\{\s*"(format|queue_name)"|-+Queue ID-)`)
