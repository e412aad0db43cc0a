package queue

import (
	"bytes"
	"math"
	"strings"
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
	if !h.valid(6) || h.valid(5) {
		t.Error("six values are those of six messages")
	}
}

func TestSummarizeHistograms(t *testing.T) {
	list := []Message{
		{Queue: Deferred, SizeBytes: 2000, Arrival: ago(30 * time.Minute)},
		{Queue: Deferred, SizeBytes: 3000, Arrival: ago(2 * time.Hour)},
		{Queue: Deferred, SizeBytes: 1 << 30}, // of which no arrival is known
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

// Histograms come back from a snapshot as they were, ages counted up to when
// they were read.
func TestSnapshotHistograms(t *testing.T) {
	s, err := Summarize(t.Context(), messages{list: testQueue()}, Query{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSnapshot(&b, []Reading{{Instance: Instance{Name: "mx1"}, Summary: s}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	readings, _, err := ReadSnapshot(strings.NewReader(whole), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range s.Queues {
		got := readings[0].Summary.Queues[name].Histograms
		want.Histograms.Until = time.Unix(s.Taken.Unix(), 0)
		if diff := cmp.Diff(want.Histograms, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	without := `{"format": "` + SnapshotFormat + `", "version": 1, "taken": 5, "instances": [{"name": "x", "up": true,
		"total": {"messages": 1}, "queues": {"hold": {"messages": 1}, "active": {"messages": 0}}}]}`
	readings, _, err = ReadSnapshot(strings.NewReader(without), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if q := readings[0].Summary.Queues; q[Hold].Histograms != nil || q[Active].Histograms == nil {
		t.Errorf("hold %+v, active %+v", q[Hold].Histograms, q[Active].Histograms)
	}

	for _, damage := range [][2]string{
		{" 4096,", " 96,"},
		{`"bounds": [`, `"bounds": [ 0,`},
		{`"counts": [`, `"counts": [ 0,`},
		{`"sum": `, `"sum": -`},
		{"1", "-1"},
		{"1", "99"},
	} {
		start, counts, _ := strings.Cut(whole, `"counts"`)
		damaged := start + `"counts"` + strings.Replace(counts, damage[0], damage[1], 1)
		if damaged == whole {
			t.Fatalf("nothing to damage: %q", damage[0])
		}
		if _, _, err := ReadSnapshot(strings.NewReader(damaged), time.Now()); err == nil {
			t.Errorf("%q for %q is taken", damage[1], damage[0])
		}
	}
}

// BenchmarkHistograms shows what a message's place in the histograms costs.
func BenchmarkHistograms(b *testing.B) {
	h := newHistograms(time.Now())
	m := Message{Arrival: ago(200 * time.Hour), SizeBytes: 1 << 30} // in the last classes, found last
	for b.Loop() {
		h.add(&m)
	}
}
