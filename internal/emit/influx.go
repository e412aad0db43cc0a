package emit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// influxMeasurement is what the rows of one breakdown are called together. A
// total that is the sum of the queues has a name of its own, so that no sum
// over a measurement counts a message twice.
type influxMeasurement struct{ by, name string }

// influxMeasurements begin with that of telegraf's own input for Postfix, whose
// fields and tag it has, too: dashboards made for it go on working.
func influxMeasurements() []influxMeasurement {
	return []influxMeasurement{
		{queue.ByQueue, "postfix_queue"},
		{queue.ByReason, "postfix_queue_deferred"},
		{"", "postfix_queue_total"},
	}
}

// influxField returns what a family of metrics is called, as telegraf has it.
func influxField(family string) string {
	if family == queue.FamilyEmails {
		return "length"
	}
	return family
}

// influx writes line protocol, as the reference of InfluxDB and telegraf have
// it: integers, and the time when the numbers were true in nanoseconds. The
// instance is always a tag, so that series keep their names when a second one
// comes. Of an instance that failed there is up=0i alone: the last values would
// go on looking alive.
//
// InfluxDB's own encoder is small enough. But it gives up on a name that it
// cannot write, and what makes one writable is most of this. The tests read it
// back with that module's decoder.
func influx(readings []queue.Reading, o Options) []byte {
	o.Named = true
	var b strings.Builder
	for _, r := range readings {
		r = atItsTime(r)
		if !r.Complete() {
			b.WriteString(influxLine("postfix_queue_status", o.tagsOf(r), []string{"up=0i"}, influxTime(r, o.Now)))
			continue
		}
		b.WriteString(influxLine("postfix_queue_status", o.tagsOf(r), []string{"up=1i"}, influxTime(r, o.Now)))
		for _, measurement := range influxMeasurements() {
			for _, point := range influxPoints(o.Metrics, measurement.by, r.Summary) {
				b.WriteString(influxLine(measurement.name, o.tagsOf(r, partOf(point.part)...), point.fields, influxTime(r, o.Now)))
			}
		}
	}
	return []byte(b.String())
}

// influxPoint is what is known of one part of a breakdown.
type influxPoint struct {
	part   queue.Metric // any of its rows
	fields []string
}

func influxPoints(metrics []queue.Metric, by string, s *queue.Summary) []influxPoint {
	var points []influxPoint
	for _, m := range metrics {
		value, known := m.Value(s)
		if m.By != by || !known {
			continue
		}
		i := slices.IndexFunc(points, func(p influxPoint) bool { return p.part.Of == m.Of })
		if i < 0 {
			i = len(points)
			points = append(points, influxPoint{part: m})
		}
		points[i].fields = append(points[i].fields, fmt.Sprintf("%s=%di", influxField(m.Family), value))
	}
	return points
}

// influxTime returns when the numbers of a reading were true, or when it was
// found that there are none.
func influxTime(r queue.Reading, now time.Time) time.Time {
	if r.Summary == nil || r.Summary.AsOf.IsZero() {
		return now
	}
	return r.Summary.AsOf
}

// influxLine writes a line, with its tags in the order that InfluxDB wants.
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

// influxValue writes a tag's value: UTF-8 that is not empty, with what would
// end it escaped.
func influxValue(text string) string {
	if text == "" {
		return "_"
	}
	text = strings.Map(func(r rune) rune {
		if isInfluxText(r) {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `).Replace(text)
}
