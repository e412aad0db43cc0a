package emit

import (
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// value writes bare numbers, one a line, in the order of the metrics: sizes in bytes, ages in seconds. Zabbix
// takes them from a UserParameter, and scripts read them.
//
// Only its place says what a number is. So it writes all the numbers or none, and nothing of several instances.
func value(readings []queue.Reading, o Options) []byte {
	if len(readings) != 1 {
		return nil
	}
	var lines []string
	for _, value := range o.samples(readings[0]) {
		lines = append(lines, strconv.FormatInt(value, 10)+"\n")
	}
	if len(lines) < len(o.Metrics) {
		return nil
	}
	return []byte(strings.Join(lines, ""))
}
