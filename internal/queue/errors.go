package queue

import (
	"errors"
	"fmt"
	"slices"

	"example.org/postfix-queue-monitor/internal/suggest"
)

// MailSystemDown is what both programs call it.
const MailSystemDown = "mail system is down"

// DownError says that the mail system is down. It is the one way to say so.
type DownError struct {
	Reason   string // empty: unknown
	Instance Instance
}

func (e *DownError) Error() string {
	text := MailSystemDown
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text + "; start it: " + e.Instance.StartCommand()
}

// IndistinctError says that a filter tells queues apart that the source cannot.
type IndistinctError struct {
	Filter     Filter
	Indistinct []Name
}

func (e *IndistinctError) Error() string {
	return fmt.Sprintf("cannot look at %s: this listing does not tell %s apart; use the output of postqueue -j",
		e.Filter.queues(), Filter{Queues: e.Indistinct}.List())
}

// ErrNoArrivalTimes says that a filter asks for ages that the source does not know.
var ErrNoArrivalTimes = errors.New("cannot look at mail of a certain age: this listing does not say when mail arrived; use the output of postqueue -j")

// ErrNoClients says that a filter asks for logins or clients, which the source does not know.
var ErrNoClients = errors.New("cannot look at mail of a login or a client: only the source spool sees them; " +
	"run this as root or the mail owner")

// UnknownMetric returns the error for a name that is not one of the metrics'.
func UnknownMetric(name string, known []Metric) error {
	names := make([]string, len(known))
	for i, m := range known {
		names[i] = m.Name
	}
	return unknownMetric(name, names)
}

// unknownMetric lists what has a part by its form.
func unknownMetric(name string, known []string) error {
	list := slices.DeleteFunc(slices.Clone(known), func(name string) bool {
		m, ok := Lookup(name)
		return ok && m.Dimension != ""
	})
	return suggest.Unknown("metric", name, known, append(list, "QUEUE", "QUEUE_size", "QUEUE_age", "deferred_REASON"))
}

// Guard returns what f returns, or a panic as an error. In a goroutine a panic would end the program with the
// exit code of CRITICAL.
func Guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v; please report it", p)
		}
	}()
	return f()
}
