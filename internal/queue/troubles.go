package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/units"
)

// Trouble is a way in which mail does not move.
type Trouble struct {
	Name     string // of a row in the table of troubles, [a-z_]+
	Severity Severity
	Messages int64     // that wait, or that the trouble is about
	Since    time.Time // since when the one waits that waits longest; zero if none does
	Active   int64     // messages in the active queue
	// NoneTaken is set if the active queue is full and nothing came into it between two looks.
	NoneTaken bool
	// FreeBytes and NeededBytes are set if there is too little space. Nothing helps but room if NeededBytes is 0: no
	// byte is free or, if FreeBytes is not 0, no inode.
	FreeBytes, NeededBytes int64
}

// Severity is how bad a trouble is.
type Severity int

// Severities, in ascending order.
const (
	Remark      Severity = iota // worth a word
	Warning                     // mail moves slowly, or not from everywhere, or that is all that this user can see
	Unconfirmed                 // there was no time for the second look
	Critical                    // mail does not move
)

// severityNames are the names of severities, in their order.
var severityNames = []string{"remark", "warning", "unconfirmed", "critical"}

func (s Severity) String() string { return severityNames[s] }

// ParseSeverity returns the severity of that name.
func ParseSeverity(name string) (s Severity, ok bool) {
	i := slices.Index(severityNames, name)
	return Severity(max(0, i)), i >= 0
}

// stopsMail reports whether mail does not move, or perhaps not.
func (t Trouble) stopsMail() bool {
	return t.Severity == Critical || t.Severity == Unconfirmed && t.Name == queueManager
}

// queueManager is the name of the one trouble that is critical if it is confirmed.
const queueManager = "queue_manager"

// unseen is the name of the one remark that leaves it unknown whether the instance is up.
const unseen = "unseen"

// IsUnseen reports whether the trouble is that nobody can tell whether the mail system runs.
func (t Trouble) IsUnseen() bool { return t.Name == unseen }

// troubleKind is a row of the table of troubles: what is to be seen, how bad it is, what to say and what to do.
type troubleKind struct {
	name   string
	find   func(*evidence) (Trouble, bool)
	text   func(t Trouble, oldest string) string
	remedy string
}

var troubleKinds = []troubleKind{
	{
		name: "no_space",
		find: func(e *evidence) (Trouble, bool) {
			if e.space == nil || !e.space.refuses() && !e.space.exhausted() {
				return Trouble{}, false
			}
			t := Trouble{Severity: Critical, FreeBytes: e.space.FreeBytes}
			if !e.space.exhausted() {
				t.NeededBytes = e.space.neededBytes()
			}
			return t, true
		},
		text: func(t Trouble, _ string) string {
			switch {
			case t.NeededBytes > 0:
				return fmt.Sprintf("Postfix refuses mail by SMTP: %s free, needs %s",
					units.FormatSize(t.FreeBytes), units.FormatSize(t.NeededBytes))
			case t.FreeBytes > 0:
				return "Postfix accepts no mail: no inode is free in queue_directory"
			}
			return "Postfix accepts no mail: 0 B free in queue_directory"
		},
		remedy: "make room in the file system of queue_directory",
	},
	{
		name: "read_only",
		find: func(e *evidence) (Trouble, bool) {
			return Trouble{Severity: Critical}, e.space != nil && e.space.ReadOnly
		},
		text: func(Trouble, string) string {
			return "Postfix accepts no mail: the file system of queue_directory is read-only"
		},
		remedy: "the kernel log says why; check the file system before it is mounted writable again",
	},
	{
		name: queueManager,
		find: func(e *evidence) (Trouble, bool) {
			severity := Critical
			if !e.seesFiles {
				severity = Warning
			}
			t, found := e.confirmed(severity, Incoming, e.incoming, e.untaken())
			return t, found && !e.isFull()
		},
		text: func(t Trouble, oldest string) string {
			return fmt.Sprintf("the queue manager takes no mail: %d in incoming, oldest %s, active %d", t.Messages, oldest, t.Active)
		},
		remedy: "look for qmgr in the mail log; if it says nothing, restart Postfix",
	},
	{
		name: "saturated",
		find: func(e *evidence) (Trouble, bool) {
			t := Trouble{
				Severity: Warning, Messages: e.incoming.messages, Since: e.untaken(), Active: e.mostActive(),
				NoneTaken: e.second != nil && e.second.stays[Incoming],
			}
			return t, !t.Since.IsZero() && e.isFull()
		},
		text: func(t Trouble, oldest string) string {
			text := fmt.Sprintf("the active queue is full (%d), %d in incoming, oldest %s", t.Active, t.Messages, oldest)
			if t.NoneTaken {
				text += ", none taken"
			}
			return text
		},
		remedy: "find the slow destinations with -vv --queue active; a larger qmgr_message_active_limit only gains time",
	},
	{
		name: "not_tried",
		find: func(e *evidence) (Trouble, bool) {
			t, found := e.confirmed(Warning, Deferred, e.untried, e.untriedSince())
			return t, found && !e.isFull()
		},
		text:   func(_ Trouble, oldest string) string { return "deferred mail is not tried: overdue by " + oldest },
		remedy: "look for qmgr in the mail log; if it says nothing, restart Postfix",
	},
	{
		name: "local_mail",
		find: func(e *evidence) (Trouble, bool) {
			since := e.overdue(e.maildrop, time.Time{})
			if !e.seesFiles { // a requeued message has an old arrival
				return Trouble{Severity: Remark, Messages: e.maildrop.messages, Since: since}, !since.IsZero()
			}
			return e.confirmed(Warning, Maildrop, e.maildrop, since)
		},
		text: func(t Trouble, oldest string) string {
			if t.Severity == Remark {
				return fmt.Sprintf("%d in maildrop, oldest %s", t.Messages, oldest)
			}
			return fmt.Sprintf("local mail is not taken up: %d in maildrop, oldest %s (pickup, cleanup or a milter)", t.Messages, oldest)
		},
		remedy: "look for pickup, cleanup and milter in the mail log",
	},
	{
		name: "clock",
		find: func(e *evidence) (Trouble, bool) { return Trouble{Severity: Remark, Messages: e.ahead}, e.ahead > 0 },
		text: func(t Trouble, _ string) string {
			if t.Messages == 1 {
				return "1 arrival lies in the future: see the clock"
			}
			return fmt.Sprintf("%d arrivals lie in the future: see the clock", t.Messages)
		},
		remedy: "compare the clock with that of another host",
	},
	{
		name:   unseen,
		find:   func(e *evidence) (Trouble, bool) { return Trouble{Severity: Remark}, e.unseen },
		text:   func(Trouble, string) string { return "cannot see whether Postfix runs" },
		remedy: "mount the whole queue directory, with public, on the host where Postfix runs",
	},
}

// evidence is what troubles are found by.
type evidence struct {
	*look
	second    *secondLook // nil: there was none, or not in time
	limits    Limits
	seesFiles bool
	space     *Space // nil: unknown
	unseen    bool   // nobody can tell whether the mail system runs
}

// untaken returns since when mail has waited in incoming, zero if it has not waited long. A listing does not say when
// a message came there, and one that comes back has an old arrival: only what arrived after everything that was taken
// is known to have waited there.
func (e *evidence) untaken() time.Time {
	if e.seesFiles {
		return e.overdue(e.incoming, time.Time{})
	}
	return e.overdue(e.incoming, e.newestTaken)
}

// untriedSince returns since when deferred mail is overdue, zero if it is not. That the queue manager takes no mail at
// all says more.
func (e *evidence) untriedSince() time.Time {
	if !e.untaken().IsZero() {
		return time.Time{}
	}
	since := e.overdue(e.untried, time.Time{})
	if e.began.Sub(since) <= e.stuck+2*e.limits.RunDelay {
		return time.Time{}
	}
	return since
}

// doubtful returns the queues that need a second look.
func (e *evidence) doubtful() (queues []Name) {
	if !e.untaken().IsZero() {
		queues = append(queues, Incoming)
	}
	if !e.untriedSince().IsZero() && !e.isFull() {
		queues = append(queues, Deferred)
	}
	if queues != nil {
		queues = append(queues, Active)
	}
	if e.seesFiles && !e.overdue(e.maildrop, time.Time{}).IsZero() {
		queues = append(queues, Maildrop)
	}
	return queues
}

// confirmed returns the trouble that mail has waited in a queue since a time, if nothing has left between two looks.
// Without a second look it is Unconfirmed.
func (e *evidence) confirmed(severity Severity, name Name, w waitingMail, since time.Time) (t Trouble, found bool) {
	t = Trouble{Severity: severity, Messages: w.messages, Since: since, Active: e.active}
	if e.second == nil {
		t.Severity = Unconfirmed
		return t, !since.IsZero()
	}
	return t, !since.IsZero() && e.second.stays[name]
}

// isFull reports whether the active queue is full at either look, or nearly: it drains while it is read.
func (e *evidence) isFull() bool {
	return e.limits.Active > 0 && e.mostActive()*10 >= e.limits.Active*9
}

func (e *evidence) mostActive() int64 {
	if e.second == nil {
		return e.active
	}
	return max(e.active, e.second.active)
}

// findTroubles returns the troubles of a queue, the worst first. If the first look raises a suspicion, it looks again.
func findTroubles(ctx context.Context, first *look, source Source, s *Summary) []Trouble {
	e := evidence{look: first, space: s.Space, seesFiles: source.Name() == SpoolName, unseen: s.Unseen != ""}
	if live, ok := source.(LiveSource); ok {
		if !e.untaken().IsZero() || !e.untriedSince().IsZero() {
			e.limits = live.Limits(ctx)
		}
		if queues := e.doubtful(); queues != nil {
			e.second = first.again(ctx, live, queues)
		}
	}
	var found []Trouble
	for _, kind := range troubleKinds {
		if t, ok := kind.find(&e); ok {
			t.Name = kind.name
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, func(a, b Trouble) int { return cmp.Compare(b.Severity, a.Severity) })
	return found
}

// Text says what the trouble is. Ages count up to now.
func (t Trouble) Text(now time.Time) string {
	kind, ok := t.kind()
	if !ok {
		return "trouble: " + t.Name
	}
	text := kind.text(t, units.FormatDuration(age(t.Since, now)))
	if t.Severity == Unconfirmed {
		text += " (not confirmed in time)"
	}
	return text
}

// Remedy says what to do about the trouble.
func (t Trouble) Remedy() string {
	kind, _ := t.kind()
	return kind.remedy
}

// kind returns the row of the trouble. A snapshot may have one of a later version.
func (t Trouble) kind() (troubleKind, bool) {
	i := slices.IndexFunc(troubleKinds, func(k troubleKind) bool { return k.name == t.Name })
	if i < 0 {
		return troubleKind{}, false
	}
	return troubleKinds[i], true
}
