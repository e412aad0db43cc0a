package emit

import (
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// value writes bare numbers, one a line, in the order of the metrics: sizes in
// bytes, ages in seconds. It is what Zabbix takes from a UserParameter, and
// what scripts read.
//
// A number says nothing of what it is but by its place. So there are all or
// none, and none where there are several instances.
func value(readings []queue.Reading, o Options) []byte {
	if len(readings) != 1 || !readings[0].Complete() {
		return nil
	}
	var b strings.Builder
	for _, m := range o.Metrics {
		value, known := m.Value(readings[0].Summary)
		if !known {
			return nil
		}
		b.WriteString(strconv.FormatInt(value, 10) + "\n")
	}
	return []byte(b.String())
}
