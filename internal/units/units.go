// Package units reads and writes numbers, sizes and durations as people do.
package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Unit is the unit of a number, as performance data has it.
type Unit string

// The units of metrics.
const (
	Count   Unit = ""
	Bytes   Unit = "B"
	Seconds Unit = "s"
)

// maxNumber is the largest number that can be told apart from its neighbours, in bytes 8 PiB. Beyond it a limit
// would silently become another one.
const maxNumber = 1 << 53

const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30

var suffixes = map[Unit]map[string]float64{
	Count:   {"": 1},
	Bytes:   {"": kib, "K": kib, "KiB": kib, "M": mib, "MiB": mib, "G": gib, "GiB": gib},
	Seconds: {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400},
}

// scales are the units that sizes and durations are written in, the largest first.
var scales = map[Unit][]struct {
	suffix string
	size   int64
}{
	Bytes:   {{" GiB", gib}, {" MiB", mib}, {" KiB", kib}},
	Seconds: {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}},
}

var wanted = map[Unit]string{
	Count:   "want a number without a suffix, such as 500",
	Bytes:   "want a size in KiB, or with the suffix K, M, G, KiB, MiB or GiB, such as 10M",
	Seconds: "want seconds, or one number with the suffix s, m, h, d or w, such as 90m",
}

// Parse reads a number: in KiB if the unit is Bytes, unless it has one of the suffixes K, M, G, KiB, MiB and GiB,
// powers of 1024; in seconds if the unit is Seconds, unless it has one of s, m, h, d and w. The value is in the
// unit itself, at most 1<<53 in either direction. The error says what is wanted.
func (u Unit) Parse(text string) (float64, error) {
	digits, suffix, ok := splitNumber(text)
	factor, known := suffixes[u][suffix]
	if !ok || !known {
		return 0, u.explain(text)
	}
	value, err := strconv.ParseFloat(digits, 64)
	if value *= factor; err != nil || math.Abs(value) > maxNumber {
		return 0, errors.New("too large")
	}
	return value + 0, nil // + 0: minus zero is zero
}

// splitNumber divides a text into a decimal number and a suffix of letters, which may be empty. A number has
// digits before or after its point.
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

// explain returns what is wanted instead of a text, with a hint if the text shows what was meant.
func (u Unit) explain(text string) error {
	hint := ""
	switch {
	case strings.ContainsAny(text, " \t"):
		hint = "; leave out the space"
	case strings.Contains(text, "%"):
		hint = "; a queue has no percentages"
	case strings.Contains(strings.TrimLeft(text, "+-"), "-"):
		hint = "; write a range with a colon, as in 1:10"
	case strings.Contains(text, ","):
		hint = "; a number has no comma: write 1000, or 1.5 with a point"
	}
	return errors.New(wanted[u] + hint)
}

// Format writes a value of the unit for people, rounded down.
func (u Unit) Format(value int64) string {
	switch u {
	case Bytes:
		return FormatSize(value)
	case Seconds:
		return FormatDuration(time.Duration(value) * time.Second)
	default:
		return strconv.FormatInt(value, 10)
	}
}

// FormatLimit writes a number in the largest unit in which it is whole: nothing is rounded, and often it is what
// was typed.
func (u Unit) FormatLimit(limit float64) string {
	for _, s := range scales[u] {
		if n := limit / float64(s.size); n != 0 && n == math.Trunc(n) && !math.IsInf(n, 0) {
			return FormatNumber(n) + s.suffix
		}
	}
	return u.FormatExact(limit)
}

// FormatExact writes a number in the unit itself, without rounding.
func (u Unit) FormatExact(number float64) string {
	text := FormatNumber(number)
	if u != Count {
		text += " " + string(u)
	}
	return text
}

// FormatNumber writes a number without an exponent, which most readers of performance data do not understand.
func FormatNumber(f float64) string {
	return strconv.FormatFloat(f, 'f', -1, 64)
}

const maxDuration = 100 * 365 * 24 * time.Hour

// ParseDuration reads a duration of at least 0 and at most 100 years: seconds, or one number with the suffix s,
// m, h, d or w.
func ParseDuration(text string) (time.Duration, error) {
	seconds, err := Seconds.Parse(strings.TrimSpace(text))
	if err == nil && (seconds < 0 || seconds > maxDuration.Seconds()) {
		err = errors.New("want at least 0 and at most " + FormatDuration(maxDuration))
	}
	if err != nil {
		return 0, fmt.Errorf(`invalid duration "%s": %w`, text, err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// FormatDuration writes a duration in its two largest units, days at most, rounded down: "3d 4h", "5m 2s", "0s".
func FormatDuration(d time.Duration) string {
	seconds, scales := int64(d/time.Second), scales[Seconds]
	for i, s := range scales {
		n := seconds / s.size
		if n == 0 {
			continue
		}
		text := strconv.FormatInt(n, 10) + s.suffix
		if i+1 < len(scales) {
			if rest := seconds % s.size / scales[i+1].size; rest > 0 {
				text += " " + strconv.FormatInt(rest, 10) + scales[i+1].suffix
			}
		}
		return text
	}
	return "0s"
}

// FormatSize writes a size in the largest binary unit that it reaches, rounded down: bytes, whole KiB as
// postqueue -p prints them, or MiB and more with one decimal.
func FormatSize(sizeBytes int64) string {
	switch {
	case sizeBytes < kib:
		return strconv.FormatInt(sizeBytes, 10) + " B"
	case sizeBytes < mib:
		return strconv.FormatInt(sizeBytes/kib, 10) + " KiB"
	}
	unit, divisor := "MiB", int64(mib)
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

// Plural returns a count of things: "1 email", "3 emails".
func Plural(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.FormatInt(n, 10) + " " + thing
}
