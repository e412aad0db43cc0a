package emit

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func readings() []queue.Reading {
	tally := func(messages, sizeBytes, forced int64, age time.Duration) *queue.Tally {
		return &queue.Tally{Messages: messages, SizeBytes: sizeBytes, Recipients: 2 * messages, ForcedExpire: forced, Oldest: now.Add(-age)}
	}
	return []queue.Reading{
		{
			Instance: queue.Instance{Name: "local"},
			Summary: &queue.Summary{
				Taken: now, AsOf: now, Total: *tally(45, 35127297, 1, 76*time.Hour), Facts: queue.Facts{Corrupt: new(int64(3))},
				Queues: map[queue.Name]*queue.Tally{
					queue.Active: tally(2, 2048, 0, 90*time.Second), queue.Deferred: tally(40, 35000000, 1, 5*time.Hour),
					queue.Hold: tally(3, 125249, 0, 76*time.Hour), queue.Incoming: {}, queue.Maildrop: {},
				},
			},
		},
		{ // a text listing, of an instance with a hostile name
			Instance: queue.Instance{Name: "mx.1 '|\n"},
			Summary: &queue.Summary{
				Taken: now, AsOf: now, Total: queue.Tally{Messages: 1, SizeBytes: math.MaxInt64},
				Queues: map[queue.Name]*queue.Tally{queue.Active: {}, queue.Hold: {Messages: 1, SizeBytes: math.MaxInt64}},
				Facts:  queue.Facts{Blind: []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}, Timeless: true},
			},
		},
	}
}

func options() Options {
	return Options{
		Metrics: queue.Metrics(), Now: now, Named: true, Prefix: "postfix_queue",
		Netdata: NetdataOptions{Charts: true, Values: true, UpdateEvery: 10, Priority: 60000},
	}
}

func TestGolden(t *testing.T) {
	tests := map[string]func(*Options){
		"netdata": nil,
		"netdata-charts": func(o *Options) {
			o.Netdata.Values = false
			o.Netdata.Microseconds = 5
		},
		"netdata-values": func(o *Options) {
			o.Netdata.Charts = false
			o.Netdata.Microseconds = 10000123
		},
		"statsd": nil,
		"json":   nil,
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			o := options()
			if change != nil {
				change(&o)
			}
			formatName, _, _ := strings.Cut(name, "-")
			format, err := LookupFormat(formatName)
			if err != nil {
				t.Fatal(err)
			}
			got := format(readings(), o)
			path := filepath.Join("../../testdata/golden", name+".txt")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Every row of the table of metrics appears in every format, with its value.
func TestEveryMetricInEveryFormat(t *testing.T) {
	first := readings()[:1]
	decoders := map[string]func(t *testing.T, document string) map[string]string{
		"netdata": decodeNetdata,
		"statsd":  decodeStatsd,
	}
	for _, name := range FormatNames() {
		if name == "json" {
			continue // holds a whole summary, not rows: TestSnapshot reads it back
		}
		t.Run(name, func(t *testing.T) {
			decode := decoders[name]
			if decode == nil {
				t.Fatal("no independent reader of this format")
			}
			format, err := LookupFormat(name)
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			all := decode(t, string(format(first, o)))
			for _, m := range queue.Metrics() {
				o.Metrics = []queue.Metric{m}
				one := decode(t, string(format(first, o)))
				delete(one, "postfix_queue.local.last_success")
				if len(one) != 1 {
					t.Errorf("%s alone gives %v", m.Name, one)
				}
				for series, value := range one {
					if all[series] != value {
						t.Errorf("%s: %s is %s alone and %s among all", m.Name, series, value, all[series])
					}
					want, _ := m.Value(first[0].Summary)
					if name == "netdata" && m.Unit == queue.Bytes {
						want /= 1024
					}
					if value != strconv.FormatInt(want, 10) {
						t.Errorf("%s: %s is %s, want %d", m.Name, series, value, want)
					}
				}
			}
		})
	}
}

// decodeStatsd reads gauges as a server does.
func decodeStatsd(t *testing.T, document string) map[string]string {
	t.Helper()
	gauge := regexp.MustCompile(`^([A-Za-z0-9_.-]+):([0-9]+)\|g\n$`)
	got := map[string]string{}
	for line := range strings.Lines(document) {
		parts := gauge.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("no gauge: %q", line)
		}
		if got[parts[1]] != "" {
			t.Fatalf("a second %s", parts[1])
		}
		got[parts[1]] = parts[2]
	}
	return got
}

// decodeNetdata reads the protocol strictly: charts are defined before they
// have values, each block ends, and every dimension is set.
func decodeNetdata(t *testing.T, document string) map[string]string {
	t.Helper()
	chart := regexp.MustCompile(`^CHART (postfix_[A-Za-z0-9_-]+\.[a-z_]+) '' '[A-Za-z ]+' '[A-Za-z]+' 'queue' 'postfix\.[a-z_]+' '(line|area|stacked)' \d+ \d+ '' '' 'postfix_queue'\n$`)
	dimension := regexp.MustCompile(`^DIMENSION ([a-z_]+) '' absolute 1 1\n$`)
	begin := regexp.MustCompile(`^BEGIN (\S+)\n$`)
	set := regexp.MustCompile(`^SET ([a-z_]+) = (\d+)\n$`)
	defined := map[string]bool{}
	got := map[string]string{}
	var current, open string
	for line := range strings.Lines(document) {
		switch {
		case open == "" && chart.MatchString(line):
			current = chart.FindStringSubmatch(line)[1]
			if defined[current] {
				t.Fatalf("chart %s twice", current)
			}
			defined[current] = true
		case open == "" && dimension.MatchString(line):
			defined[current+" "+dimension.FindStringSubmatch(line)[1]] = true
		case open == "" && begin.MatchString(line):
			open = begin.FindStringSubmatch(line)[1]
		case open != "" && set.MatchString(line):
			parts := set.FindStringSubmatch(line)
			key := open + " " + parts[1]
			if !defined[open] || !defined[key] || got[key] != "" {
				t.Fatalf("value of what is not defined, or a second one: %s", key)
			}
			got[key] = parts[2]
		case open != "" && line == "END\n":
			open = ""
		default:
			t.Fatalf("line out of place: %q", line)
		}
	}
	if open != "" {
		t.Fatalf("%s does not end", open)
	}
	return got
}

func failures() []queue.Reading {
	return []queue.Reading{
		{Instance: queue.Instance{Name: "down"}, Summary: &queue.Summary{Taken: now, AsOf: now, Facts: queue.Facts{Down: "nobody listens"}}},
		{Instance: queue.Instance{Name: "denied"}, Err: errors.New("access denied")},
		{Instance: queue.Instance{Name: "slow"}, Summary: &queue.Summary{Taken: now, AsOf: now, Partial: true, Total: queue.Tally{Messages: 3}}, Err: errors.New("too slow")},
	}
}

// Numbers come from complete readings of running mail systems alone, and one
// instance that fails does not hide another.
func TestFailuresHaveNoNumbers(t *testing.T) {
	for _, name := range FormatNames() {
		t.Run(name, func(t *testing.T) {
			format, err := LookupFormat(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := format(failures()[1:], options()); len(got) > 0 {
				t.Errorf("of failures alone:\n%s", got)
			}
			got := string(format(append(failures(), readings()[0]), options()))
			if !strings.Contains(got, "45") {
				t.Errorf("the instance that works is missing:\n%s", got)
			}
			if strings.Contains(got, "slow.") || strings.Contains(got, "_slow") || strings.Contains(got, "_down") {
				t.Errorf("numbers of failures:\n%s", got)
			}
		})
	}
}

func TestSnapshot(t *testing.T) {
	all := append(readings(), failures()...)
	doc := snapshot(all, options())
	got, taken, err := queue.ReadSnapshot(bytes.NewReader(doc), now)
	if err != nil || !taken.Equal(now) || len(got) != len(all) {
		t.Fatalf("%d instances of %v, %v", len(got), taken, err)
	}
	for i, r := range all {
		if got[i].Instance != r.Instance || got[i].Complete() != r.Complete() || got[i].Summary.Down != "" != (i == 2) {
			t.Errorf("%s: got %+v", r.Instance.Name, got[i])
		}
		if !r.Complete() {
			continue
		}
		for _, m := range queue.Metrics() {
			want, wantKnown := m.Value(r.Summary)
			if value, known := m.Value(got[i].Summary); value != want || known != wantKnown {
				t.Errorf("%s, %s: got %d, %v; want %d, %v", r.Instance.Name, m.Name, value, known, want, wantKnown)
			}
		}
	}
}

func TestStatsdWithoutNames(t *testing.T) {
	o := options()
	o.Named = false
	o.Prefix = "mail.queue"
	o.Metrics = o.Metrics[:1]
	got := string(statsd(readings()[:1], o))
	if want := fmt.Sprintf("mail.queue.emails:45|g\nmail.queue.last_success:%d|g\n", now.Unix()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
