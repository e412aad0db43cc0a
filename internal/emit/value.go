package emit

import (
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// value writes bare numbers, one a line, in the order of the metrics: sizes in bytes, ages in seconds. Zabbix
// takes them from a UserParameter, and scripts read them.
//
// Only its place says what a number is. So it writes all of them or none, and none of several instances.
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
