// Package snapshot writes readings as a JSON document and reads it back: postfix_queue_emit writes it, and
// --input of both programs reads it. docs/snapshot.md describes it for others.
package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

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

const maxInstances = 1000

// Write writes readings as a snapshot. A reading that failed or was cut short has its error in it and no numbers.
// The snapshot is as old as its oldest numbers.
func Write(w io.Writer, readings []queue.Reading, now time.Time) error {
	taken := now.Unix()
	doc := document{Format: Format, Version: Version, Taken: &taken}
	for _, r := range readings {
		if s := r.Summary; s != nil && !s.AsOf.IsZero() {
			taken = min(taken, s.AsOf.Unix())
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
	text, err := io.ReadAll(io.LimitReader(r, maxSize))
	if err != nil {
		return nil, taken, err
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, taken, damaged("%w", err)
	}
	if err := checkMembers(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, taken, damaged("%w", err)
	}
	switch {
	case doc.Format != Format || doc.Version != Version || len(doc.Instances) == 0:
		return nil, taken, damaged("version %d", doc.Version)
	case doc.Taken == nil:
		return nil, taken, damaged("taken is missing")
	case len(doc.Instances) > maxInstances:
		return nil, taken, damaged("%d instances", len(doc.Instances))
	}
	if taken, err = toTime("taken", *doc.Taken); err != nil {
		return nil, taken, damaged("%w", err)
	}
	labels := map[string]bool{}
	for _, i := range doc.Instances {
		reading, err := i.reading(now, taken)
		if err != nil {
			return nil, taken, damaged("instance %s: %w", i.Name, err)
		}
		label := reading.Instance.Label()
		if labels[label] {
			return nil, taken, damaged("two instances are %s in metrics", label)
		}
		labels[label] = true
		readings = append(readings, reading)
	}
	return readings, taken, nil
}

// checkMembers returns an error if an object of the document has a member twice: readers of JSON disagree about which
// of them counts.
func checkMembers(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if _, isCompound := token.(json.Delim); !isCompound {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if token == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return err
			}
			// As package json compares names, which folds some letters beyond ASCII into others.
			folded := strings.Map(unicode.ToLower, strings.ToUpper(name.(string)))
			if seen[folded] {
				return fmt.Errorf("%s is there twice", name)
			}
			seen[folded] = true
		}
		if err := checkMembers(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
