package cli

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// LimitRuntime keeps the program small: a mail server in trouble needs the rest itself. Memory is
// the same for a queue of any length, and there are as many processors as workers read a spool:
// these wait in the kernel, where each occupies one.
func LimitRuntime() {
	const processors = 4
	runtime.GOMAXPROCS(min(processors, runtime.NumCPU()))
	debug.SetGCPercent(25) // of the smallest heap, 4 MiB: a short listing is read without a collection
}

// Version returns the version that was stamped into the program or, if there is none, that of the
// module it was built from.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version[1:]
	}
	return "unknown"
}
