package thresholds

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// maxNumber is the largest number that can be told apart from its neighbours
// exactly, in bytes 8 PiB. Beyond it a limit would silently become another.
const maxNumber = 1 << 53

// parseNumber reads a number of the given unit and returns it in the metric's
// own unit, or why it is none.
func parseNumber(text string, unit queue.Unit) (value float64, refusal string) {
	digits, suffix, ok := splitNumber(text)
	if !ok {
		return 0, notANumber(text)
	}
	factor, known := suffixes(unit)[suffix]
	if !known {
		return 0, badSuffix(text, suffix, unit)
	}
	value, err := strconv.ParseFloat(digits, 64)
	if value *= factor; err != nil || value > maxNumber || value < -maxNumber {
		return 0, fmt.Sprintf("%s is too large", text)
	}
	return value + 0, "" // + 0: minus zero is zero
}

// splitNumber divides a text into a decimal number and a suffix of letters, which
// may be empty. A number has digits, before or after its point.
func splitNumber(text string) (number, suffix string, ok bool) {
	const digits = "0123456789"
	unsigned := text
	if unsigned != "" && (unsigned[0] == '+' || unsigned[0] == '-') {
		unsigned = unsigned[1:]
	}
	afterWhole := strings.TrimLeft(unsigned, digits)
	hasDigits := len(afterWhole) < len(unsigned)
	suffix = afterWhole
	if fraction, hasPoint := strings.CutPrefix(afterWhole, "."); hasPoint {
		suffix = strings.TrimLeft(fraction, digits)
		hasDigits = hasDigits || len(suffix) < len(fraction)
	}
	isLetter := func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
	ok = hasDigits && strings.TrimLeftFunc(suffix, isLetter) == ""
	return strings.TrimSuffix(text, suffix), suffix, ok
}

// suffixes returns what may follow a number of that unit, and its worth.
func suffixes(unit queue.Unit) map[string]float64 {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	switch unit {
	case queue.Bytes:
		return map[string]float64{"": kib, "K": kib, "KiB": kib, "M": mib, "MiB": mib, "G": gib, "GiB": gib}
	case queue.Seconds:
		return map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
	default:
		return map[string]float64{"": 1}
	}
}

func notANumber(text string) string {
	reason := fmt.Sprintf("%s is not a plain number", text)
	switch {
	case strings.ContainsAny(text, " \t"):
		return reason + "; leave out the space"
	case strings.Contains(text, "%"):
		return reason + "; there are no percentages of a queue"
	case strings.Contains(strings.TrimLeft(text, "+-"), "-"):
		return reason + "; a range is written with a colon, as in 1:10"
	case strings.Contains(text, ","):
		return reason + "; write the decimal point as ."
	}
	return reason
}

func badSuffix(text, suffix string, unit queue.Unit) string {
	switch unit {
	case queue.Bytes:
		return fmt.Sprintf("%s: a size is in KiB, or ends in K, M, G, KiB, MiB or GiB, not in %s", text, suffix)
	case queue.Seconds:
		return fmt.Sprintf("%s: an age is in seconds, or ends in s, m, h, d or w, not in %s", text, suffix)
	default:
		return notANumber(text) + "; this metric is a count"
	}
}

// ParseDuration reads a duration as an age is written in a range: seconds, or
// a number that ends in s, m, h, d or w. It is never negative.
func ParseDuration(text string) (time.Duration, error) {
	seconds, refusal := parseNumber(strings.TrimSpace(text), queue.Seconds)
	if refusal == "" && (seconds < 0 || seconds > maxDuration.Seconds()) {
		refusal = fmt.Sprintf("%s is not between 0 and %s", text, FormatDuration(maxDuration))
	}
	if refusal != "" {
		return 0, fmt.Errorf("%s is not a duration: %s", text, refusal)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

const maxDuration = 100 * 365 * 24 * time.Hour
