package emit

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Tag is a key and a value that tell a series from others of its name: a label
// in Prometheus, a tag elsewhere.
type Tag struct{ Key, Value string }

// instanceTag says which instance a series is of. It is not "instance", which
// in Prometheus is what was scraped.
const instanceTag = "instance_name"

// bucketTag is the upper bound of a class of a histogram.
const bucketTag = "le"

// tagsOf returns the tags of a reading's series: the instance where it is
// named, then those given, then those that every series has.
func (o Options) tagsOf(r queue.Reading, more ...Tag) []Tag {
	var tags []Tag
	if o.Named {
		tags = append(tags, Tag{instanceTag, r.Instance.Name})
	}
	return append(append(tags, more...), o.Tags...)
}

// partOf returns, as a tag, which part of a breakdown a row is.
func partOf(m queue.Metric) []Tag {
	if m.By == "" {
		return nil
	}
	return []Tag{{m.By, m.Of}}
}

// TagStyle is how tags are written where a format has several ways, which a
// receiver of another takes for a part of the name, or drops the line.
type TagStyle string

// The styles of tags.
const (
	TagsNone     TagStyle = "none"
	TagsDatadog  TagStyle = "datadog"  // name:value|g|#key:value,key:value
	TagsInflux   TagStyle = "influx"   // name,key=value,key=value:value|g
	TagsGraphite TagStyle = "graphite" // name;key=value;key=value
)

// TagStyles returns all styles, that of none first.
func TagStyles() []TagStyle {
	return []TagStyle{TagsNone, TagsDatadog, TagsInflux, TagsGraphite}
}

// dialect is what a format, or a style of it, takes for tags.
type dialect struct {
	reserved []string // keys with a meaning of their own there
	key      func(r rune, first bool) bool
	value    func(r rune) bool
}

// dialectOf returns how a format writes tags in that style, and whether it
// knows the style and has room for tags then.
func dialectOf(formatName string, style TagStyle) (d dialect, knows, hasRoom bool) {
	word := dialect{key: isTagKey, value: isTagWord}
	switch {
	case style == TagsNone && formatName == "prometheus":
		return dialect{key: isLabelName, value: func(r rune) bool { return r != 0 }}, true, true
	case style == TagsNone && formatName == "influx":
		// InfluxDB drops points that have these.
		return dialect{reserved: []string{"time", "_field", "_measurement"}, key: isTagKey, value: isInfluxText}, true, true
	case style == TagsNone:
		return dialect{}, true, false
	case formatName == "statsd" && style != TagsGraphite && slices.Contains(TagStyles(), style):
		return word, true, true
	case (formatName == "statsd" || formatName == "graphite") && style == TagsGraphite:
		word.reserved = []string{"name"} // carbon's own, for the name
		return word, true, true
	}
	return dialect{}, false, false
}

func isLabelName(r rune, first bool) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || !first && '0' <= r && r <= '9'
}

func isTagKey(r rune, first bool) bool {
	return isLabelName(r, first) || !first && (r == '-' || r == '.')
}

// isTagWord reports whether the character means nothing in any style of tags,
// of which none has an escape.
func isTagWord(r rune) bool {
	return isTagKey(r, false) || r == '/'
}

// tagWord makes the value of a tag of a text, in any style.
func tagWord(text string) string {
	if text == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if isTagWord(r) {
			return r
		}
		return '_'
	}, text)
}

// isInfluxText reports whether line protocol has a way to write the character
// in a tag's value. It has no escape for a newline; and whether a backslash
// before a comma is itself or an escape, readers disagree about.
func isInfluxText(r rune) bool { return !unicode.IsControl(r) && r != '\\' }

// CheckTags returns an error, which names the option, if the format does not
// write tags in this style, or has no room for one of the tags.
func CheckTags(formatName string, style TagStyle, tags []Tag) error {
	d, knows, hasRoom := dialectOf(formatName, style)
	switch {
	case !slices.Contains(TagStyles(), style):
		return fmt.Errorf("--tags: there is no style %s; there are none, datadog, influx and graphite", style)
	case !knows:
		return fmt.Errorf("--tags %s: the format %s does not write tags so; statsd does, and graphite in the style graphite", style, formatName)
	case !hasRoom && len(tags) > 0:
		return fmt.Errorf("--tag %s: the format %s has no room for tags; %s", tags[0].Key, formatName, roomFor(formatName))
	}
	own := append([]string{instanceTag, queue.ByQueue, queue.ByReason, bucketTag}, d.reserved...)
	for i, tag := range tags {
		switch {
		case slices.Contains(own, tag.Key):
			return fmt.Errorf("--tag %s: this key has a meaning of its own in the format %s; take another", tag.Key, formatName)
		case slices.ContainsFunc(tags[:i], func(t Tag) bool { return t.Key == tag.Key }):
			return fmt.Errorf("--tag %s is given twice", tag.Key)
		case !d.isKey(tag.Key) || formatName == "prometheus" && strings.HasPrefix(tag.Key, "__"):
			return fmt.Errorf("--tag %s: the format %s takes no such key; letters, digits and _ are safe, a letter first", tag.Key, formatName)
		case !d.isValue(tag.Value):
			return fmt.Errorf("--tag %s: the format %s has no way to write its value %s; letters, digits and any of - _ . / are safe", tag.Key, formatName, tag.Value)
		}
	}
	return nil
}

// roomFor says how a format without room for tags is given some.
func roomFor(formatName string) string {
	switch formatName {
	case "statsd":
		return "give it some with --tags datadog, influx or graphite, as the receiver reads them"
	case "graphite":
		return "give it some with --tags graphite, which carbon reads since 1.1"
	}
	return "prometheus and influx have, and statsd and graphite with --tags"
}

func (d dialect) isKey(text string) bool {
	for i, r := range text {
		if !d.key(r, i == 0) {
			return false
		}
	}
	return text != ""
}

func (d dialect) isValue(text string) bool {
	return text != "" && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !d.value(r) })
}

// dotted returns what the names of a reading's metrics begin with where their
// parts are separated by dots, and the tags that follow. The instance is one of
// them where there are tags, and else a part of the name where it is named.
//
// The queue never is a tag: then the sum over a name's series would count each
// message twice, for the total is one of them, and dashboards would not survive
// the change of style.
func (o Options) dotted(r queue.Reading) (prefix, tags string) {
	var before, between, equals string
	switch o.TagStyle {
	case TagsDatadog:
		before, between, equals = "|#", ",", ":"
	case TagsInflux:
		before, between, equals = ",", ",", "="
	case TagsGraphite:
		before, between, equals = ";", ";", "="
	default:
		if o.Named {
			return o.Prefix + "." + identifier(r.Instance.Name) + ".", ""
		}
		return o.Prefix + ".", ""
	}
	o.Named = true
	var b strings.Builder
	for i, t := range o.tagsOf(r) {
		if i > 0 {
			before = between
		}
		b.WriteString(before + t.Key + equals + tagWord(t.Value))
	}
	return o.Prefix + ".", b.String()
}
