package emit

import (
	"fmt"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// graphite writes carbon's plaintext protocol: name, value and seconds since 1970, one metric a line. The
// Graphite documentation has the format, feeding-carbon.rst, and that of tags, tags.rst. Names are those of
// statsd. The time is when the numbers were true, so there is no last_success.
//
// There are libraries that keep a connection to carbon open. For lines of three words, written once, none is
// worth its start-up time.
func graphite(readings []queue.Reading, o Options) []byte {
	var b strings.Builder
	for _, r := range readings {
		r = asOf(r)
		prefix, tags, _ := o.dotted(r)
		for m, value := range o.samples(r) {
			fmt.Fprintf(&b, "%s%s%s %d %d\n", prefix, m.Name, tags, value, timeOf(r, o.Now).Unix())
		}
	}
	return []byte(b.String())
}
