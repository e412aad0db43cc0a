package queue

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Selection says which metrics are wanted.
type Selection struct {
	Filter   Filter         // of the reading that they are of
	Patterns MetricPatterns // nil: all that are not on demand
	Reasons  bool           // those of deferral reasons, too
	// InOrder selects metrics in the order of the patterns instead of the table's, for formats that tell numbers
	// apart by their place. All of them must be known then.
	InOrder bool
	// Growth says whether there are several readings, which know it.
	Growth bool
}

// Metrics returns the metrics that are selected.
func (s Selection) Metrics() []Metric {
	metrics := Select(s.Filter, func(m Metric) bool {
		return s.Reasons && m.Dimension == ByReason || s.Patterns.Name(m) && (m.Family != FamilyGrowth || s.Growth)
	})
	switch {
	case s.Patterns == nil:
		return metrics
	case !s.InOrder:
		return slices.DeleteFunc(metrics, func(m Metric) bool {
			return !s.Patterns.Match(m)
		})
	}
	var ordered []Metric
	for _, p := range s.Patterns {
		for _, m := range metrics {
			if p.matches(m) {
				ordered = append(ordered, m)
			}
		}
	}
	return ordered
}

// Check returns an error if one of the patterns selects nothing.
func (s Selection) Check() error {
	selected := s.Metrics()
	for _, p := range s.Patterns {
		if !slices.ContainsFunc(selected, p.matches) {
			return s.explain(p)
		}
	}
	return nil
}

func (s Selection) explain(p MetricPattern) error {
	table := Metrics()
	i := slices.IndexFunc(table, p.matches)
	if i < 0 {
		return UnknownMetric(string(p), slices.DeleteFunc(table, func(m Metric) bool { return m.Family == FamilyGrowth && !s.Growth }))
	}
	m := table[i]
	part := Name(m.Part)
	if m.Dimension == ByReason {
		part = Deferred
	}
	switch {
	case m.Family == FamilyGrowth && !s.Growth:
		return errors.New("growth takes several readings: only check_postfix_queue --state knows it")
	case m.Dimension != "" && !s.Filter.Covers(part):
		return fmt.Errorf("%s is part of the %s queue, which --queue leaves out", p, part)
	case m.Dimension == ByReason:
		return fmt.Errorf("%s selects reasons, which only --by-reason counts; or name one, such as %s", p, m.Name)
	case m.OnDemand:
		return fmt.Errorf("%s does not select %s, which must be named explicitly", p, m.Name)
	default:
		return fmt.Errorf("%s leaves out mail on hold, and --queue everything else; hold_age is the age of mail on hold", p)
	}
}

// Missing returns an error if the summary does not know a metric that must be known: one that is selected by its
// exact name or, in order, at all; and if it knows none of those that are selected.
func (s Selection) Missing(summary *Summary) error {
	var names []string
	usable := false
	for _, m := range s.Metrics() {
		_, known := m.Value(summary)
		usable = usable || known
		if !known && (s.InOrder || s.Patterns.Name(m)) && !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	switch {
	case len(names) > 0:
		return fmt.Errorf("this source does not know %s", strings.Join(names, ", "))
	case !usable:
		return errors.New("this source does not know any of the selected metrics")
	}
	return nil
}

// MetricPatterns are names of metrics, or globs as path.Match takes them.
type MetricPatterns []MetricPattern

// MetricPattern is the name of a metric, or a glob.
type MetricPattern string

// UnmarshalText adds a list of patterns with commas between them.
func (l *MetricPatterns) UnmarshalText(text []byte) error {
	for item := range strings.SplitSeq(string(text), ",") {
		if _, err := path.Match(item, ""); err != nil || item == "" {
			return fmt.Errorf(`invalid metric "%s": want a name or a glob`, item)
		}
		*l = append(*l, MetricPattern(item))
	}
	return nil
}

// Name reports whether one of the patterns is the name of the metric: only that selects a metric on demand.
func (l MetricPatterns) Name(m Metric) bool {
	return slices.Contains(l, MetricPattern(m.Name))
}

// Match reports whether one of the patterns matches the metric.
func (l MetricPatterns) Match(m Metric) bool {
	return slices.ContainsFunc(l, func(p MetricPattern) bool { return p.matches(m) })
}

func (p MetricPattern) matches(m Metric) bool {
	ok, _ := path.Match(string(p), m.Name) // UnmarshalText has checked the pattern
	return ok
}
