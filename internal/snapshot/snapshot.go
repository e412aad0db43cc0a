// Package snapshot writes readings as a JSON document and reads it back: postfix_queue_emit writes it, and
// --input of both programs reads it. docs/snapshot.md describes it for others.
package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Format and Version are the first two members of the document.
const (
	Format  = "postfix-queue-snapshot"
	Version = 1
)

// maxSize is the size limit of a document, in bytes: one of a thousand instances is smaller. It may come from
// another host.
const maxSize = 16 << 20

// ErrDamaged says that a document is not a snapshot, not a whole one, or has numbers that cannot be.
var ErrDamaged = errors.New("the snapshot is damaged, cut off or of another version; write it anew with postfix_queue_emit -f json")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", ErrDamaged, fmt.Errorf(format, args...))
}

// Write writes readings as a snapshot. A reading that failed or was cut short has its error in it and no numbers.
// The snapshot is as old as its oldest numbers.
func Write(w io.Writer, readings []queue.Reading, now time.Time) error {
	doc := document{Format: Format, Version: Version, Taken: now.Unix()}
	for _, r := range readings {
		if s := r.Summary; s != nil && !s.AsOf.IsZero() {
			doc.Taken = min(doc.Taken, s.AsOf.Unix())
		}
		doc.Instances = append(doc.Instances, toInstance(r))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	return encoder.Encode(doc)
}

// Read reads what Write has written. Ages in the readings count up to now; taken is when the snapshot was taken.
// The error wraps ErrDamaged unless reading failed.
func Read(r io.Reader, now time.Time) (readings []queue.Reading, taken time.Time, err error) {
	var doc document
	decoder := json.NewDecoder(io.LimitReader(r, maxSize))
	if err := decoder.Decode(&doc); err != nil {
		return nil, taken, decodeError(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, taken, damaged("something follows it")
	}
	if doc.Format != Format || doc.Version != Version || len(doc.Instances) == 0 {
		return nil, taken, damaged("version %d", doc.Version)
	}
	taken = time.Unix(doc.Taken, 0)
	for _, i := range doc.Instances {
		reading, err := i.reading(now, taken)
		if err != nil {
			return nil, taken, damaged("instance %s: %w", i.Name, err)
		}
		isNamesake := func(other queue.Reading) bool { return other.Instance.Label() == reading.Instance.Label() }
		if slices.ContainsFunc(readings, isNamesake) {
			return nil, taken, damaged("two instances are %s in metrics", reading.Instance.Label())
		}
		readings = append(readings, reading)
	}
	return readings, taken, nil
}

func decodeError(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, mismatch := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax || mismatch || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return damaged("%w", err)
	}
	return err
}
