package queue

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// AgeColumns is how many columns of ages a RankingRow has.
const AgeColumns = 10

// AgeLimits returns the upper ends of the age columns but the last, which has none: 5 minutes and its doubles, as
// in qshape(1).
func AgeLimits() []time.Duration {
	limits := make([]time.Duration, AgeColumns-1)
	for i := range limits {
		limits[i] = 5 * time.Minute << i
	}
	return limits
}

func ageColumn(age time.Duration) int {
	column := 0
	for limit := 5 * time.Minute; column < AgeColumns-1 && age >= limit; limit *= 2 {
		column++
	}
	return column
}

// Ranking is the most frequent keys of a stream, found in bounded memory.
type Ranking struct {
	Rows  []RankingRow // the most frequent first
	Total RankingRow   // the whole stream, keys without a row included
	// MaxUndercount is by how much the count of a row may be too low. It is 0 if there were few enough different
	// keys. Otherwise no key that was seen more than twice as often is missing from the rows, unless there are
	// more such keys than rows.
	MaxUndercount int64
}

// RankingRow is a key and how often it was seen, in all and for each column of AgeLimits.
type RankingRow struct {
	Key   string
	Count int64
	ByAge [AgeColumns]int64
}

// ranker finds the most frequent keys with the algorithm of Misra and Gries ("Finding repeated elements", 1982):
// if there are too many keys, the median of their weights is taken from each, and those left without any are
// forgotten.
type ranker struct {
	limit int
	rows  map[string]*rankedRow
	total RankingRow
	taken int64 // from the weight of each key
}

type rankedRow struct {
	RankingRow       // since the key was seen, or seen again after it was forgotten
	weight     int64 // Count less what was taken meanwhile
}

func newRanker(limit int) *ranker {
	return &ranker{limit: limit, rows: map[string]*rankedRow{}}
}

func (r *ranker) add(key string, column int) {
	r.total.Count++
	r.total.ByAge[column]++
	row := r.rows[key]
	if row == nil {
		if len(r.rows) >= r.limit {
			r.makeRoom()
		}
		row = &rankedRow{RankingRow: RankingRow{Key: strings.Clone(key)}}
		r.rows[row.Key] = row
	}
	row.Count++
	row.ByAge[column]++
	row.weight++
}

func (r *ranker) makeRoom() {
	weights := make([]int64, 0, len(r.rows))
	for _, row := range r.rows {
		weights = append(weights, row.weight)
	}
	slices.Sort(weights)
	median := weights[len(weights)/2]
	r.taken += median
	maps.DeleteFunc(r.rows, func(_ string, row *rankedRow) bool {
		row.weight -= median
		return row.weight <= 0
	})
}

// ranking returns at most n rows, those that certainly belong there.
func (r *ranker) ranking(n int) Ranking {
	rows := slices.DeleteFunc(r.sorted(), func(row RankingRow) bool { return row.Count <= r.taken })
	return Ranking{Rows: rows[:min(n, len(rows))], Total: r.total, MaxUndercount: r.taken}
}

// first returns the key that is probably the most frequent. There must be one.
func (r *ranker) first() string { return r.sorted()[0].Key }

func (r *ranker) sorted() []RankingRow {
	var rows []RankingRow
	for _, row := range r.rows {
		rows = append(rows, row.RankingRow)
	}
	slices.SortFunc(rows, func(a, b RankingRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	return rows
}
