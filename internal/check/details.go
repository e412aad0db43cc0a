package check

import (
	"fmt"

	"example.org/postfix-queue-monitor/internal/queue"
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
	lines = append(lines, arrivalLines(s)...)
	for _, t := range s.Troubles {
		if t.Severity != queue.Remark {
			lines = append(lines, "trouble: "+queue.Safe(t.Text(s.Taken)+"; "+t.Remedy()))
		}
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

// arrivalLines say what has come lately and has not left, and what leaves without having been delivered.
func arrivalLines(s *queue.Summary) (lines []queue.Text) {
	if a := s.Arrivals; a != nil && a.Last1h > 0 {
		lines = append(lines, queue.Text(fmt.Sprintf("%d came in the last 5 minutes, %d in the last hour, and are still here",
			a.Last5m, a.Last1h)))
	}
	if s.Expiring != nil && *s.Expiring > 0 {
		lines = append(lines, queue.Text(fmt.Sprintf("%d will be returned within a day", *s.Expiring)))
	}
	return lines
}
