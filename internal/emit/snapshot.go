package emit

import (
	"bytes"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/snapshot"
)

// encodeSnapshot writes the document that --input reads back. It says for each instance whether its mail system
// is up, and has all metrics whatever was selected. If no instance could be read, it writes nothing, so that the
// last snapshot grows old.
func encodeSnapshot(readings []queue.Reading, o Options) []byte {
	if !slices.ContainsFunc(readings, func(r queue.Reading) bool { return r.Complete() || r.Down() != nil }) {
		return nil
	}
	var b bytes.Buffer
	if err := snapshot.Write(&b, readings, o.Now); err != nil {
		panic(err) // plain data into memory
	}
	return b.Bytes()
}
