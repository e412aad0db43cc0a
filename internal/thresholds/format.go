package thresholds

import (
	"strconv"
	"time"
)

// FormatDuration writes a duration in its two greatest units, days at most,
// rounded down: "3d 4h", "5m 2s", "0s".
func FormatDuration(d time.Duration) string {
	seconds := int64(d / time.Second)
	units := []struct {
		name    string
		seconds int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}
	for i, u := range units {
		n := seconds / u.seconds
		if n == 0 {
			continue
		}
		text := strconv.FormatInt(n, 10) + u.name
		if i+1 < len(units) {
			if rest := seconds % u.seconds / units[i+1].seconds; rest > 0 {
				text += " " + strconv.FormatInt(rest, 10) + units[i+1].name
			}
		}
		return text
	}
	return "0s"
}

// FormatSize writes a size with the largest binary unit it reaches, rounded
// down: bytes, whole KiB as postqueue -p prints them, or MiB and more with one
// decimal.
func FormatSize(sizeBytes int64) string {
	const kib = 1 << 10
	switch {
	case sizeBytes < kib:
		return strconv.FormatInt(sizeBytes, 10) + " B"
	case sizeBytes < 1<<20:
		return strconv.FormatInt(sizeBytes/kib, 10) + " KiB"
	}
	unit, divisor := "MiB", int64(1<<20)
	for _, next := range []string{"GiB", "TiB", "PiB"} {
		if sizeBytes/divisor < 1024 {
			break
		}
		unit, divisor = next, divisor<<10
	}
	text := strconv.FormatInt(sizeBytes/divisor, 10)
	if tenth := sizeBytes % divisor * 10 / divisor; tenth > 0 {
		text += "." + strconv.FormatInt(tenth, 10)
	}
	return text + " " + unit
}
