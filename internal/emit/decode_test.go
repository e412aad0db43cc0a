package emit

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// decoders read documents as their receivers do: the values by series, each
// written as seriesOf writes it. A document that a receiver would refuse any
// part of fails the test.
func decoders() map[string]func(t *testing.T, document string) map[string]string {
	return map[string]func(t *testing.T, document string) map[string]string{
		"graphite":   decodeGraphite,
		"influx":     decodeInflux,
		"netdata":    decodeNetdata,
		"prometheus": decodePrometheus,
		"statsd":     decodeStatsd,
	}
}

// seriesOf writes the name and the tags of a series, in one way for all formats.
func seriesOf(name string, tags ...Tag) string {
	byKey := map[string]string{}
	for _, tag := range tags {
		byKey[tag.Key] = tag.Value
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		name += " " + key + "=" + strconv.Quote(byKey[key])
	}
	return name
}

func isHistogram(series string) bool { return strings.HasPrefix(series, "postfix_queue_message_") }

// decodePrometheus reads the text format with the parser of Prometheus' own
// tools, and checks what that takes on trust.
func decodePrometheus(t *testing.T, document string) map[string]string {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(document))
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	got := map[string]string{}
	put := func(value float64, name string, labels []Tag) {
		series := seriesOf(name, labels...)
		if _, twice := got[series]; twice {
			t.Fatalf("a second %s", series)
		}
		got[series] = strconv.FormatFloat(value, 'f', -1, 64)
	}
	for name, family := range families {
		if family.GetHelp() == "" || family.Type == nil {
			t.Errorf("%s has no help or no type", name)
		}
		for _, metric := range family.GetMetric() {
			if metric.TimestampMs != nil {
				t.Errorf("%s has a time stamp", name)
			}
			var labels []Tag
			for _, l := range metric.GetLabel() {
				labels = append(labels, Tag{l.GetName(), l.GetValue()})
			}
			switch family.GetType() {
			case dto.MetricType_GAUGE:
				put(metric.GetGauge().GetValue(), name, labels)
			case dto.MetricType_HISTOGRAM:
				h := metric.GetHistogram()
				before := uint64(0)
				for _, bucket := range h.GetBucket() {
					if bucket.GetCumulativeCount() < before {
						t.Errorf("%s: buckets are not cumulative", name)
					}
					before = bucket.GetCumulativeCount()
					le := strconv.FormatFloat(bucket.GetUpperBound(), 'f', -1, 64)
					put(float64(before), name+"_bucket", append(slices.Clone(labels), Tag{"le", le}))
				}
				if before != h.GetSampleCount() {
					t.Errorf("%s: %d in all buckets, count %d", name, before, h.GetSampleCount())
				}
				put(h.GetSampleSum(), name+"_sum", labels)
				put(float64(h.GetSampleCount()), name+"_count", labels)
			default:
				t.Errorf("%s is a %s", name, family.GetType())
			}
		}
	}
	return got
}

// tagged takes the tags of a style out of a name: key, equals, value, after a
// first mark and between two others.
func tagged(t *testing.T, text, first, between, equals string) (name string, tags []Tag) {
	t.Helper()
	name, list, found := strings.Cut(text, first)
	if !found {
		return text, nil
	}
	for item := range strings.SplitSeq(list, between) {
		key, value, found := strings.Cut(item, equals)
		if !found || !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`).MatchString(key) || !regexp.MustCompile(`^[A-Za-z0-9_./-]+$`).MatchString(value) ||
			slices.ContainsFunc(tags, func(tag Tag) bool { return tag.Key == key }) {
			t.Fatalf("no tag, or a second one: %q in %q", item, text)
		}
		tags = append(tags, Tag{key, value})
	}
	return name, tags
}

// dottedName is a name of parts none of which is empty: carbon makes
// directories of them.
var dottedName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// decodeStatsd reads gauges as a server does that knows every style of tags.
func decodeStatsd(t *testing.T, document string) map[string]string {
	t.Helper()
	gauge := regexp.MustCompile(`^([^:|\s]+):([0-9]+)\|g(\|#.+)?\n$`)
	got := map[string]string{}
	for line := range strings.SplitAfterSeq(document, "\n") {
		if line == "" {
			break
		}
		parts := gauge.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("no gauge: %q", line)
		}
		name := parts[1]
		var tags []Tag
		switch {
		case parts[3] != "":
			_, tags = tagged(t, parts[3], "|#", ",", ":")
		case strings.Contains(name, ";"):
			name, tags = tagged(t, name, ";", ";", "=")
		default:
			name, tags = tagged(t, name, ",", ",", "=")
		}
		series := seriesOf(name, tags...)
		if !dottedName.MatchString(name) || got[series] != "" {
			t.Fatalf("no name, or a second one: %q", line)
		}
		got[series] = parts[2]
	}
	return got
}

// decodeGraphite reads carbon's plaintext protocol.
func decodeGraphite(t *testing.T, document string) map[string]string {
	t.Helper()
	metric := regexp.MustCompile(`^(\S+) ([0-9]+) ([0-9]{10})\n$`)
	got := map[string]string{}
	for line := range strings.SplitAfterSeq(document, "\n") {
		if line == "" {
			break
		}
		parts := metric.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("no metric: %q", line)
		}
		name, tags := tagged(t, parts[1], ";", ";", "=")
		series := seriesOf(name, tags...)
		if !dottedName.MatchString(name) || got[series] != "" {
			t.Fatalf("no name, or a second one: %q", line)
		}
		got[series] = parts[2]
	}
	return got
}

// decodeInflux reads line protocol with InfluxDB's own decoder. A field is a
// series: an integer, with a time in nanoseconds.
func decodeInflux(t *testing.T, document string) map[string]string {
	t.Helper()
	if document != "" && !strings.HasSuffix(document, "\n") {
		t.Fatalf("the last line does not end: %q", document)
	}
	got := map[string]string{}
	decoder := lineprotocol.NewDecoderWithBytes([]byte(document))
	for lines := 0; decoder.Next(); lines++ {
		if lines == strings.Count(document, "\n") {
			t.Fatalf("more points than lines in\n%s", document)
		}
		measurement, err := decoder.Measurement()
		if err != nil {
			t.Fatal(err)
		}
		var tags []Tag
		for {
			key, value, err := decoder.NextTag()
			if err != nil {
				t.Fatal(err)
			}
			if key == nil {
				break
			}
			if len(tags) > 0 && tags[len(tags)-1].Key >= string(key) {
				t.Fatalf("tag %s comes too late or twice", key)
			}
			tags = append(tags, Tag{string(key), string(value)})
		}
		for {
			key, value, err := decoder.NextField()
			if err != nil {
				t.Fatal(err)
			}
			if key == nil {
				break
			}
			series := seriesOf(string(measurement)+"."+string(key), tags...)
			if value.Kind() != lineprotocol.Int || got[series] != "" {
				t.Fatalf("no integer, or a second one: %s", series)
			}
			got[series] = strconv.FormatInt(value.IntV(), 10)
		}
		if at, err := decoder.Time(lineprotocol.Nanosecond, time.Time{}); err != nil || at.Year() < 2000 {
			t.Fatalf("no time in nanoseconds: %v, %v", at, err)
		}
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
