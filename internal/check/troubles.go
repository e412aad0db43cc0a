package check

import (
	"fmt"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// troubleStates are the states of troubles by their severity.
var troubleStates = map[queue.Severity]State{
	queue.Remark: OK, queue.Warning: Warning, queue.Unconfirmed: Unknown, queue.Critical: Critical,
}

// judgeTroubles returns the state that the troubles of a summary make, the sentences about these, which come before
// anything else, and the remarks, which come last.
func judgeTroubles(s *queue.Summary) (state State, sentences, remarks queue.Text) {
	for _, t := range s.Troubles {
		text := queue.Safe(t.Text(s.Taken))
		if t.Severity == queue.Remark {
			remarks += "; " + text
			continue
		}
		state = Worst(state, troubleStates[t.Severity])
		sentences += text + "; "
	}
	return state, sentences, remarks
}

// heldText names mail on hold among other mail: nothing else in line 1 says that it is there, or for how long.
func heldText(s *queue.Summary) queue.Text {
	held := s.Queues[queue.Hold]
	if held == nil || held.Messages == 0 || allHeld(s) {
		return ""
	}
	return "; " + queue.Text(units.Count.Format(held.Messages)) + " on hold" + oldestHeld(s)
}

func oldestHeld(s *queue.Summary) queue.Text {
	if s.NoArrivalTimes {
		return ""
	}
	return ", oldest " + queue.Text(units.FormatDuration(s.Queues[queue.Hold].Age(s.Taken)))
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
