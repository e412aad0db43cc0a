package emit

import (
	"fmt"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// graphite writes carbon's plaintext protocol: name, value and seconds since
// 1970, one metric a line. The format is that of the Graphite documentation,
// feeding-carbon.rst, and that of tags its tags.rst. Names are those of statsd;
// the time is when the numbers were true, so there is no last_success.
//
// There are libraries that keep a connection to carbon open. For one line of
// three words, written once, none is worth its start-up time.
func graphite(readings []queue.Reading, o Options) []byte {
	var b strings.Builder
	for _, r := range complete(readings) {
		r = atItsTime(r)
		prefix, tags := o.dotted(r)
		for _, m := range o.Metrics {
			if value, known := m.Value(r.Summary); known {
				fmt.Fprintf(&b, "%s%s%s %d %d\n", prefix, m.Name, tags, value, r.Summary.AsOf.Unix())
			}
		}
	}
	return []byte(b.String())
}
