package queue

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
)

// Filter says which messages are looked at. The zero Filter is all of them.
// What it says of different things must hold together, of the recipient and
// the reason for one and the same recipient.
type Filter struct {
	// Queues are the queues that are looked at, in alphabetical order; nil is
	// all of them.
	Queues []Name
	// Senders, Recipients and Reasons are matched as Message and Recipient have
	// them: the empty sender is NullSender.
	Senders, Recipients, Reasons Patterns
	// OlderThan is the least age. Mail from the future has age 0.
	OlderThan time.Duration
}

// IsZero reports whether the filter lets everything through.
func (f Filter) IsZero() bool {
	return f.Queues == nil && f.Senders == nil && f.Recipients == nil && f.Reasons == nil && f.OlderThan == 0
}

// Covers reports whether messages in the named queue are looked at. The empty
// name is covered where every queue is that it may stand for.
func (f Filter) Covers(name Name) bool {
	if name == "" {
		return f.Covers(Deferred) && f.Covers(Incoming) && f.Covers(Maildrop)
	}
	return f.Queues == nil || slices.Contains(f.Queues, name)
}

// admits reports whether the message counts, its recipients apart.
func (f Filter) admits(m *Message, now time.Time) bool {
	return f.Covers(m.Queue) &&
		f.Senders.Match(m.Sender) &&
		(f.OlderThan == 0 || m.age(now) >= f.OlderThan)
}

// choosesRecipients reports whether a message may count for some of its
// recipients only.
func (f Filter) choosesRecipients() bool { return f.Recipients != nil || f.Reasons != nil }

func (f Filter) admitsRecipient(r Recipient) bool {
	return f.Recipients.Match(r.Address) && f.Reasons.Match(r.Reason)
}

// String describes the filter for people; it is empty for the zero Filter.
func (f Filter) String() string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+text)
		}
	}
	add("", f.queues())
	add("sender ", f.Senders.String())
	add("recipient ", f.Recipients.String())
	add("reason ", f.Reasons.String())
	if f.OlderThan != 0 {
		parts = append(parts, "at least "+durationText(f.OlderThan)+" old")
	}
	return strings.Join(parts, ", ")
}

// durationText writes a duration in the largest unit that it is a whole number
// of.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return fmt.Sprintf("%ds", d/time.Second)
	}
}

func (f Filter) queues() string {
	if f.Queues == nil {
		return ""
	}
	rest := Filter{Queues: slices.DeleteFunc(Names(), f.Covers)}
	if len(rest.Queues) < len(f.Queues) {
		return "all queues but " + rest.List()
	}
	return "only queue " + f.List()
}

// List returns the names of the filter's queues, with commas between them.
func (f Filter) List() string {
	names := make([]string, len(f.Queues))
	for i, name := range f.Queues {
		names[i] = string(name)
	}
	return strings.Join(names, ", ")
}

// answerable returns an error if a source with these facts cannot know what
// the filter lets through.
func (f Filter) answerable(facts Facts) error {
	for _, name := range facts.Blind {
		if f.Covers(name) != f.Covers(facts.Blind[0]) {
			return &BlindError{f, facts.Blind}
		}
	}
	if f.OlderThan != 0 && facts.Timeless {
		return ErrTimeless
	}
	return nil
}

// BlindError says that a filter asks for queues that a source cannot tell
// apart.
type BlindError struct {
	Filter Filter
	Blind  []Name
}

func (e *BlindError) Error() string {
	return fmt.Sprintf("cannot look at %s: this listing does not tell %s apart; use the output of postqueue -j",
		e.Filter.queues(), Filter{Queues: e.Blind}.List())
}

// ErrTimeless says that a filter asks for ages that a source does not know.
var ErrTimeless = errors.New("cannot look at mail of a certain age: this listing does not say when mail arrived; use the output of postqueue -j")

// Patterns are regular expressions in the syntax of package regexp, which
// takes linear time whatever the text. They match anywhere in it and ignore
// case.
type Patterns []Pattern

// Pattern is a regular expression that is to match, or not to.
type Pattern struct {
	Text    string
	Negated bool
	regexp  *regexp.Regexp
}

// UnmarshalText adds a pattern; one that begins with ! is not to match.
func (p *Patterns) UnmarshalText(text []byte) error {
	expression, negated := strings.CutPrefix(string(text), "!")
	if expression == "" {
		return errors.New("an empty expression matches everything; leave the option out")
	}
	if _, err := regexp.Compile(expression); err != nil {
		if wrong, ok := errors.AsType[*syntax.Error](err); ok {
			err = fmt.Errorf("the expression %s cannot be read: %s in %s", expression, wrong.Code, wrong.Expr)
		}
		return err
	}
	compiled, err := regexp.Compile("(?i)" + expression)
	if err != nil {
		return err
	}
	*p = append(*p, Pattern{expression, negated, compiled})
	return nil
}

// Match reports whether one of the patterns that are to match does, if there
// are any, and none of the others.
func (p Patterns) Match(text string) bool {
	wanted, found := false, false
	for _, pattern := range p {
		if !pattern.Negated && found {
			continue
		}
		switch matches := pattern.regexp.MatchString(text); {
		case pattern.Negated && matches:
			return false
		case !pattern.Negated:
			wanted, found = true, matches
		}
	}
	return found || !wanted
}

// String describes the patterns for people.
func (p Patterns) String() string {
	var wanted, unwanted []string
	for _, pattern := range p {
		if pattern.Negated {
			unwanted = append(unwanted, pattern.Text)
		} else {
			wanted = append(wanted, pattern.Text)
		}
	}
	text := strings.Join(wanted, " or ")
	if len(unwanted) > 0 {
		if text != "" {
			text += " and "
		}
		text += "not " + strings.Join(unwanted, " or ")
	}
	return text
}

// texts returns the patterns as UnmarshalText takes them.
func (p Patterns) texts() []string {
	var texts []string
	for _, pattern := range p {
		if pattern.Negated {
			texts = append(texts, "!"+pattern.Text)
		} else {
			texts = append(texts, pattern.Text)
		}
	}
	return texts
}
