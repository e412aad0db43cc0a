package check

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// growingSummary is a queue of 45 messages with a growth.
func growingSummary(perHour int64) *queue.Summary {
	s := summary()
	s.Growth = &queue.Growth{PerHour: perHour, Steady: true}
	return s
}

func TestGrowthInLine1(t *testing.T) {
	const others = "33.5 MiB, oldest 5h 59m"
	turned := growingSummary(60)
	turned.Growth.Steady = false
	stuck := growingSummary(60)
	stuck.Troubles = []queue.Trouble{{Name: "space", Severity: queue.Critical, NeededBytes: 1}}
	vanished := growingSummary(-60)
	vanished.Total.Messages = 0
	tests := []struct {
		name       string
		summary    *queue.Summary
		warn, crit string
		state      State
		want       string // without what is held
	}{
		{"OK", growingSummary(60), "50", "60", OK, "45 emails, " + others},
		{"critical is next", growingSummary(60), "40", "65", Warning,
			"45 emails (above 40), " + others + ", growing 60 an hour, critical in about 20m"},
		{"a limit within", growingSummary(60), "40", "@65:80", Warning,
			"45 emails (above 40), " + others + ", growing 60 an hour, critical in about 20m"},
		{"no critical range", growingSummary(60), "age=1h 65", "", Warning,
			"oldest 5h 59m (above 1h), 45 emails, 33.5 MiB, growing 60 an hour, warning in about 20m"},
		{"a critical range without an end", growingSummary(60), "40", "10:", Warning,
			"45 emails (above 40), " + others + ", growing 60 an hour"},
		{"critical already", growingSummary(60), "50", "40", Critical,
			"45 emails (above 40), " + others + ", growing 60 an hour, warning range of emails lies beyond the critical one"},
		{"no range for emails", growingSummary(60), "age=1h", "", Warning,
			"oldest 5h 59m (above 1h), 45 emails, 33.5 MiB, growing 60 an hour"},
		{"draining", growingSummary(-30), "40", "65", Warning,
			"45 emails (above 40), " + others + ", draining 30 an hour, empty in about 1h 30m"},
		{"turned", turned, "40", "65", Warning, "45 emails (above 40), " + others + ", growing 60 an hour"},
		{"slowly", growingSummary(9), "40", "65", Warning, "45 emails (above 40), " + others},
		{"not at all", growingSummary(0), "40", "65", Warning, "45 emails (above 40), " + others},
		{"unknown", summary(), "40 growth=5", "growth=9", Warning, "45 emails (above 40), " + others},
		{"too fast", growingSummary(60), "growth=59", "65", Warning,
			"growing 60 an hour (above 59), critical in about 20m, 45 emails, " + others},
		{"fast enough", growingSummary(60), "growth=60", "65", OK, "45 emails, " + others},
		{"a plain number has no lower end", growingSummary(-60), "growth=60", "growth=70", OK, "45 emails, " + others},
		{"a lower end", growingSummary(-60), "growth=-59:", "", Warning,
			"draining 60 an hour (below -59), empty in about 45m, 45 emails, " + others},
		{"must grow", growingSummary(0), "growth=1:", "", Warning,
			"neither growing nor draining (below 1), 45 emails, " + others},
		{"empty", vanished, "growth=0:", "", Warning, "draining 60 an hour (below 0), 0 emails, " + others},
		{"too fast, both", growingSummary(60), "40", "growth=10", Critical,
			"growing 60 an hour (above 10), 45 emails (above 40), " + others},
		{"warnings may be below zero", growingSummary(60), "growth=-100:2000", "growth=-1000:1000", OK,
			"45 emails, " + others},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings := []queue.Reading{{Summary: tt.summary}}
			r := Judge(readings, Options{
				Warn: rules(t, tt.warn), Crit: rules(t, tt.crit), Memory: Memory{Used: true},
			})
			if got := strings.TrimSuffix(string(r.Lines[0]), held); r.State != tt.state || got != tt.want {
				t.Errorf("got %s %s\nwant %s %s", r.State, got, tt.state, tt.want)
			}
		})
	}
	// A trouble is a reason to say it, too.
	r := Judge([]queue.Reading{{Summary: stuck}}, Options{Memory: Memory{Used: true}})
	if r.State != Critical || !strings.Contains(string(r.Lines[0]), others+", growing 60 an hour") {
		t.Errorf("%+v", r)
	}
}

func TestGrowthInDetail(t *testing.T) {
	failed := errors.New("cannot write /a|b: oops")
	broken := growingSummary(60)
	broken.Partial = true
	tests := []struct {
		name    string
		reading queue.Reading
		memory  Memory
		want    string // the lines about it
	}{
		{"no state file", queue.Reading{Summary: summary()}, Memory{}, ""},
		{"known", queue.Reading{Summary: growingSummary(3)}, Memory{Used: true},
			"growing 3 an hour, critical in about 12h\n"},
		{"not yet", queue.Reading{Summary: summary()}, Memory{Used: true},
			"no growth yet: that takes two readings, at least a minute apart\n"},
		{"failed", queue.Reading{Summary: summary()}, Memory{true, failed}, "no growth: cannot write /a?b: oops\n"},
		{"failed but known", queue.Reading{Summary: growingSummary(0)}, Memory{true, failed},
			"neither growing nor draining\nnot remembered: cannot write /a?b: oops\n"},
		{"not whole", queue.Reading{Summary: broken, Err: errors.New("oops")}, Memory{Used: true}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			Judge([]queue.Reading{tt.reading}, Options{
				Detail: DetailQueues, Memory: tt.memory, Crit: rules(t, "80"),
			}).Write(&out)
			_, got, _ := strings.Cut(out.String(), "\ntotal ")
			if _, got, _ = strings.Cut(got, "\n"); strings.TrimPrefix(got, "these numbers are lower bounds\n") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGrowthInPerfdata(t *testing.T) {
	readings := []queue.Reading{{Summary: growingSummary(-60), Instance: queue.Instance{Name: "mx"}}}
	both := []queue.Reading{readings[0], {Summary: growingSummary(60), Instance: queue.Instance{Name: "out"}}}
	growth := queue.MetricPatterns{"growth"}
	tests := []struct {
		name     string
		readings []queue.Reading
		options  Options
		want     string
	}{
		{"plain", readings, Options{}, " growth=-60 hold=3;"},
		{"thresholds", readings, Options{Warn: rules(t, "growth=5"), Crit: rules(t, "growth=-90:90")},
			" growth=-60;~:5;-90:90 "},
		{"alone", readings, Options{Perfdata: growth}, " | growth=-60\n"},
		{"several instances", both, Options{Perfdata: growth}, " | mx_growth=-60 out_growth=60\n"},
		{"several instances by themselves", both, Options{}, " mx_emails=45;;;0 mx_size="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Memory.Used = true
			var out bytes.Buffer
			if Judge(tt.readings, tt.options).Write(&out); !strings.Contains(out.String(), tt.want) {
				t.Errorf("got %s, want %q", &out, tt.want)
			}
		})
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                               "1m",
		89 * time.Second:                "1m",
		90 * time.Second:                "2m",
		59*time.Minute + 29*time.Second: "59m",
		59*time.Minute + 40*time.Second: "1h",
		64 * time.Minute:                "1h",
		87 * time.Minute:                "1h 30m",
		10*time.Hour + 20*time.Minute:   "10h",
		25 * time.Hour:                  "1d 1h",
		48 * time.Hour:                  "2d",
	} {
		if got := about(d); got != want {
			t.Errorf("%s: about %s, want %s", d, got, want)
		}
	}
}
