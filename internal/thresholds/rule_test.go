package thresholds

import (
	"math"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
)

func TestParseRule(t *testing.T) {
	tests := []struct {
		text   string
		metric string
		want   Range
	}{
		{"100", "emails", Range{0, 100, false}},
		{"emails=100", "emails", Range{0, 100, false}},
		{"size=10", "size", Range{0, 10240, false}},
		{"deferred_size=@1M:", "deferred_size", Range{1 << 20, math.Inf(1), true}},
		{"age=4h", "age", Range{0, 14400, false}},
		{"hold_age=~:2d", "hold_age", Range{math.Inf(-1), 172800, false}},
		{" hold = 5 ", "hold", Range{0, 5, false}},
		{"growth=500", "growth", Range{math.Inf(-1), 500, false}},
		{"growth=0:500", "growth", Range{0, 500, false}},
		{"growth=:500", "growth", Range{0, 500, false}},
		{"growth=@500", "growth", Range{0, 500, true}},
		{"growth=-200:", "growth", Range{-200, math.Inf(1), false}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			rule, err := ParseRule(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if rule.Metric.Name != tt.metric || rule.Range != tt.want {
				t.Errorf("got %s %+v, want %s %+v", rule.Metric.Name, rule.Range, tt.metric, tt.want)
			}
		})
	}
}

func TestParseRuleRefusals(t *testing.T) {
	for _, text := range []string{
		"Emails=3", "=3", "nosuch=3", "corrupt", "emails=", "emails=1=2", "emails:3=4", "growth=-5",
	} {
		t.Run(text, func(t *testing.T) {
			if rule, err := ParseRule(text); err == nil {
				t.Errorf("got %+v, want an error", rule)
			}
		})
	}
}

func TestParseRuleSaysWhatWasMeant(t *testing.T) {
	for text, want := range map[string]string{
		"nosuch=3":          `unknown metric "nosuch"; known: emails, size, age, `,
		"emails=1,size=20M": "; use a separate option for each metric",
		"deferred:10":       "; write a threshold on a metric with =, as in deferred=10",
		"emails>10":         "; write a threshold on a metric with =, as in emails=10",
		"emails":            "; write a threshold on a metric with =, as in emails=10",
		"/root:3":           "; the shell has taken ~ for a home directory: quote it, as in '~:10'",
	} {
		if _, err := ParseRule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestRulesCollectOneRangePerMetric(t *testing.T) {
	var rules Rules
	for _, text := range []string{"100", "size=5M", "age=1h"} {
		if err := rules.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := rules.For("size"); !ok || r.End != 5<<20 {
		t.Errorf("range for size: %v, %v", r, ok)
	}
	if _, ok := rules.For("hold"); ok {
		t.Error("a range for hold out of nowhere")
	}
	if err := rules.UnmarshalText([]byte("emails=200")); err == nil ||
		!strings.Contains(err.Error(), "emails has two ranges, 100 and 200") {
		t.Errorf("second range for emails: %v", err)
	}
	if len(rules) != 3 {
		t.Errorf("%d rules, want 3", len(rules))
	}
}

func TestRulesCheckFilter(t *testing.T) {
	rules := Rules{}
	for _, text := range []string{"10", "hold=2"} {
		if err := rules.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rules.CheckFilter(queue.Filter{}); err != nil {
		t.Error(err)
	}
	if err := rules.CheckFilter(queue.Filter{Queues: []queue.Name{queue.Hold}}); err != nil {
		t.Error(err)
	}
	if err := rules.CheckFilter(queue.Filter{Queues: []queue.Name{queue.Active}}); err == nil {
		t.Error("no error for a range for hold while only active counts")
	}
}

func FuzzRules(f *testing.F) {
	f.Add("emails=10", "size=@5M:")
	f.Add("10", "emails=3")
	f.Fuzz(func(t *testing.T, first, second string) {
		var rules Rules
		accepted := 0
		for _, text := range []string{first, second} {
			if rules.UnmarshalText([]byte(text)) == nil {
				accepted++
			}
		}
		if len(rules) != accepted {
			t.Fatalf("%q, %q: %d accepted, %d kept", first, second, accepted, len(rules))
		}
		for _, rule := range rules {
			if r, ok := rules.For(rule.Metric.Name); !ok || r != rule.Range {
				t.Fatalf("%q, %q: the range for %s is lost", first, second, rule.Metric.Name)
			}
		}
	})
}
