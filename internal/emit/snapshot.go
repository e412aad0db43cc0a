package emit

import (
	"bytes"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/snapshot"
)

// encodeSnapshot writes the document that --input reads back. It says for each instance whether its mail system
// is up, and if its queue was not read, why. It has all metrics whatever was selected.
func encodeSnapshot(readings []queue.Reading, o Options) []byte {
	var b bytes.Buffer
	if err := snapshot.Write(&b, readings, o.Now); err != nil {
		panic(err) // plain data into memory
	}
	return b.Bytes()
}
