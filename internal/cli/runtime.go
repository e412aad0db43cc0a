package cli

import (
	"runtime/debug"
	"strings"
)

// LimitMemory keeps the heap small: a mail server in trouble needs its memory for itself. What the programs need
// is the same for a queue of any length.
func LimitMemory() {
	debug.SetGCPercent(25) // of the smallest heap, 4 MiB: a short listing is read without a collection
}

// Version returns the version that was stamped into the program or, if there is none, that of the module it was
// built from.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return info.Main.Version[1:]
	}
	return "unknown"
}
