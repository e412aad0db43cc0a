package check

import (
	"fmt"
	"strconv"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// detailLines returns the lines of one instance that -v, -vv and -vvv add.
func detailLines(r queue.Reading, named bool, detail int) []string {
	if detail < DetailQueues {
		return nil
	}
	var lines []string
	if named {
		lines = append(lines, "instance "+r.Instance.Name)
	}
	s := r.Summary
	if named && r.Err != nil && (s == nil || s.Down == "") {
		lines = append(lines, "error: "+r.Err.Error()) // line 1 may speak of others alone
	}
	if s == nil {
		return lines
	}
	if s.Total.Messages > 0 || r.Err == nil {
		lines = append(lines, queueTable(s)...)
	}
	if s.Down != "" {
		lines = append(lines, "down: "+s.Down)
	}
	switch {
	case detail < DetailBreakdown:
	case s.Breakdown == nil && r.Complete():
		lines = append(lines, "no domains and no reasons: the snapshot was written without --breakdown")
	default:
		lines = append(lines, breakdownLines(s)...)
	}
	if detail >= DetailSource {
		lines = append(lines, fmt.Sprintf("source %s: %s, %.3f s", s.Source, s.Detail, r.Took.Seconds()))
		for _, a := range r.PassedOver {
			lines = append(lines, fmt.Sprintf("not %s: %v", a.Source, a.Err))
		}
	}
	return lines
}

// queueTable returns emails, size and oldest message of each queue, in columns.
func queueTable(s *queue.Summary) []string {
	const row = "%-8s %9s %10s  %s"
	lines := []string{fmt.Sprintf(row, "queue", "emails", "size", "oldest")}
	add := func(name string, t *queue.Tally) {
		oldest := "-"
		switch {
		case s.Timeless:
			oldest = "unknown"
		case t.Messages > 0:
			oldest = thresholds.FormatDuration(t.Age(s.Taken))
		}
		lines = append(lines, fmt.Sprintf(row, name, strconv.FormatInt(t.Messages, 10), thresholds.FormatSize(t.SizeBytes), oldest))
	}
	for _, name := range queue.Names() {
		if t := s.Queues[name]; t != nil {
			add(string(name), t)
		}
	}
	add("total", &s.Total)
	if s.Partial {
		lines = append(lines, "these numbers are lower bounds")
	}
	return lines
}
