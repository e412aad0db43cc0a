package emit

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/suggest"
)

// Tag is a key and a value that tell series of the same name apart: a label in Prometheus, a tag elsewhere.
type Tag struct{ Key, Value string }

// instanceTag is the key of the instance. It is not "instance", which Prometheus uses for the target that was
// scraped.
const instanceTag = "instance_name"

// bucketTag is the key of the upper bound of a class of a histogram.
const bucketTag = "le"

// tagsOf returns the tags of a reading's series: the instance if it is labelled, more, and those of every series.
func (o Options) tagsOf(r queue.Reading, more ...Tag) []Tag {
	var tags []Tag
	if o.LabelInstances {
		tags = append(tags, Tag{instanceTag, r.Instance.Name})
	}
	return append(append(tags, more...), o.Tags...)
}

func partOf(m queue.Metric) []Tag {
	if m.Dimension == "" {
		return nil
	}
	return []Tag{{m.Dimension, m.Part}}
}

// TagStyle selects the tag syntax. A receiver that expects another one takes the tags for part of the name or
// drops the line.
type TagStyle string

// The tag styles.
const (
	TagsNone     TagStyle = "none"
	TagsDatadog  TagStyle = "datadog"
	TagsInflux   TagStyle = "influx"
	TagsGraphite TagStyle = "graphite"
)

// tagStyles is the table of tag styles.
var tagStyles = []struct {
	name                    TagStyle
	before, between, equals string // what comes before and between tags, and in them
	afterValue              bool   // instead of being part of the name
}{
	{name: TagsNone},
	{name: TagsDatadog, before: "|#", between: ",", equals: ":", afterValue: true}, // name:value|g|#key:value,key:value
	{name: TagsInflux, before: ",", between: ",", equals: "="},                     // name,key=value,key=value:value|g
	{name: TagsGraphite, before: ";", between: ";", equals: "="},                   // name;key=value;key=value
}

// TagStyles returns the names of all tag styles.
func TagStyles() []string {
	names := make([]string, len(tagStyles))
	for i, style := range tagStyles {
		names[i] = string(style.name)
	}
	return names
}

// UnmarshalText sets the tag style.
func (s *TagStyle) UnmarshalText(text []byte) error {
	if !slices.Contains(TagStyles(), string(text)) {
		return suggest.Unknown("tag style", string(text), TagStyles(), TagStyles())
	}
	*s = TagStyle(text)
	return nil
}

type tagRules struct {
	reserved []string // keys that the format uses itself
	isKey    func(text string) bool
	isValue  func(text string) bool
}

var (
	withoutTags = map[TagStyle]*tagRules{TagsNone: nil}
	wordTags    = &tagRules{isKey: isTagKey, isValue: everyRune(isTagWord)}
	carbonTags  = &tagRules{reserved: []string{"name"}, isKey: isTagKey, isValue: everyRune(isTagWord)}
	// InfluxDB drops points with these keys.
	lineProtocolTags = &tagRules{reserved: []string{"time", "_field", "_measurement"}, isKey: isTagKey, isValue: everyRune(isInfluxText)}
	labels           = &tagRules{isKey: isLabelName, isValue: everyRune(func(r rune) bool { return r != 0 })}
)

func everyRune(is func(rune) bool) func(string) bool {
	return func(text string) bool {
		return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !is(r) })
	}
}

// isLabelName accepts the names of labels that Prometheus does not reserve for itself.
func isLabelName(text string) bool {
	return startsWithLetter(text) && !strings.HasPrefix(text, "__") && everyRune(isWordRune)(text)
}

func isTagKey(text string) bool {
	return startsWithLetter(text) && everyRune(func(r rune) bool { return isWordRune(r) || r == '-' || r == '.' })(text)
}

func startsWithLetter(text string) bool {
	return text != "" && isWordRune(rune(text[0])) && (text[0] < '0' || text[0] > '9')
}

func isWordRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
}

// isTagWord reports whether the character has no meaning in any tag style. None of them can escape one.
func isTagWord(r rune) bool {
	return isWordRune(r) || r == '-' || r == '.' || r == '/'
}

// isInfluxText reports whether line protocol can write the character in the value of a tag. It cannot escape a
// newline, and readers disagree whether a backslash before a comma is an escape.
func isInfluxText(r rune) bool { return !unicode.IsControl(r) && r != '\\' }

// CheckTags returns an error, which names the option, if the format cannot write tags in this style, or not one
// of these tags.
func (f Format) CheckTags(style TagStyle, tags []Tag) error {
	rules, known := f.styles[style]
	switch {
	case !known:
		return fmt.Errorf("--tags %s: format %s cannot write tags in this style; statsd can, and graphite in the style graphite", style, f.Name)
	case rules == nil && len(tags) > 0:
		hint := f.tagsHint
		if hint == "" {
			hint = "prometheus and influx have them, and statsd and graphite with --tags"
		}
		return fmt.Errorf("--tag %s: format %s has no tags; %s", tags[0].Key, f.Name, hint)
	}
	for i, tag := range tags {
		own := append([]string{instanceTag, queue.ByQueue, queue.ByReason, bucketTag}, rules.reserved...)
		switch {
		case slices.Contains(own, tag.Key):
			return fmt.Errorf("--tag %s: format %s uses this key itself; choose another", tag.Key, f.Name)
		case slices.ContainsFunc(tags[:i], func(t Tag) bool { return t.Key == tag.Key }):
			return fmt.Errorf("--tag %s is given twice", tag.Key)
		case !rules.isKey(tag.Key):
			return fmt.Errorf(`--tag: invalid key "%s" for format %s: want letters, digits and _, a letter first`, tag.Key, f.Name)
		case !rules.isValue(tag.Value):
			return fmt.Errorf(`--tag %s: invalid value "%s" for format %s: letters, digits and any of - _ . / are safe`, tag.Key, tag.Value, f.Name)
		}
	}
	return nil
}

// dotted returns what surrounds the names of a reading's metrics if the parts of names are separated by dots: a
// prefix, and tags that are part of the name or follow the value. The instance is a tag if there are tags;
// otherwise it is part of the prefix, if it is labelled.
//
// The queue is never a tag: the total is a series, too, so a sum over the series of a name would count each
// message twice; and dashboards would not survive a change of style.
func (o Options) dotted(r queue.Reading) (prefix, inName, afterValue string) {
	i := slices.Index(TagStyles(), string(o.TagStyle))
	if i <= 0 { // TagsNone
		if o.LabelInstances {
			return o.Prefix + "." + identifier(r.Instance.Name) + ".", "", ""
		}
		return o.Prefix + ".", "", ""
	}
	style := tagStyles[i]
	o.LabelInstances = true
	var tags []string
	for _, t := range o.tagsOf(r) {
		tags = append(tags, t.Key+style.equals+replaceInvalid(t.Value, isTagWord))
	}
	text := style.before + strings.Join(tags, style.between)
	if style.afterValue {
		return o.Prefix + ".", "", text
	}
	return o.Prefix + ".", text, ""
}
