package queue

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistogramClasses(t *testing.T) {
	h := newHistogram([]int64{10, 20})
	for _, v := range []int64{0, 10, 11, 20, 21, math.MaxInt64} {
		h.add(v)
	}
	want := Histogram{Bounds: []int64{10, 20}, Counts: []int64{2, 2, 2}, Sum: math.MaxInt64}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSummarizeHistograms(t *testing.T) {
	list := []Message{
		{Queue: Deferred, SizeBytes: 2000, Arrival: ago(30 * time.Minute)},
		{Queue: Deferred, SizeBytes: 3000, Arrival: ago(2 * time.Hour)},
		{Queue: Deferred, SizeBytes: 1 << 30}, // without an arrival time
		{Queue: Incoming, Arrival: time.Now().Add(time.Hour)},
	}
	s, err := Summarize(t.Context(), messages{list: list}, Query{})
	if err != nil {
		t.Fatal(err)
	}
	deferred := s.Queues[Deferred].Histograms
	if !deferred.Until.Equal(s.Taken) {
		t.Errorf("ages up to %v, taken %v", deferred.Until, s.Taken)
	}
	if diff := cmp.Diff([]int64{0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0}, deferred.Ages.Counts); diff != "" {
		t.Errorf("ages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{0, 2, 0, 0, 0, 0, 0, 0, 0, 1}, deferred.Sizes.Counts); diff != "" {
		t.Errorf("sizes (-want +got):\n%s", diff)
	}
	if want := int64(5000 + 1<<30); deferred.Sizes.Sum != want {
		t.Errorf("sum of sizes %d, want %d", deferred.Sizes.Sum, want)
	}
	if got := s.Queues[Incoming].Histograms.Ages; got.Counts[0] != 1 || got.Sum != 0 {
		t.Errorf("an arrival in the future: %+v", got)
	}
	if got := s.Queues[Maildrop].Histograms; got == nil || got.Sizes.Sum != 0 {
		t.Errorf("an empty queue: %+v", got)
	}
}

// BenchmarkHistograms shows what a message's place in the histograms costs.
func BenchmarkHistograms(b *testing.B) {
	h := NewHistograms(time.Now())
	m := Message{Arrival: ago(200 * time.Hour), SizeBytes: 1 << 30} // in the last classes, found last
	for b.Loop() {
		h.add(&m)
	}
}
