package emit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// influxMeasurements are the measurements of the metrics of each dimension. The first is that of telegraf's own
// input for Postfix, with the same fields and tag: dashboards made for it go on working. Totals have a separate
// one, so that no sum over a measurement counts a message twice.
var influxMeasurements = []struct{ dimension, name string }{
	{queue.ByQueue, "postfix_queue"},
	{queue.ByReason, "postfix_queue_deferred"},
	{"", "postfix_queue_total"},
}

// influxField returns the name of the field for a family of metrics, as telegraf has it.
func influxField(family string) string {
	return cmp.Or(map[string]string{queue.FamilyEmails: "length"}[family], family)
}

// influx writes line protocol, as InfluxDB's and telegraf's references describe it: integers, and the time when
// the numbers were true in nanoseconds. The instance is always a tag, so that series keep their names when a
// second one is added. A failed instance has only up=0i: its last values would look alive.
//
// InfluxDB's own encoder is small enough, but it gives up on a name that it cannot write, and making names
// writable is most of this code. The tests read the lines back with that module's decoder.
func influx(readings []queue.Reading, o Options) []byte {
	o.LabelInstances = true
	var b strings.Builder
	for _, r := range readings {
		r = asOf(r)
		if r.KnowsUp() {
			b.WriteString(influxLine("postfix_queue_status", o.tagsOf(r), []string{fmt.Sprintf("up=%di", upOf(r))}, timeOf(r, o.Now)))
		}
		if !r.Complete() {
			continue
		}
		for _, measurement := range influxMeasurements {
			for _, point := range influxPoints(o.Metrics, measurement.dimension, r.Summary) {
				b.WriteString(influxLine(measurement.name, o.tagsOf(r, partOf(point.part)...), point.fields, timeOf(r, o.Now)))
			}
		}
	}
	return []byte(b.String())
}

type influxPoint struct {
	part   queue.Metric // any of its metrics
	fields []string
}

func influxPoints(metrics []queue.Metric, dimension string, s *queue.Summary) []influxPoint {
	var points []influxPoint
	for _, m := range metrics {
		value, known := m.Value(s)
		if m.Dimension != dimension || !known || m.Family == queue.FamilyUp { // up has a measurement of its own
			continue
		}
		i := slices.IndexFunc(points, func(p influxPoint) bool { return p.part.Part == m.Part })
		if i < 0 {
			i = len(points)
			points = append(points, influxPoint{part: m})
		}
		points[i].fields = append(points[i].fields, fmt.Sprintf("%s=%di", influxField(m.Family), value))
	}
	return points
}

// influxLine writes a line, with its tags in the order that InfluxDB recommends.
func influxLine(measurement string, tags []Tag, fields []string, at time.Time) string {
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	var b strings.Builder
	b.WriteString(measurement)
	for _, t := range tags {
		b.WriteString("," + t.Key + "=" + influxValue(t.Value))
	}
	fmt.Fprintf(&b, " %s %d\n", strings.Join(fields, ","), at.UnixNano())
	return b.String()
}

// influxValue writes the value of a tag: UTF-8, not empty, with the characters that would end it escaped.
func influxValue(text string) string {
	text = replaceInvalid(strings.ToValidUTF8(text, "\uFFFD"), isInfluxText)
	return strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `).Replace(text)
}
