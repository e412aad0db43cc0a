package emit

import "example.org/postfix-queue-monitor/internal/queue"

// ids writes the queue IDs of the messages that the filter lets through, one a line, as postsuper(1) reads them from
// standard input: all of them or none, and none of several instances.
func ids(readings []queue.Reading, _ Options) []byte {
	if len(readings) != 1 || !readings[0].Complete() {
		return nil
	}
	return readings[0].Summary.IDs
}
