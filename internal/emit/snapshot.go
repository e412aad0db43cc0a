package emit

import (
	"bytes"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
)

// snapshot writes the document that --input reads back. It says of each
// instance whether its mail system is up, and has all metrics whatever was
// selected. Where no instance could be read at all there is none, so that the
// last one grows old.
func snapshot(readings []queue.Reading, o Options) []byte {
	if !slices.ContainsFunc(readings, func(r queue.Reading) bool {
		return r.Complete() || (r.Summary != nil && r.Summary.Down != "")
	}) {
		return nil
	}
	var b bytes.Buffer
	if err := queue.WriteSnapshot(&b, readings, o.Now); err != nil {
		panic(err) // plain data into memory
	}
	return b.Bytes()
}
