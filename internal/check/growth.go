package check

import (
	"math"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
	"example.org/postfix-queue-monitor/internal/trend"
	"example.org/postfix-queue-monitor/internal/units"
)

// Memory is what became of the state file.
type Memory struct {
	Used bool  // there is one: growth is shown
	Err  error // why this reading is not in it, or why nothing is known of earlier ones
}

func isGrowth(m queue.Metric) bool { return m.Family == queue.FamilyGrowth }

// judgesGrowth reports whether there is a range for growth.
func (o Options) judgesGrowth() bool {
	return slices.ContainsFunc(o.Warn, isGrowthRule) || slices.ContainsFunc(o.Crit, isGrowthRule)
}

func isGrowthRule(r thresholds.Rule) bool { return isGrowth(r.Metric) }

// growthText says how fast a queue grows. The number may have a sign.
func growthText(number string, perHour int64) string {
	switch {
	case perHour > 0:
		return "growing " + number + " an hour"
	case perHour < 0:
		return "draining " + strings.TrimPrefix(number, "-") + " an hour"
	}
	return "neither growing nor draining"
}

// growing says how fast the queue grows, and where that leads.
func growing(s *queue.Summary, o Options) queue.Text {
	perHour := s.Growth.PerHour
	return queue.Text(growthText(units.Count.Format(perHour), perHour)) + forecast(s, o)
}

// forecast says when a growing queue breaks the critical range for emails or, if it never does, that for warnings; or
// when a draining one is empty. It is one division.
func forecast(s *queue.Summary, o Options) queue.Text {
	now := s.Total.Messages
	crit, hasCrit := o.Crit.For(emails.Name)
	warn, hasWarn := o.Warn.For(emails.Name)
	what, limit, ok := "empty", 0.0, now > 0
	if s.Growth.PerHour > 0 {
		what = "critical"
		if limit, ok = crit.Above(now); !hasCrit || !ok && !crit.Alerts(now) {
			what = "warning"
			limit, ok = warn.Above(now)
			ok = ok && hasWarn
		}
	}
	if left, known := trend.Until(*s.Growth, now, limit); ok && known {
		return queue.Text(", " + what + " in about " + about(left))
	}
	return ""
}

// about writes a duration without more digits than a forecast has.
func about(d time.Duration) string {
	unit := time.Minute
	switch {
	case d >= 10*time.Hour:
		unit = time.Hour
	case d >= time.Hour:
		unit = 10 * time.Minute
	}
	return units.FormatDuration(max(unit, d.Round(unit)))
}

// isRemarkable reports whether a queue grows or drains so fast that it matters beside other findings: by as much as
// there is in it within two days, and by more than a few messages.
func isRemarkable(s *queue.Summary) bool {
	const few, hours = 10, 48
	perHour := s.Growth.PerHour
	return max(perHour, -perHour) >= max(few, s.Total.Messages/hours)
}

// growthLines are those of -v.
func growthLines(r queue.Reading, o Options) (lines []queue.Text) {
	if !o.Memory.Used || !r.Complete() {
		return nil
	}
	failed := o.Memory.Err
	if r.Summary.Growth != nil {
		lines = append(lines, growing(r.Summary, o))
		if failed != nil {
			lines = append(lines, "not remembered: "+queue.Safe(failed.Error()))
		}
		return lines
	}
	if failed != nil {
		return []queue.Text{"no growth: " + queue.Safe(failed.Error())}
	}
	return []queue.Text{"no growth yet: that takes two readings, at least a minute apart"}
}

// leastOf returns the least value that a metric can have.
func leastOf(m queue.Metric) int64 {
	if isGrowth(m) {
		return math.MinInt64 / 2
	}
	return 0
}
