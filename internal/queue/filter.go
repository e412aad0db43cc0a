package queue

import (
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/units"
)

// Filter says which messages count. The zero Filter admits all of them. A message must meet every condition,
// those on recipient and reason for one and the same recipient.
type Filter struct {
	// Queues are the queues that count, in alphabetical order; nil: all of them.
	Queues []Name
	// Senders, Recipients and Reasons match the text in Message and Recipient: the empty sender is NullSender.
	Senders, Recipients, Reasons Patterns
	// Logins and Clients match what only the queue files say of the sending client.
	Logins, Clients Patterns
	// OlderThan is the least age. Mail from the future has age 0.
	OlderThan time.Duration
}

// IsZero reports whether the filter admits everything.
func (f Filter) IsZero() bool {
	return f.Queues == nil && f.Senders == nil && f.Recipients == nil && f.Reasons == nil && f.OlderThan == 0 &&
		!f.choosesClients()
}

// Covers reports whether messages in the named queue count. The empty name is covered if every queue is that it
// may stand for.
func (f Filter) Covers(name Name) bool {
	if name == "" {
		return f.Covers(Deferred) && f.Covers(Incoming) && f.Covers(Maildrop)
	}
	return f.Queues == nil || slices.Contains(f.Queues, name)
}

func (f Filter) admits(m *Message, now time.Time) bool {
	return f.Covers(m.Queue) &&
		f.Senders.Match(m.Sender) && f.Logins.Match(m.Login) && f.Clients.Match(m.Client) &&
		(f.OlderThan == 0 || age(m.Arrival, now) >= f.OlderThan)
}

func (f Filter) choosesRecipients() bool { return f.Recipients != nil || f.Reasons != nil }

func (f Filter) choosesClients() bool { return f.Logins != nil || f.Clients != nil }

func (f Filter) admitsRecipient(r Recipient) bool {
	return f.Recipients.Match(r.Address) && f.Reasons.Match(r.Reason)
}

// String describes the filter for people; it is empty for the zero Filter.
func (f Filter) String() string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+text)
		}
	}
	add("", f.queues())
	add("sender ", f.Senders.String())
	add("login ", f.Logins.String())
	add("client ", f.Clients.String())
	add("recipient ", f.Recipients.String())
	add("reason ", f.Reasons.String())
	if f.OlderThan != 0 {
		parts = append(parts, "at least "+units.Seconds.FormatLimit(f.OlderThan.Truncate(time.Second).Seconds())+" old")
	}
	return strings.Join(parts, ", ")
}

func (f Filter) queues() string {
	rest := Filter{Queues: slices.DeleteFunc(Names(), f.Covers)}
	switch {
	case len(rest.Queues) == 0:
		return ""
	case len(rest.Queues) < len(f.Queues):
		return "all queues but " + rest.List()
	default:
		return "only queue " + f.List()
	}
}

// List returns the names of the filter's queues, with commas between them.
func (f Filter) List() string {
	names := make([]string, len(f.Queues))
	for i, name := range f.Queues {
		names[i] = string(name)
	}
	return strings.Join(names, ", ")
}

func (f Filter) answerable(facts Facts) error {
	for _, name := range facts.Indistinct {
		if f.Covers(name) != f.Covers(facts.Indistinct[0]) {
			return &IndistinctError{f, facts.Indistinct}
		}
	}
	switch {
	case f.OlderThan != 0 && facts.NoArrivalTimes:
		return ErrNoArrivalTimes
	case f.choosesClients() && !facts.KnowsClients:
		return ErrNoClients
	}
	return nil
}
