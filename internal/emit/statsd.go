package emit

import (
	"fmt"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// statsd writes gauges: name:value|g, one a line. Values are unsigned, for a
// sign would make a gauge's value a difference; sizes are in bytes, ages in
// seconds. The format is that of etsy/statsd, docs/metric_types.md.
//
// Servers repeat a gauge for ever: last_success, in seconds since 1970, tells
// when the others were true.
func statsd(readings []queue.Reading, o Options) []byte {
	var b strings.Builder
	for _, r := range complete(readings) {
		prefix := o.dotted(r)
		for _, m := range o.Metrics {
			if value, known := m.Value(r.Summary); known {
				fmt.Fprintf(&b, "%s%s:%d|g\n", prefix, m.Name, value)
			}
		}
		fmt.Fprintf(&b, "%slast_success:%d|g\n", prefix, r.Summary.AsOf.Unix())
	}
	return []byte(b.String())
}
