package queue

import "time"

// Histogram is how values are spread, as they were at one time: it describes
// the queue and is no counter of what has passed through it.
type Histogram struct {
	Bounds []int64 // upper bounds of the classes, inclusive, ascending
	Counts []int64 // values in each class alone, and last those above every bound
	Sum    int64   // of all values
}

// Histograms are how the messages of a queue are spread.
type Histograms struct {
	// Ages are in seconds, of the messages whose arrival is known. They are
	// counted up to Until: a class that has been counted grows no older.
	Ages  Histogram
	Until time.Time
	Sizes Histogram // in bytes
}

// ageBounds are, in seconds, from what is normal to the longest that a message
// stays by default: queue_run_delay is 5 minutes, maximal_queue_lifetime 5 days.
func ageBounds() []int64 {
	const minute, hour, day = 60, 3600, 86400
	return []int64{minute, 5 * minute, 15 * minute, hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 5 * day}
}

// sizeBounds are, in bytes, from a bounce to more than message_size_limit
// usually allows.
func sizeBounds() []int64 {
	const kib, mib = 1 << 10, 1 << 20
	return []int64{kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib, 16 * mib, 64 * mib}
}

// newHistograms returns histograms of nothing yet.
func newHistograms(until time.Time) *Histograms {
	return &Histograms{Ages: newHistogram(ageBounds()), Sizes: newHistogram(sizeBounds()), Until: until}
}

func newHistogram(bounds []int64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]int64, len(bounds)+1)}
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

// valid reports whether the histogram can be one of so many messages.
func (h *Histogram) valid(messages int64) bool {
	if len(h.Counts) != len(h.Bounds)+1 || h.Sum < 0 {
		return false
	}
	for i := 1; i < len(h.Bounds); i++ {
		if h.Bounds[i] <= h.Bounds[i-1] {
			return false
		}
	}
	counted := int64(0)
	for _, n := range h.Counts {
		if n < 0 {
			return false
		}
		counted = addSaturating(counted, n)
	}
	return counted <= messages
}
