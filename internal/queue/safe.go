package queue

import "strings"

// unsafeText are the printable characters that mean something to a system that
// monitoring output passes through: perfdata begins at |, Icinga 2 expands
// $...$, web interfaces switch to HTML at <, shells and NRPE know the others.
const unsafeText = "|$<>&`'\"\\"

// Safe returns the text with each character replaced by ? that is not
// printable ASCII or that a monitoring system might act upon. Nothing that came
// from outside is shown without it.
func Safe(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(unsafeText, r) {
			return '?'
		}
		return r
	}, text)
}
