package queue

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// frequent finds the most frequent keys of a stream with the algorithm of Misra and Gries ("Finding repeated elements",
// 1982): if there are too many keys, the median of their weights is taken from each, and those left without any are
// forgotten. Row is what is remembered about a key.
type frequent[Row any] struct {
	limit  int
	rows   map[string]*counted[Row]
	taken  int64      // from the weight of each key
	forget func(*Row) // nil: nothing needs to be done
}

type counted[Row any] struct {
	key    string
	count  int64 // since the key was seen, or seen again after it was forgotten
	weight int64 // count less what was taken meanwhile
	row    Row
}

func newFrequent[Row any](limit int) *frequent[Row] {
	return &frequent[Row]{limit: limit, rows: map[string]*counted[Row]{}}
}

// add counts a key. What it returns is valid until the next call.
func (f *frequent[Row]) add(key string) *counted[Row] {
	c := f.rows[key]
	if c == nil {
		if len(f.rows) >= f.limit {
			f.makeRoom()
		}
		c = &counted[Row]{key: strings.Clone(key)}
		f.rows[c.key] = c
	}
	c.count++
	c.weight++
	return c
}

func (f *frequent[Row]) makeRoom() {
	weights := make([]int64, 0, len(f.rows))
	for _, c := range f.rows {
		weights = append(weights, c.weight)
	}
	slices.Sort(weights)
	median := weights[len(weights)/2]
	f.taken += median
	maps.DeleteFunc(f.rows, func(_ string, c *counted[Row]) bool {
		c.weight -= median
		if c.weight > 0 {
			return false
		}
		if f.forget != nil {
			f.forget(&c.row)
		}
		return true
	})
}

// sorted returns the rows, the most frequent first.
func (f *frequent[Row]) sorted() []*counted[Row] {
	return slices.SortedFunc(maps.Values(f.rows), func(a, b *counted[Row]) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.key, b.key))
	})
}

// certain returns at most n rows, those that certainly belong there, the most frequent first.
func (f *frequent[Row]) certain(n int) []*counted[Row] {
	rows := slices.DeleteFunc(f.sorted(), func(c *counted[Row]) bool { return c.count <= f.taken })
	return rows[:min(n, len(rows))]
}

// Distinct is a number of different things.
type Distinct struct {
	Number  int64
	AtLeast bool // there were too many to count them all
}

// distinctBudget is how many things all counters of different things remember together.
const distinctBudget = 1 << 16

// distinctCounters are what counters of different things share.
type distinctCounters struct {
	seed maphash.Seed
	left int // of the budget
}

func newDistinctCounters() *distinctCounters {
	return &distinctCounters{maphash.MakeSeed(), distinctBudget}
}

// distinctCounter counts different texts.
type distinctCounter struct {
	only string // the first one
	seen map[uint64]struct{}
	full bool
}

func (d *distinctCounter) add(all *distinctCounters, text string) {
	switch {
	case d.seen == nil && d.only == "":
		d.only = strings.Clone(text)
		return
	case d.seen == nil && d.only == text:
		return
	case d.seen == nil:
		d.seen = map[uint64]struct{}{}
		d.remember(all, d.only)
	}
	d.remember(all, text)
}

func (d *distinctCounter) remember(all *distinctCounters, text string) {
	hash := maphash.String(all.seed, text)
	if _, seen := d.seen[hash]; seen {
		return
	}
	if all.left == 0 {
		d.full = true
		return
	}
	all.left--
	d.seen[hash] = struct{}{}
}

// forget gives back what the counter has of the budget.
func (d *distinctCounter) forget(all *distinctCounters) { all.left += len(d.seen) }

func (d *distinctCounter) number() Distinct {
	if d.seen == nil {
		n := int64(0)
		if d.only != "" {
			n = 1
		}
		return Distinct{Number: n}
	}
	return Distinct{int64(max(2, len(d.seen))), d.full} // a second text has come, remembered or not
}

// single returns the one text that was added, empty if there were others, too.
func (d *distinctCounter) single() string {
	if d.seen != nil {
		return ""
	}
	return d.only
}
