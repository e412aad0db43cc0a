// Package queue is the domain of the two programs: messages of a Postfix mail queue, the summary of a queue, and
// the one table of metrics from which thresholds, performance data and every wire format are derived.
//
// It is pure: nothing here runs a program, opens a file or prints.
package queue

import "time"

// Name is the name of a Postfix queue as postqueue(1) prints it. The empty name stands for "one of incoming,
// deferred and maildrop": a text listing cannot tell these apart.
type Name string

// The queues that hold mail. The corrupt queue is not one of them: its files are damaged and never listed.
const (
	Active   Name = "active"
	Deferred Name = "deferred"
	Hold     Name = "hold"
	Incoming Name = "incoming"
	Maildrop Name = "maildrop"
)

// Names returns the queues that hold mail, in alphabetical order.
func Names() []Name {
	return []Name{Active, Deferred, Hold, Incoming, Maildrop}
}

// NullSender is how listings write the empty envelope sender of bounces: the default of empty_address_recipient
// in postconf(5).
const NullSender = "MAILER-DAEMON"

// Message is one message as a listing shows it.
type Message struct {
	Queue        Name
	ID           string    // unique within one Postfix instance at one time
	Arrival      time.Time // zero if the source does not know it
	SizeBytes    int64     // as postqueue reports it: the message without its envelope
	ForcedExpire bool      // marked by postsuper -e or -f
	Sender       string    // quoted as in RFC 822; NullSender for the empty one
	Login        string    // SASL login of the client that sent it; empty if it has none, or if the source does not know it
	Client       string    // IP address of that client as logged; empty if it has none, or if the source does not know it
	// ContentFilter is the transport and next hop that content_filter or a FILTER action has set for it; empty if none
	// has, or if the source does not know it.
	ContentFilter string
	Recipients    []Recipient
	Done          int64 // recipients that it no longer waits for; 0 if the source does not know
	Truncated     bool  // it has more recipients than the source reads
	// Entered and Due are what the status of the queue file says, zero if the source does not see the file: when the
	// message came to its queue or was touched there, and when Postfix tries it next, if it is deferred.
	Entered, Due time.Time
	Expiring     bool // the next try within a day returns it to its sender
}

// Recipient is an address that a message still waits to be delivered to.
type Recipient struct {
	Address string
	Reason  string // why it is still waiting; empty if there is no reason
}

// ArrivalTime returns a time in seconds since 1970. A time outside the years 1970 to 9999 becomes the nearest one
// inside.
func ArrivalTime(seconds int64) time.Time {
	const endOf9999 = 253402300799
	return time.Unix(max(0, min(seconds, endOf9999)), 0)
}

// age returns the age of mail: 0 if its arrival is unknown or lies in the future.
func age(arrival, now time.Time) time.Duration {
	if arrival.IsZero() {
		return 0
	}
	return max(0, now.Sub(arrival))
}
