// Package emit writes readings of mail queues in the formats of metrics systems. It knows nothing of where they
// go.
package emit

import (
	"iter"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/suggest"
)

// Format is a row of the table of formats: everything in which they differ.
type Format struct {
	Name string
	// Encode returns a whole document, or nothing. It skips incomplete readings, or reports them as down if the
	// format can.
	Encode func(readings []queue.Reading, o Options) []byte
	// Lines reports whether every line stands alone, so that a document may be split between lines.
	Lines bool
	// Bare numbers have no names. They are told apart by the order of the metrics, so all of them must be known,
	// and there is room for one instance.
	Bare bool
	// Prefix reports whether the names of metrics begin with Options.Prefix.
	Prefix bool
	// Netdata reports whether the format takes NetdataOptions.
	Netdata bool
	// Snapshot reports whether the document has whole readings, breakdowns included, instead of the selected
	// metrics.
	Snapshot bool
	// StatsD reports whether StatsD servers read the format, whose address the environment may have.
	StatsD bool
	// Distributions reports whether the format has histograms.
	Distributions bool
	// Up reports whether the document says of each instance whether it is up, whatever the metrics.
	Up bool
	// IDs reports whether the document has queue IDs instead of metrics.
	IDs bool
	// styles are the tag styles that the format can have, and the rules for tags in each; nil: it has no tags
	// then.
	styles map[TagStyle]*tagRules
	// tagsHint says how to get tags in a format without them.
	tagsHint string
}

var formats = []Format{
	{
		Name: "graphite", Encode: graphite, Lines: true, Prefix: true,
		styles:   map[TagStyle]*tagRules{TagsNone: nil, TagsGraphite: carbonTags},
		tagsHint: "add --tags graphite, which carbon reads since 1.1",
	},
	{Name: "ids", Encode: ids, IDs: true, styles: withoutTags},
	{
		Name: "influx", Encode: influx, Lines: true, Up: true,
		styles: map[TagStyle]*tagRules{TagsNone: lineProtocolTags},
	},
	{Name: "json", Encode: encodeSnapshot, Snapshot: true, styles: withoutTags},
	{Name: "netdata", Encode: netdata, Netdata: true, styles: withoutTags},
	{
		Name: "prometheus", Encode: prometheus, Up: true, Distributions: true,
		styles: map[TagStyle]*tagRules{TagsNone: labels},
	},
	{
		Name: "statsd", Encode: statsd, Lines: true, Prefix: true, StatsD: true,
		styles: map[TagStyle]*tagRules{
			TagsNone: nil, TagsDatadog: wordTags, TagsInflux: wordTags, TagsGraphite: carbonTags,
		},
		tagsHint: "add --tags datadog, influx or graphite, whichever the receiver reads",
	},
	{Name: "value", Encode: value, Bare: true, styles: withoutTags},
}

// FormatNames returns the names of all formats.
func FormatNames() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.Name
	}
	return names
}

// LookupFormat returns the format of that name.
func LookupFormat(name string) (Format, error) {
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, suggest.Unknown("format", name, FormatNames(), FormatNames())
	}
	return formats[i], nil
}

// UnmarshalText sets the format to the one of that name.
func (f *Format) UnmarshalText(name []byte) (err error) {
	*f, err = LookupFormat(string(name))
	return err
}

// Options are what formats can be told.
type Options struct {
	Metrics       []queue.Metric       // the metrics to emit, in this order
	Distributions []queue.Distribution // histograms to emit, if the format has Distributions
	Now           time.Time
	// LabelInstances puts the instance's name into the names of series if the format could do without.
	LabelInstances bool
	Prefix         string // of names, if the format has Prefix
	// Tags are those of every series. CheckTags has accepted them.
	Tags     []Tag
	TagStyle TagStyle // empty: TagsNone
	Netdata  NetdataOptions
}

func complete(readings []queue.Reading) []queue.Reading {
	return slices.DeleteFunc(slices.Clone(readings), func(r queue.Reading) bool { return !r.Complete() })
}

// samples returns the metrics that are known of a reading, with their values. Of one that is not complete only up is,
// if that is selected.
func (o Options) samples(r queue.Reading) iter.Seq2[queue.Metric, int64] {
	return func(yield func(queue.Metric, int64) bool) {
		for _, m := range o.Metrics {
			value, known := int64(0), m.Family == queue.FamilyUp
			if r.Complete() {
				value, known = m.Value(r.Summary)
			}
			if known && !yield(m, value) {
				return
			}
		}
	}
}

// timeOf returns when the numbers of a reading were true; now if it has none.
func timeOf(r queue.Reading, now time.Time) time.Time {
	if r.Summary != nil && !r.Summary.AsOf.IsZero() {
		return r.Summary.AsOf
	}
	return now
}

// upOf is 1 for an instance that is up, else 0.
func upOf(r queue.Reading) int64 {
	if r.Up() {
		return 1
	}
	return 0
}

// knowingUp returns the readings that know whether the instance is up.
func knowingUp(readings []queue.Reading) []queue.Reading {
	return slices.DeleteFunc(slices.Clone(readings), func(r queue.Reading) bool { return !r.KnowsUp() })
}

// asOf returns the reading with ages that count up to the time when its numbers were true, for formats with
// timestamps.
func asOf(r queue.Reading) queue.Reading {
	if r.Summary != nil && !r.Summary.AsOf.IsZero() {
		s := *r.Summary
		s.Taken = s.AsOf
		r.Summary = &s
	}
	return r
}

func identifier(name string) string {
	return replaceInvalid(name, func(r rune) bool { return isWordRune(r) || r == '-' })
}

// replaceInvalid replaces each invalid character by _, and so an empty text.
func replaceInvalid(text string, isValid func(rune) bool) string {
	if text == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if isValid(r) {
			return r
		}
		return '_'
	}, text)
}
