package emit

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/emit/emittest"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/snapshot"
	"example.org/postfix-queue-monitor/internal/units"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

// hostile is the name of an instance with each character that ends something in a format.
const hostile = "mx.1 '|\"\\,=;:#@~{}\n\t\\n é\\"

// readings returns readings of two instances. The second is a text listing.
func readings() []queue.Reading {
	tally := func(messages, sizeBytes, forced int64, age time.Duration) *queue.Tally {
		return &queue.Tally{
			Messages:     messages,
			SizeBytes:    sizeBytes,
			Recipients:   2 * messages,
			ForcedExpire: forced,
			Oldest:       now.Add(-age),
		}
	}
	deferred := tally(40, 35000000, 1, 5*time.Hour)
	deferred.Histograms = &queue.Histograms{
		Ages:  queue.Histogram{Bounds: []int64{60, 3600}, Counts: []int64{10, 25, 5}, Sum: 123456},
		Sizes: queue.Histogram{Bounds: []int64{1024, 1048576}, Counts: []int64{0, 39, 1}, Sum: 35000000},
		Until: now,
	}
	unaged := &queue.Tally{Messages: 1, SizeBytes: math.MaxInt64, Histograms: &queue.Histograms{
		Ages:  queue.Histogram{Bounds: []int64{60}, Counts: []int64{0, 0}},
		Sizes: queue.Histogram{Bounds: []int64{1024}, Counts: []int64{0, 1}, Sum: math.MaxInt64},
		Until: now,
	}}
	return []queue.Reading{
		{
			Instance: queue.Instance{Name: "local"},
			Summary: &queue.Summary{
				Taken: now, AsOf: now, Source: queue.SpoolName, Total: *tally(45, 35127297, 1, 76*time.Hour),
				Facts: queue.Facts{Corrupt: new(int64(3))},
				IDs:   []byte("0A1B2C\n4jY9bw2tYhz1SRtX\n"),
				Tops: &queue.Tops{
					Login: &queue.Top{Messages: 21}, Client: &queue.Top{Messages: 22},
					Sender: queue.Top{Messages: 23}, Domain: queue.Top{Messages: 24},
				},
				Arrivals: &queue.Arrivals{Last5m: 4, Last1h: 7, Ahead: 1}, Expiring: new(int64(5)),
				Space: &queue.Space{FreeBytes: 1 << 30, FreeInodes: new(int64(65536))},
				Queues: map[queue.Name]*queue.Tally{
					queue.Active: tally(2, 2048, 0, 90*time.Second), queue.Deferred: deferred,
					queue.Hold: tally(3, 125249, 0, 76*time.Hour), queue.Incoming: {}, queue.Maildrop: {},
				},
			},
		},
		{
			Instance: queue.Instance{Name: hostile},
			Summary: &queue.Summary{
				Taken: now, AsOf: now, Source: "input", Total: queue.Tally{Messages: 1, SizeBytes: math.MaxInt64},
				Queues: map[queue.Name]*queue.Tally{queue.Active: {}, queue.Hold: unaged},
				Facts:  queue.Facts{Indistinct: []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}, NoArrivalTimes: true},
			},
		},
	}
}

// Tags are read back as they were given, in every style.
func TestTagsAreReadBack(t *testing.T) {
	for _, tt := range []struct {
		format   string
		style    TagStyle
		name     string
		instance string
	}{
		{"statsd", TagsDatadog, "postfix_queue.emails", "mx.1_________________n___"},
		{"statsd", TagsInflux, "postfix_queue.emails", "mx.1_________________n___"},
		{"statsd", TagsGraphite, "postfix_queue.emails", "mx.1_________________n___"},
		{"graphite", TagsGraphite, "postfix_queue.emails", "mx.1_________________n___"},
		{"influx", TagsNone, "postfix_queue_total.length", "mx.1 '|\"_,=;:#@~{}___n é_"},
		{"prometheus", TagsNone, "postfix_queue_all_messages", hostile},
	} {
		t.Run(tt.format+" "+string(tt.style), func(t *testing.T) {
			o := options()
			o.LabelInstances = false
			o.TagStyle = tt.style
			o.Tags = []Tag{{"site", "a/b-c_d.e"}, {"dc", "1"}}
			if err := lookup(t, tt.format).CheckTags(tt.style, o.Tags); err != nil {
				t.Fatal(err)
			}
			got := decode(t, tt.format, encode(t, tt.format, readings(), o))
			for instance, want := range map[string]string{"local": "45", tt.instance: "1"} {
				series := emittest.Series(tt.name, map[string]string{"instance_name": instance, "site": "a/b-c_d.e", "dc": "1"})
				if got[series] != want {
					t.Errorf("%s is %q, want %s", series, got[series], want)
				}
			}
		})
	}
}

func TestCheckTags(t *testing.T) {
	tests := []struct {
		name   string
		format string
		style  TagStyle
		tags   []Tag
		want   string // part of the error; empty: no error
	}{
		{"none for statsd", "statsd", TagsNone, nil, ""},
		{"none for netdata", "netdata", TagsNone, nil, ""},
		{"datadog", "statsd", TagsDatadog, []Tag{{"site-1", "a/b.c-d_e"}}, ""},
		{"label", "prometheus", TagsNone, []Tag{{"site", "a \"b\"\n\\ é"}}, ""},
		{"line protocol", "influx", TagsNone, []Tag{{"site", "a, b=c\"é"}}, ""},
		{"influx style", "statsd", TagsInflux, []Tag{{"time", "a"}, {"name", "b"}}, ""},
		{"unknown style", "statsd", "otel", nil, "cannot write tags in this style"},
		{"datadog for graphite", "graphite", TagsDatadog, nil, "cannot write tags in this style"},
		{"style for prometheus", "prometheus", TagsInflux, nil, "cannot write tags in this style"},
		{"style for json", "json", TagsGraphite, nil, "cannot write tags in this style"},
		{"no style", "statsd", TagsNone, []Tag{{"a", "b"}}, "has no tags; add --tags datadog"},
		{"no style for graphite", "graphite", TagsNone, []Tag{{"a", "b"}}, "has no tags; add --tags graphite"},
		{"no room", "netdata", TagsNone, []Tag{{"a", "b"}}, "has no tags; prometheus and influx have them"},
		{"no room in json", "json", TagsNone, []Tag{{"a", "b"}}, "has no tags; prometheus and influx have them"},
		{"no room in value", "value", TagsNone, []Tag{{"a", "b"}}, "has no tags; prometheus and influx have them"},
		{"instance", "influx", TagsNone, []Tag{{"instance_name", "b"}}, "uses this key itself"},
		{"queue", "statsd", TagsDatadog, []Tag{{"queue", "b"}}, "uses this key itself"},
		{"reason", "prometheus", TagsNone, []Tag{{"reason", "b"}}, "uses this key itself"},
		{"bound", "prometheus", TagsNone, []Tag{{"le", "b"}}, "uses this key itself"},
		{"name in carbon", "graphite", TagsGraphite, []Tag{{"name", "b"}}, "uses this key itself"},
		{"time in line protocol", "influx", TagsNone, []Tag{{"time", "b"}}, "uses this key itself"},
		{"field in InfluxDB", "influx", TagsNone, []Tag{{"_field", "b"}}, "uses this key itself"},
		{"measurement in InfluxDB", "influx", TagsNone, []Tag{{"_measurement", "b"}}, "uses this key itself"},
		{"underscore in InfluxDB", "influx", TagsNone, []Tag{{"_site", "b"}}, ""},
		{"field elsewhere", "prometheus", TagsNone, []Tag{{"_field", "b"}}, ""},
		{"twice", "influx", TagsNone, []Tag{{"a", "b"}, {"a", "c"}}, "given twice"},
		{"no key", "influx", TagsNone, []Tag{{"", "b"}}, "invalid key"},
		{"key with a digit first", "prometheus", TagsNone, []Tag{{"1a", "b"}}, "invalid key"},
		{"key with a dash", "prometheus", TagsNone, []Tag{{"a-b", "b"}}, "invalid key"},
		{"key of Prometheus itself", "prometheus", TagsNone, []Tag{{"__a", "b"}}, "invalid key"},
		{"key with a space", "influx", TagsNone, []Tag{{"a b", "b"}}, "invalid key"},
		{"key that is not ASCII", "statsd", TagsInflux, []Tag{{"é", "b"}}, "invalid key"},
		{"no value", "prometheus", TagsNone, []Tag{{"a", ""}}, "invalid value"},
		{"value with a comma", "statsd", TagsDatadog, []Tag{{"a", "b,c"}}, "invalid value"},
		{"value with a colon", "statsd", TagsInflux, []Tag{{"a", "b:c"}}, "invalid value"},
		{"value with a bar", "statsd", TagsDatadog, []Tag{{"a", "b|c"}}, "invalid value"},
		{"value with a semicolon", "graphite", TagsGraphite, []Tag{{"a", "b;c"}}, "invalid value"},
		{"value with a tilde", "graphite", TagsGraphite, []Tag{{"a", "~b"}}, "invalid value"},
		{"value with a newline", "influx", TagsNone, []Tag{{"a", "b\nc"}}, "invalid value"},
		{"value with a backslash", "influx", TagsNone, []Tag{{"a", `b\`}}, "invalid value"},
		{"value that is not UTF-8", "prometheus", TagsNone, []Tag{{"a", "b\xff"}}, "invalid value"},
		{"value with a NUL", "prometheus", TagsNone, []Tag{{"a", "b\x00"}}, "invalid value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			switch err := lookup(t, tt.format).CheckTags(tt.style, tt.tags); {
			case err == nil && tt.want != "":
				t.Errorf("no error, want one with %q", tt.want)
			case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// metrics are the table of metrics, and two rows of deferral reasons that the
// first reading alone knows.
func metrics() []queue.Metric {
	reason := func(name string, value int64) queue.Metric {
		return queue.Metric{
			Name: "deferred_" + name, Family: queue.FamilyEmails, Dimension: queue.ByReason, Part: name, Help: name,
			Value: func(s *queue.Summary) (int64, bool) { return value, !s.NoArrivalTimes },
		}
	}
	table := slices.DeleteFunc(queue.Metrics(), func(m queue.Metric) bool {
		return m.Dimension == queue.ByReason || m.Family == queue.FamilyGrowth // that is the check's
	})
	return append(table, reason("connection_refused", 31), reason("other", 9))
}

func options() Options {
	return Options{
		Metrics: metrics(), Distributions: queue.Distributions(), Now: now, LabelInstances: true, Prefix: "postfix_queue",
		Netdata: NetdataOptions{Charts: true, Values: true, UpdateEvery: 10, Priority: 60000},
	}
}

func TestGolden(t *testing.T) {
	tests := map[string]func(*Options){
		"graphite": nil,
		"graphite-tags": func(o *Options) {
			o.Tags, o.TagStyle = []Tag{{"site", "a/b"}}, TagsGraphite
		},
		"influx":      nil,
		"influx-tags": func(o *Options) { o.Tags = []Tag{{"site", "a, b=c"}, {"dc", "é1"}} },
		"netdata":     nil,
		"netdata-charts": func(o *Options) {
			o.Netdata.Values = false
			o.Netdata.Microseconds = 5
		},
		"netdata-values": func(o *Options) {
			o.Netdata.Charts = false
			o.Netdata.Microseconds = 10000123
		},
		"prometheus":      nil,
		"prometheus-tags": func(o *Options) { o.Tags = []Tag{{"site", `a "b"`}} },
		"statsd":          nil,
		"statsd-datadog": func(o *Options) {
			o.Tags, o.TagStyle = []Tag{{"site", "a/b"}, {"dc", "1"}}, TagsDatadog
		},
		"statsd-influx":   func(o *Options) { o.TagStyle = TagsInflux },
		"statsd-graphite": func(o *Options) { o.Tags, o.TagStyle = []Tag{{"site", "a/b"}}, TagsGraphite },
		"ids":             nil,
		"json":            nil,
		"value":           nil,
	}
	for name, change := range tests {
		o := options()
		if change != nil {
			change(&o)
		}
		formatName, _, _ := strings.Cut(name, "-")
		t.Run(name, func(t *testing.T) { checkGolden(t, name, formatName, readings(), o) })
		if change != nil {
			continue
		}
		t.Run(name+"-failed", func(t *testing.T) {
			checkGolden(t, name+"-failed", formatName, append(failures()[1:2], readings()[0]), o)
		})
		t.Run(name+"-one", func(t *testing.T) {
			o.LabelInstances = false
			checkGolden(t, name+"-one", formatName, readings()[:1], o)
		})
	}
}

// The values after the charts are the first ones: no time has passed before them.
func TestNetdataChartsBeginANewInterval(t *testing.T) {
	o := options()
	want := encode(t, "netdata", readings(), o)
	o.Netdata.Microseconds = 5
	if got := encode(t, "netdata", readings(), o); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func checkGolden(t *testing.T, name, formatName string, list []queue.Reading, o Options) {
	t.Helper()
	got := encode(t, formatName, list, o)
	path := filepath.Join("../../testdata/golden/emit", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func encode(t *testing.T, formatName string, list []queue.Reading, o Options) string {
	t.Helper()
	return string(lookup(t, formatName).Encode(list, o))
}

func lookup(t *testing.T, formatName string) Format {
	t.Helper()
	format, err := LookupFormat(formatName)
	if err != nil {
		t.Fatal(err)
	}
	return format
}

func decode(t *testing.T, formatName, document string) map[string]string {
	t.Helper()
	got, err := emittest.Decode(formatName, document)
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return got
}

// Every row of the table of metrics appears in every format, with its value.
func TestEveryMetricInEveryFormat(t *testing.T) {
	first := readings()[:1]
	for _, name := range FormatNames() {
		if name == "json" {
			continue // holds a whole summary, not rows: TestSnapshot reads it back
		}
		if name == "ids" {
			continue // has no metrics
		}
		if name == "value" {
			continue // has no names: TestValue reads it
		}
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Distributions = nil
			all := decode(t, name, encode(t, name, first, o))
			o.Metrics = nil
			bare := decode(t, name, encode(t, name, first, o))
			for _, m := range metrics() {
				o.Metrics = []queue.Metric{m}
				one := decode(t, name, encode(t, name, first, o))
				maps.DeleteFunc(one, func(series, _ string) bool { return bare[series] != "" })
				if m.Family == queue.FamilyUp && (name == "prometheus" || name == "influx") {
					continue // always there
				}
				if name == "prometheus" && m.Since != nil {
					continue // is a time: TestOldestMessageInPrometheus
				}
				if len(one) != 1 {
					t.Errorf("%s alone gives %v", m.Name, one)
				}
				for series, value := range one {
					if all[series] != value {
						t.Errorf("%s: %s is %s alone and %s among all", m.Name, series, value, all[series])
					}
					want, _ := m.Value(first[0].Summary)
					if name == "netdata" && m.Unit == units.Bytes {
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

func failures() []queue.Reading {
	return []queue.Reading{
		{
			Instance: queue.Instance{Name: "down"},
			Summary:  &queue.Summary{Taken: now, AsOf: now, Source: "showq", Facts: queue.Facts{Down: "nothing listens"}},
		},
		{Instance: queue.Instance{Name: "denied"}, Err: errors.New("access denied")},
		{
			Instance: queue.Instance{Name: "slow"},
			Summary:  &queue.Summary{Taken: now, AsOf: now, Partial: true, Total: queue.Tally{Messages: 3}},
			Err:      errors.New("too slow"),
		},
	}
}

// Of a queue directory without sockets nobody knows whether its mail system is up: it is neither 1 nor 0.
func TestUnknownUp(t *testing.T) {
	for _, name := range FormatNames() {
		if name == "value" {
			continue // numbers without names
		}
		r := readings()[0]
		s := *r.Summary
		s.Source, s.Troubles = queue.SpoolName, []queue.Trouble{{Name: "unseen"}}
		r.Summary = &s
		isUp := func(id, _ string) bool { return regexp.MustCompile(`(^|[._q ])up\b`).MatchString(id) }
		want := decode(t, name, encode(t, name, readings()[:1], options()))
		maps.DeleteFunc(want, isUp)
		got := decode(t, name, encode(t, name, []queue.Reading{r}, options()))
		if name == "json" {
			maps.DeleteFunc(got, isUp) // there it is false
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		s.Troubles = append(s.Troubles, queue.Trouble{Name: "queue_manager", Severity: queue.Critical})
		if !r.KnowsUp() || r.Up() {
			t.Errorf("the files show that no mail moves: known %v, up %v", r.KnowsUp(), r.Up())
		}
	}
}

// Numbers come from complete readings of running mail systems alone, and one
// instance that fails does not hide another.
func TestFailuresHaveNoNumbers(t *testing.T) {
	withoutUp := options()
	isUp := func(m queue.Metric) bool { return m.Family == queue.FamilyUp }
	withoutUp.Metrics = slices.DeleteFunc(withoutUp.Metrics, isUp)
	for _, name := range FormatNames() {
		t.Run(name, func(t *testing.T) {
			got := encode(t, name, failures()[1:], withoutUp)
			if up := map[string]string{"influx": "postfix_queue_status.up", "prometheus": "postfix_queue_up"}[name]; up != "" {
				want := map[string]string{
					emittest.Series(up, map[string]string{"instance_name": "denied"}): "0",
					emittest.Series(up, map[string]string{"instance_name": "slow"}):   "0",
				}
				if diff := cmp.Diff(want, decode(t, name, got)); diff != "" {
					t.Errorf("of failures alone (-want +got):\n%s", diff)
				}
			} else if name == "json" {
				for _, reason := range []string{"access denied", "too slow"} {
					if !strings.Contains(got, `"error": "`+reason) || strings.Contains(got, "messages") {
						t.Errorf("want no numbers and %q:\n%s", reason, got)
					}
				}
			} else if got != "" {
				t.Errorf("of failures alone:\n%s", got)
			}
			got = encode(t, name, append(failures(), readings()[0]), withoutUp)
			if name == "value" || name == "ids" {
				if got != "" {
					t.Errorf("of several instances:\n%s", got)
				}
				return
			}
			series := decode(t, name, got)
			for id, want := range decode(t, name, encode(t, name, readings()[:1], withoutUp)) {
				if series[id] != want {
					t.Errorf("%s of the instance that works is %q, want %s", id, series[id], want)
				}
			}
			if strings.Contains(got, "slow.") || strings.Contains(got, "_slow") || strings.Contains(got, "_down") {
				t.Errorf("numbers of failures:\n%s", got)
			}
		})
	}
}

// Whoever asks for up gets it of every instance: 0 if it failed, and if its queue files show that mail does not move.
func TestUp(t *testing.T) {
	up, _ := queue.Lookup(queue.FamilyUp)
	stuck := func(source string, severity queue.Severity) queue.Reading {
		s := *readings()[0].Summary
		s.Source, s.Troubles = source, []queue.Trouble{{Name: "queue_manager", Severity: severity}}
		return queue.Reading{Instance: queue.Instance{Name: "local"}, Summary: &s}
	}
	tests := []struct {
		name    string
		reading queue.Reading
		want    string
	}{
		{"well", readings()[0], "1"},
		{"down", failures()[0], "0"},
		{"denied", failures()[1], "0"},
		{"slow", failures()[2], "0"},
		{"stuck", stuck("spool", queue.Critical), "0"},
		{"perhaps stuck", stuck("spool", queue.Unconfirmed), "0"},
		{"saturated", stuck("spool", queue.Warning), "1"},
		{"stuck by a listing", stuck("postqueue", queue.Unconfirmed), "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Metrics, o.LabelInstances = []queue.Metric{up}, false
			tt.reading.Instance.Name = "local"
			tagged := map[string]string{"instance_name": "local"}
			for format, series := range map[string]string{
				"statsd": "postfix_queue.up", "graphite": "postfix_queue.up",
				"prometheus": emittest.Series("postfix_queue_up", tagged),
				"influx":     emittest.Series("postfix_queue_status.up", tagged),
			} {
				got := decode(t, format, encode(t, format, []queue.Reading{tt.reading}, o))
				if got[series] != tt.want {
					t.Errorf("%s: %v, want %s", format, got, tt.want)
				}
			}
			if got := encode(t, "value", []queue.Reading{tt.reading}, o); got != tt.want+"\n" {
				t.Errorf("value: %q, want %s", got, tt.want)
			}
			emails, _ := queue.Lookup("emails")
			o.Metrics = append(o.Metrics, emails)
			if got := encode(t, "value", []queue.Reading{tt.reading}, o); !tt.reading.Complete() && got != "" {
				t.Errorf("value: %q, but emails are not known", got)
			}
		})
	}
}

func TestSnapshot(t *testing.T) {
	all := append(readings(), failures()...)
	doc := encodeSnapshot(all, options())
	got, taken, err := snapshot.Read(bytes.NewReader(doc), now)
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

// A number with its own time stamp is an age at that time. Without one, an old
// snapshot must not look young.
func TestAgesAreThoseOfTheirTime(t *testing.T) {
	for name, want := range map[string]string{
		"graphite":   "5400",
		"influx":     "5400",
		"statsd":     "9000",
		"prometheus": "1772325000", // the arrival, which is true at any time
	} {
		t.Run(name, func(t *testing.T) {
			asOf := now.Add(-time.Hour)
			r := queue.Reading{
				Instance: queue.Instance{Name: "local"},
				Summary: &queue.Summary{Taken: now, AsOf: asOf, Queues: map[queue.Name]*queue.Tally{
					queue.Active: {Messages: 1, Oldest: asOf.Add(-90 * time.Minute)},
				}},
			}
			o := options()
			o.Metrics = slices.DeleteFunc(o.Metrics, func(m queue.Metric) bool {
				return m.Name != "age" &&
					m.Name != "active_age"
			})
			got := decode(t, name, encode(t, name, []queue.Reading{r}, o))
			maps.DeleteFunc(got, func(series, _ string) bool { return !strings.Contains(series, "age") })
			if len(got) != 2 {
				t.Errorf("ages are %v", got)
			}
			for series, value := range got {
				if value != want {
					t.Errorf("%s is %s, want %s", series, value, want)
				}
			}
			if !r.Summary.Taken.Equal(now) {
				t.Error("the reading is changed")
			}
		})
	}
}

// Prometheus gets the arrival of the oldest message. Where there is none, or nobody knows it, it gets nothing.
func TestOldestMessageInPrometheus(t *testing.T) {
	const oldest = "postfix_queue_oldest_message_timestamp_seconds"
	const unheld = "postfix_queue_oldest_unheld_message_timestamp_seconds"
	in := func(name string) string {
		return emittest.Series(oldest, map[string]string{"instance_name": "local", "queue": name})
	}
	all := emittest.Series(unheld, map[string]string{"instance_name": "local"})
	queues := func(ages map[queue.Name]time.Duration) queue.Summary {
		s := queue.Summary{Taken: now, AsOf: now, Queues: map[queue.Name]*queue.Tally{}}
		for _, name := range queue.Names() {
			s.Queues[name] = &queue.Tally{}
		}
		for name, age := range ages {
			s.Queues[name] = &queue.Tally{Messages: 1, Oldest: now.Add(-age)}
		}
		return s
	}
	noTimes := queues(map[queue.Name]time.Duration{queue.Active: time.Hour})
	noTimes.NoArrivalTimes = true
	indistinct := queues(map[queue.Name]time.Duration{queue.Active: time.Hour})
	indistinct.Indistinct = []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}
	tests := []struct {
		name    string
		summary queue.Summary
		want    map[string]string
	}{
		{"empty", queues(nil), map[string]string{}},
		{
			"some", queues(map[queue.Name]time.Duration{queue.Active: time.Minute, queue.Deferred: time.Hour}),
			map[string]string{in("active"): "1772333940", in("deferred"): "1772330400", all: "1772330400"},
		},
		{
			"older mail on hold", queues(map[queue.Name]time.Duration{queue.Active: time.Minute, queue.Hold: time.Hour}),
			map[string]string{in("active"): "1772333940", in("hold"): "1772330400", all: "1772333940"},
		},
		{
			"only mail on hold", queues(map[queue.Name]time.Duration{queue.Hold: time.Hour}),
			map[string]string{in("hold"): "1772330400"},
		},
		{
			"an arrival ahead", queues(map[queue.Name]time.Duration{queue.Incoming: -time.Hour}),
			map[string]string{in("incoming"): "1772337600", all: "1772337600"},
		},
		{
			"one ahead and one not", queues(map[queue.Name]time.Duration{queue.Incoming: -time.Hour, queue.Active: time.Hour}),
			map[string]string{in("incoming"): "1772337600", in("active"): "1772330400", all: "1772330400"},
		},
		{"a listing without arrival times", noTimes, map[string]string{}},
		{"a listing that mixes queues", indistinct, map[string]string{in("active"): "1772330400"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := []queue.Reading{{Instance: queue.Instance{Name: "local"}, Summary: &tt.summary}}
			got := decode(t, "prometheus", encode(t, "prometheus", list, options()))
			maps.DeleteFunc(got, func(series, _ string) bool { return !strings.Contains(series, "_oldest_") })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Every distribution has a histogram in every format that has histograms.
func TestDistributions(t *testing.T) {
	for _, d := range queue.Distributions() {
		t.Run(d.Name, func(t *testing.T) {
			o := options()
			o.Metrics, o.Distributions = nil, []queue.Distribution{d}
			got := encode(t, "prometheus", readings(), o)
			want := map[string]int{"ages": 1, "sizes": 2}[d.Name] // a queue in each listing, of which one knows no ages
			if n := strings.Count(got, `le="+Inf"`); n != want {
				t.Errorf("%d histograms, want %d:\n%s", n, want, got)
			}
			decode(t, "prometheus", got)
		})
	}
}

func TestStatsdWithoutNames(t *testing.T) {
	o := options()
	o.LabelInstances = false
	o.Prefix = "mail.queue"
	o.Metrics = o.Metrics[:1]
	got := string(statsd(readings()[:1], o))
	if want := fmt.Sprintf("mail.queue.emails:45|g\nmail.queue.last_success:%d|g\n", now.Unix()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValue(t *testing.T) {
	reversed := metrics()
	slices.Reverse(reversed)
	for name, order := range map[string][]queue.Metric{"table": metrics(), "reversed": reversed, "one": reversed[:1]} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Metrics = order
			first := readings()[:1]
			got := decode(t, "value", encode(t, "value", first, o))
			if len(got) != len(order) {
				t.Errorf("%d numbers for %d metrics", len(got), len(order))
			}
			for i, m := range order {
				want, _ := m.Value(first[0].Summary)
				if value := got[strconv.Itoa(i+1)]; value != strconv.FormatInt(want, 10) {
					t.Errorf("%s is %q, want %d", m.Name, value, want)
				}
			}
		})
	}
}

// If a number were left out, the next one would be mistaken for it.
func TestValueIsAllOrNothing(t *testing.T) {
	for name, list := range map[string][]queue.Reading{
		"a metric that is not known": readings()[1:],
		"several instances":          readings(),
		"a failure":                  failures()[2:],
	} {
		if got := encode(t, "value", list, options()); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
