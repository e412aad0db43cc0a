// Package check judges readings of mail queues for Nagios, Icinga and NRPE: readings and thresholds become a
// state, lines of text and performance data.
package check

import (
	"slices"

	"github.com/atc0005/go-nagios"
)

// State is the state of a service; its value is the plugin's exit code.
type State int

// The states of a service.
const (
	OK       = State(nagios.StateOKExitCode)
	Warning  = State(nagios.StateWARNINGExitCode)
	Critical = State(nagios.StateCRITICALExitCode)
	Unknown  = State(nagios.StateUNKNOWNExitCode)
)

// String returns the label of the state, as in plugin output.
func (s State) String() string { return nagios.ExitCodeToStateLabel(int(s)) }

// severity orders the states: an UNKNOWN may hide anything, so it is worse than a WARNING, but never hides a
// CRITICAL.
func (s State) severity() int { return slices.Index([]State{OK, Warning, Unknown, Critical}, s) }

// Worst returns the worse of two states: CRITICAL over UNKNOWN over WARNING over OK.
func Worst(a, b State) State {
	if b.severity() > a.severity() {
		return b
	}
	return a
}
