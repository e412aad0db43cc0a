package cli

import (
	"runtime"
	"runtime/debug"
)

// LimitRuntime keeps the program small: a mail server in trouble needs the rest itself. Memory is
// the same for a queue of any length, and there are as many processors as workers read a spool:
// these wait in the kernel, where each occupies one.
func LimitRuntime() {
	const processors = 4
	runtime.GOMAXPROCS(min(processors, runtime.NumCPU()))
	debug.SetGCPercent(25) // of the smallest heap, 4 MiB: a short listing is read without a collection
}
