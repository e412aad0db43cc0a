// Package thresholds has the ranges of the monitoring plugins' guidelines and
// the rules that apply them to the metrics of a mail queue.
//
// The format of a range is that of the Monitoring Plugins Development
// Guidelines, section "Threshold and Ranges".
package thresholds

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Range is a set of values that alert. Start and End are in the metric's own
// unit (messages, bytes, seconds), inclusive, and may be infinite; Start is
// never greater than End.
type Range struct {
	Start, End float64
	Inside     bool // "@": alert inside the range, endpoints included, not outside
}

// Alerts reports whether the value alerts.
func (r Range) Alerts(value int64) bool {
	v := float64(value)
	inside := r.Start <= v && v <= r.End
	return inside == r.Inside
}

// AlertsFrom reports whether the value and every larger one alert: this is all
// that a lower bound can prove.
func (r Range) AlertsFrom(value int64) bool {
	if r.Inside {
		return r.Start <= float64(value) && math.IsInf(r.End, 1)
	}
	return float64(value) > r.End
}

// MayAlertFrom reports whether the value or some larger one alerts: while it
// does, a lower bound cannot give the all-clear.
func (r Range) MayAlertFrom(value int64) bool {
	if r.Inside {
		return float64(value) <= r.End
	}
	return float64(value) < r.Start || !math.IsInf(r.End, 1)
}

// String returns the canonical form, which Parse reads back to the same Range
// for a metric that is a count: a start of 0 and an infinite end are left out,
// so that an upper limit is a plain number, the only form that most graphs
// draw.
func (r Range) String() string {
	var b strings.Builder
	if r.Inside {
		b.WriteByte('@')
	}
	switch {
	case math.IsInf(r.Start, -1):
		b.WriteString("~:")
	case r.Start != 0 || math.IsInf(r.End, 1):
		b.WriteString(formatNumber(r.Start))
		b.WriteByte(':')
	}
	if !math.IsInf(r.End, 1) {
		b.WriteString(formatNumber(r.End))
	}
	return b.String()
}

// formatNumber writes a number without an exponent, which most readers of
// performance data do not understand.
func formatNumber(f float64) string {
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// RangeError says why a text is not a range.
type RangeError struct {
	Text   string
	Reason string // with a way out where there is one
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("%s is not a range: %s", e.Text, e.Reason)
}

// ParseRange reads a range whose numbers are in the given unit as people write
// it: KiB for bytes unless a number has its own suffix (K, M, G, KiB, MiB,
// GiB; powers of 1024), seconds unless it has one of s, m, h, d, w. Errors are
// of type *RangeError.
func ParseRange(text string, unit queue.Unit) (Range, error) {
	r, reason := parseRange(strings.TrimSpace(text), unit)
	if reason != "" {
		return Range{}, &RangeError{strings.TrimSpace(text), reason}
	}
	return r, nil
}

func parseRange(text string, unit queue.Unit) (r Range, refusal string) {
	body, inside := strings.CutPrefix(text, "@")
	startText, endText, hasColon := strings.Cut(body, ":")
	if !hasColon {
		startText, endText = "", body
	}
	switch {
	case text == "":
		return r, "it is empty; a range is a number or START:END"
	case startText == "" && endText == "":
		return r, "it has no number; a range is a number or START:END"
	case strings.Contains(endText, ":"):
		return r, "it has more than one colon"
	case body == "~":
		return r, "~ stands before a colon only, as in ~:10"
	case endText == "~":
		return r, "~ (minus infinity) cannot be the end; leave the end out for no upper limit"
	}

	r = Range{Start: 0, End: math.Inf(1), Inside: inside}
	switch startText {
	case "":
	case "~":
		r.Start = math.Inf(-1)
	default:
		if r.Start, refusal = parseNumber(startText, unit); refusal != "" {
			return r, refusal
		}
	}
	if endText != "" {
		if r.End, refusal = parseNumber(endText, unit); refusal != "" {
			return r, refusal
		}
	}
	if r.Start > r.End {
		if startText == "" {
			return r, fmt.Sprintf("it ends below 0, where it starts; did you mean ~:%s?", endText)
		}
		return r, fmt.Sprintf("the start is greater than the end; did you mean %s:%s?", endText, startText)
	}
	return r, ""
}
