package source

import (
	"errors"

	"example.org/postfix-queue-monitor/internal/queue"
)

// What can be wrong with a listing, wherever it comes from.
var (
	// errCutOff is a listing that ends inside a line, or a text listing that ends before its
	// summary.
	errCutOff = errors.New("the listing is cut off before its end; make it again, and check that the command that makes it succeeds")
	// errNoListing is a listing without a line that can be parsed.
	errNoListing = errors.New("no line of the listing can be parsed; it must be the output of postqueue -j or postqueue -p")
	// errEmptyInput is input without a single byte.
	errEmptyInput = errors.New("the input is empty, as it is when the command that makes it fails; " +
		"if it is the output of postqueue -j for an empty queue, add --allow-empty")
)

// indistinctInText are the queues that have no mark in a text listing.
var indistinctInText = []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}
