package check

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// isHeadline reports whether a metric of the summary stands in line 1 whether or
// not it alerts.
func isHeadline(m queue.Metric, s *queue.Summary) bool {
	switch m.Name {
	case "emails", "size":
		return true
	case "age":
		return !allHeld(s)
	}
	return false
}

// allHeld reports whether there is mail, and all of it is on hold: it has no age
// that anybody waits for.
func allHeld(s *queue.Summary) bool {
	held := s.Queues[queue.Hold]
	return held != nil && held.Messages > 0 && held.Messages == s.Total.Messages
}

// whoKnows says which source knows a metric that another does not.
func whoKnows(m queue.Metric) string {
	switch {
	case m.Family == queue.FamilyCorrupt:
		return " (the source spool alone sees these files: run this as root or the mail owner)"
	case m.By == queue.ByReason:
		return ""
	}
	return " (a text listing does not tell: use the output of postqueue -j)"
}

func emails() queue.Metric {
	m, _ := queue.Lookup("emails")
	return m
}

// describe returns a metric and its value in words.
func describe(m queue.Metric, value int64) string {
	return phrase(m, readable(m.Unit, value), value)
}

func phrase(m queue.Metric, number string, value int64) string {
	switch {
	case m.Family == queue.FamilyEmails && m.By == "" && value == 1:
		return number + " email"
	case m.Family == queue.FamilyEmails && m.By == "":
		return number + " emails"
	case m.Family == queue.FamilyEmails && m.By == queue.ByReason:
		return number + " deferred: " + queue.Category(m.Of).Title()
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
	case m.Family == queue.FamilyCorrupt:
		return number + " corrupt"
	default:
		return number + " " + m.Name
	}
}

// breach returns a metric, its value and the range that it broke. Where
// rounding would make the value look like a limit, both are given exactly.
func breach(m queue.Metric, value int64, r thresholds.Range) string {
	number, limit := readable(m.Unit, value), limitText
	if number == limit(m.Unit, r.Start) || number == limit(m.Unit, r.End) {
		number, limit = exact(m.Unit, float64(value)), exact
	}
	return fmt.Sprintf("%s (%s)", phrase(m, number, value), side(m.Unit, value, r, limit))
}

// side says on which side of the range the value is.
func side(unit queue.Unit, value int64, r thresholds.Range, limit func(queue.Unit, float64) string) string {
	switch {
	case !r.Inside && float64(value) > r.End:
		return "above " + limit(unit, r.End)
	case !r.Inside:
		return "below " + limit(unit, r.Start)
	case math.IsInf(r.Start, -1) && math.IsInf(r.End, 1):
		return "any value alerts"
	case math.IsInf(r.End, 1):
		return limit(unit, r.Start) + " or more"
	case math.IsInf(r.Start, -1):
		return limit(unit, r.End) + " or less"
	case r.Start == r.End:
		return "exactly " + limit(unit, r.End)
	default:
		return "within " + limit(unit, r.Start) + " to " + limit(unit, r.End)
	}
}

// readable writes a value for people, rounded down.
func readable(unit queue.Unit, value int64) string {
	switch unit {
	case queue.Bytes:
		return thresholds.FormatSize(value)
	case queue.Seconds:
		return thresholds.FormatDuration(time.Duration(value) * time.Second)
	default:
		return strconv.FormatInt(value, 10)
	}
}

// limitText writes a limit in the largest unit in which it is a whole number:
// nothing is rounded, and often it is what was typed.
func limitText(unit queue.Unit, limit float64) string {
	type scale struct {
		suffix string
		size   float64
	}
	var scales []scale
	switch unit {
	case queue.Bytes:
		scales = []scale{{" GiB", 1 << 30}, {" MiB", 1 << 20}, {" KiB", 1 << 10}}
	case queue.Seconds:
		scales = []scale{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}
	}
	for _, s := range scales {
		if n := limit / s.size; n != 0 && n == math.Trunc(n) && !math.IsInf(n, 0) {
			return strconv.FormatFloat(n, 'f', -1, 64) + s.suffix
		}
	}
	return exact(unit, limit)
}

// exact writes a number in the metric's own unit with nothing rounded away.
func exact(unit queue.Unit, number float64) string {
	text := strconv.FormatFloat(number, 'f', -1, 64)
	if unit != queue.Count {
		text += " " + string(unit)
	}
	return text
}
