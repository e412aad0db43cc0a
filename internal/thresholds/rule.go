package thresholds

import (
	"fmt"
	"slices"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// DefaultMetric is what a rule without a metric's name is about.
const DefaultMetric = "emails"

// Rule is a range for one metric.
type Rule struct {
	Metric queue.Metric
	Range  Range
}

// ParseRule reads [METRIC=]RANGE.
func ParseRule(text string) (Rule, error) {
	name, rangeText, named := strings.Cut(text, "=")
	if !named {
		name, rangeText = DefaultMetric, text
	}
	name = strings.TrimSpace(name)
	metric, ok := queue.Lookup(name)
	if !ok {
		return Rule{}, &UnknownMetricError{name}
	}
	r, err := ParseRange(rangeText, metric.Unit)
	if err != nil {
		return Rule{}, err
	}
	return Rule{metric, r}, nil
}

// Rules are the rules of one level, warning or critical, at most one for each
// metric.
type Rules []Rule

// UnmarshalText adds one rule. It is called once for each -w or -c; a second
// range for the same metric is an error.
func (rules *Rules) UnmarshalText(text []byte) error {
	rule, err := ParseRule(string(text))
	if err != nil {
		return err
	}
	if old, ok := rules.For(rule.Metric.Name); ok {
		return fmt.Errorf("there are two ranges for %s, %s and %s; give one", rule.Metric.Name, old, rule.Range)
	}
	*rules = append(*rules, rule)
	return nil
}

// For returns the range for the named metric and whether there is one.
func (rules Rules) For(metric string) (Range, bool) {
	for _, rule := range rules {
		if rule.Metric.Name == metric {
			return rule.Range, true
		}
	}
	return Range{}, false
}

// Name reports whether one of the rules is about the metric.
func (rules Rules) Name(m queue.Metric) bool {
	_, ok := rules.For(m.Name)
	return ok
}

// NameReasons reports whether one of the rules is about deferral reasons.
func (rules Rules) NameReasons() bool {
	return slices.ContainsFunc(rules, func(rule Rule) bool { return rule.Metric.By == queue.ByReason })
}

// CheckFilter returns an error if a rule is about a metric that no reading
// with this filter can have.
func (rules Rules) CheckFilter(f queue.Filter) error {
	available := queue.Select(f, rules.Name)
	for _, rule := range rules {
		if !slices.ContainsFunc(available, func(m queue.Metric) bool { return m.Name == rule.Metric.Name }) {
			return fmt.Errorf("a range for %s makes no sense while looking at %s", rule.Metric.Name, f)
		}
	}
	return nil
}

// UnknownMetricError says that there is no metric of that name.
type UnknownMetricError struct{ Name string }

func (e *UnknownMetricError) Error() string {
	var names []string
	for _, m := range queue.Metrics() {
		names = append(names, m.Name)
	}
	return fmt.Sprintf("there is no metric %s; there are %s", e.Name, strings.Join(names, ", "))
}
