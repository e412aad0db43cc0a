package check

import (
	"context"
	"errors"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// line1 says what made the state: the one instance, or each that is in it.
func line1(readings []queue.Reading, verdicts []verdict, state State, labelled bool) queue.Text {
	if !labelled {
		return verdicts[0].text
	}
	var text queue.Text
	var better, unknown int64
	for i, v := range verdicts {
		switch v.state {
		case state:
			if text != "" {
				text += "; "
			}
			text += queue.Safe(readings[i].Instance.Name) + ": " + v.text
		case Unknown:
			unknown++
		default:
			better++
		}
	}
	return text + others(unknown, "unknown, -v says why") + others(better, "better")
}

func others(n int64, state queue.Text) queue.Text {
	if n == 0 {
		return ""
	}
	verb := queue.Text(" are ")
	if n == 1 {
		verb = " is "
	}
	return "; " + queue.Text(units.Plural(n, "other instance")) + verb + state
}

// downText says that the mail system is down, and what is waiting, if that could be read.
func downText(r queue.Reading, o Options) queue.Text {
	const down = queue.MailSystemDown
	s := r.Summary
	start := "; start it: " + queue.Safe(r.Instance.StartCommand())
	if s.Total.Messages == 0 {
		said, isDown := errors.AsType[*queue.DownError](r.Err)
		switch {
		case isDown:
			return queue.Safe((&queue.DownError{Reason: said.Reason, Instance: r.Instance}).Error())
		case errors.Is(r.Err, context.DeadlineExceeded):
			return down + ", and the queue could not be read in time" + start
		case r.Err != nil:
			return down + ", and the queue could not be read (" + queue.Safe(r.Err.Error()) + ")" + start
		}
		return down + ", " + emptyText(s) + circumstances(s, o) + start
	}
	var waiting []string
	for _, m := range queue.Select(s.Filter, func(queue.Metric) bool { return false }) {
		if value, known := m.Value(s); known && isHeadline(m, s) {
			waiting = append(waiting, string(describe(m, value)))
		}
	}
	waiting[0] += " waiting"
	if r.Err != nil {
		waiting[0] = "at least " + waiting[0]
	}
	return down + ", " + queue.Text(strings.Join(waiting, ", ")) + circumstances(s, o) + start
}

// emptyText says that there is no mail. A queue of which the filter admits nothing need not be empty.
func emptyText(s *queue.Summary) queue.Text {
	if s.Filter.IsZero() {
		return "queue is empty"
	}
	return "no emails"
}

func circumstances(s *queue.Summary, o Options) queue.Text {
	var text queue.Text
	if s.Unreadable > 0 {
		text = ", " + queue.Text(units.Plural(s.Unreadable, "line")) + " unreadable"
	}
	switch filter := s.Filter.String(); {
	case filter == "":
		return text
	case o.Filter.IsZero(): // a snapshot's, from another host perhaps
		return text + " (" + queue.Safe(filter) + ")"
	default:
		return text + " (" + queue.Typed(filter) + ")"
	}
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

// maskedWarnings remarks on warning ranges that can never be seen: the two were mixed up, probably.
func maskedWarnings(o Options) (text queue.Text) {
	for _, warn := range o.Warn {
		if crit, ok := o.Crit.For(warn.Metric.Name); ok && crit.Masks(warn.Range, leastOf(warn.Metric)) {
			text += ", warning range of " + queue.Text(warn.Metric.Name) + " lies beyond the critical one"
		}
	}
	return text
}

// wayOut is for a queue that is too long for an answer in time.
const wayOut = "; raise --timeout, or let a timer write a snapshot (postfix_queue_emit -f json) and judge that with --input"
