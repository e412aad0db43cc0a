package queue

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Selection says which metrics and distributions are wanted.
type Selection struct {
	Filter   Filter         // of the reading that they are of
	Patterns MetricPatterns // nil: all that are not on demand
	Reasons  bool           // those of deferral reasons, too
	// InOrder selects metrics in the order of the patterns instead of the table's, for formats that tell numbers
	// apart by their place. All of them must be known then.
	InOrder bool
	// Growth reports whether readings are remembered, so that growth can be known.
	Growth bool
	// Distributed reports whether there is room for histograms.
	Distributed bool
}

// Metrics returns the metrics that are selected.
func (s Selection) Metrics() []Metric {
	metrics := slices.DeleteFunc(s.selectable(), func(m Metric) bool { return !s.Patterns.Match(m.Name) })
	if !s.InOrder || !s.Patterns.wantSome() {
		return metrics
	}
	var ordered []Metric
	for _, p := range s.Patterns {
		for _, m := range metrics {
			if p.selects(m.Name) {
				ordered = append(ordered, m)
			}
		}
	}
	return ordered
}

// selectable returns the metrics that there are, apart from those on demand that nobody asks for.
func (s Selection) selectable() []Metric {
	return Select(s.Filter, func(m Metric) bool {
		return s.Reasons && m.Dimension == ByReason || s.Patterns.Name(m) && (m.Family != FamilyGrowth || s.Growth)
	})
}

// Distributions returns the distributions that are selected.
func (s Selection) Distributions() []Distribution {
	if !s.Distributed {
		return nil
	}
	return slices.DeleteFunc(Distributions(), func(d Distribution) bool { return !s.Patterns.Match(d.Name) })
}

// Check returns an error if one of the patterns selects nothing, or leaves out what does not exist.
func (s Selection) Check() error {
	var selected []string
	for _, m := range s.Metrics() {
		selected = append(selected, m.Name)
	}
	for _, d := range s.Distributions() {
		selected = append(selected, d.Name)
	}
	for _, p := range s.Patterns {
		switch {
		case p.negated() && !slices.ContainsFunc(s.names(), p.covers):
			return s.explain(p)
		case !p.negated() && !slices.ContainsFunc(selected, p.covers):
			return s.explain(p)
		}
	}
	if len(selected) == 0 {
		return errors.New("nothing is selected: patterns with a leading ! leave out everything")
	}
	return nil
}

// names returns the names of what a pattern may leave out.
func (s Selection) names() []string {
	var names []string
	for _, m := range Metrics() {
		if m.Family != FamilyGrowth || s.Growth {
			names = append(names, m.Name)
		}
	}
	if s.Distributed {
		for _, d := range Distributions() {
			names = append(names, d.Name)
		}
	}
	return names
}

// explain says why a pattern is of no use.
func (s Selection) explain(p MetricPattern) error {
	if m, ok := find(Metrics(), func(m Metric) bool { return p.covers(m.Name) }); ok {
		return s.explainMetric(p, m)
	}
	d, ok := find(Distributions(), func(d Distribution) bool { return p.covers(d.Name) })
	switch {
	case ok && !s.Distributed:
		return fmt.Errorf("%s is a histogram for each queue, which only the format prometheus has", d.Name)
	case ok:
		return leftOut(p)
	}
	return unknownMetric(p.glob(), s.names())
}

func (s Selection) explainMetric(p MetricPattern, m Metric) error {
	part := Name(m.Part)
	if m.Dimension == ByReason {
		part = Deferred
	}
	switch {
	case m.Family == FamilyGrowth && !s.Growth:
		return errors.New("growth takes several readings: only check_postfix_queue --state knows it")
	case slices.ContainsFunc(s.selectable(), func(m Metric) bool { return p.covers(m.Name) }):
		return leftOut(p)
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

func leftOut(p MetricPattern) error {
	return fmt.Errorf("%s selects nothing: patterns with a leading ! leave out all of it", p)
}

func find[T any](table []T, fits func(T) bool) (row T, ok bool) {
	if i := slices.IndexFunc(table, fits); i >= 0 {
		return table[i], true
	}
	return row, false
}

// Missing returns an error if the summary does not know something that must be known: what is selected by its exact name
// or, in order, at all; and if it knows nothing of what is selected.
func (s Selection) Missing(summary *Summary) error {
	var names []string
	usable := false
	see := func(name string, known bool) {
		usable = usable || known
		if !known && (s.InOrder || slices.Contains(s.Patterns, MetricPattern(name))) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, m := range s.Metrics() {
		_, known := m.Value(summary)
		see(m.Name, known)
	}
	for _, d := range s.Distributions() {
		see(d.Name, d.isKnown(summary))
	}
	switch {
	case len(names) > 0:
		return fmt.Errorf("this source does not know %s", strings.Join(names, ", "))
	case !usable:
		return errors.New("this source does not know any of the selected metrics")
	}
	return nil
}

// MetricPatterns are names of metrics and distributions, or globs as path.Match takes them. They select a name if one of
// them matches it, or if none is without a !, and no pattern with a leading ! matches it.
type MetricPatterns []MetricPattern

// MetricPattern is a name, or a glob. With a leading ! it leaves out what it matches.
type MetricPattern string

// UnmarshalText adds a list of patterns with commas between them.
func (l *MetricPatterns) UnmarshalText(text []byte) error {
	for item := range strings.SplitSeq(string(text), ",") {
		p := MetricPattern(item)
		if _, err := path.Match(p.glob(), ""); err != nil || p.glob() == "" {
			return fmt.Errorf(`invalid metric "%s": want a name or a glob; a leading ! leaves it out`, item)
		}
		*l = append(*l, p)
	}
	return nil
}

// Name reports whether one of the patterns is the name of the metric: only that selects a metric on demand.
func (l MetricPatterns) Name(m Metric) bool {
	return slices.Contains(l, MetricPattern(m.Name))
}

// Match reports whether the patterns select the name.
func (l MetricPatterns) Match(name string) bool {
	if slices.ContainsFunc(l, func(p MetricPattern) bool { return p.negated() && p.covers(name) }) {
		return false
	}
	return !l.wantSome() || slices.ContainsFunc(l, func(p MetricPattern) bool { return p.selects(name) })
}

// wantSome reports whether a pattern is without a !.
func (l MetricPatterns) wantSome() bool {
	return slices.ContainsFunc(l, func(p MetricPattern) bool { return !p.negated() })
}

func (p MetricPattern) negated() bool { return strings.HasPrefix(string(p), "!") }

func (p MetricPattern) glob() string { return strings.TrimPrefix(string(p), "!") }

// covers reports whether the pattern is about a name, be it to leave it out.
func (p MetricPattern) covers(name string) bool {
	ok, _ := path.Match(p.glob(), name) // UnmarshalText has checked the pattern
	return ok
}

func (p MetricPattern) selects(name string) bool { return !p.negated() && p.covers(name) }
