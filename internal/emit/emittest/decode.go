// Package emittest reads what package emit writes, as its receivers do: with
// their own parsers where there are any, and with code that has nothing in
// common with the writers.
package emittest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Decode reads a document and returns its values by series, which are written
// as Series writes them. It returns an error if a receiver would refuse any part
// of the document, or take one series for another.
func Decode(format, document string) (map[string]string, error) {
	decoders := map[string]func(document string, s series) error{
		"graphite":   decodeGraphite,
		"ids":        decodeIDs,
		"influx":     decodeInflux,
		"json":       decodeJSON,
		"netdata":    decodeNetdata,
		"prometheus": decodePrometheus,
		"statsd":     decodeStatsd,
		"value":      decodeValue,
	}
	decode := decoders[format]
	if decode == nil {
		return nil, fmt.Errorf("there is no independent reader of the format %s", format)
	}
	if document != "" && !strings.HasSuffix(document, "\n") {
		return nil, fmt.Errorf("the last line does not end: %q", document)
	}
	s := series{}
	if err := decode(document, s); err != nil {
		return nil, fmt.Errorf("%s: %w", format, err)
	}
	return s, nil
}

// Series writes the name and the tags of a series, in one way for all formats.
func Series(name string, tags map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		name += " " + key + "=" + strconv.Quote(tags[key])
	}
	return name
}

type series map[string]string

func (s series) put(name string, tags map[string]string, value string) error {
	key := Series(name, tags)
	if _, twice := s[key]; twice {
		return fmt.Errorf("a second %s", key)
	}
	s[key] = value
	return nil
}

// lines returns the lines of a document without their ends.
func lines(document string) []string {
	if document == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(document, "\n"), "\n")
}

// tagged takes the tags of a style out of a text: keys and values, after a first
// mark and between two others.
func tagged(text, first, between, equals string) (name string, tags map[string]string, err error) {
	name, list, found := strings.Cut(text, first)
	if !found {
		return text, nil, nil
	}
	tags = map[string]string{}
	for item := range strings.SplitSeq(list, between) {
		key, value, _ := strings.Cut(item, equals)
		if !consistsOf(key, letters+digits+"_.-") || strings.ContainsAny(key[:1], digits+".-") || !consistsOf(value, letters+digits+"_./-") {
			return "", nil, fmt.Errorf("no tag: %q in %q", item, text)
		}
		if tags[key] != "" {
			return "", nil, fmt.Errorf("a second tag %s in %q", key, text)
		}
		tags[key] = value
	}
	return name, tags, nil
}

// isDotted reports whether a name has parts none of which is empty: carbon
// makes directories of them.
func isDotted(name string) bool {
	return consistsOf(name, letters+digits+"_-.") && !slices.Contains(strings.Split(name, "."), "")
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// consistsOf reports whether the text is made of these characters alone, and
// has any.
func consistsOf(text, characters string) bool {
	return text != "" && strings.Trim(text, characters) == ""
}

// decodeStatsd reads gauges as a server does that knows every style of tags.
func decodeStatsd(document string, s series) error {
	gauge := regexp.MustCompile(`^([^:|\s]+):([0-9]+)\|g(\|#.+)?$`)
	for _, line := range lines(document) {
		parts := gauge.FindStringSubmatch(line)
		if parts == nil {
			return fmt.Errorf("no gauge: %q", line)
		}
		name := parts[1]
		var tags map[string]string
		var err error
		switch {
		case parts[3] != "":
			_, tags, err = tagged(parts[3], "|#", ",", ":")
		case strings.Contains(name, ";"):
			name, tags, err = tagged(name, ";", ";", "=")
		default:
			name, tags, err = tagged(name, ",", ",", "=")
		}
		if err != nil {
			return err
		}
		if !isDotted(name) {
			return fmt.Errorf("no name: %q", line)
		}
		if err := s.put(name, tags, parts[2]); err != nil {
			return err
		}
	}
	return nil
}

// decodeGraphite reads carbon's plaintext protocol.
func decodeGraphite(document string, s series) error {
	metric := regexp.MustCompile(`^(\S+) ([0-9]+) ([0-9]+)$`)
	for _, line := range lines(document) {
		parts := metric.FindStringSubmatch(line)
		if parts == nil {
			return fmt.Errorf("no metric: %q", line)
		}
		name, tags, err := tagged(parts[1], ";", ";", "=")
		if err != nil {
			return err
		}
		if !isDotted(name) {
			return fmt.Errorf("no name: %q", line)
		}
		if err := s.put(name, tags, parts[2]); err != nil {
			return err
		}
	}
	return nil
}

// decodeInflux reads line protocol with InfluxDB's own decoder. A field is a
// series: an integer, with a time in nanoseconds.
func decodeInflux(document string, s series) error {
	decoder := lineprotocol.NewDecoderWithBytes([]byte(document))
	points := 0
	for ; decoder.Next(); points++ {
		if err := decodePoint(decoder, s); err != nil {
			return err
		}
	}
	if points != len(lines(document)) {
		return fmt.Errorf("%d points in %d lines", points, len(lines(document)))
	}
	return nil
}

func decodePoint(decoder *lineprotocol.Decoder, s series) error {
	measurement, err := decoder.Measurement()
	if err != nil {
		return err
	}
	tags := map[string]string{}
	for before := ""; ; {
		key, value, err := decoder.NextTag()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		if before >= string(key) {
			return fmt.Errorf("tag %s comes too late or twice", key)
		}
		before = string(key)
		tags[before] = string(value)
	}
	for {
		key, value, err := decoder.NextField()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		if value.Kind() != lineprotocol.Int {
			return fmt.Errorf("%s is no integer", key)
		}
		if err := s.put(string(measurement)+"."+string(key), tags, strconv.FormatInt(value.IntV(), 10)); err != nil {
			return err
		}
	}
	at, err := decoder.Time(lineprotocol.Nanosecond, time.Time{})
	if err == nil && at.Unix() < 1000 { // one in seconds would be of 1970
		err = fmt.Errorf("no time in nanoseconds: %v", at)
	}
	return err
}

// decodePrometheus reads the text format with the parser of Prometheus' own
// tools, and checks what that takes on trust.
func decodePrometheus(document string, s series) error {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(document))
	if err != nil {
		return err
	}
	for name, family := range families {
		if family.GetHelp() == "" || family.Type == nil {
			return fmt.Errorf("%s has no help or no type", name)
		}
		for _, metric := range family.GetMetric() {
			if metric.TimestampMs != nil {
				return fmt.Errorf("%s has a time stamp", name)
			}
			tags := map[string]string{}
			for _, l := range metric.GetLabel() {
				tags[l.GetName()] = l.GetValue()
			}
			switch family.GetType() {
			case dto.MetricType_GAUGE:
				err = s.put(name, tags, float(metric.GetGauge().GetValue()))
			case dto.MetricType_HISTOGRAM:
				err = s.putHistogram(name, tags, metric.GetHistogram())
			default:
				err = fmt.Errorf("%s is a %s", name, family.GetType())
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s series) putHistogram(name string, tags map[string]string, h *dto.Histogram) error {
	before := uint64(0)
	for _, bucket := range h.GetBucket() {
		if bucket.GetCumulativeCount() < before {
			return fmt.Errorf("%s: buckets are not cumulative", name)
		}
		before = bucket.GetCumulativeCount()
		bound := maps.Clone(tags)
		bound["le"] = float(bucket.GetUpperBound())
		if err := s.put(name+"_bucket", bound, strconv.FormatUint(before, 10)); err != nil {
			return err
		}
	}
	if before != h.GetSampleCount() {
		return fmt.Errorf("%s: %d in all buckets, count %d", name, before, h.GetSampleCount())
	}
	if err := s.put(name+"_sum", tags, float(h.GetSampleSum())); err != nil {
		return err
	}
	return s.put(name+"_count", tags, strconv.FormatUint(before, 10))
}

func float(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// decodeNetdata reads the protocol strictly: charts are defined before they
// have values, each block ends, and every dimension is known.
func decodeNetdata(document string, s series) error {
	chart := regexp.MustCompile(`^CHART (postfix_[A-Za-z0-9_-]+\.[a-z0-9_]+) '' '[A-Za-z0-9:, -]+' '[A-Za-z]+' 'queue' 'postfix\.[a-z0-9_]+' '(line|area|stacked)' \d+ \d+ '' '' 'postfix_queue'$`)
	dimension := regexp.MustCompile(`^DIMENSION ([a-z0-9_]+) '' absolute 1 1$`)
	label := regexp.MustCompile(`^CLABEL instance_name '[A-Za-z0-9_-]+' 1$`)
	begin := regexp.MustCompile(`^BEGIN (\S+)$`)
	set := regexp.MustCompile(`^SET ([a-z0-9_]+) = (\d+)$`)
	defined := map[string]bool{}
	var current, open string
	labelled := false // whether a label is to be committed
	for _, line := range lines(document) {
		switch {
		case open == "" && chart.MatchString(line):
			current = chart.FindStringSubmatch(line)[1]
			if defined[current] {
				return fmt.Errorf("chart %s twice", current)
			}
			defined[current] = true
		case open == "" && dimension.MatchString(line):
			defined[current+" "+dimension.FindStringSubmatch(line)[1]] = true
		case open == "" && label.MatchString(line) && current != "" && !labelled:
			labelled = true
		case labelled && line == "CLABEL_COMMIT":
			labelled = false
		case open == "" && begin.MatchString(line) && !labelled:
			open = begin.FindStringSubmatch(line)[1]
		case open != "" && set.MatchString(line):
			parts := set.FindStringSubmatch(line)
			key := open + " " + parts[1]
			if !defined[open] || !defined[key] {
				return fmt.Errorf("value of what is not defined: %s", key)
			}
			if err := s.put(key, nil, parts[2]); err != nil {
				return err
			}
		case open != "" && line == "END":
			open = ""
		default:
			return fmt.Errorf("line out of place: %q", line)
		}
	}
	if open != "" || labelled {
		return fmt.Errorf("%s does not end", cmp.Or(open, current))
	}
	return nil
}

// decodeValue reads bare numbers. The name of each is that of its line: 1, 2.
func decodeValue(document string, s series) error {
	for i, line := range lines(document) {
		if _, err := strconv.ParseUint(line, 10, 63); err != nil {
			return err
		}
		if err := s.put(strconv.Itoa(i+1), nil, line); err != nil {
			return err
		}
	}
	return nil
}

// decodeJSON reads the numbers of a snapshot, whatever they are called: the name
// of each is its path within the instance.
func decodeJSON(document string, s series) error {
	if document == "" {
		return nil
	}
	var snapshot struct{ Instances []map[string]any }
	if err := json.Unmarshal([]byte(document), &snapshot); err != nil {
		return err
	}
	if err := ValidateSnapshot(document); err != nil {
		return err
	}
	for _, instance := range snapshot.Instances {
		name, ok := instance["name"].(string)
		if !ok {
			return fmt.Errorf("an instance without a name: %v", instance)
		}
		if err := s.putAll("", map[string]string{"instance_name": name}, instance); err != nil {
			return err
		}
	}
	return nil
}

func (s series) putAll(path string, tags map[string]string, object map[string]any) error {
	for key, value := range object {
		var err error
		switch v := value.(type) {
		case map[string]any:
			err = s.putAll(path+key+".", tags, v)
		case float64:
			err = s.put(path+key, tags, float(v))
		case bool:
			err = s.put(path+key, tags, strconv.FormatBool(v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeIDs counts queue IDs: only the number is the same for every queue.
func decodeIDs(document string, s series) error {
	id := regexp.MustCompile(`^[0-9A-Za-z]{6,}\n$`)
	for line := range strings.Lines(document) {
		if !id.MatchString(line) {
			return fmt.Errorf("not a queue ID: %q", line)
		}
	}
	if document != "" {
		s["ids"] = strconv.Itoa(strings.Count(document, "\n"))
	}
	return nil
}
