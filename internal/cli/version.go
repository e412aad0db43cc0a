package cli

import (
	"runtime/debug"
	"strings"
)

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
