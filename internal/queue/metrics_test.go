package queue

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The names of metrics are an interface: thresholds, graphs and alerts on other
// machines use them.
func TestMetricNames(t *testing.T) {
	var got strings.Builder
	for _, m := range Metrics() {
		got.WriteString(m.Name + "\n")
	}
	want, err := os.ReadFile("../../testdata/golden/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("metrics:\n%swant:\n%s", got.String(), want)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9_]+$`)
	seen := map[string]bool{}
	for _, m := range Metrics() {
		switch {
		case !name.MatchString(m.Name), seen[m.Name]:
			t.Errorf("bad or repeated name %q", m.Name)
		case m.Family == "", m.Help == "", m.Value == nil, (m.Dimension == "") != (m.Part == ""):
			t.Errorf("%s: incomplete row", m.Name)
		}
		seen[m.Name] = true
		if found, ok := Lookup(m.Name); !ok || found.Name != m.Name {
			t.Errorf("Lookup(%q) fails", m.Name)
		}
	}
}

func TestSafe(t *testing.T) {
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	for _, r := range Safe(all.String() + "ü€\u2028\ufffd") {
		if r < ' ' || r > '~' || strings.ContainsRune("|$<>&`'\"\\", r) {
			t.Errorf("%q passes", r)
		}
	}
	if got := Safe("a|b <c> $d$ `e` é\x00\n"); got != "a?b ?c? ?d? ?e? ???" {
		t.Errorf("got %q", got)
	}
}
