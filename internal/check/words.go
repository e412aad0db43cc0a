package check

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// isHeadline reports whether a metric stands in line 1 whether or not it
// alerts.
func isHeadline(m queue.Metric) bool {
	switch m.Name {
	case "emails", "size", "age":
		return true
	}
	return false
}

func emails() queue.Metric {
	m, _ := queue.Lookup("emails")
	return m
}

// describe returns a metric and its value in words.
func describe(m queue.Metric, value int64) string {
	return phrase(m, readable(m.Unit, float64(value)), value)
}

func phrase(m queue.Metric, number string, value int64) string {
	switch {
	case m.Family == queue.FamilyEmails && m.By == "" && value == 1:
		return number + " email"
	case m.Family == queue.FamilyEmails && m.By == "":
		return number + " emails"
	case m.Family == queue.FamilyEmails:
		return number + " " + m.Of
	case m.Family == queue.FamilySize && m.By == "":
		return number
	case m.Family == queue.FamilySize:
		return m.Of + " " + number
	case m.Family == queue.FamilyAge && m.By == "":
		return "oldest " + number
	case m.Family == queue.FamilyAge:
		return "oldest " + m.Of + " " + number
	case m.Family == queue.FamilyForcedExpire:
		return number + " force-expired"
	default:
		return number + " " + m.Name
	}
}

// breach returns a metric, its value and the range that it broke. Where
// rounding would make the value look like the limit, both are given exactly.
func breach(m queue.Metric, value int64, r thresholds.Range) string {
	write := readable
	shown := write(m.Unit, float64(value))
	if shown == write(m.Unit, r.Start) || shown == write(m.Unit, r.End) {
		write = exact
	}
	return fmt.Sprintf("%s (%s)", phrase(m, write(m.Unit, float64(value)), value), limits(m.Unit, value, r, write))
}

// limits says on which side of the range the value is.
func limits(unit queue.Unit, value int64, r thresholds.Range, write func(queue.Unit, float64) string) string {
	switch {
	case !r.Inside && float64(value) > r.End:
		return "above " + write(unit, r.End)
	case !r.Inside:
		return "below " + write(unit, r.Start)
	case math.IsInf(r.Start, -1) && math.IsInf(r.End, 1):
		return "any value alerts"
	case math.IsInf(r.End, 1):
		return write(unit, r.Start) + " or more"
	case math.IsInf(r.Start, -1):
		return write(unit, r.End) + " or less"
	case r.Start == r.End:
		return "exactly " + write(unit, r.End)
	default:
		return "within " + write(unit, r.Start) + " to " + write(unit, r.End)
	}
}

// readable writes a value for people, rounded down.
func readable(unit queue.Unit, value float64) string {
	whole := !math.IsInf(value, 0) && value == math.Trunc(value) && value >= 0
	switch {
	case whole && unit == queue.Bytes:
		return thresholds.FormatSize(int64(value))
	case whole && unit == queue.Seconds:
		return thresholds.FormatDuration(time.Duration(min(value, math.MaxInt64/1e9)) * time.Second)
	default:
		return exact(unit, value)
	}
}

// exact writes a value with nothing rounded away.
func exact(unit queue.Unit, value float64) string {
	text := strconv.FormatFloat(value, 'f', -1, 64)
	if unit != queue.Count {
		text += " " + string(unit)
	}
	return text
}
