package queue

import (
	"fmt"
	"strings"
	"time"
)

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

// Label returns the instance's name as a part of a label of performance data: each character outside [a-z0-9_]
// becomes _.
func (i Instance) Label() string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(i.Name))
}

// Reading is the outcome of reading one instance: a complete Summary; an error; or both, if the summary is only a
// lower bound.
type Reading struct {
	Instance Instance
	Summary  *Summary
	Took     time.Duration
	Err      error
	// PassedOver says which sources were tried before the one that Summary and Err come from, and why they were
	// not used.
	PassedOver []Attempt
}

// Attempt is a source that could not be used.
type Attempt struct {
	Source string
	Err    error
}

// Complete reports whether the reading has every number of a running mail system: only such numbers are passed
// on.
func (r Reading) Complete() bool {
	return r.Err == nil && r.Summary != nil && r.Summary.Down == ""
}

// Up reports whether the queue was read to its end, and mail moves.
func (r Reading) Up() bool { return r.Err == nil && r.Summary != nil && r.Summary.Up() }

// KnowsUp reports whether it is known whether the instance is up.
func (r Reading) KnowsUp() bool { return r.Err != nil || r.Summary == nil || r.Summary.KnowsUp() }

// Down returns the error for a mail system that is down, nil if it is not known to be.
func (r Reading) Down() *DownError {
	if r.Summary == nil || r.Summary.Down == "" {
		return nil
	}
	return &DownError{Reason: r.Summary.Down, Instance: r.Instance}
}

// Trace says how the summary was read, and why not in another way.
func (r Reading) Trace() []string {
	how := "source " + r.Summary.Source
	if r.Summary.Detail != "" { // something was asked
		how += ": " + r.Summary.Detail
	}
	lines := []string{fmt.Sprintf("%s, %.3f s", how, r.Took.Seconds())}
	for _, a := range r.PassedOver {
		lines = append(lines, fmt.Sprintf("not %s: %v", a.Source, a.Err))
	}
	return lines
}
