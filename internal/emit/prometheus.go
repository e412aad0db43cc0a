package emit

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

type prometheusMetric struct{ family, dimension, name, help string }

// prometheusMetrics are in base units, as the naming rules of Prometheus want it, with the help of the table of metrics
// unless there is a better one. A total over the queues has a
// separate name, so that no sum() counts a message twice. Ages are times, see prometheusValueOf.
var prometheusMetrics = []prometheusMetric{
	{queue.FamilyEmails, queue.ByQueue, "postfix_queue_messages", "Messages in the queue."},
	{queue.FamilySize, queue.ByQueue, "postfix_queue_size_bytes", "Sum of the sizes of the messages in the queue."},
	{queue.FamilyAge, queue.ByQueue, "postfix_queue_oldest_message_timestamp_seconds", "Arrival of the oldest message in the queue, in seconds since 1970."},
	{queue.FamilyEmails, queue.ByReason, "postfix_queue_deferred_messages", "Messages in the deferred queue, by deferral reason."},
	{queue.FamilyEmails, "", "postfix_queue_all_messages", "Messages in all selected queues."},
	{queue.FamilySize, "", "postfix_queue_all_size_bytes", "Sum of the sizes of the messages in all selected queues."},
	{queue.FamilyAge, "", "postfix_queue_oldest_unheld_message_timestamp_seconds", "Arrival of the oldest message that is not on hold, in seconds since 1970."},
	{queue.FamilyRecipients, "", "postfix_queue_recipients", "Recipients that messages still wait for."},
	{queue.FamilyForcedExpire, "", "postfix_queue_forced_expire_messages", "Messages marked for expiry by postsuper -e."},
	{queue.FamilyCorrupt, "", "postfix_queue_corrupt_files", "Files in the corrupt queue."},
	{"arrived_5m", "", "postfix_queue_arrived_5m_messages", ""},
	{"arrived_1h", "", "postfix_queue_arrived_1h_messages", ""},
	{"future", "", "postfix_queue_future_messages", ""},
	{"expiring", "", "postfix_queue_expiring_messages", ""},
	{"top_login", "", "postfix_queue_top_login_messages", ""},
	{"top_client", "", "postfix_queue_top_client_messages", ""},
	{"top_sender", "", "postfix_queue_top_sender_messages", ""},
	{"top_domain", "", "postfix_queue_top_domain_messages", ""},
}

// prometheusMetricsOf returns the names of the metrics: those of the table, and a plain one for each family
// without one.
func prometheusMetricsOf(metrics []queue.Metric) []prometheusMetric {
	named := slices.Clone(prometheusMetrics)
	for _, m := range metrics {
		if m.Family == queue.FamilyUp {
			continue // it is always there
		}
		i := slices.IndexFunc(named, func(p prometheusMetric) bool { return p.family == m.Family && p.dimension == m.Dimension })
		if i < 0 {
			unit := map[units.Unit]string{units.Bytes: "_bytes", units.Seconds: "_seconds"}[m.Unit]
			i = len(named)
			named = append(named, prometheusMetric{m.Family, m.Dimension, "postfix_queue_" + m.Family + unit, ""})
		}
		named[i].help = cmp.Or(named[i].help, strings.ToUpper(m.Help[:1])+m.Help[1:]+".")
	}
	return named
}

// prometheusHistograms name the distributions of the messages of each queue.
//
// The text format has no histogram that is a gauge, and promtool rejects buckets of any other type. So these are
// histograms, which says how the series belong together, and the help says that they do not count anything.
var prometheusHistograms = map[string]struct{ name, help string }{
	"ages":  {"postfix_queue_message_age_seconds", "Ages" + atPresent},
	"sizes": {"postfix_queue_message_size_bytes", "Sizes" + atPresent},
}

const atPresent = " of the messages in the queue at present. Not a counter: use it without rate()."

// prometheus writes the text format 0.0.4, for the textfile collector of node_exporter: without timestamps, which
// that rejects. The instance is always a label, so that series keep their names when a second one is added.
//
// A failed instance has up 0 and nothing else: a file that is not replaced would still be read.
//
// The format's own encoder, expfmt, would add half of the program's size and start-up time for these few lines.
// The tests read them back with it.
func prometheus(readings []queue.Reading, o Options) []byte {
	o.LabelInstances = true
	b := &prometheusWriter{}
	b.header("postfix_queue_up", "gauge", "Whether the mail system runs, mail moves, and the queue was read to its end.")
	for _, r := range knowingUp(readings) {
		b.sample("postfix_queue_up", upOf(r), o.tagsOf(r))
	}
	readings = complete(readings)
	b.header("postfix_queue_last_success_timestamp_seconds", "gauge", "Time of the numbers, in seconds since 1970.")
	for _, r := range readings {
		b.sample("postfix_queue_last_success_timestamp_seconds", r.Summary.AsOf.Unix(), o.tagsOf(r))
	}
	for _, metric := range prometheusMetricsOf(o.Metrics) {
		b.header(metric.name, "gauge", metric.help)
		for r, m := range o.rows(readings, metric.family, metric.dimension) {
			if value, known := prometheusValueOf(m, r.Summary); known {
				b.sample(metric.name, value, o.tagsOf(r, partOf(m)...))
			}
		}
	}
	for _, d := range o.Distributions {
		named := prometheusHistograms[d.Name]
		b.header(named.name, "histogram", named.help)
		for _, r := range readings {
			for _, name := range queue.Names() {
				if h := d.Of(r.Summary, name); h != nil {
					b.histogram(named.name, h, func(more ...Tag) []Tag {
						return o.tagsOf(r, append([]Tag{{queue.ByQueue, string(name)}}, more...)...)
					})
				}
			}
		}
	}
	return []byte(b.String())
}

// prometheusValueOf returns the value of a metric and whether there is one. For an age it is the time from which that
// counts: Prometheus reads a file again and again, and an age in it would stand still until the file is replaced.
func prometheusValueOf(m queue.Metric, s *queue.Summary) (value int64, known bool) {
	if m.Since == nil {
		return m.Value(s)
	}
	since := m.Since(s)
	return since.Unix(), !since.IsZero()
}

// rows returns the selected metrics of a family and dimension, for each reading.
func (o Options) rows(readings []queue.Reading, family, dimension string) iter.Seq2[queue.Reading, queue.Metric] {
	return func(yield func(queue.Reading, queue.Metric) bool) {
		for _, r := range readings {
			for _, m := range o.Metrics {
				if m.Family == family && m.Dimension == dimension && !yield(r, m) {
					return
				}
			}
		}
	}
}

type prometheusWriter struct {
	strings.Builder
	pending string // the header of a metric that may have no samples
}

// header begins a metric. A metric without samples is not written.
func (b *prometheusWriter) header(name, kind, help string) {
	b.pending = fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (b *prometheusWriter) sample(name string, value int64, labels []Tag) {
	b.WriteString(b.pending)
	b.pending = ""
	b.WriteString(name)
	for i, l := range labels {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(l.Key + `="` + prometheusValue(l.Value) + `"`)
	}
	fmt.Fprintf(b, "} %d\n", value)
}

// histogram writes the series of a histogram: how many values do not exceed each bound, their sum, and their
// number.
func (b *prometheusWriter) histogram(name string, h *queue.Histogram, labels func(more ...Tag) []Tag) {
	count := int64(0)
	for i, n := range h.Counts {
		count += n
		bound := "+Inf"
		if i < len(h.Bounds) {
			bound = strconv.FormatInt(h.Bounds[i], 10)
		}
		b.sample(name+"_bucket", count, labels(Tag{bucketTag, bound}))
	}
	b.sample(name+"_sum", h.Sum, labels())
	b.sample(name+"_count", count, labels())
}

// prometheusValue writes the value of a label: UTF-8, with the characters that would end it, or the line,
// escaped. A NUL would end the document.
func prometheusValue(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\x00", "\uFFFD").Replace(text)
}
