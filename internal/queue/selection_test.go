package queue

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// metricPatterns reads lists of patterns as options do.
func metricPatterns(t *testing.T, lists ...string) MetricPatterns {
	t.Helper()
	var p MetricPatterns
	for _, list := range lists {
		if err := p.UnmarshalText([]byte(list)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestSelection(t *testing.T) {
	held := Filter{Queues: []Name{Hold}}
	deferred := Filter{Queues: []Name{Deferred}}
	tests := []struct {
		name      string
		selection Selection
		patterns  string
		want      string // metrics, and distributions
	}{
		{"everything", Selection{Filter: held}, "", "emails size recipients forced_expire hold hold_size hold_age"},
		{"everything and histograms", Selection{Filter: held, Distributed: true}, "*",
			"emails size recipients forced_expire hold hold_size hold_age ages sizes"},
		{"names", Selection{}, "size,emails", "emails size"},
		{"names in order", Selection{InOrder: true}, "size,emails,size", "size emails size"},
		{"a glob", Selection{}, "hold*", "hold hold_size hold_age"},
		{"all but one", Selection{Filter: held}, "!size", "emails recipients forced_expire hold hold_size hold_age"},
		{"all but some", Selection{Filter: held}, "!hold_*,!*s", "size forced_expire hold"},
		{"a glob without one", Selection{}, "hold*,!hold_age", "hold hold_size"},
		{"the order does not matter", Selection{}, "!hold_age,hold*", "hold hold_size"},
		{"in order without one", Selection{InOrder: true}, "hold*,emails,!hold_age", "hold hold_size emails"},
		{"in order all but some", Selection{Filter: held, InOrder: true}, "!hold*", "emails size recipients forced_expire"},
		{"on demand", Selection{}, "up,size", "size up"},
		{"not on demand by a glob", Selection{Filter: held}, "*,!hold*,!size", "emails recipients forced_expire"},
		{"not on demand by leaving out", Selection{Filter: held}, "!up,!hold*", "emails size recipients forced_expire"},
		{"on demand next to a glob", Selection{Filter: held}, "*,up,!hold*", "emails size recipients forced_expire up"},
		{"on demand and left out", Selection{}, "size,u*,up,!up", "size"},
		{"reasons", Selection{Filter: deferred, Reasons: true}, "deferred_t*,!*_tls", "deferred_transport"},
		{"growth", Selection{Growth: true}, "growth,emails", "emails growth"},
		{"growth that nobody knows", Selection{}, "growth,emails", "emails"},
		{"histograms", Selection{Distributed: true}, "ages,sizes", "ages sizes"},
		{"one histogram", Selection{Distributed: true}, "emails,sizes", "emails sizes"},
		{"histograms by a glob", Selection{Distributed: true}, "size*", "size sizes"},
		{"no histograms", Selection{Filter: held, Distributed: true}, "*,!ages,!sizes",
			"emails size recipients forced_expire hold hold_size hold_age"},
		{"no histograms of ages", Selection{Filter: held, Distributed: true}, "!ages",
			"emails size recipients forced_expire hold hold_size hold_age sizes"},
		{"no room for histograms", Selection{}, "size*", "size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.patterns != "" {
				tt.selection.Patterns = metricPatterns(t, tt.patterns)
			}
			var got []string
			for _, m := range tt.selection.Metrics() {
				got = append(got, m.Name)
			}
			for _, d := range tt.selection.Distributions() {
				got = append(got, d.Name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func TestSelectionCheck(t *testing.T) {
	tests := []struct {
		name      string
		selection Selection
		patterns  string
		want      string // part of the error; empty: no error
	}{
		{"none", Selection{}, "*", ""},
		{"left out of what is there", Selection{}, "!size", ""},
		{"left out of what is not there", Selection{}, "emails,!size", ""},
		{"left out although on demand", Selection{}, "*,!corrupt", ""},
		{"left out although not read", Selection{Filter: Filter{Queues: []Name{Hold}}}, "!deferred", ""},
		{"histograms", Selection{Distributed: true}, "*,!ages,!sizes", ""},
		{"unknown", Selection{}, "emials", `unknown metric "emials"; did you mean emails?`},
		{"unknown left out", Selection{}, "*,!corupt", `unknown metric "corupt"; did you mean corrupt?`},
		{"nothing like it", Selection{}, "!nosuch", `unknown metric "nosuch"; known: emails, size,`},
		{"a glob of nothing", Selection{}, "!x*", `unknown metric "x*"; known:`},
		{"unknown histogram", Selection{Distributed: true}, "!age_s", `unknown metric "age_s"; did you mean ages?`},
		{"no histogram is meant", Selection{}, "sizzes", `unknown metric "sizzes"; did you mean size?`},
		{"no room for histograms", Selection{}, "ages", "ages is a histogram for each queue, which only"},
		{"none to leave out", Selection{}, "!sizes", "sizes is a histogram for each queue, which only"},
		{"growth", Selection{}, "!growth", "growth takes several readings"},
		{"named and left out", Selection{}, "emails,size,!emails", "emails selects nothing: patterns with"},
		{"on demand and left out", Selection{}, "size,up,!up", "up selects nothing: patterns with"},
		{"a histogram and left out", Selection{Distributed: true}, "size,ages,!a*",
			"ages selects nothing: patterns with"},
		{"all and left out", Selection{Distributed: true}, "*,!*", "* selects nothing: patterns with"},
		{"all left out", Selection{Distributed: true}, "!*", "nothing is selected"},
		{"on demand", Selection{}, "corr*", "corr* does not select corrupt, which must be named explicitly"},
		{"another queue", Selection{Filter: Filter{Queues: []Name{Hold}}}, "deferred,!hold", "which --queue leaves out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.selection.Patterns = metricPatterns(t, tt.patterns)
			switch err := tt.selection.Check(); {
			case err == nil && tt.want != "":
				t.Errorf("no error, want %q", tt.want)
			case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

func TestSelectionMissing(t *testing.T) {
	histograms := NewHistograms(time.Unix(1772334000, 0))
	listing := Summary{Queues: map[Name]*Tally{Hold: {Histograms: histograms}}}
	timeless := listing
	timeless.NoArrivalTimes = true
	tests := []struct {
		name      string
		selection Selection
		patterns  string
		summary   Summary
		want      string // the error; empty: none
	}{
		{"known", Selection{Distributed: true}, "hold_age,ages,sizes", listing, ""},
		{"only a histogram", Selection{Distributed: true}, "sizes", timeless, ""},
		{"named", Selection{Distributed: true}, "sizes,ages", timeless, "this source does not know ages"},
		{"by a glob", Selection{Distributed: true}, "*age*,sizes", timeless, ""},
		{"only by globs", Selection{Distributed: true}, "*age*", timeless, "this source does not know any of " +
			"the selected metrics"},
		{"left out", Selection{}, "*,corrupt,!corrupt", listing, ""},
		{"by leaving out, in order", Selection{InOrder: true}, "hold*,!hold_age", timeless, ""},
		{"by a glob, in order", Selection{InOrder: true}, "hold*", timeless, "this source does not know hold_age"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.selection.Patterns = metricPatterns(t, tt.patterns)
			got := ""
			if err := tt.selection.Missing(&tt.summary); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestInvalidMetricPatterns(t *testing.T) {
	for _, list := range []string{"", ",", "emails,", "!", "emails,!", "[", "![", "!!size,a["} {
		var p MetricPatterns
		if err := p.UnmarshalText([]byte(list)); err == nil {
			t.Errorf("%q becomes %q", list, p)
		}
	}
}

// A name of a distribution must not be taken for one of a metric.
func TestDistributionNames(t *testing.T) {
	var names []string
	for _, d := range Distributions() {
		if _, taken := Lookup(d.Name); taken {
			t.Errorf("%s is a metric, too", d.Name)
		}
		names = append(names, d.Name)
	}
	if want := []string{"ages", "sizes"}; !slices.Equal(names, want) {
		t.Errorf("the distributions are %v, want %v", names, want)
	}
}
