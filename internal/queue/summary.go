package queue

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Summary is the queue in numbers. It is plain data.
type Summary struct {
	Taken   time.Time // when the reading began: ages are counted up to here
	AsOf    time.Time // when the numbers were true: Taken, or when what was read was written
	Source  string
	Partial bool  // the reading was cut short: every number is a lower bound
	Visited int64 // messages that were read, those that Filter keeps out included
	Filter  Filter
	Total   Tally
	// Queues has an entry for each queue that was looked at and that the source
	// can tell apart from the others, empty queues included.
	Queues map[Name]*Tally
	Facts
}

// Tally is a set of messages in numbers.
type Tally struct {
	Messages     int64
	SizeBytes    int64
	Recipients   int64 // distinct within each message
	ForcedExpire int64
	Oldest       time.Time // arrival of the oldest message; zero: none known
}

// Filter says which messages are looked at. The zero Filter is all of them.
type Filter struct {
	// Queues are the queues that are looked at, in alphabetical order; nil is
	// all of them.
	Queues []Name
}

// Covers reports whether messages in the named queue are looked at. The empty
// name is covered where every queue is that it may stand for.
func (f Filter) Covers(name Name) bool {
	if name == "" {
		return f.Covers(Deferred) && f.Covers(Incoming) && f.Covers(Maildrop)
	}
	return f.Queues == nil || slices.Contains(f.Queues, name)
}

// String describes the filter for people; it is empty for the zero Filter.
func (f Filter) String() string {
	if f.Queues == nil {
		return ""
	}
	rest := Filter{slices.DeleteFunc(Names(), f.Covers)}
	if len(rest.Queues) < len(f.Queues) {
		return "all queues but " + rest.List()
	}
	return "only queue " + f.List()
}

// List returns the names of the filter's queues, with commas between them.
func (f Filter) List() string {
	names := make([]string, len(f.Queues))
	for i, name := range f.Queues {
		names[i] = string(name)
	}
	return strings.Join(names, ", ")
}

// BlindError says that a filter asks for queues that a source cannot tell
// apart.
type BlindError struct {
	Filter Filter
	Blind  []Name
}

func (e *BlindError) Error() string {
	return fmt.Sprintf("cannot look at %s: this listing does not tell %s apart; use the output of postqueue -j",
		e.Filter, Filter{e.Blind}.List())
}

// Summarize reads source to its end and sums up the messages that filter lets
// through. The Summary is never nil; where the error is not nil it holds what
// was read until then and is Partial.
func Summarize(ctx context.Context, source Source, filter Filter) (*Summary, error) {
	now := time.Now()
	s := &Summary{
		Taken:  now,
		AsOf:   now,
		Source: source.Name(),
		Filter: filter,
		Queues: map[Name]*Tally{},
	}
	for _, name := range Names() {
		if filter.Covers(name) {
			s.Queues[name] = &Tally{}
		}
	}
	var count recipientCounter
	facts, err := source.Read(ctx, func(m *Message) { s.add(m, count.distinct(m.Recipients)) })
	s.Facts = facts
	for _, name := range facts.Blind {
		delete(s.Queues, name)
	}
	if err == nil && !filter.separates(facts.Blind) {
		err = &BlindError{filter, facts.Blind}
	}
	s.Partial = err != nil
	return s, err
}

// separates reports whether the filter can be applied when the blind queues
// look all the same: it takes all of them or none.
func (f Filter) separates(blind []Name) bool {
	for _, name := range blind {
		if f.Covers(name) != f.Covers(blind[0]) {
			return false
		}
	}
	return true
}

func (s *Summary) add(m *Message, recipients int64) {
	s.Visited++
	if !s.Filter.Covers(m.Queue) {
		return
	}
	s.Total.add(m, recipients)
	if t := s.Queues[m.Queue]; t != nil {
		t.add(m, recipients)
	}
}

func (t *Tally) add(m *Message, recipients int64) {
	t.Messages++
	t.SizeBytes = addSaturating(t.SizeBytes, m.SizeBytes)
	t.Recipients += recipients
	if m.ForcedExpire {
		t.ForcedExpire++
	}
	if !m.Arrival.IsZero() && (t.Oldest.IsZero() || m.Arrival.Before(t.Oldest)) {
		t.Oldest = m.Arrival
	}
}

// Age returns the age of the oldest message at the given time: 0 where there
// is none or where it arrived in the future.
func (t *Tally) Age(now time.Time) time.Duration {
	if t.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(t.Oldest))
}

// addSaturating adds numbers that are not negative. A listing made to overflow
// a sum must not turn it negative.
func addSaturating(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxInt64
}

// recipientCounter counts distinct addresses. postqueue lists an address twice
// in a message of more recipients than duplicate_filter_limit.
type recipientCounter struct {
	seen map[string]struct{}
}

// forgetAbove is the size from which the memory of a message's addresses is
// given back rather than used again for the next message.
const forgetAbove = 10_000

func (c *recipientCounter) distinct(recipients []Recipient) int64 {
	switch {
	case len(recipients) < 2:
		return int64(len(recipients))
	case len(recipients) == 2:
		if recipients[0].Address == recipients[1].Address {
			return 1
		}
		return 2
	}
	if c.seen == nil || len(c.seen) > forgetAbove {
		c.seen = make(map[string]struct{}, len(recipients))
	}
	clear(c.seen)
	for _, r := range recipients {
		c.seen[r.Address] = struct{}{}
	}
	return int64(len(c.seen))
}
