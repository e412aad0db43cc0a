package emit

import (
	"fmt"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// statsd writes gauges: name:value|g, one a line. Values are unsigned, because a sign would turn the value of a
// gauge into a difference; sizes are in bytes, ages in seconds. The format is that of etsy/statsd,
// docs/metric_types.md.
//
// Servers repeat the last value of a gauge: last_success, in seconds since 1970, says when the others were true.
//
// Tags are an extension that differs between servers: after the value in DogStatsD's datagram format, in the name
// in telegraf's input and Graphite's.
func statsd(readings []queue.Reading, o Options) []byte {
	var b strings.Builder
	for _, r := range readings {
		prefix, inName, afterValue := o.dotted(r)
		gauge := func(name string, value int64) {
			fmt.Fprintf(&b, "%s%s%s:%d|g%s\n", prefix, name, inName, value, afterValue)
		}
		for m, value := range o.samples(r) {
			gauge(m.Name, value)
		}
		if r.Complete() {
			gauge("last_success", r.Summary.AsOf.Unix())
		}
	}
	return []byte(b.String())
}
