package queue

import (
	"context"
	"strings"
	"time"
)

// A Source reads the queue of one Postfix instance.
type Source interface {
	// Name says how the queue is read, in one word: "postqueue", "input".
	Name() string

	// Read calls visit for every message, never two at a time; the *Message is
	// valid during the call only, and its recipients may be altered there. It returns when the queue or ctx ends, with no
	// goroutine and no child process left. The Facts hold whatever the error
	// is; a nil error means that every message was visited.
	Read(ctx context.Context, depth Depth, visit func(*Message)) (Facts, error)
}

// Depth is how much of each message must be read. A source may read more.
type Depth int

// Depths.
const (
	Envelopes   Depth = iota // everything but deferral reasons
	WithReasons              // those, too
)

// Facts are what a source knows about a queue beyond its messages.
type Facts struct {
	// Down says why the mail system is known to be down; empty when it is not
	// known to be. Messages may have been read all the same.
	Down string
	// Unreadable counts entries that could not be understood. Each of them was
	// visited as a message with what could be read of it, so that sums over
	// sizes and recipients are lower bounds when it is not 0.
	Unreadable int64
	// Corrupt counts the files in the corrupt queue; nil where the source cannot
	// know.
	Corrupt *int64
	// Blind lists the queues that the source cannot tell apart: nothing is
	// known of any of them on its own.
	Blind []Name
	// Timeless is set where the source does not know when messages arrived.
	Timeless bool
	// Detail says how the queue was read, for people: the command that was run,
	// the file that was read.
	Detail string
}

// Instance is one Postfix instance.
type Instance struct {
	Name      string // multi_instance_name, or a name made from the directory
	ConfigDir string // empty: the default instance
}

// StartCommand returns the command that starts the instance, for root.
func (i Instance) StartCommand() string {
	if i.ConfigDir == "" {
		return "postfix start"
	}
	return "postfix -c " + i.ConfigDir + " start"
}

// Label returns the instance's name as a part of a label of performance data:
// each character outside [a-z0-9_] becomes _.
func (i Instance) Label() string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(i.Name))
}

// Reading is what became of the attempt to read one instance: a complete
// Summary; an error; or both, when the summary is only a lower bound.
type Reading struct {
	Instance Instance
	Summary  *Summary
	Took     time.Duration
	Err      error
	// PassedOver says which sources were tried before the one that Summary and
	// Err come from, and why they were not used.
	PassedOver []Attempt
}

// Complete reports whether the reading has every number of a running mail
// system: only such numbers are passed on.
func (r Reading) Complete() bool {
	return r.Err == nil && r.Summary != nil && r.Summary.Down == ""
}

// Attempt is a source that could not be used.
type Attempt struct {
	Source string
	Err    error
}
