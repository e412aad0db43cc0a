package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
	"example.org/postfix-queue-monitor/internal/units"
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
	Filter     queue.Filter // of the command line, which is shown as it was typed
	Reasons    bool         // show the metrics of deferral reasons even without thresholds
	Detail     int
	// Perfdata are the metrics in the performance data; nil: all that are not on demand and, of several instances, only
	// the headlines. Those with a threshold are always in it, unless Perfdata says otherwise.
	Perfdata queue.MetricPatterns
	MaxText  int // bytes of text; 0: MaxText
	// NoCommands leaves out the commands to act with: nobody knows whether Postfix works on this queue.
	NoCommands bool
	// LabelInstances puts the instance's name into the labels of a single instance, too.
	LabelInstances bool
	Memory         Memory
}

func (o Options) askFor(m queue.Metric) bool {
	return o.Reasons && m.Dimension == queue.ByReason || o.Memory.Used && isGrowth(m) || o.Warn.Mention(m) || o.Crit.Mention(m) || o.Perfdata.Name(m)
}

// Metrics returns those that are shown or judged, if the source knows them.
func (o Options) Metrics() []queue.Metric { return queue.Select(o.Filter, o.askFor) }

// showsPerf reports whether a metric is in the performance data.
func (o Options) showsPerf(m queue.Metric, several bool) bool {
	switch {
	case o.Perfdata != nil:
		return o.Perfdata.Match(m.Name)
	case several: // twenty numbers of each would fill line 1
		return slices.Contains(headlines, m.Name) || o.Warn.Mention(m) || o.Crit.Mention(m)
	}
	return true
}

// headlines are the metrics that line 1 gives even if they do not alert.
var headlines = []string{"emails", "size", "age"}

// Judge compares the readings of one or more instances with the rules.
func Judge(readings []queue.Reading, o Options) Result {
	labelled := o.LabelInstances || len(readings) > 1
	result := Result{maxText: o.MaxText}
	verdicts := make([]verdict, len(readings))
	for i, reading := range readings {
		v := judgeOne(reading, o)
		v.perf = slices.DeleteFunc(v.perf, func(p Perf) bool { return !o.showsPerf(p.metric, len(readings) > 1) })
		if labelled {
			prefix := reading.Instance.Label() + "_"
			for j := range v.perf {
				v.perf[j].Label = prefix + v.perf[j].Label
			}
		}
		verdicts[i] = v
		result.State = Worst(result.State, v.state)
		result.Perf = append(result.Perf, v.perf...)
	}
	if err := checkLabels(readings, verdicts); err != nil {
		return Failed(queue.Safe(err.Error()))
	}
	result.Lines = []queue.Text{line1(readings, verdicts, result.State, labelled)}
	for _, i := range worstFirst(verdicts) {
		result.Lines = append(result.Lines, detailLines(readings[i], verdicts[i], labelled, o)...)
	}
	return result
}

// checkLabels returns an error if two instances have the same label in their performance data, as mx-hold with
// its emails and mx with its mail on hold do.
func checkLabels(readings []queue.Reading, verdicts []verdict) error {
	owner := map[string]string{}
	for i, v := range verdicts {
		name := readings[i].Instance.Name
		for _, p := range v.perf {
			if other, taken := owner[p.Label]; taken {
				return fmt.Errorf("the instances %s and %s would both have %s in their performance data; "+
					"check them separately, or change multi_instance_name of one", other, name, p.Label)
			}
			owner[p.Label] = name
		}
	}
	return nil
}

type verdict struct {
	state   State
	text    queue.Text
	remarks queue.Text // what comes last in line 1
	perf    []Perf
}

func judgeOne(r queue.Reading, o Options) verdict {
	if r.Summary == nil {
		return verdict{state: Unknown, text: queue.Safe(r.Err.Error())}
	}
	state, sentences, remarks := judgeTroubles(r.Summary)
	var v verdict
	switch {
	case r.Complete():
		v = judgeComplete(r.Summary, o, state)
	case r.Summary.Down != "":
		v = verdict{state: Critical, text: downText(r, o)}
	case errors.Is(r.Err, context.DeadlineExceeded):
		v = judgeStopped(r, o)
	default:
		v = judgeBroken(r, o)
	}
	v.state = Worst(v.state, state)
	v.text = sentences + v.text
	if v.state != OK {
		v.text += findingsText(r.Summary)
	}
	v.text += v.remarks + remarks
	return v
}

// MayAlert reports whether the state of a summary is not OK, or may not be once its growth is known; findings aside.
func MayAlert(s *queue.Summary, o Options) bool {
	return s.Partial || o.Memory.Used && o.judgesGrowth() || judgeOne(queue.Reading{Summary: s}, o).state != OK
}

type judgement struct {
	metric           queue.Metric
	value            int64
	maxUndercount    int64
	known            bool
	isLowerBound     bool
	addition         queue.Text // to its words
	warn, crit       thresholds.Range
	hasWarn, hasCrit bool // whether there is such a range
	state            State
}

// judgeMetrics applies the rules to every metric. What was counted may be a lower bound: it breaks a range only if every
// larger number does, too.
func judgeMetrics(s *queue.Summary, o Options, isLowerBound bool) []judgement {
	var list []judgement
	for _, m := range queue.Select(s.Filter, o.askFor) {
		j := judgement{metric: m, addition: manyRecipients(m, s)}
		j.value, j.known = m.Value(s)
		breaks := thresholds.Range.Alerts
		if j.isLowerBound = isLowerBound && !m.Exact; j.isLowerBound {
			breaks = thresholds.Range.AlertsFrom
		}
		if m.MaxUndercount != nil {
			j.maxUndercount = m.MaxUndercount(s)
		}
		j.warn, j.hasWarn = o.Warn.For(m.Name)
		j.crit, j.hasCrit = o.Crit.For(m.Name)
		switch {
		case !j.known && isGrowth(m): // the first readings
			continue
		case !j.known && (j.hasWarn || j.hasCrit):
			j.state = Unknown
		case !j.known:
		case j.isOpen():
			j.state = Unknown
		case j.hasCrit && breaks(j.crit, j.value):
			j.state = Critical
		case j.hasWarn && breaks(j.warn, j.value):
			j.state = Warning
		}
		list = append(list, j)
	}
	return list
}

// isOpen reports whether the value may be too low to say whether it breaks a range.
func (j judgement) isOpen() bool {
	isOpen := func(r thresholds.Range) bool {
		return !r.AlertsFrom(j.value) && (r.Inside || r.Alerts(j.value) || r.Alerts(j.value+j.maxUndercount))
	}
	switch {
	case j.maxUndercount == 0:
		return false
	case j.hasCrit && j.crit.AlertsFrom(j.value):
		return false
	}
	return j.hasCrit && isOpen(j.crit) || j.hasWarn && isOpen(j.warn)
}

func (j judgement) finding() finding {
	if j.state == Unknown && j.known {
		return finding{Unknown, describe(j.metric, j.value) + queue.Text(fmt.Sprintf(" or up to %d more: there are too many different ones to count", j.maxUndercount))}
	}
	switch j.state {
	case Critical:
		return finding{Critical, breach(j.metric, j.value, j.crit, j.addition)}
	case Warning:
		return finding{Warning, breach(j.metric, j.value, j.warn, j.addition)}
	case Unknown:
		return finding{Unknown, "this source does not know " + queue.Text(j.metric.Name) + whoKnows(j.metric)}
	default:
		return finding{OK, describe(j.metric, j.value) + j.addition}
	}
}

func (j judgement) perf() Perf {
	p := Perf{Label: j.metric.Name, Value: j.value, Unit: j.metric.Unit, metric: j.metric}
	if j.hasWarn {
		p.Warn = j.warn.String()
	}
	if j.hasCrit {
		p.Crit = j.crit.String()
	}
	return p
}

// judgeComplete judges a whole reading, of which something else may be wrong already.
func judgeComplete(s *queue.Summary, o Options, wrong State) verdict {
	var v verdict
	// A snapshot may have been written of some queues only.
	var findings []finding
	growthIsFine := false
	for _, rules := range []thresholds.Rules{o.Warn, o.Crit} {
		if err := rules.CheckFilter(s.Filter); err != nil {
			findings = append(findings, finding{Unknown, queue.Safe(err.Error())})
		}
	}
	for _, j := range judgeMetrics(s, o, false) {
		if j.known {
			v.perf = append(v.perf, j.perf())
		}
		switch {
		case isGrowth(j.metric) && j.state != OK:
			findings = append(findings, finding{j.state, j.finding().text + forecast(s, o)})
		case isGrowth(j.metric):
			growthIsFine = true
		case j.state != OK || j.known && isHeadline(j.metric, s):
			findings = append(findings, j.finding())
		}
	}
	v.state, v.text = sumUp(findings)
	if growthIsFine && Worst(v.state, wrong) != OK && isRemarkable(s) {
		v.text += ", " + growing(s, o)
	}
	if allHeld(s) && s.Filter.Queues == nil {
		v.text += ", all on hold" + oldestHeld(s)
	}
	if s.Total.Messages == 0 && v.state == OK {
		v.text = emptyText(s)
	}
	v.text += maskedWarnings(o) + circumstances(s, o)
	v.remarks = heldText(s)
	return v
}

// judgeStopped judges a reading that was stopped at the deadline.
func judgeStopped(r queue.Reading, o Options) verdict {
	s := r.Summary
	precision := 100 * time.Millisecond
	if r.Took < precision {
		precision = time.Millisecond
	}
	took := queue.Text(units.Seconds.FormatExact(r.Took.Round(precision).Seconds()))
	stopped := "listing stopped after " + took
	switch {
	case s.Visited == 0:
		return verdict{state: Unknown, text: "no answer from " + queue.Safe(s.Source) + " within " + took + wayOut}
	case s.Visited == s.Unreadable:
		text := queue.Text(fmt.Sprintf("none of the first %d lines can be parsed, ", s.Visited))
		return verdict{state: Unknown, text: text + stopped}
	case s.Total.Messages == 0:
		text := queue.Text(fmt.Sprintf("none of the first %d emails match, ", s.Visited))
		return verdict{state: Unknown, text: text + stopped + wayOut + circumstances(s, o)}
	}
	state, text := judgeLowerBound(s, o)
	text += ", " + stopped
	if state == Unknown {
		text += wayOut
	}
	return verdict{state: state, text: text + circumstances(s, o)}
}

// judgeBroken judges a reading that failed for another reason.
func judgeBroken(r queue.Reading, o Options) verdict {
	s, failed := r.Summary, queue.Safe(r.Err.Error())
	if s.Total.Messages <= s.Unreadable {
		return verdict{state: Unknown, text: failed}
	}
	state, text := judgeLowerBound(s, o)
	if state == Unknown || errors.Is(r.Err, context.Canceled) { // nobody waits for the answer any more
		return verdict{state: Unknown, text: failed + "; at least " + describe(emails, s.Total.Messages)}
	}
	return verdict{state: state, text: text + circumstances(s, o) + "; " + failed}
}

// judgeLowerBound applies the rules to numbers that are lower bounds: a WARNING is certain only if no critical range is
// left open. The state is Unknown if nothing is proved.
func judgeLowerBound(s *queue.Summary, o Options) (State, queue.Text) {
	var exact, findings []finding
	criticalOpen := false
	for _, j := range judgeMetrics(s, o, true) {
		criticalOpen = criticalOpen ||
			j.hasCrit && j.state != Critical && (!j.known || j.isLowerBound && j.crit.MayAlertFrom(j.value))
		switch {
		case !j.known || j.state == OK && !isHeadline(j.metric, s):
		case j.isLowerBound:
			findings = append(findings, j.finding())
		default:
			exact = append(exact, j.finding())
		}
	}
	state, text := sumUp(findings)
	text = "at least " + text
	if len(exact) > 0 {
		exactState, exactText := sumUp(exact)
		state, text = Worst(state, exactState), exactText+"; "+text
	}
	if state == OK || (state == Warning && criticalOpen) {
		state = Unknown
	}
	return state, text
}

type finding struct {
	state State
	text  queue.Text
}

// sumUp returns the worst state and the texts, the most important first.
func sumUp(findings []finding) (State, queue.Text) {
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Compare(b.state.severity(), a.state.severity())
	})
	state := OK
	var text queue.Text
	for i, f := range findings {
		state = Worst(state, f.state)
		if i > 0 {
			text += ", "
		}
		text += f.text
	}
	return state, text
}
