package queue

import (
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/units"
)

// Families of metrics: what is measured.
const (
	FamilyEmails       = "emails"
	FamilySize         = "size"
	FamilyAge          = "age"
	FamilyRecipients   = "recipients"
	FamilyForcedExpire = "forced_expire"
	FamilyCorrupt      = "corrupt"
	FamilyUp           = "up"
	FamilyGrowth       = "growth" // takes several readings: only the check has it
)

// Dimensions that families are divided by.
const (
	ByQueue  = "queue"
	ByReason = "reason" // of messages in the deferred queue
)

// Metric is a row of the one table of metrics. Rows with the same Family and Dimension belong together: they are
// the dimensions of one Netdata chart, the series of one metric elsewhere.
type Metric struct {
	Name      string // as in thresholds and performance data: [a-z0-9_]+
	Family    string // what is measured: one of the Family constants
	Dimension string // what the family is divided by; empty for a total
	Part      string // the part that this row is: the name of a queue, a category
	Unit      units.Unit
	Help      string
	// OnDemand rows are shown only to those who ask for them: either some sources do not know them, and what is
	// shown must not depend on the source, or they cost more to read.
	OnDemand bool
	// Value returns the metric's value and whether the summary knows it.
	Value func(*Summary) (value int64, known bool)
	// Since returns the arrival from which an age counts; zero if the summary does not know it or if there is no
	// message. It is nil for what is not an age.
	Since func(*Summary) time.Time
	// Exact values do not come from messages: they are right even if the queue was not read to its end.
	Exact bool
	// MaxUndercount returns by how much the value may be too low; nil: by nothing.
	MaxUndercount func(*Summary) int64
}

// metrics is the table: totals first, then the rows of each queue, then those of deferral reasons.
var metrics = slices.Concat(totals, queueMetrics(), reasonMetrics())

var totals = []Metric{
	total("emails", FamilyEmails, units.Count, "messages in the queue", func(t *Tally) int64 { return t.Messages }),
	total("size", FamilySize, units.Bytes, "sum of the sizes of messages", func(t *Tally) int64 { return t.SizeBytes }),
	ageMetric(Metric{Name: "age", Help: "age of the oldest message that is not on hold"}, oldestNotOnHold),
	total("recipients", FamilyRecipients, units.Count, "recipients that messages still wait for",
		func(t *Tally) int64 { return t.Recipients }),
	total("forced_expire", FamilyForcedExpire, units.Count, "messages marked for expiry by postsuper -e",
		func(t *Tally) int64 { return t.ForcedExpire }),
	onDemand("corrupt", units.Count, "files in the corrupt queue", func(s *Summary) *int64 { return s.Corrupt }),
	onDemand("arrived_5m", units.Count, "messages not on hold that arrived in the last 5 minutes",
		arrivals(func(a *Arrivals) *int64 { return &a.Last5m })),
	onDemand("arrived_1h", units.Count, "messages not on hold that arrived in the last hour",
		arrivals(func(a *Arrivals) *int64 { return &a.Last1h })),
	onDemand("future", units.Count, "messages whose arrival lies more than a minute ahead",
		arrivals(func(a *Arrivals) *int64 { return &a.Ahead })),
	onDemand("expiring", units.Count, "messages that are returned to their senders if a try within a day fails",
		func(s *Summary) *int64 { return s.Expiring }),
	spaceMetric("spool_free", units.Bytes, "bytes that the file system of the queue has left for Postfix",
		func(s *Space) *int64 { return &s.FreeBytes }),
	spaceMetric("spool_free_inodes", units.Count, "inodes that the file system of the queue has left",
		func(s *Space) *int64 { return s.FreeInodes }),
	topMetric("top_login", "messages of the SASL login with the most messages", func(t *Tops) *Top { return t.Login }),
	topMetric("top_client", "messages of the client address with the most messages", func(t *Tops) *Top { return t.Client }),
	topMetric("top_sender", "messages of the sender domain with the most messages", func(t *Tops) *Top { return &t.Sender }),
	topMetric("top_domain", "messages that wait for the recipient domain with the most messages", func(t *Tops) *Top { return &t.Domain }),
	onDemand(FamilyUp, units.Count, "whether the mail system runs, mail moves, and the queue was read to its end", func(s *Summary) *int64 {
		if !s.KnowsUp() {
			return nil
		}
		up := int64(0)
		if s.Up() {
			up = 1
		}
		return &up
	}),
	onDemand(FamilyGrowth, units.Count, "change of the number of messages in an hour, as of the last 15 minutes", func(s *Summary) *int64 {
		if s.Growth == nil {
			return nil
		}
		return &s.Growth.PerHour
	}),
}

// onDemand returns a row that is alone in its family. Its value is unknown if it is nil.
func onDemand(name string, unit units.Unit, help string, value func(*Summary) *int64) Metric {
	return Metric{
		Name: name, Family: name, Unit: unit, Help: help, OnDemand: true,
		Value: func(s *Summary) (int64, bool) {
			v := value(s)
			if v == nil {
				return 0, false
			}
			return *v, true
		},
	}
}

func topMetric(name, help string, top func(*Tops) *Top) Metric {
	of := func(s *Summary) *Top {
		if s.Tops == nil {
			return nil
		}
		return top(s.Tops)
	}
	m := onDemand(name, units.Count, help, func(s *Summary) *int64 {
		if t := of(s); t != nil {
			return &t.Messages
		}
		return nil
	})
	m.MaxUndercount = func(s *Summary) int64 {
		if t := of(s); t != nil {
			return t.MaxUndercount
		}
		return 0
	}
	return m
}

func arrivals(count func(*Arrivals) *int64) func(*Summary) *int64 {
	return func(s *Summary) *int64 {
		if s.Arrivals == nil {
			return nil
		}
		return count(s.Arrivals)
	}
}

func spaceMetric(name string, unit units.Unit, help string, left func(*Space) *int64) Metric {
	m := onDemand(name, unit, help, func(s *Summary) *int64 {
		if s.Space == nil {
			return nil
		}
		return left(s.Space)
	})
	m.Exact = true
	return m
}

func total(name, family string, unit units.Unit, help string, value func(*Tally) int64) Metric {
	return Metric{
		Name: name, Family: family, Unit: unit, Help: help,
		Value: func(s *Summary) (int64, bool) { return value(&s.Total), true },
	}
}

// Metrics returns the table of metrics.
func Metrics() []Metric { return slices.Clone(metrics) }

// Select returns the metrics that apply under f. It drops those of queues that f leaves out, and keeps OnDemand
// metrics only if askedFor reports true.
func Select(f Filter, askedFor func(Metric) bool) []Metric {
	return slices.DeleteFunc(Metrics(), func(m Metric) bool {
		switch {
		case m.OnDemand && !askedFor(m):
			return true
		case m.Dimension == ByReason:
			return !f.Covers(Deferred)
		case m.Dimension == ByQueue:
			return !f.Covers(Name(m.Part))
		default:
			// If only mail on hold counts, there is hold_age.
			return m.Family == FamilyAge && slices.Equal(f.Queues, []Name{Hold})
		}
	})
}

// Lookup returns the metric of that name.
func Lookup(name string) (Metric, bool) {
	i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return metrics[i], true
}

func queueMetrics() []Metric {
	var rows []Metric
	for _, name := range Names() {
		row := func(suffix, family string, unit units.Unit, help string, value func(*Tally) int64) Metric {
			return Metric{
				Name: string(name) + suffix, Family: family, Dimension: ByQueue, Part: string(name), Unit: unit,
				Help: help + " " + string(name),
				Value: func(s *Summary) (int64, bool) {
					t := s.Queues[name]
					if t == nil {
						return 0, false
					}
					return value(t), true
				},
			}
		}
		oldest := func(s *Summary) (time.Time, bool) {
			t := s.Queues[name]
			if t == nil || s.NoArrivalTimes {
				return time.Time{}, false
			}
			return t.Oldest, true
		}
		rows = append(rows,
			row("", FamilyEmails, units.Count, "messages in queue", func(t *Tally) int64 { return t.Messages }),
			row("_size", FamilySize, units.Bytes, "sum of the sizes of messages in queue", func(t *Tally) int64 { return t.SizeBytes }),
			ageMetric(Metric{
				Name: string(name) + "_age", Dimension: ByQueue, Part: string(name),
				Help: "age of the oldest message in queue " + string(name),
			}, oldest))
	}
	return rows
}

func reasonMetrics() []Metric {
	var rows []Metric
	for _, category := range Categories() {
		rows = append(rows, Metric{
			Name:   string(Deferred) + "_" + string(category),
			Family: FamilyEmails, Dimension: ByReason, Part: string(category), Unit: units.Count, OnDemand: true,
			Help: "deferred messages, reason: " + category.Title(),
			Value: func(s *Summary) (int64, bool) {
				count, known := s.Reasons[category]
				return count, known
			},
		})
	}
	return rows
}

// ageMetric completes the row of an age. It counts from the arrival that oldest returns: zero if there is no message.
func ageMetric(m Metric, oldest func(*Summary) (arrival time.Time, known bool)) Metric {
	m.Family, m.Unit = FamilyAge, units.Seconds
	m.Value = func(s *Summary) (int64, bool) {
		arrival, known := oldest(s)
		return wholeSeconds(age(arrival, s.Taken)), known
	}
	m.Since = func(s *Summary) time.Time {
		arrival, _ := oldest(s)
		return arrival
	}
	return m
}

func oldestNotOnHold(s *Summary) (time.Time, bool) {
	if s.NoArrivalTimes || len(s.Indistinct) > 0 {
		return time.Time{}, false
	}
	var oldest time.Time
	for name, t := range s.Queues {
		if name != Hold && !t.Oldest.IsZero() && (oldest.IsZero() || t.Oldest.Before(oldest)) {
			oldest = t.Oldest
		}
	}
	return oldest, true
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }
