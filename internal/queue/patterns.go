package queue

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Patterns are regular expressions in the syntax of package regexp, which takes linear time for any text. They
// match anywhere in it and ignore case. =VALUE matches the whole text, and =@DOMAIN every address in the domain.
type Patterns []Pattern

// Pattern is an expression that must match or, if it is negated, must not.
type Pattern struct {
	Text    string
	Negated bool
	regexp  *regexp.Regexp
}

// UnmarshalText adds a pattern; a leading ! negates it.
func (p *Patterns) UnmarshalText(text []byte) error {
	expression, negated := strings.CutPrefix(string(text), "!")
	if expression == "" {
		return errors.New("an empty expression matches everything; leave the option out")
	}
	source := expression
	switch value, exact := strings.CutPrefix(expression, "="); {
	case exact && value == "":
		return errors.New("invalid expression \"=\": want =VALUE")
	case exact && value[0] == '@':
		source = regexp.QuoteMeta(value) + "$"
	case exact:
		source = "^" + regexp.QuoteMeta(value) + "$"
	}
	if _, err := regexp.Compile(source); err != nil {
		return invalidExpression(expression, err)
	}
	compiled, err := regexp.Compile("(?i)" + source)
	if err != nil {
		return err
	}
	*p = append(*p, Pattern{expression, negated, compiled})
	return nil
}

func invalidExpression(expression string, err error) error {
	wrong, ok := errors.AsType[*syntax.Error](err)
	if !ok {
		return err
	}
	err = fmt.Errorf(`invalid expression "%s": %s in "%s"`, expression, wrong.Code, wrong.Expr)
	if wrong.Code == syntax.ErrMissingRepeatArgument {
		err = fmt.Errorf("%w; it is a regular expression, not a wildcard: .* stands for any text", err)
	}
	return err
}

// AppliedPatterns returns patterns, as Texts returns them, that have been applied already: they are described and
// never matched, so that it does not matter what they cost.
func AppliedPatterns(texts []string) (p Patterns) {
	for _, text := range texts {
		expression, negated := strings.CutPrefix(text, "!")
		p = append(p, Pattern{Text: expression, Negated: negated})
	}
	return p
}

// Match reports whether the text matches one of the patterns, if there are any that are not negated, and none of
// the negated ones.
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

// Texts returns the patterns as UnmarshalText takes them.
func (p Patterns) Texts() []string {
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
