package check

import "example.org/postfix-queue-monitor/internal/queue"

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
