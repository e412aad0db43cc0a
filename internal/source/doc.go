// Package source reads the queue of a Postfix instance, or a listing of one,
// and gives its messages to the domain in package queue.
//
// Every failure has its own type, or its own value, whose text says what was
// attempted, what happened and what mends it.
package source
