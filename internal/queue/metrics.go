package queue

import (
	"slices"
	"time"
)

// Unit is the unit of a metric's value.
type Unit string

// The units of metrics.
const (
	Count   Unit = ""
	Bytes   Unit = "B"
	Seconds Unit = "s"
)

// Families of metrics: what is measured.
const (
	FamilyEmails       = "emails"
	FamilySize         = "size"
	FamilyAge          = "age"
	FamilyRecipients   = "recipients"
	FamilyForcedExpire = "forced_expire"
	FamilyCorrupt      = "corrupt"
)

// Breakdowns of families: what the parts are.
const (
	ByQueue  = "queue"
	ByReason = "reason" // of messages in the deferred queue
)

// Metric is a row of the one table of metrics. Rows of one Family and By
// belong together: they are the dimensions of one Netdata chart, the series of
// one metric elsewhere.
type Metric struct {
	Name   string // as in thresholds and performance data: [a-z_]+
	Family string // what is measured: one of the Family constants
	By     string // what the family is broken down by; empty for a total
	Of     string // which part of the breakdown this row is
	Unit   Unit
	Help   string
	// OnDemand rows are shown only where they are asked for: not every source
	// knows them and what is shown must not depend on the source, or they cost
	// more to read.
	OnDemand bool
	// Value returns the metric's value and whether the summary knows it.
	Value func(*Summary) (value int64, known bool)
}

// Metrics returns the table of metrics: totals first, then each queue's rows,
// then those of deferral reasons.
func Metrics() []Metric {
	table := []Metric{
		total("emails", FamilyEmails, Count, "messages in the queue", func(s *Summary) int64 { return s.Total.Messages }),
		total("size", FamilySize, Bytes, "sum of the sizes of messages", func(s *Summary) int64 { return s.Total.SizeBytes }),
		{
			Name: "age", Family: FamilyAge, Unit: Seconds,
			Help:  "age of the oldest message that is not on hold",
			Value: ageNotOnHold,
		},
		total("recipients", FamilyRecipients, Count, "recipients that messages still wait for", func(s *Summary) int64 { return s.Total.Recipients }),
		total("forced_expire", FamilyForcedExpire, Count, "messages marked for expiry by postsuper -e", func(s *Summary) int64 { return s.Total.ForcedExpire }),
		{
			Name: "corrupt", Family: FamilyCorrupt, Unit: Count, OnDemand: true,
			Help:  "files in the corrupt queue",
			Value: corruptFiles,
		},
	}
	for _, name := range Names() {
		table = append(table, perQueue(name)...)
	}
	for _, category := range Categories() {
		table = append(table, perReason(category))
	}
	return table
}

// Select returns the rows that are shown of a reading with this filter: none of
// queues that are not looked at, and of those on demand only what asked for
// wants.
func Select(f Filter, askedFor func(Metric) bool) []Metric {
	return slices.DeleteFunc(Metrics(), func(m Metric) bool {
		switch {
		case m.OnDemand && !askedFor(m):
			return true
		case m.By == ByReason:
			return !f.Covers(Deferred)
		case m.By == ByQueue:
			return !f.Covers(Name(m.Of))
		default:
			// Where only mail on hold is looked at, there is hold_age.
			return m.Name == "age" && slices.Equal(f.Queues, []Name{Hold})
		}
	})
}

// Lookup returns the metric of that name.
func Lookup(name string) (Metric, bool) {
	table := Metrics()
	i := slices.IndexFunc(table, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return table[i], true
}

func total(name, family string, unit Unit, help string, value func(*Summary) int64) Metric {
	return Metric{
		Name: name, Family: family, Unit: unit, Help: help,
		Value: func(s *Summary) (int64, bool) { return value(s), true },
	}
}

func perQueue(name Name) []Metric {
	row := func(metric, family string, unit Unit, help string, value func(*Summary, *Tally) (int64, bool)) Metric {
		return Metric{
			Name: metric, Family: family, By: ByQueue, Of: string(name), Unit: unit, Help: help + " " + string(name),
			Value: func(s *Summary) (int64, bool) {
				t := s.Queues[name]
				if t == nil {
					return 0, false
				}
				return value(s, t)
			},
		}
	}
	return []Metric{
		row(string(name), FamilyEmails, Count, "messages in queue",
			func(_ *Summary, t *Tally) (int64, bool) { return t.Messages, true }),
		row(string(name)+"_size", FamilySize, Bytes, "sum of the sizes of messages in queue",
			func(_ *Summary, t *Tally) (int64, bool) { return t.SizeBytes, true }),
		row(string(name)+"_age", FamilyAge, Seconds, "age of the oldest message in queue",
			func(s *Summary, t *Tally) (int64, bool) { return wholeSeconds(t.Age(s.Taken)), !s.Timeless }),
	}
}

func perReason(category Category) Metric {
	return Metric{
		Name:   string(Deferred) + "_" + string(category),
		Family: FamilyEmails, By: ByReason, Of: string(category), Unit: Count, OnDemand: true,
		Help: "deferred messages, reason: " + category.Title(),
		Value: func(s *Summary) (int64, bool) {
			count, known := s.Reasons[category]
			return count, known
		},
	}
}

func corruptFiles(s *Summary) (int64, bool) {
	if s.Corrupt == nil {
		return 0, false
	}
	return *s.Corrupt, true
}

func ageNotOnHold(s *Summary) (int64, bool) {
	if s.Timeless || len(s.Blind) > 0 {
		return 0, false
	}
	var oldest time.Duration
	for name, t := range s.Queues {
		if name != Hold {
			oldest = max(oldest, t.Age(s.Taken))
		}
	}
	return wholeSeconds(oldest), true
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }
