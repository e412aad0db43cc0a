package queue

import (
	"context"
	"time"
)

// SpoolName is the name of the source that sees the queue files, and so all that can be known. Others see a listing.
const SpoolName = "spool"

// A Source reads the queue of one Postfix instance.
type Source interface {
	// Name says how the queue is read, in one word: "postqueue", "input".
	Name() string

	// Read calls visit for every message, never two at a time. The *Message is valid during the call only, and
	// visit may alter its recipients. Read returns when the queue or ctx ends, and leaves no goroutine and no
	// child process behind. The Facts hold whether or not there is an error; without one, every message was
	// visited.
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
	// Down says why the mail system is known to be down; empty if it is not known to be. Messages may have been
	// read nevertheless.
	Down string
	// Unseen says why nobody can tell whether the mail system runs; empty if that is known, or not asked.
	Unseen string
	// Unreadable counts entries that could not be parsed, or not to their end. Each was visited as a message with what could be read
	// of it, so that sums of sizes and recipients are lower bounds unless it is 0.
	Unreadable int64
	// Corrupt counts the files in the corrupt queue; nil if the source does not know.
	Corrupt *int64
	// Indistinct lists the queues that the source cannot tell apart: it knows nothing about any of them alone.
	Indistinct []Name
	// KnowsClients is set if messages have Login and Client.
	KnowsClients bool
	// KnowsExpiry is set if messages have Expiring.
	KnowsExpiry bool
	// NoArrivalTimes is set if the source does not know when messages arrived.
	NoArrivalTimes bool
	// Detail says how the queue was read, for people: the command that was run, the file that was read.
	Detail string
}

// A LiveSource reads the queue of a Postfix that may be running, so that a second look shows what has moved.
type LiveSource interface {
	Source

	// Glance visits the messages of the named queues, and of others if it cannot do without.
	Glance(ctx context.Context, queues []Name, visit func(*Message)) error

	// AddReasons adds the deferral reasons to messages that were read without, with AddReason.
	AddReasons(ctx context.Context, messages []*Message) error

	// Limits returns those of the queue manager.
	Limits(ctx context.Context) Limits

	// Space returns what the queue directory's file system has left, nil if that is unknown.
	Space(ctx context.Context) *Space
}

// Limits are settings of the queue manager.
type Limits struct {
	Active   int64         // qmgr_message_active_limit
	RunDelay time.Duration // queue_run_delay: how often it looks for deferred mail that is due
}
