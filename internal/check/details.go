package check

import (
	"cmp"
	"fmt"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
)

// detailLines returns the lines of one instance that -v, -vv and -vvv add, the most important first.
func detailLines(r queue.Reading, v verdict, labelled bool, o Options) []queue.Text {
	if o.Detail < DetailQueues {
		return nil
	}
	var lines []queue.Text
	if labelled {
		if v.state == OK {
			return []queue.Text{"instance " + queue.Safe(r.Instance.Name) + ": OK - " + v.text}
		}
		lines = append(lines, "instance "+queue.Safe(r.Instance.Name)+": "+queue.Text(v.state.String()))
	}
	s := r.Summary
	if labelled && r.Err != nil && (s == nil || s.Down == "") {
		lines = append(lines, "error: "+queue.Safe(r.Err.Error())) // line 1 may be about other instances
	}
	if s == nil {
		return lines
	}
	if s.Down != "" {
		lines = append(lines, "down: "+queue.Safe(s.Down))
	}
	for _, t := range s.Troubles {
		switch {
		case t.Severity != queue.Remark:
			lines = append(lines, "trouble: "+queue.Safe(t.Text(s.Taken)+"; "+t.Remedy()))
		case t.IsUnseen() && s.Unseen != "": // a snapshot does not say why
			lines = append(lines, queue.Safe(t.Text(s.Taken)+": "+s.Unseen+"; "+t.Remedy()))
		}
	}
	shows := o.Detail >= DetailBreakdown && s.Breakdown != nil && s.Total.Messages > 0
	if shows {
		lines = append(lines, ownerTable(s)...)
		lines = append(lines, problemTable(s)...)
		if v.state != OK && !o.NoCommands {
			lines = append(lines, actLines(r)...)
		}
		lines = append(lines, progressLines(s)...)
	}
	if s.Total.Messages > 0 || r.Err == nil {
		lines = append(lines, queueTable(s)...)
	}
	lines = append(lines, arrivalLines(s)...)
	lines = append(lines, growthLines(r, o)...)
	switch {
	case shows:
		lines = append(lines, ageLines(s)...)
	case o.Detail >= DetailBreakdown && s.Breakdown == nil && r.Complete():
		lines = append(lines, "no senders, no reasons and no domains: the snapshot was written without --breakdown")
	}
	if o.Detail >= DetailSource {
		for _, line := range r.Trace() {
			lines = append(lines, queue.Safe(line))
		}
	}
	return lines
}

// worstFirst returns the indices of verdicts, those of the worst states first.
func worstFirst(verdicts []verdict) []int {
	order := make([]int, len(verdicts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(verdicts[b].state.severity(), verdicts[a].state.severity())
	})
	return order
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
