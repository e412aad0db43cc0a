package thresholds

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// DefaultMetric is the metric of a rule that names none.
const DefaultMetric = "emails"

// Rule is a range for one metric.
type Rule struct {
	Metric queue.Metric
	Range  Range
}

// ParseRule reads [METRIC=]RANGE. A plain number for growth has no lower end: a queue that drains is no alert.
func ParseRule(text string) (Rule, error) {
	name, rangeText, named := strings.Cut(text, "=")
	if !named {
		name, rangeText = DefaultMetric, text
	}
	name = strings.TrimSpace(name)
	metric, ok := queue.Lookup(name)
	if !ok {
		return Rule{}, queue.UnknownMetric(name, queue.Metrics())
	}
	r, err := ParseRange(rangeText, metric.Unit)
	if err != nil {
		return Rule{}, fmt.Errorf("%w%s", err, ruleHint(rangeText, named))
	}
	if metric.Family == queue.FamilyGrowth && !strings.ContainsAny(rangeText, ":@") {
		r.Start = math.Inf(-1)
	}
	return Rule{metric, r}, nil
}

// ruleHint says what was meant if a text that is not a range shows it.
func ruleHint(rangeText string, named bool) string {
	if strings.Contains(rangeText, "=") {
		return "; use a separate option for each metric"
	}
	if named {
		return ""
	}
	if strings.HasPrefix(rangeText, "/") {
		return "; the shell has taken ~ for a home directory: quote it, as in '~:10'"
	}
	name := rangeText
	if end := strings.IndexAny(name, ":<> "); end >= 0 {
		name = name[:end]
	}
	if metric, ok := queue.Lookup(name); ok {
		return fmt.Sprintf("; write a threshold on a metric with =, as in %s=10", metric.Name)
	}
	return ""
}

// Rules are the rules of one level, warning or critical, at most one for each metric.
type Rules []Rule

// UnmarshalText adds one rule. It is called once for each -w or -c; a second range for the same metric is an
// error.
func (rules *Rules) UnmarshalText(text []byte) error {
	rule, err := ParseRule(string(text))
	if err != nil {
		return err
	}
	if old, ok := rules.For(rule.Metric.Name); ok {
		return fmt.Errorf("%s has two ranges, %s and %s; give it one", rule.Metric.Name, old, rule.Range)
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

// Mention reports whether one of the rules is about the metric.
func (rules Rules) Mention(m queue.Metric) bool {
	_, ok := rules.For(m.Name)
	return ok
}

// CheckFilter returns an error if a rule is about a metric that no reading with this filter can have.
func (rules Rules) CheckFilter(f queue.Filter) error {
	available := queue.Select(f, rules.Mention)
	for _, rule := range rules {
		if !slices.ContainsFunc(available, func(m queue.Metric) bool { return m.Name == rule.Metric.Name }) {
			return fmt.Errorf("there is a threshold on %s, but the filter leaves it out: %s", rule.Metric.Name, f)
		}
	}
	return nil
}
