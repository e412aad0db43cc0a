package cli

import (
	"runtime"
	"runtime/debug"
)

// LimitRuntime keeps the program small: one processor, and a heap of less than
// a megabyte. A mail server in trouble needs the rest itself, and memory is the
// same for a queue of any length. Reading is far faster than Postfix lists.
func LimitRuntime() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25) // of the least heap, 4 MiB: a short listing is read without a collection
}
