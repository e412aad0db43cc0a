// Package suggest words the error for a name that does not exist.
package suggest

import (
	"fmt"
	"strings"
)

// Unknown returns the error for a name of some kind that is not among the known ones: with the one that was
// probably meant, or with a list, which may be shorter than all that are known.
func Unknown(kind, name string, known, list []string) error {
	if name == "" {
		return fmt.Errorf("the name of a %s is missing; known: %s", kind, strings.Join(list, ", "))
	}
	if meant, ok := Nearest(name, known); ok {
		return fmt.Errorf(`unknown %s "%s"; did you mean %s?`, kind, name, meant)
	}
	return fmt.Errorf(`unknown %s "%s"; known: %s`, kind, name, strings.Join(list, ", "))
}

// Nearest returns the known name that was probably meant: one of which name is the beginning, or one that takes
// few changes of a letter. A short name must be nearer than a long one.
func Nearest(name string, known []string) (meant string, ok bool) {
	name = strings.ToLower(name)
	best := 1 + min(2, len(name)/3)
	for _, candidate := range known {
		if name != "" && strings.HasPrefix(candidate, name) {
			return candidate, true
		}
		if d := distance(name, candidate); d < best {
			meant, best = candidate, d
		}
	}
	return meant, meant != ""
}

// distance returns how many letters must be inserted, removed, replaced or swapped with their neighbour to make a
// into b: the optimal string alignment distance.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
