// Package thresholds has the ranges of the monitoring plugins' guidelines and the rules that apply them to the
// metrics of a mail queue.
//
// The format of a range is that of the Monitoring Plugins Development Guidelines, section "Threshold and Ranges".
package thresholds

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"example.org/postfix-queue-monitor/internal/units"
)

// Range is a set of values that alert. Start and End are in the metric's own unit (messages, bytes, seconds),
// inclusive, and may be infinite; Start is never greater than End.
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

// AlertsFrom reports whether the value and every larger one alert: this is all that a lower bound can prove.
func (r Range) AlertsFrom(value int64) bool {
	if r.Inside {
		return r.Start <= float64(value) && math.IsInf(r.End, 1)
	}
	return float64(value) > r.End
}

// MayAlertFrom reports whether the value or some larger one alerts: if it does, a lower bound cannot give the
// all-clear.
func (r Range) MayAlertFrom(value int64) bool {
	if r.Inside {
		return float64(value) <= r.End
	}
	return float64(value) < r.Start || !math.IsInf(r.End, 1)
}

// Masks reports whether r hides other: every value from least up that alerts other also alerts r, and r alerts on more
// besides.
func (r Range) Masks(other Range, least int64) bool {
	alerts, more := false, false
	for _, limit := range []float64{float64(least), math.MaxInt64 / 2, r.Start, r.End, other.Start, other.End} {
		if math.IsInf(limit, 0) {
			continue
		}
		for value := max(least, int64(limit)-1); value <= int64(limit)+2; value++ {
			switch {
			case !other.Alerts(value):
				more = more || r.Alerts(value)
			case r.Alerts(value):
				alerts = true
			default:
				return false
			}
		}
	}
	return alerts && more
}

// Above returns the limit beyond which a growing value will alert. There is none if it alerts already, or never will.
func (r Range) Above(value int64) (limit float64, ok bool) {
	limit = r.End
	if r.Inside {
		limit = r.Start
	}
	return limit, !r.Alerts(value) && float64(value) <= limit && !math.IsInf(limit, 1)
}

// String returns the canonical form, which Parse reads back to the same Range for a metric that is a count. It
// leaves out a start of 0 and an infinite end, so that an upper limit is a plain number, the only form that most
// graphs draw.
func (r Range) String() string {
	var b strings.Builder
	if r.Inside {
		b.WriteByte('@')
	}
	switch {
	case math.IsInf(r.Start, -1):
		b.WriteString("~:")
	case r.Start != 0 || math.IsInf(r.End, 1):
		b.WriteString(units.FormatNumber(r.Start))
		b.WriteByte(':')
	}
	if !math.IsInf(r.End, 1) {
		b.WriteString(units.FormatNumber(r.End))
	}
	return b.String()
}

// ParseRange reads a range of numbers in the given unit, as Unit.Parse reads them.
func ParseRange(text string, unit units.Unit) (Range, error) {
	text = strings.TrimSpace(text)
	r, err := parseRange(text, unit)
	if err != nil {
		return Range{}, fmt.Errorf(`invalid range "%s": %w`, text, err)
	}
	return r, nil
}

func parseRange(text string, unit units.Unit) (Range, error) {
	body, inside := strings.CutPrefix(text, "@")
	startText, endText, hasColon := strings.Cut(body, ":")
	if !hasColon {
		startText, endText = "", body
	}
	r := Range{Start: 0, End: math.Inf(1), Inside: inside}
	switch {
	case startText == "" && endText == "":
		return r, errors.New("want a number or START:END")
	case strings.Contains(endText, ":"):
		return r, errors.New("want at most one colon")
	case body == "~":
		return r, errors.New("want a colon after ~, as in ~:10")
	case endText == "~":
		return r, errors.New("~ is minus infinity, which cannot be the end; leave the end out for no upper limit")
	}

	number := func(number string) (float64, error) {
		value, err := unit.Parse(number)
		if err != nil && number != text {
			err = fmt.Errorf("%s: %w", number, err)
		}
		return value, err
	}
	var err error
	switch startText {
	case "":
	case "~":
		r.Start = math.Inf(-1)
	default:
		if r.Start, err = number(startText); err != nil {
			return r, err
		}
	}
	if endText != "" {
		if r.End, err = number(endText); err != nil {
			return r, err
		}
	}
	switch {
	case r.Start <= r.End:
		return r, nil
	case startText == "":
		return r, fmt.Errorf("it starts at 0 and ends below; did you mean ~:%s?", endText)
	default:
		return r, fmt.Errorf("the start is greater than the end; did you mean %s:%s?", endText, startText)
	}
}
