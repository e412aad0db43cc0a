package source

import (
	"os"
	"regexp"

	"golang.org/x/sys/unix"
)

// HasListing reports whether a pipe has a listing or a snapshot that nobody has read: whoever piped it forgot --input.
// It takes nothing from the pipe. Other data is for somebody else, as in a loop that reads host names.
func HasListing(stdin *os.File) bool {
	if stdin == nil {
		return false
	}
	r, w, err := os.Pipe()
	if err != nil {
		return false
	}
	defer r.Close()
	defer w.Close()
	n, err := unix.Tee(int(stdin.Fd()), int(w.Fd()), peekLength, unix.SPLICE_F_NONBLOCK) // an error if it is not a pipe
	if err != nil || n <= 0 {
		return false
	}
	start := make([]byte, peekLength)
	m, err := r.Read(start)
	return err == nil && listingStart.Match(start[:m])
}

// listingStart is the beginning of a snapshot or of a listing that is not empty.
var listingStart = regexp.MustCompile(`^\s*(\{\s*"(format|queue_name)"|-+Queue ID-)`)
