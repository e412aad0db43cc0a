// Package emit writes readings of mail queues in the formats of metrics
// systems and delivers them. Formats and targets do not know each other.
package emit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Options are what formats can be told.
type Options struct {
	Metrics []queue.Metric // the rows to emit, in this order
	Now     time.Time
	// Named puts the instance's name into names where a format can do without.
	Named  bool
	Prefix string // statsd, graphite: what names begin with
	// Tags are what every series has where the format has tags. They have
	// passed CheckTags.
	Tags     []Tag
	TagStyle TagStyle // statsd, graphite; none where it is empty
	Netdata  NetdataOptions
}

// Format encodes readings. Of those that are not complete it writes nothing,
// or, where it has a word for that, that they are not. The result is a whole
// document, or empty.
type Format func(readings []queue.Reading, o Options) []byte

// format is a format, and what a target must know of it.
type format struct {
	encode Format
	// lines is set where each line says all of itself, so that it does not
	// matter which of them arrive together.
	lines bool
}

func formats() map[string]format {
	return map[string]format{
		"graphite":   {graphite, true},
		"influx":     {influx, true},
		"json":       {snapshot, false},
		"netdata":    {netdata, false},
		"prometheus": {prometheus, false},
		"statsd":     {statsd, true},
		"value":      {value, false},
	}
}

// complete returns the readings whose numbers may be passed on.
func complete(readings []queue.Reading) []queue.Reading {
	return slices.DeleteFunc(slices.Clone(readings), func(r queue.Reading) bool { return !r.Complete() })
}

// atItsTime returns the reading with ages counted up to when its numbers were
// true, for formats that say when that was.
func atItsTime(r queue.Reading) queue.Reading {
	if r.Summary != nil && !r.Summary.AsOf.IsZero() {
		s := *r.Summary
		s.Taken = s.AsOf
		r.Summary = &s
	}
	return r
}

// FormatNames returns the names of all formats.
func FormatNames() []string { return slices.Sorted(maps.Keys(formats())) }

// LookupFormat returns the format of that name.
func LookupFormat(name string) (Format, error) {
	format, ok := formats()[name]
	if !ok {
		return nil, fmt.Errorf("there is no format %s; there are %s", name, strings.Join(FormatNames(), ", "))
	}
	return format.encode, nil
}

// IsDivisible reports whether documents of that format may be divided between
// their lines.
func IsDivisible(name string) bool { return formats()[name].lines }

// identifier makes the name of an instance part of a metric's name: every
// character but letters, digits, - and _ becomes _, and so does none.
func identifier(name string) string {
	if name == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, name)
}
