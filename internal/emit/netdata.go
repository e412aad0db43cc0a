package emit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// NetdataOptions are what Netdata tells its plugins.
type NetdataOptions struct {
	Charts, Values bool  // which parts to write
	Microseconds   int64 // since the last values; 0: these are the first ones
	UpdateEvery    int   // seconds
	Priority       int   // of the first chart; the others follow
}

type netdataChart struct {
	family, dimension      string
	id, title, units, kind string
	divisor                int64 // from the metric's unit to the chart's
}

// netdataCharts are the charts in their order on the dashboard. The first two are, letter for letter, those of
// Netdata's own collectors for Postfix: dashboards and alerts made for them go on working.
var netdataCharts = []netdataChart{
	{queue.FamilyEmails, "", "qemails", "Postfix Queue Emails", "emails", "line", 1},
	{queue.FamilySize, "", "qsize", "Postfix Queue Size", "KiB", "area", 1024},
	{queue.FamilyEmails, queue.ByQueue, "qemails_by_queue", "Postfix Queue Emails by Queue", "emails", "stacked", 1},
	{queue.FamilySize, queue.ByQueue, "qsize_by_queue", "Postfix Queue Size by Queue", "KiB", "stacked", 1024},
	{queue.FamilyAge, "", "qage", "Postfix Queue Oldest Email", "seconds", "line", 1},
	{queue.FamilyAge, queue.ByQueue, "qage_by_queue", "Postfix Queue Oldest Email by Queue", "seconds", "line", 1},
	{queue.FamilyRecipients, "", "qrecipients", "Postfix Queue Recipients", "recipients", "line", 1},
	{queue.FamilyForcedExpire, "", "qforced_expire", "Postfix Queue Emails Marked For Expiry", "emails", "line", 1},
	{queue.FamilyCorrupt, "", "qcorrupt", "Postfix Queue Corrupt Files", "files", "line", 1},
	{"arrived_5m", "", "qarrived_5m", "Postfix Queue Emails of the Last 5 Minutes", "emails", "line", 1},
	{"arrived_1h", "", "qarrived_1h", "Postfix Queue Emails of the Last Hour", "emails", "line", 1},
	{"future", "", "qfuture", "Postfix Queue Emails From the Future", "emails", "line", 1},
	{"expiring", "", "qexpiring", "Postfix Queue Emails About to Be Returned", "emails", "line", 1},
	{"top_login", "", "qtop_login", "Postfix Queue Emails of the Top Login", "emails", "line", 1},
	{"top_client", "", "qtop_client", "Postfix Queue Emails of the Top Client Address", "emails", "line", 1},
	{"top_sender", "", "qtop_sender", "Postfix Queue Emails of the Top Sender Domain", "emails", "line", 1},
	{"top_domain", "", "qtop_domain", "Postfix Queue Emails for the Top Recipient Domain", "emails", "line", 1},
	{"spool_free", "", "qspool_free", "Postfix Queue Free Space", "KiB", "area", 1024},
	{"spool_free_inodes", "", "qspool_free_inodes", "Postfix Queue Free Inodes", "inodes", "line", 1},
	{queue.FamilyUp, "", "qup", "Postfix Queue Up", "boolean", "line", 1},
	{queue.FamilyEmails, queue.ByReason, "qemails_by_reason", "Postfix Queue Deferred Emails by Reason", "emails", "stacked", 1},
}

// chartsOf returns the charts of the metrics: those of the table, and a plain one for each family without one.
func chartsOf(metrics []queue.Metric) []netdataChart {
	charts := slices.Clone(netdataCharts)
	for _, m := range metrics {
		if slices.ContainsFunc(charts, func(c netdataChart) bool { return c.family == m.Family && c.dimension == m.Dimension }) {
			continue
		}
		chart := netdataChart{m.Family, m.Dimension, "q" + m.Family, "Postfix Queue: " + m.Help, "number", "line", 1}
		switch m.Unit {
		case units.Bytes:
			chart.units, chart.divisor = "KiB", 1024
		case units.Seconds:
			chart.units = "seconds"
		}
		charts = append(charts, chart)
	}
	return charts
}

// netdata writes the external plugin protocol, as Netdata's src/plugins.d/README.md describes it. Netdata
// disconnects a collector that sends one unknown line: blocks are complete or absent.
func netdata(readings []queue.Reading, o Options) []byte {
	var b strings.Builder
	for _, r := range complete(readings) {
		for i, chart := range chartsOf(o.Metrics) {
			rows := chart.rows(o.Metrics, r.Summary)
			if len(rows) == 0 {
				continue
			}
			id := fmt.Sprintf("postfix_%s.%s", identifier(r.Instance.Name), chart.id)
			if o.Netdata.Charts {
				fmt.Fprintf(&b, "CHART %s '' '%s' '%s' 'queue' 'postfix.%s' '%s' %d %d '' '' 'postfix_queue'\n",
					id, chart.title, chart.units, chart.id, chart.kind, o.Netdata.Priority+i, o.Netdata.UpdateEvery)
				for _, row := range rows {
					fmt.Fprintf(&b, "DIMENSION %s '' absolute 1 1\n", row.dimension)
				}
				// The name of the chart has the instance, too, but dashboards group and filter by labels.
				fmt.Fprintf(&b, "CLABEL instance_name '%s' %d\nCLABEL_COMMIT\n", identifier(r.Instance.Name), labelAuto)
			}
			if o.Netdata.Values {
				b.WriteString("BEGIN " + id)
				// A CHART line makes the next values the first ones again.
				if o.Netdata.Microseconds > 0 && !o.Netdata.Charts {
					fmt.Fprintf(&b, " %d", o.Netdata.Microseconds)
				}
				b.WriteByte('\n')
				for _, row := range rows {
					fmt.Fprintf(&b, "SET %s = %d\n", row.dimension, row.value/chart.divisor)
				}
				b.WriteString("END\n")
			}
		}
	}
	return []byte(b.String())
}

// labelAuto is the source of a label that the collector has found, not a person.
const labelAuto = 1

type netdataRow struct {
	dimension string
	value     int64
}

func (c netdataChart) rows(metrics []queue.Metric, s *queue.Summary) []netdataRow {
	var rows []netdataRow
	for _, m := range metrics {
		if m.Family != c.family || m.Dimension != c.dimension {
			continue
		}
		if value, known := m.Value(s); known {
			rows = append(rows, netdataRow{cmp.Or(m.Part, m.Name), value})
		}
	}
	return rows
}
