package queue

import (
	"context"
	"hash/maphash"
	"maps"
	"time"
)

// look is what one pass over the queue says about mail that ought to move, whatever the filter.
type look struct {
	began time.Time
	stuck time.Duration // how long mail may wait; 0: it is not looked at
	last  time.Time     // when the last message that waits was seen

	active      int64
	ahead       int64     // messages whose arrival lies ahead
	newestTaken time.Time // the newest arrival in active and deferred

	incoming, maildrop, untried waitingMail
}

// waitingMail is mail that waits in a queue. Of much mail it remembers a sample that does not depend on the order in
// which directories are read: the queue manager takes mail in that order, too.
type waitingMail struct {
	messages int64
	since    map[string]time.Time // by queue ID: since when it waits
	seed     maphash.Seed
	mask     uint64 // remembered are those whose hash has none of these bits
}

// maxRemembered is the most messages that are looked for again. If the queue is worked off, at least one of them leaves
// between two looks.
const maxRemembered = 10_000

func (w *waitingMail) add(id string, since time.Time) {
	if w.since == nil {
		w.since, w.seed = map[string]time.Time{}, maphash.MakeSeed()
	}
	w.messages++
	if !w.samples(id) {
		return
	}
	w.since[id] = since
	for len(w.since) > maxRemembered {
		w.mask = w.mask<<1 | 1
		maps.DeleteFunc(w.since, func(id string, _ time.Time) bool { return !w.samples(id) })
	}
}

func (w *waitingMail) samples(id string) bool { return maphash.String(w.seed, id)&w.mask == 0 }

// aheadSlack is how far clocks may differ.
const aheadSlack = time.Minute

// untriedSlack is the least that is added to the time that deferred mail may wait for its next try: by default the queue
// manager looks for such mail every 5 minutes.
const untriedSlack = 10 * time.Minute

func (l *look) add(m *Message) {
	isAhead := m.Arrival.Sub(l.began) > aheadSlack
	if isAhead {
		l.ahead++
	}
	if l.stuck == 0 {
		return
	}
	switch m.Queue {
	case Active, Deferred:
		if !isAhead {
			l.newestTaken = latest(l.newestTaken, m.Arrival)
		}
		if m.Queue == Active {
			l.active++
		} else if since := latest(m.Entered, m.Due); l.isUntried(since) {
			l.untried.add(m.ID, since)
			l.last = time.Now()
		}
	case Incoming:
		l.incoming.add(m.ID, latest(m.Arrival, m.Entered, m.Due))
		l.last = time.Now()
	case Maildrop:
		l.maildrop.add(m.ID, latest(m.Arrival, m.Entered))
		l.last = time.Now()
	}
}

func (l *look) isUntried(since time.Time) bool {
	return !since.IsZero() && l.began.Sub(since) > l.stuck+untriedSlack
}

// overdue returns since when the message has waited that waits longest, of those that came after a time. It is zero
// unless that is longer than mail may wait.
func (l *look) overdue(w waitingMail, after time.Time) (longest time.Time) {
	for _, since := range w.since {
		if l.began.Sub(since) > l.stuck && since.After(after) && (longest.IsZero() || since.Before(longest)) {
			longest = since
		}
	}
	return longest
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// secondLook is what has become of the mail that the first look has seen waiting.
type secondLook struct {
	active int64
	stays  map[Name]bool // of incoming, maildrop and deferred: no message has left
}

// betweenLooks is the least time between two looks. A queue manager that works takes mail every moment.
const betweenLooks = 2 * time.Second

// again looks again at queues, when enough time has passed since the first look. It returns nil if it cannot before
// ctx ends.
func (l *look) again(ctx context.Context, source LiveSource, queues []Name) *secondLook {
	wait := time.Until(l.last.Add(betweenLooks))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(wait):
	}
	second := secondLook{stays: map[Name]bool{}}
	missing := map[Name]map[string]time.Time{
		Incoming: maps.Clone(l.incoming.since), Maildrop: maps.Clone(l.maildrop.since), Deferred: maps.Clone(l.untried.since),
	}
	err := source.Glance(ctx, queues, func(m *Message) {
		switch {
		case m.Queue == Active:
			second.active++
		case m.Queue != Deferred || l.isUntried(latest(m.Entered, m.Due)):
			delete(missing[m.Queue], m.ID)
		}
	})
	if err != nil {
		return nil
	}
	for name, messages := range missing {
		second.stays[name] = len(messages) == 0
	}
	return &second
}
