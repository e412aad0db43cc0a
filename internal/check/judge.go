package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// Levels of detail: how often -v was given.
const (
	DetailQueues    = 1 // the table of queues
	DetailBreakdown = 2 // which domains, and why
	DetailSource    = 3 // how the answer was found
)

// Options say how readings are judged.
type Options struct {
	Warn, Crit thresholds.Rules
	Reasons    bool // show the metrics of deferral reasons, thresholds or not
	Detail     int
	// Named makes the name of the instance a part of labels, as with several
	// instances, even where there is only one.
	Named bool
}

// askFor reports whether a metric that is shown on demand is to be shown.
func (o Options) askFor(m queue.Metric) bool {
	return o.Reasons && m.By == queue.ByReason || o.Warn.Name(m) || o.Crit.Name(m)
}

// Judge compares the readings of one or more instances with the rules.
func Judge(readings []queue.Reading, o Options) Result {
	named := o.Named || len(readings) > 1
	var result Result
	verdicts := make([]verdict, len(readings))
	for i, reading := range readings {
		v := judgeOne(reading, o)
		if named {
			prefix := reading.Instance.Label() + "_"
			for j := range v.perf {
				v.perf[j].Label = prefix + v.perf[j].Label
			}
		}
		verdicts[i] = v
		result.State = Worst(result.State, v.state)
		result.Perf = append(result.Perf, v.perf...)
	}
	if err := namesakes(readings, verdicts); err != nil {
		return Failed(err)
	}
	result.Lines = []string{line1(readings, verdicts, result.State, named)}
	for _, reading := range readings {
		result.Lines = append(result.Lines, detailLines(reading, named, o.Detail)...)
	}
	return result
}

// namesakes returns an error if two instances have the same label in performance
// data: mx-hold and its emails, mx and its mail on hold.
func namesakes(readings []queue.Reading, verdicts []verdict) error {
	owner := map[string]string{}
	for i, v := range verdicts {
		name := readings[i].Instance.Name
		for _, p := range v.perf {
			if other, met := owner[p.Label]; met {
				return fmt.Errorf("the instances %s and %s would both have %s in their performance data; check them apart, or change multi_instance_name of one",
					other, name, p.Label)
			}
			owner[p.Label] = name
		}
	}
	return nil
}

// line1 says what made the state: the one instance, or each that is in it.
func line1(readings []queue.Reading, verdicts []verdict, state State, named bool) string {
	if !named {
		return verdicts[0].text
	}
	var texts []string
	better, unknown := 0, 0
	for i, v := range verdicts {
		switch v.state {
		case state:
			texts = append(texts, readings[i].Instance.Name+": "+v.text)
		case Unknown:
			unknown++
		default:
			better++
		}
	}
	text := strings.Join(texts, "; ")
	switch unknown {
	case 0:
	case 1:
		text += "; 1 other instance is unknown, -v says why"
	default:
		text += fmt.Sprintf("; %d other instances are unknown, -v says why", unknown)
	}
	switch better {
	case 0:
	case 1:
		text += "; 1 other instance is better"
	default:
		text += fmt.Sprintf("; %d other instances are better", better)
	}
	return text
}

// verdict is the judgement of one instance.
type verdict struct {
	state State
	text  string
	perf  []Perf
}

func judgeOne(r queue.Reading, o Options) verdict {
	switch {
	case r.Summary == nil:
		return verdict{state: Unknown, text: r.Err.Error()}
	case r.Summary.Down != "":
		return verdict{state: Critical, text: downText(r)}
	case r.Err == nil:
		return judgeComplete(r.Summary, o)
	case errors.Is(r.Err, context.DeadlineExceeded):
		return judgeLowerBound(r, o)
	case r.Summary.Total.Messages > r.Summary.Unreadable:
		text := fmt.Sprintf("%v; at least %s", r.Err, describe(emails(), r.Summary.Total.Messages))
		return verdict{state: Unknown, text: text}
	default:
		return verdict{state: Unknown, text: r.Err.Error()}
	}
}

// judgeComplete applies the rules to a complete reading of a running system.
func judgeComplete(s *queue.Summary, o Options) verdict {
	var v verdict
	// A snapshot may have been written of some queues only.
	findings := unanswerable(s, o.Warn, o.Crit)
	for _, m := range queue.Select(s.Filter, o.askFor) {
		warnRange, warned := o.Warn.For(m.Name)
		critRange, crited := o.Crit.For(m.Name)
		value, known := m.Value(s)
		if !known {
			if warned || crited {
				findings = append(findings, finding{Unknown, m.Name + " is not known from this source" + whoKnows(m)})
			}
			continue
		}
		p := Perf{Label: m.Name, Value: value, Unit: m.Unit}
		f := finding{OK, describe(m, value)}
		if warned {
			p.Warn = warnRange.String()
			if warnRange.Alerts(value) {
				f = finding{Warning, breach(m, value, warnRange)}
			}
		}
		if crited {
			p.Crit = critRange.String()
			if critRange.Alerts(value) {
				f = finding{Critical, breach(m, value, critRange)}
			}
		}
		v.perf = append(v.perf, p)
		if f.state != OK || isHeadline(m, s) {
			findings = append(findings, f)
		}
	}
	v.state, v.text = sumUp(findings)
	if allHeld(s) && s.Filter.Queues == nil {
		v.text += ", all on hold"
	}
	if s.Total.Messages == 0 && v.state == OK {
		v.text = emptyText(s)
	}
	v.text += circumstances(s)
	return v
}

// unanswerable returns a finding for each level that has a range for what was
// not looked at.
func unanswerable(s *queue.Summary, levels ...thresholds.Rules) (findings []finding) {
	for _, rules := range levels {
		if err := rules.CheckFilter(s.Filter); err != nil {
			findings = append(findings, finding{Unknown, err.Error()})
		}
	}
	return findings
}

// wayOut is for those whose queue is too long for an answer in time.
const wayOut = "; raise --timeout, or let a timer write a snapshot (postfix_queue_emit -f json) and judge that with --input"

// judgeLowerBound judges a reading that was stopped at the deadline. Every
// number is a lower bound: a range is broken only if that number and every
// larger one breaks it, and no critical range may be left open before a
// WARNING is certain.
func judgeLowerBound(r queue.Reading, o Options) verdict {
	s := r.Summary
	stopped := fmt.Sprintf("listing stopped after %s", roundedSeconds(r.Took))
	switch {
	case s.Visited == 0:
		return verdict{state: Unknown, text: fmt.Sprintf("no answer from %s within %s%s", s.Source, roundedSeconds(r.Took), wayOut)}
	case s.Total.Messages == 0:
		text := fmt.Sprintf("none of the first %d emails is among those that count, %s%s%s", s.Visited, stopped, wayOut, circumstances(s))
		return verdict{state: Unknown, text: text}
	}
	var findings []finding
	criticalOpen := false
	for _, m := range queue.Select(s.Filter, o.askFor) {
		warnRange, warned := o.Warn.For(m.Name)
		critRange, crited := o.Crit.For(m.Name)
		value, known := m.Value(s)
		if !known {
			criticalOpen = criticalOpen || crited
			continue
		}
		f := finding{OK, describe(m, value)}
		if warned && warnRange.AlertsFrom(value) {
			f = finding{Warning, breach(m, value, warnRange)}
		}
		if crited && critRange.AlertsFrom(value) {
			f = finding{Critical, breach(m, value, critRange)}
		} else if crited {
			criticalOpen = criticalOpen || critRange.MayAlertFrom(value)
		}
		if f.state != OK || isHeadline(m, s) {
			findings = append(findings, f)
		}
	}
	state, text := sumUp(findings)
	text = "at least " + text + ", " + stopped
	if state == OK || (state == Warning && criticalOpen) {
		state = Unknown
		text += wayOut
	}
	return verdict{state: state, text: text + circumstances(s)}
}

// downText says that the mail system is down, and what waits for it where that
// could be read.
func downText(r queue.Reading) string {
	const down, remedy = "mail system is down", "; start it: "
	s := r.Summary
	start := remedy + r.Instance.StartCommand()
	switch {
	case r.Err != nil && s.Total.Messages == 0:
		if text, _, _ := strings.Cut(r.Err.Error(), remedy); strings.HasPrefix(text, down) {
			return text + start
		}
		return fmt.Sprintf("%s, and the queue could not be read (%v)%s", down, r.Err, start)
	case s.Total.Messages == 0:
		return down + ", " + emptyText(s) + circumstances(s) + start
	}
	var waiting []string
	for _, m := range queue.Select(s.Filter, func(queue.Metric) bool { return false }) {
		if value, known := m.Value(s); known && isHeadline(m, s) {
			waiting = append(waiting, describe(m, value))
		}
	}
	waiting[0] += " waiting"
	if r.Err != nil {
		waiting[0] = "at least " + waiting[0]
	}
	return down + ", " + strings.Join(waiting, ", ") + circumstances(s) + start
}

// emptyText says that there is no mail. That what a filter lets through is
// nothing does not make the queue empty.
func emptyText(s *queue.Summary) string {
	if s.Filter.IsZero() {
		return "queue is empty"
	}
	return "no emails"
}

// circumstances are what must be known to understand the numbers.
func circumstances(s *queue.Summary) string {
	var text string
	switch {
	case s.Unreadable == 1:
		text += ", 1 line unreadable"
	case s.Unreadable > 1:
		text += fmt.Sprintf(", %d lines unreadable", s.Unreadable)
	}
	if filter := s.Filter.String(); filter != "" {
		text += " (" + filter + ")"
	}
	return text
}

// finding is what one metric contributes to line 1.
type finding struct {
	state State
	text  string
}

// sumUp returns the worst state and the texts, the most important first.
func sumUp(findings []finding) (State, string) {
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Compare(b.state.severity(), a.state.severity())
	})
	state := OK
	texts := make([]string, len(findings))
	for i, f := range findings {
		state = Worst(state, f.state)
		texts[i] = f.text
	}
	return state, strings.Join(texts, ", ")
}

func roundedSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}
