package queue

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

// Summary is the queue in numbers. It is plain data.
type Summary struct {
	Taken   time.Time // when reading began: ages count up to here
	AsOf    time.Time // when the numbers were true: Taken, or the time of the listing
	Source  string
	Partial bool  // reading was cut short: every number is a lower bound
	Visited int64 // messages that were read, whether Filter admits them or not
	Filter  Filter
	Total   Tally
	// Queues has an entry for each queue that Filter covers and that the source can tell apart from the others,
	// empty queues included.
	Queues map[Name]*Tally
	// Reasons counts the deferred messages by category of their deferral reasons, with every category, OnHold and
	// Unrecorded; nil if Query did not ask. A message whose recipients wait for different reasons counts once for
	// each.
	Reasons map[Category]int64
	// Breakdown says what the messages are; nil if Query did not ask.
	Breakdown *Breakdown
	// Arrivals is nil if the source does not know when messages arrived.
	Arrivals *Arrivals
	Expiring *int64    // messages that the next try within a day returns to their senders; nil if unknown
	Space    *Space    // nil if unknown
	Growth   *Growth   // nil if unknown; no single reading knows it
	Findings *Findings // nil if Query did not ask, or did not want them of this summary
	Tops     *Tops     // nil if Query did not ask
	IDs      []byte    // queue IDs of the messages, one a line; nil if Query did not ask, or if some are unknown
	// Troubles are the ways in which mail does not move, the worst first, whatever Filter admits.
	Troubles []Trouble
	Facts
}

// Arrivals counts messages by their arrival.
type Arrivals struct {
	Last5m, Last1h int64 // in the last 5 minutes, the last hour; those on hold aside
	Ahead          int64 // more than a minute ahead
}

func (a *Arrivals) add(m *Message, now time.Time) {
	switch age := now.Sub(m.Arrival); {
	case age < -aheadSlack:
		a.Ahead++
	case m.Queue == Hold:
	case age <= 5*time.Minute:
		a.Last5m++
		a.Last1h++
	case age <= time.Hour:
		a.Last1h++
	}
}

// Up reports whether the mail system is known to run, the queue was read to its end, and mail moves. Only the queue
// files show that it does not.
func (s *Summary) Up() bool {
	return !s.Partial && s.Down == "" && !s.stopped() && !s.unseen()
}

// KnowsUp reports whether it is known whether the instance is up.
func (s *Summary) KnowsUp() bool { return s.Partial || s.stopped() || !s.unseen() }

func (s *Summary) stopped() bool {
	return s.Source == SpoolName && slices.ContainsFunc(s.Troubles, Trouble.stopsMail)
}

func (s *Summary) unseen() bool { return slices.ContainsFunc(s.Troubles, Trouble.IsUnseen) }

// Tally is a set of messages in numbers.
type Tally struct {
	Messages     int64
	SizeBytes    int64
	Recipients   int64 // distinct within each message
	ForcedExpire int64
	Oldest       time.Time // arrival of the oldest message; zero if unknown
	// Histograms are known for a queue, not for the total; nil if unknown.
	Histograms *Histograms
}

// Query says what a Summary must contain.
type Query struct {
	Filter    Filter
	Reasons   bool // deferred messages by category of their deferral reasons
	Breakdown bool // whose messages they are, and why they wait
	Tops      bool // the messages of the one login, client and domain that has most
	// Findings reports whether it is worth looking for findings once everything else is known; nil: it is not.
	Findings func(*Summary) bool
	IDs      bool // of the messages that count
	// Stuck is how long mail may wait in a queue that Postfix takes it out of at once; 0: any time. What waits longer
	// takes a second look at the queue, 2 seconds later.
	Stuck time.Duration
}

// Need makes the query ask for what a metric needs.
func (q *Query) Need(m Metric) {
	q.Reasons = q.Reasons || m.Dimension == ByReason
	q.Tops = q.Tops || m.MaxUndercount != nil
}

func (q Query) depth() Depth {
	if q.Reasons || q.Breakdown || q.Filter.Reasons != nil {
		return WithReasons
	}
	return Envelopes
}

// Summarize reads source to its end and sums up the messages that the query's filter admits. The Summary is never
// nil; with an error it holds what was read until then and is Partial.
func Summarize(ctx context.Context, source Source, q Query) (*Summary, error) {
	now := time.Now()
	s := &Summary{Taken: now, AsOf: now, Source: source.Name(), Filter: q.Filter, Queues: map[Name]*Tally{}}
	for _, name := range Names() {
		if q.Filter.Covers(name) {
			s.Queues[name] = &Tally{Histograms: NewHistograms(now)}
		}
	}
	b := summarizer{Summary: s, look: look{began: now}}
	if q.Reasons {
		b.reasons = newReasonCounter()
	}
	if q.Breakdown {
		b.breakdown = newBreakdownBuilder()
	}
	if q.Tops {
		b.tops = newTopCounter()
	}
	if q.Findings != nil {
		b.sample = &sample{}
	}
	if q.IDs {
		b.ids.text = []byte{}
	}
	if live, ok := source.(LiveSource); ok {
		s.Space, b.look.stuck = live.Space(ctx), q.Stuck
	}
	facts, err := source.Read(ctx, q.depth(), b.add)
	s.Facts = facts
	s.Unreadable += b.truncated
	if down, ok := errors.AsType[*DownError](err); ok && s.Down == "" {
		s.Down = cmp.Or(down.Reason, "reason unknown")
	}
	for _, name := range facts.Indistinct {
		delete(s.Queues, name)
	}
	if err == nil {
		err = q.Filter.answerable(facts)
	}
	s.Partial = err != nil
	if b.reasons != nil {
		s.Reasons = b.reasons.counts
	}
	if b.breakdown != nil {
		s.Breakdown = b.breakdown.breakdown()
	}
	if b.tops != nil {
		s.Tops = b.tops.tops(facts)
	}
	if !facts.NoArrivalTimes {
		s.Arrivals = &b.arrivals
	}
	if q.IDs && !b.ids.unknown {
		s.IDs = b.ids.text
	}
	if facts.KnowsExpiry {
		s.Expiring = &b.expiring
	}
	switch {
	case s.Down != "": // that is trouble enough
	case err != nil:
		s.Troubles = findTroubles(ctx, &look{}, source, s) // half a look shows nothing
	default:
		s.Troubles = findTroubles(ctx, &b.look, source, s)
	}
	if b.sample != nil && max(s.Total.Messages, s.Total.Recipients) >= leastFindings && q.Findings(s) {
		s.Findings = b.sample.findings(ctx, source, q.Filter, q.depth())
	}
	return s, err
}

type summarizer struct {
	*Summary
	// The next four are nil if Query did not ask.
	reasons   *reasonCounter
	breakdown *breakdownBuilder
	tops      *topCounter
	sample    *sample
	distinct  distinctRecipients
	look      look
	arrivals  Arrivals
	expiring  int64
	truncated int64
	ids       idList // its text is nil if Query did not ask
}

func (b *summarizer) add(m *Message) {
	b.Visited++
	b.look.add(m)
	if m.Truncated {
		b.truncated++
	}
	if !b.Filter.admits(m, b.Taken) {
		return
	}
	recipients := b.distinct.of(m)
	if b.Filter.choosesRecipients() {
		recipients = slices.DeleteFunc(recipients, func(r Recipient) bool { return !b.Filter.admitsRecipient(r) })
		if len(recipients) == 0 {
			return
		}
	}
	b.Total.add(m, int64(len(recipients)))
	if b.ids.text != nil {
		b.ids.add(m.ID)
	}
	if !m.Arrival.IsZero() {
		b.arrivals.add(m, b.Taken)
	}
	if m.Expiring {
		b.expiring++
	}
	if t := b.Queues[m.Queue]; t != nil {
		t.add(m, int64(len(recipients)))
		t.Histograms.add(m)
	}
	if b.reasons != nil {
		b.reasons.add(m.Queue, recipients)
	}
	if b.breakdown != nil {
		b.breakdown.add(m, recipients, age(m.Arrival, b.Taken))
	}
	if b.tops != nil {
		b.tops.add(m, recipients)
	}
	if b.sample != nil {
		b.sample.add(m, recipients)
	}
}

func (t *Tally) add(m *Message, recipients int64) {
	t.Messages++
	t.SizeBytes = addSaturating(t.SizeBytes, m.SizeBytes)
	t.Recipients += recipients
	if m.ForcedExpire {
		t.ForcedExpire++
	}
	t.addArrival(m.Arrival)
}

func (t *Tally) addArrival(arrival time.Time) {
	if !arrival.IsZero() && (t.Oldest.IsZero() || arrival.Before(t.Oldest)) {
		t.Oldest = arrival
	}
}

// Add adds another set of messages, histograms aside. No sum overflows.
func (t *Tally) Add(other *Tally) {
	t.Messages = addSaturating(t.Messages, other.Messages)
	t.SizeBytes = addSaturating(t.SizeBytes, other.SizeBytes)
	t.Recipients = addSaturating(t.Recipients, other.Recipients)
	t.ForcedExpire = addSaturating(t.ForcedExpire, other.ForcedExpire)
	t.addArrival(other.Oldest)
}

// Age returns the age of the oldest message: 0 if there is none or if it arrived in the future.
func (t *Tally) Age(now time.Time) time.Duration { return age(t.Oldest, now) }

// addSaturating adds two numbers that are not negative. A listing that is made to overflow a sum must not turn it
// negative.
func addSaturating(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxInt64
}

// distinctRecipients finds the distinct recipients of a message. postqueue lists an address twice in a message of
// more recipients than duplicate_filter_limit: with its reason, and then without.
type distinctRecipients struct {
	list []Recipient
	seen map[string]int // index in list
}

// forgetAbove is the number of addresses from which their memory is given back rather than used for the next
// message.
const forgetAbove = 10_000

// of returns the recipients of a message, each address once, with the first reason that it has. They are valid
// until the next call.
func (d *distinctRecipients) of(m *Message) []Recipient {
	if n := len(m.Recipients); n < 2 || n == 2 && m.Recipients[0].Address != m.Recipients[1].Address {
		return m.Recipients
	}
	if d.seen == nil || len(d.seen) > forgetAbove {
		d.seen, d.list = make(map[string]int, len(m.Recipients)), nil
	}
	clear(d.seen)
	d.list = d.list[:0]
	for _, r := range m.Recipients {
		i, seen := d.seen[r.Address]
		switch {
		case !seen:
			d.seen[r.Address] = len(d.list)
			d.list = append(d.list, r)
		case d.list[i].Reason == "":
			d.list[i].Reason = r.Reason
		}
	}
	return d.list
}
