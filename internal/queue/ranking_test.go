package queue

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAgeColumn(t *testing.T) {
	limits := AgeLimits()
	if len(limits) != AgeColumns-1 || limits[0] != 5*time.Minute || limits[8] != 1280*time.Minute {
		t.Fatalf("the limits are %v", limits)
	}
	for i, limit := range limits {
		if got := ageColumn(limit - 1); got != i {
			t.Errorf("just under %s: column %d, want %d", limit, got, i)
		}
		if got := ageColumn(limit); got != i+1 {
			t.Errorf("%s: column %d, want %d", limit, got, i+1)
		}
	}
	if got := ageColumn(1 << 62); got != AgeColumns-1 {
		t.Errorf("very old: column %d", got)
	}
}

func TestRankingOfFewKeysIsExact(t *testing.T) {
	r := newRanker(3)
	for i, key := range strings.Split("b a c b b a", " ") {
		r.add(key, i%AgeColumns)
	}
	want := Ranking{
		Rows: []RankingRow{
			{"b", 3, [AgeColumns]int64{0: 1, 3: 1, 4: 1}},
			{"a", 2, [AgeColumns]int64{1: 1, 5: 1}},
		},
		Total: RankingRow{"", 6, [AgeColumns]int64{1, 1, 1, 1, 1, 1}},
	}
	if diff := cmp.Diff(want, r.ranking(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRankingOfManyKeys tests the promise of the algorithm: no count is too high, no
// count is too low by more than the error, and every key that is more frequent than
// the error is shown.
func TestRankingOfManyKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	truth := map[string]int64{}
	r := newRanker(rankedKeys)
	const stream = 200_000
	for i := range stream {
		key := fmt.Sprintf("%d.example", i) // met once
		if n := random.IntN(100); n < 10 {
			key = fmt.Sprintf("frequent%d.example", n)
		}
		truth[key]++
		r.add(key, 0)
		if len(r.rows) > rankedKeys {
			t.Fatalf("%d rows after %d keys", len(r.rows), i)
		}
	}
	got := r.ranking(rankedKeys)
	if got.Total.Count != stream {
		t.Errorf("the total is %d", got.Total.Count)
	}
	shown := map[string]bool{}
	for _, row := range got.Rows {
		shown[row.Key] = true
		if row.Count > truth[row.Key] || row.Count < truth[row.Key]-got.MaxUndercount || row.ByAge[0] != row.Count {
			t.Errorf("%s: %d, truly %d, error %d", row.Key, row.Count, truth[row.Key], got.MaxUndercount)
		}
	}
	frequent := 0
	for key, count := range truth {
		if count > 2*got.MaxUndercount {
			frequent++
			if !shown[key] {
				t.Errorf("%s is missing, %d times, error %d", key, count, got.MaxUndercount)
			}
		}
	}
	if frequent != 10 {
		t.Errorf("%d keys are frequent, with an error of %d; the test is to have 10", frequent, got.MaxUndercount)
	}
}

func BenchmarkRankerDistinctKeys(b *testing.B) {
	r := newRanker(rankedKeys)
	padding := strings.Repeat("x", 230)
	for i := 0; b.Loop(); i++ {
		r.add(fmt.Sprintf("%d%s", i, padding), 0)
	}
}
