package queue

import (
	"slices"
	"time"
)

// Histogram is how values are distributed at one time. It describes the queue; it does not count what has passed
// through it.
type Histogram struct {
	Bounds []int64 // upper bounds of the classes, inclusive, ascending
	Counts []int64 // values in each class alone, and last those above every bound
	Sum    int64   // of all values
}

// Histograms are the distributions of the messages of a queue.
type Histograms struct {
	// Ages are in seconds, of the messages with a known arrival. They count up to Until: a class that has been
	// counted does not grow older.
	Ages  Histogram
	Until time.Time
	Sizes Histogram // in bytes
}

// Distribution is a row of the table of distributions: what there is a histogram of for each queue. They are selected by
// name, as metrics are.
type Distribution struct {
	Name string // as in lists of metrics
	// Of returns the histogram of a queue; nil if the summary does not know it.
	Of func(*Summary, Name) *Histogram
}

var distributions = []Distribution{
	{"ages", func(s *Summary, queue Name) *Histogram {
		if h := s.histograms(queue); h != nil && !s.NoArrivalTimes {
			return &h.Ages
		}
		return nil
	}},
	{"sizes", func(s *Summary, queue Name) *Histogram {
		if h := s.histograms(queue); h != nil {
			return &h.Sizes
		}
		return nil
	}},
}

// Distributions returns the table of distributions.
func Distributions() []Distribution { return slices.Clone(distributions) }

// isKnown reports whether the summary has a histogram of any queue.
func (d Distribution) isKnown(s *Summary) bool {
	return slices.ContainsFunc(Names(), func(queue Name) bool { return d.Of(s, queue) != nil })
}

func (s *Summary) histograms(queue Name) *Histograms {
	if t := s.Queues[queue]; t != nil {
		return t.Histograms
	}
	return nil
}

const (
	minute, hour, day = 60, 3600, 86400 // seconds
	kib, mib          = 1 << 10, 1 << 20
)

// ageBounds are in seconds, from what is normal to the longest that a message stays by default: queue_run_delay
// is 5 minutes, maximal_queue_lifetime 5 days.
var ageBounds = []int64{minute, 5 * minute, 15 * minute, hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 5 * day}

// sizeBounds are in bytes, from a bounce to more than message_size_limit usually allows.
var sizeBounds = []int64{kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib, 16 * mib, 64 * mib}

// NewHistograms returns empty histograms.
func NewHistograms(until time.Time) *Histograms {
	return &Histograms{Ages: newHistogram(ageBounds), Sizes: newHistogram(sizeBounds), Until: until}
}

func newHistogram(bounds []int64) Histogram {
	return Histogram{Bounds: slices.Clone(bounds), Counts: make([]int64, len(bounds)+1)}
}

func (h *Histograms) add(m *Message) {
	h.Sizes.add(m.SizeBytes)
	if !m.Arrival.IsZero() {
		h.Ages.add(wholeSeconds(max(0, h.Until.Sub(m.Arrival))))
	}
}

func (h *Histogram) add(value int64) {
	class := 0
	for class < len(h.Bounds) && value > h.Bounds[class] {
		class++
	}
	h.Counts[class]++
	h.Sum = addSaturating(h.Sum, value)
}
