package queue

import "strings"

// Text is text that may be shown to people: printable ASCII, made by Safe or Typed, or of the program's own
// words.
type Text string

// unsafeText are the printable characters that mean something to a system that monitoring output passes through:
// performance data begins at |, Icinga 2 expands $...$, web interfaces switch to HTML at <, shells and NRPE know
// the others.
const unsafeText = "|$<>&`'\"\\"

// Safe returns text that came from outside: each character that is not printable ASCII, or that a
// monitoring system might act upon, becomes a question mark.
func Safe(text string) Text {
	return Text(strings.Map(func(r rune) rune {
		if !isPrintable(r) || strings.ContainsRune(unsafeText, r) {
			return '?'
		}
		return r
	}, text))
}

// Typed returns text that the administrator has typed, and words about it: each character that is
// not printable ASCII becomes a question mark.
func Typed(text string) Text {
	return Text(strings.Map(func(r rune) rune {
		if !isPrintable(r) {
			return '?'
		}
		return r
	}, text))
}

func isPrintable(r rune) bool { return ' ' <= r && r <= '~' }
