package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A snapshot is readings as a document: postfix_queue_emit writes it, and
// --input reads it back. docs/snapshot.md describes it for others.
const (
	SnapshotFormat  = "postfix-queue-snapshot"
	SnapshotVersion = 1
)

type snapshot struct {
	Format    string             `json:"format"`
	Version   int                `json:"version"`
	Taken     int64              `json:"taken"` // seconds since 1970
	Instances []snapshotInstance `json:"instances"`
}

type snapshotInstance struct {
	Name      string `json:"name"`
	ConfigDir string `json:"config_dir,omitempty"`
	Up        bool   `json:"up"`
	Down      string `json:"down,omitempty"`  // why it is not up
	Error     string `json:"error,omitempty"` // why there are no numbers
	Source    string `json:"source,omitempty"`
	snapshotFilter
	Unreadable int64                   `json:"unreadable,omitempty"`
	Corrupt    *int64                  `json:"corrupt,omitempty"`
	Timeless   bool                    `json:"timeless,omitempty"`
	Total      *snapshotTally          `json:"total,omitempty"`
	ByQueue    map[Name]*snapshotTally `json:"queues,omitempty"`
	Reasons    map[Category]int64      `json:"deferral_reasons,omitempty"`
	Breakdown  *Breakdown              `json:"breakdown,omitempty"`
}

// snapshotFilter says what was looked at.
type snapshotFilter struct {
	Queues     []Name   `json:"filter_queues,omitempty"`
	Senders    []string `json:"filter_senders,omitempty"`
	Recipients []string `json:"filter_recipients,omitempty"`
	Reasons    []string `json:"filter_reasons,omitempty"`
	OlderThan  int64    `json:"filter_older_than,omitempty"` // seconds
}

type snapshotTally struct {
	Messages     int64  `json:"messages"`
	SizeBytes    int64  `json:"size_bytes"`
	Recipients   int64  `json:"recipients"`
	ForcedExpire int64  `json:"forced_expire"`
	Oldest       *int64 `json:"oldest_arrival,omitempty"` // seconds since 1970
	// Of a queue that is not empty.
	Ages  *snapshotHistogram `json:"ages,omitempty"`
	Sizes *snapshotHistogram `json:"sizes,omitempty"`
}

type snapshotHistogram struct {
	Until  int64   `json:"until,omitempty"` // ages: what they are counted up to, seconds since 1970
	Bounds []int64 `json:"bounds"`
	Counts []int64 `json:"counts"`
	Sum    int64   `json:"sum"`
}

// WriteSnapshot writes readings as a snapshot. A reading that was cut short, or
// that failed, is in it with its error and without numbers. It is as old as its
// oldest numbers.
func WriteSnapshot(w io.Writer, readings []Reading, now time.Time) error {
	doc := snapshot{Format: SnapshotFormat, Version: SnapshotVersion, Taken: now.Unix()}
	for _, r := range readings {
		if s := r.Summary; s != nil && !s.AsOf.IsZero() {
			doc.Taken = min(doc.Taken, s.AsOf.Unix())
		}
		doc.Instances = append(doc.Instances, toSnapshot(r))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	return encoder.Encode(doc)
}

func toSnapshot(r Reading) snapshotInstance {
	i := snapshotInstance{Name: r.Instance.Name, ConfigDir: r.Instance.ConfigDir}
	if r.Err != nil {
		i.Error = r.Err.Error()
	}
	s := r.Summary
	if s == nil {
		return i
	}
	i.Source, i.Down, i.snapshotFilter = s.Source, s.Down, toSnapshotFilter(s.Filter)
	i.Up = r.Err == nil && s.Down == ""
	if r.Err != nil {
		return i
	}
	i.Unreadable, i.Corrupt, i.Timeless = s.Unreadable, s.Corrupt, s.Timeless
	i.Total = toSnapshotTally(&s.Total)
	i.ByQueue = map[Name]*snapshotTally{}
	for name, t := range s.Queues {
		i.ByQueue[name] = toSnapshotTally(t)
	}
	i.Reasons, i.Breakdown = s.Reasons, s.Breakdown
	return i
}

func toSnapshotFilter(f Filter) snapshotFilter {
	return snapshotFilter{
		Queues:     f.Queues,
		Senders:    f.Senders.texts(),
		Recipients: f.Recipients.texts(),
		Reasons:    f.Reasons.texts(),
		OlderThan:  wholeSeconds(f.OlderThan),
	}
}

func (doc snapshotFilter) filter() (f Filter, ok bool) {
	f = Filter{Queues: doc.Queues, OlderThan: time.Duration(doc.OlderThan) * time.Second}
	for _, list := range []struct {
		texts []string
		to    *Patterns
	}{{doc.Senders, &f.Senders}, {doc.Recipients, &f.Recipients}, {doc.Reasons, &f.Reasons}} {
		for _, text := range list.texts {
			if list.to.UnmarshalText([]byte(text)) != nil {
				return f, false
			}
		}
	}
	return f, f.OlderThan >= 0
}

func toSnapshotTally(t *Tally) *snapshotTally {
	doc := &snapshotTally{Messages: t.Messages, SizeBytes: t.SizeBytes, Recipients: t.Recipients, ForcedExpire: t.ForcedExpire}
	if !t.Oldest.IsZero() {
		oldest := t.Oldest.Unix()
		doc.Oldest = &oldest
	}
	if h := t.Histograms; h != nil && t.Messages > 0 {
		doc.Ages = &snapshotHistogram{h.Until.Unix(), h.Ages.Bounds, h.Ages.Counts, h.Ages.Sum}
		doc.Sizes = &snapshotHistogram{0, h.Sizes.Bounds, h.Sizes.Counts, h.Sizes.Sum}
	}
	return doc
}

// ErrForeignSnapshot says that a document is no snapshot, not a whole one, or
// one whose numbers cannot be.
var ErrForeignSnapshot = errors.New("the snapshot is damaged, cut off or of another version; write it anew with postfix_queue_emit -f json")

// maxSnapshot is how many bytes a snapshot may have: that of a thousand
// instances has less. Another host may have written it.
const maxSnapshot = 16 << 20

// ReadSnapshot reads what WriteSnapshot has written. Ages in the readings count
// up to now. The error is, or wraps, ErrForeignSnapshot unless reading failed.
func ReadSnapshot(r io.Reader, now time.Time) (readings []Reading, taken time.Time, err error) {
	var doc snapshot
	decoder := json.NewDecoder(io.LimitReader(r, maxSnapshot))
	if err := decoder.Decode(&doc); err != nil {
		return nil, taken, foreign(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, taken, fmt.Errorf("%w (something follows it)", ErrForeignSnapshot)
	}
	if doc.Format != SnapshotFormat || doc.Version != SnapshotVersion || len(doc.Instances) == 0 {
		return nil, taken, fmt.Errorf("%w (version %d)", ErrForeignSnapshot, doc.Version)
	}
	for _, i := range doc.Instances {
		reading, ok := i.reading(now, time.Unix(doc.Taken, 0))
		isNamesake := func(other Reading) bool { return other.Instance.Label() == reading.Instance.Label() }
		switch {
		case !ok, i.Name == "":
			return nil, taken, fmt.Errorf("%w (instance %s)", ErrForeignSnapshot, i.Name)
		case slices.ContainsFunc(readings, isNamesake):
			return nil, taken, fmt.Errorf("%w (two instances are %s in metrics)", ErrForeignSnapshot, reading.Instance.Label())
		}
		readings = append(readings, reading)
	}
	return readings, time.Unix(doc.Taken, 0), nil
}

// foreign tells a document that is wrong from one that could not be read.
func foreign(err error) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, mismatch := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax || mismatch || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w (%w)", ErrForeignSnapshot, err)
	}
	return err
}

func (i snapshotInstance) reading(now, taken time.Time) (r Reading, ok bool) {
	r.Instance = Instance{Name: i.Name, ConfigDir: i.ConfigDir}
	filter, ok := i.filter()
	if !ok || (i.Breakdown != nil && !i.Breakdown.valid()) {
		return r, false
	}
	for _, messages := range i.Reasons {
		if messages < 0 {
			return r, false
		}
	}
	s := &Summary{
		Taken: now, AsOf: taken, Source: i.Source, Filter: filter, Queues: map[Name]*Tally{},
		Reasons: i.Reasons, Breakdown: i.Breakdown,
		Facts: Facts{Down: i.Down, Unreadable: i.Unreadable, Corrupt: i.Corrupt, Timeless: i.Timeless},
	}
	r.Summary = s
	if i.Total == nil {
		s.Partial = true
		if i.Error == "" {
			return r, false
		}
		r.Err = errors.New(i.Error)
		return r, true
	}
	if s.Total, ok = i.Total.tally(); !ok || i.Error != "" || (i.Down == "") != i.Up {
		return r, false
	}
	for _, name := range Names() {
		switch doc := i.ByQueue[name]; {
		case doc != nil:
			t, ok := doc.tally()
			if !ok || !doc.readHistograms(&t, taken) {
				return r, false
			}
			s.Queues[name] = &t
		case s.Filter.Covers(name):
			s.Blind = append(s.Blind, name)
		}
	}
	return r, true
}

func (doc *snapshotTally) tally() (t Tally, ok bool) {
	t = Tally{Messages: doc.Messages, SizeBytes: doc.SizeBytes, Recipients: doc.Recipients, ForcedExpire: doc.ForcedExpire}
	if doc.Oldest != nil {
		t.Oldest = time.Unix(*doc.Oldest, 0)
	}
	return t, min(t.Messages, t.SizeBytes, t.Recipients, t.ForcedExpire) >= 0
}

// readHistograms reports whether the histograms can be those of the tally.
// Snapshots from before there were any have none.
func (doc *snapshotTally) readHistograms(t *Tally, taken time.Time) (ok bool) {
	switch {
	case doc.Ages != nil && doc.Sizes != nil:
		t.Histograms = &Histograms{
			Ages:  Histogram{doc.Ages.Bounds, doc.Ages.Counts, doc.Ages.Sum},
			Sizes: Histogram{doc.Sizes.Bounds, doc.Sizes.Counts, doc.Sizes.Sum},
			Until: time.Unix(doc.Ages.Until, 0),
		}
		return t.Histograms.Ages.valid(t.Messages) && t.Histograms.Sizes.valid(t.Messages)
	case t.Messages == 0:
		t.Histograms = newHistograms(taken)
	}
	return true
}
