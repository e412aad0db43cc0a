package queue

import (
	"context"
	"time"
)

// A Source reads the queue of one Postfix instance.
type Source interface {
	// Name says how the queue is read, in one word: "postqueue", "input".
	Name() string

	// Read calls visit for every message, never two at a time; the *Message is
	// valid during the call only. It returns when the queue or ctx ends, with no
	// goroutine and no child process left. The Facts hold whatever the error
	// is; a nil error means that every message was visited.
	Read(ctx context.Context, visit func(*Message)) (Facts, error)
}

// Facts are what a source knows about a queue beyond its messages.
type Facts struct {
	// Down says why the mail system is known to be down; empty when it is not
	// known to be. Messages may have been read all the same.
	Down string
	// Unreadable counts entries that could not be understood. Each of them was
	// visited as a message with what could be read of it, so that sums over
	// sizes and recipients are lower bounds when it is not 0.
	Unreadable int64
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

// Reading is what became of the attempt to read one instance: a complete
// Summary; an error; or both, when the summary is only a lower bound.
type Reading struct {
	Instance Instance
	Summary  *Summary
	Took     time.Duration
	Err      error
}
