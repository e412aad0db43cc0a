package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/queue"
)

type options struct {
	Format      string        `arg:"-f,--format"`
	To          string        `arg:"--to"`
	Metrics     metricList    `arg:"-m,--metrics"`
	Name        string        `arg:"-n,--name"`
	Prefix      *string       `arg:"-p,--prefix"`
	TagStyle    emit.TagStyle `arg:"--tags"`
	Tags        tagList       `arg:"--tag"`
	Part        *parts        `arg:"--part"`
	Usec        *number       `arg:"--usec"`
	UpdateEvery *number       `arg:"--update-every"`
	Priority    *number       `arg:"--priority"`
	Check       bool          `arg:"--check"`
	DryRun      bool          `arg:"--dry-run"`
	Breakdown   bool          `arg:"--breakdown"`
	cli.Common
}

func parseOptions(args []string) (options, error) {
	opts := options{Format: "netdata", To: "-", TagStyle: emit.TagsNone, Common: cli.Defaults()}
	// Netdata calls its external plugins with nothing but the interval.
	bare := len(args) > 0 && args[0] != "" && strings.Trim(args[0], "0123456789") == ""
	if bare {
		args = append([]string{"--update-every"}, args...)
	}
	if err := cli.Parse(args, &opts, &opts.Common); err != nil {
		return opts, err
	}
	if bare && opts.Format != "netdata" {
		opts.UpdateEvery = nil // it is said to whatever program it is
	}
	if err := opts.checkIgnored(); err != nil {
		return opts, err
	}
	setDefault(&opts.Prefix, "postfix_queue")
	setDefault(&opts.Part, parts{charts: true, values: true})
	setDefault(&opts.Usec, 0)
	setDefault(&opts.UpdateEvery, 10)
	setDefault(&opts.Priority, 60000)
	if trimmed := strings.TrimRight(*opts.Prefix, "."); trimmed != "" {
		opts.Prefix = &trimmed
	}
	err := opts.check()
	return opts, err
}

func setDefault[T any](option **T, value T) {
	if *option == nil {
		*option = &value
	}
}

// checkIgnored returns an error if an option is given that the format has no
// use for: who gives it expects something of it.
func (o *options) checkIgnored() error {
	if _, err := emit.LookupFormat(o.Format); err != nil {
		return err
	}
	if o.Prefix != nil && o.Format != "statsd" && o.Format != "graphite" {
		return fmt.Errorf("--prefix: the format %s has names of its own; a prefix goes with statsd and graphite", o.Format)
	}
	for _, option := range []struct {
		name  string
		given bool
	}{
		{"--part", o.Part != nil},
		{"--usec", o.Usec != nil},
		{"--update-every", o.UpdateEvery != nil},
		{"--priority", o.Priority != nil},
	} {
		if option.given && o.Format != "netdata" {
			return fmt.Errorf("%s: the format %s has no use for it; it goes with netdata", option.name, o.Format)
		}
	}
	return nil
}

func (o *options) check() error {
	switch {
	case *o.UpdateEvery < 1:
		return errors.New("--update-every must be at least 1 second")
	case *o.Usec < 0:
		return errors.New("--usec must not be negative")
	case *o.Priority < 0:
		return errors.New("--priority must not be negative")
	case o.Name != "" && (o.AllInstances || len(o.ConfigDirs) > 1):
		return errors.New("--name names one instance, and several are to be read")
	case o.Breakdown && o.Format != "json":
		return errors.New("--breakdown goes with --format json: domains are no metrics")
	case o.Format == "value" && o.Metrics == nil:
		return errors.New("--format value needs --metrics: its numbers are told apart by their order alone")
	case o.Format == "value" && (o.AllInstances || len(o.ConfigDirs) > 1):
		return errors.New("--format value has room for one instance, for its numbers do not say what they are of, and several are to be read")
	case o.Check && o.DryRun:
		return errors.New("--check and --dry-run exclude each other")
	case strings.Trim(*o.Prefix, ".") == "":
		return fmt.Errorf("--prefix %s is dots only; a name of a metric must begin with something", *o.Prefix)
	case !isStatsdName(*o.Prefix):
		return fmt.Errorf("--prefix %s has characters that no name of a metric may have: only letters, digits and any of - _ . are allowed", *o.Prefix)
	case slices.Contains(strings.Split(*o.Prefix, "."), ""):
		return fmt.Errorf("--prefix %s has nothing before or between its dots, where a name of a metric must have something", *o.Prefix)
	}
	if err := emit.CheckTags(o.Format, o.TagStyle, o.Tags); err != nil {
		return err
	}
	for _, p := range o.Metrics {
		if !slices.ContainsFunc(o.selected(), p.matches) {
			return fmt.Errorf("--metrics %s: %s", p, o.whyNone(p))
		}
	}
	return nil
}

// whyNone says why a pattern matches none of the metrics that are selected.
func (o *options) whyNone(p pattern) string {
	table := queue.Metrics()
	i := slices.IndexFunc(table, p.matches)
	if i < 0 {
		if lower := pattern(strings.ToLower(string(p))); slices.ContainsFunc(table, lower.matches) {
			return fmt.Sprintf("names of metrics are in lower case: %s", lower)
		}
		var totals []string
		for _, m := range table {
			if m.By == "" {
				totals = append(totals, m.Name)
			}
		}
		return "there is no such metric; there are " + strings.Join(totals, ", ") + ", QUEUE, QUEUE_size, QUEUE_age and deferred_REASON"
	}
	switch m := table[i]; {
	case m.By == queue.ByReason && o.Filter().Covers(queue.Deferred):
		return "only --by-reason counts the reasons that a glob stands for; or name one, such as " + m.Name
	case m.By == queue.ByReason:
		return "--queue leaves the queue deferred out"
	case m.By == queue.ByQueue:
		return "--queue leaves the queue " + m.Of + " out"
	case m.OnDemand:
		return m.Name + " comes by its name only"
	default:
		return "that of mail on hold, which alone --queue looks at, is hold_age"
	}
}

func isStatsdName(text string) bool {
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// selected returns the metrics that are to be emitted, in the table's order; or,
// where that tells what they are, in the order in which they are asked for.
func (o *options) selected() []queue.Metric {
	metrics := queue.Select(o.Filter(), func(m queue.Metric) bool {
		return o.CountReasons && m.By == queue.ByReason || slices.Contains(o.Metrics, pattern(m.Name))
	})
	if o.Metrics == nil {
		return metrics
	}
	if o.Format == "value" {
		var ordered []queue.Metric
		for _, p := range o.Metrics {
			for _, m := range metrics {
				if p.matches(m) {
					ordered = append(ordered, m)
				}
			}
		}
		return ordered
	}
	return slices.DeleteFunc(metrics, func(m queue.Metric) bool {
		return !slices.ContainsFunc(o.Metrics, func(p pattern) bool { return p.matches(m) })
	})
}

// countsReasons reports whether the reasons of deferred mail are to be read.
func (o *options) countsReasons() bool {
	return o.CountReasons || slices.ContainsFunc(o.selected(), func(m queue.Metric) bool { return m.By == queue.ByReason })
}

// unknown says which metrics that are asked for a complete reading does not
// have: those of names that stand for themselves; or any, where others would be
// taken for them. A reading that has none at all is not usable.
func (o *options) unknown(s *queue.Summary) (usable bool, missing error) {
	if o.Format == "json" {
		return true, nil
	}
	var names []string
	for _, m := range o.selected() {
		_, known := m.Value(s)
		usable = usable || known
		if !known && (o.Format == "value" || slices.Contains(o.Metrics, pattern(m.Name))) && !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	switch n := len(names); {
	case n == 1:
		return usable, fmt.Errorf("%s is not known from this source", names[0])
	case n > 1:
		return usable, fmt.Errorf("%s and %s are not known from this source", strings.Join(names[:n-1], ", "), names[n-1])
	case !usable:
		return false, errors.New("none of the metrics that are asked for is known from this source")
	}
	return true, nil
}

func (o *options) emitOptions(several bool) emit.Options {
	return emit.Options{
		Metrics:  o.selected(),
		Now:      time.Now(),
		Named:    o.Name != "" || o.AllInstances || len(o.ConfigDirs) > 0 || several,
		Prefix:   *o.Prefix,
		Tags:     o.Tags,
		TagStyle: o.TagStyle,
		Netdata: emit.NetdataOptions{
			Charts:       o.Part.charts,
			Values:       o.Part.values,
			Microseconds: int64(*o.Usec),
			UpdateEvery:  int(*o.UpdateEvery),
			Priority:     int(*o.Priority),
		},
	}
}

// number is a whole number.
type number int64

// UnmarshalText reads a number.
func (n *number) UnmarshalText(text []byte) error {
	value, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is too large a number", text)
	case err != nil:
		return fmt.Errorf("%s is no whole number", text)
	}
	*n = number(value)
	return nil
}

// metricList is a list of metrics' names or globs.
type metricList []pattern

type pattern string

func (p pattern) matches(m queue.Metric) bool {
	ok, _ := path.Match(string(p), m.Name)
	return ok
}

// UnmarshalText adds a list with commas.
func (l *metricList) UnmarshalText(text []byte) error {
	for item := range strings.SplitSeq(string(text), ",") {
		if _, err := path.Match(item, ""); err != nil || item == "" {
			return fmt.Errorf("%s is neither a name nor a glob", item)
		}
		*l = append(*l, pattern(item))
	}
	return nil
}

// tagList is a list of tags.
type tagList []emit.Tag

// UnmarshalText adds KEY=VALUE.
func (l *tagList) UnmarshalText(text []byte) error {
	key, value, found := strings.Cut(string(text), "=")
	if !found {
		return fmt.Errorf("%s is no tag; a tag is KEY=VALUE", text)
	}
	*l = append(*l, emit.Tag{Key: key, Value: value})
	return nil
}

// parts are the parts of Netdata's protocol that are wanted.
type parts struct{ charts, values bool }

// UnmarshalText reads charts, values, or both with a comma.
func (p *parts) UnmarshalText(text []byte) error {
	*p = parts{}
	for item := range strings.SplitSeq(string(text), ",") {
		switch item {
		case "charts":
			p.charts = true
		case "values":
			p.values = true
		default:
			return fmt.Errorf("there is no part %s; there are charts, values and charts,values", item)
		}
	}
	return nil
}
