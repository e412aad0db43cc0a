package queue

import "time"

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
	// keys. Otherwise the rows have every key that was seen more than 2*MaxUndercount times, unless there are more
	// such keys than rows.
	MaxUndercount int64
}

// RankingRow is a key and how often it was seen, in all and for each column of AgeLimits.
type RankingRow struct {
	Key   string
	Count int64
	ByAge [AgeColumns]int64
}

// ranker makes a Ranking.
type ranker struct {
	*frequent[[AgeColumns]int64]
	total RankingRow
}

func newRanker(limit int) *ranker { return &ranker{frequent: newFrequent[[AgeColumns]int64](limit)} }

func (r *ranker) add(key string, column int) {
	r.total.Count++
	r.total.ByAge[column]++
	r.frequent.add(key).row[column]++
}

// ranking returns at most n rows, those that certainly belong there.
func (r *ranker) ranking(n int) Ranking {
	ranking := Ranking{Total: r.total, MaxUndercount: r.taken}
	for _, c := range r.certain(n) {
		ranking.Rows = append(ranking.Rows, RankingRow{c.key, c.count, c.row})
	}
	return ranking
}
