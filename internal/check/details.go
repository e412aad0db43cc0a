package check

import (
	"fmt"
	"strconv"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// detailLines returns the lines of one instance that -v, -vv and -vvv add.
func detailLines(r queue.Reading, labelled bool, detail int) []queue.Text {
	if detail < DetailQueues {
		return nil
	}
	var lines []queue.Text
	if labelled {
		lines = append(lines, "instance "+queue.Safe(r.Instance.Name))
	}
	s := r.Summary
	if labelled && r.Err != nil && (s == nil || s.Down == "") {
		lines = append(lines, "error: "+queue.Safe(r.Err.Error())) // line 1 may be about other instances
	}
	if s == nil {
		return lines
	}
	if s.Total.Messages > 0 || r.Err == nil {
		lines = append(lines, queueTable(s)...)
	}
	if s.Down != "" {
		lines = append(lines, "down: "+queue.Safe(s.Down))
	}
	switch {
	case detail < DetailBreakdown:
	case s.Breakdown == nil && r.Complete():
		lines = append(lines, "no domains and no reasons: the snapshot was written without --breakdown")
	default:
		lines = append(lines, breakdownLines(s)...)
	}
	if detail >= DetailSource {
		for _, line := range r.Trace() {
			lines = append(lines, queue.Safe(line))
		}
	}
	return lines
}

func queueTable(s *queue.Summary) []queue.Text {
	var lines []queue.Text
	row := func(name, emails, size, oldest string) {
		lines = append(lines, queue.Text(fmt.Sprintf("%-8s %9s %10s  %s", name, emails, size, oldest)))
	}
	tally := func(name string, t *queue.Tally) {
		oldest := "-"
		switch {
		case s.NoArrivalTimes:
			oldest = "unknown"
		case t.Messages > 0:
			oldest = units.FormatDuration(t.Age(s.Taken))
		}
		row(name, strconv.FormatInt(t.Messages, 10), units.FormatSize(t.SizeBytes), oldest)
	}
	row("queue", "emails", "size", "oldest")
	for _, name := range queue.Names() {
		if t := s.Queues[name]; t != nil {
			tally(string(name), t)
		}
	}
	tally("total", &s.Total)
	if s.Partial {
		lines = append(lines, "these numbers are lower bounds")
	}
	return lines
}
