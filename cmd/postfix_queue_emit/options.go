package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/deliver"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/suggest"
)

type options struct {
	Format      emit.Format          `arg:"-f,--format"`
	To          string               `arg:"--to"`
	Metrics     queue.MetricPatterns `arg:"-m,--metrics"`
	Name        string               `arg:"-n,--name"`
	Prefix      string               `arg:"-p,--prefix"`
	TagStyle    emit.TagStyle        `arg:"--tags"`
	Tags        tagList              `arg:"--tag"`
	Part        parts                `arg:"--part"`
	Usec        integer              `arg:"--usec"`
	UpdateEvery integer              `arg:"--update-every"`
	Priority    integer              `arg:"--priority"`
	Check       bool                 `arg:"--check"`
	DryRun      bool                 `arg:"--dry-run"`
	Breakdown   bool                 `arg:"--breakdown"`
	AllMessages bool                 `arg:"--all-messages"`
	cli.Common
}

func parseOptions(args []string) (options, error) {
	opts := options{
		To: "-", TagStyle: emit.TagsNone, Prefix: "postfix_queue", Part: "charts,values", UpdateEvery: 10, Priority: 60000,
		Common: cli.Defaults(),
	}
	if err := opts.Format.UnmarshalText([]byte("netdata")); err != nil {
		return opts, err
	}
	// Netdata starts its external plugins with nothing but the interval.
	bare := len(args) > 0 && args[0] != "" && strings.Trim(args[0], "0123456789") == ""
	if bare {
		args = append([]string{"--update-every"}, args...)
	}
	if err := cli.Parse(args, &opts, &opts.Common); err != nil {
		return opts, err
	}
	if err := opts.checkUseless(bare); err != nil {
		return opts, err
	}
	if trimmed := strings.TrimRight(opts.Prefix, "."); trimmed != "" {
		opts.Prefix = trimmed
	}
	err := opts.check()
	return opts, err
}

// checkUseless returns an error if an option has no use in the format: whoever gives it expects an effect.
// Netdata passes the interval to every plugin.
func (o *options) checkUseless(intervalFromNetdata bool) error {
	if o.Given("prefix") && !o.Format.Prefix {
		return fmt.Errorf("--prefix: the names of format %s are fixed; statsd and graphite take a prefix", o.Format.Name)
	}
	if o.Metrics != nil && o.Format.Snapshot {
		return fmt.Errorf("--metrics has no use in format %s: a snapshot has all of them", o.Format.Name)
	}
	if o.Given("stuck") && !o.looksTwice() {
		return errors.New("--stuck has no use here: only --check, -m up and format json tell whether mail moves")
	}
	if o.Metrics != nil && o.Format.IDs {
		return fmt.Errorf("--metrics has no use in format %s: it has no numbers", o.Format.Name)
	}
	if o.AllMessages && !o.Format.IDs {
		return errors.New("--all-messages is for format ids")
	}
	for _, name := range []string{"part", "usec", "update-every", "priority"} {
		useless := o.Given(name) && !o.Format.Netdata
		if useless && (name != "update-every" || !intervalFromNetdata) {
			return fmt.Errorf("--%s has no use in format %s; only netdata takes it", name, o.Format.Name)
		}
	}
	return nil
}

// looksTwice reports whether a second look at the queue is worth its time, 2 seconds: somebody asks whether mail moves.
func (o *options) looksTwice() bool {
	return o.Check || o.Format.Snapshot || slices.Contains(o.Metrics, queue.FamilyUp)
}

func (o *options) check() error {
	switch {
	case o.UpdateEvery < 1:
		return errors.New("--update-every must be at least 1 second")
	case o.Usec < 0:
		return errors.New("--usec must not be negative")
	case o.Priority < 0:
		return errors.New("--priority must not be negative")
	case o.Name != "" && o.SeveralInstances():
		return errors.New("--name names one instance, but several are read")
	case o.Breakdown && !o.Format.Snapshot:
		return errors.New("--breakdown needs --format json: domains are not metrics")
	case o.Format.IDs && o.Filter().IsZero() && !o.AllMessages:
		return fmt.Errorf("format %s needs a filter, such as --sender or --reason; --all-messages selects everything", o.Format.Name)
	case o.Format.IDs && o.To != "-":
		return fmt.Errorf("format %s is for standard output: pipe it into postsuper", o.Format.Name)
	case o.Format.IDs && o.SeveralInstances():
		return o.oneInstanceOnly()
	case o.Format.Bare && o.Metrics == nil:
		return fmt.Errorf("--format %s needs --metrics: only their order tells its numbers apart", o.Format.Name)
	case o.Format.Bare && o.SeveralInstances():
		return o.oneInstanceOnly()
	case o.Check && o.DryRun:
		return errors.New("--check and --dry-run exclude each other")
	case strings.Trim(o.Prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
		return fmt.Errorf(`invalid prefix "%s": want letters, digits, dots, dashes and underscores`, o.Prefix)
	case slices.Contains(strings.Split(o.Prefix, "."), ""):
		return fmt.Errorf(`invalid prefix "%s": want a word before and after each dot`, o.Prefix)
	}
	if err := o.Format.CheckTags(o.TagStyle, o.Tags); err != nil {
		return err
	}
	if err := o.selection().Check(); err != nil {
		return fmt.Errorf("--metrics: %w", err)
	}
	return nil
}

func (o *options) oneInstanceOnly() error {
	return fmt.Errorf("format %s handles one instance only: its lines do not say which is which", o.Format.Name)
}

func (o *options) selection() queue.Selection {
	return queue.Selection{
		Filter: o.Filter(), Patterns: o.Metrics, Reasons: o.CountReasons,
		InOrder: o.Format.Bare, Distributed: o.Format.Distributions,
	}
}

func (o *options) emitOptions(several bool) emit.Options {
	return emit.Options{
		Metrics:        o.selection().Metrics(),
		Distributions:  o.selection().Distributions(),
		Now:            time.Now(),
		LabelInstances: o.Name != "" || o.AllInstances || len(o.ConfigDirs) > 0 || several,
		Prefix:         o.Prefix,
		Tags:           o.Tags,
		TagStyle:       o.TagStyle,
		Netdata: emit.NetdataOptions{
			Charts: strings.Contains(string(o.Part), "charts"), Values: strings.Contains(string(o.Part), "values"),
			Microseconds: int64(o.Usec), UpdateEvery: int(o.UpdateEvery), Priority: int(o.Priority),
		},
	}
}

func (o *options) target(stdout io.Writer, getenv func(string) string) (deliver.Target, error) {
	if o.To == "udp://" {
		return o.targetFromEnvironment(getenv)
	}
	target, err := deliver.ParseTarget(o.To, stdout)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if _, ok := target.(deliver.Datagram); ok && !o.Format.Lines {
		return nil, fmt.Errorf("--to %s: format %s is one document, which datagrams would take apart; use tcp://HOST:PORT or unix:///PATH",
			target, o.Format.Name)
	}
	if file, ok := target.(deliver.File); ok && o.Breakdown {
		target = deliver.PrivateFile{File: file}
	}
	return target, nil
}

// targetFromEnvironment returns where StatsD listens. No text of the environment is read as a value of --to.
func (o *options) targetFromEnvironment(getenv func(string) string) (deliver.Target, error) {
	if !o.Format.StatsD {
		return nil, fmt.Errorf("--to udp:// alone is where StatsD listens; format %s needs udp://HOST:PORT", o.Format.Name)
	}
	target, err := deliver.FromEnvironment(getenv, o.TagStyle == emit.TagsDatadog)
	if err != nil {
		return nil, fmt.Errorf("--to udp://: %w", err)
	}
	return target, nil
}

type integer int64

// UnmarshalText reads a number.
func (n *integer) UnmarshalText(text []byte) error {
	value, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf(`invalid number "%s": too large`, text)
	case err != nil:
		return fmt.Errorf(`invalid number "%s": want an integer`, text)
	}
	*n = integer(value)
	return nil
}

type tagList []emit.Tag

// UnmarshalText adds KEY=VALUE.
func (l *tagList) UnmarshalText(text []byte) error {
	key, value, found := strings.Cut(string(text), "=")
	if !found {
		return fmt.Errorf(`invalid tag "%s": want KEY=VALUE`, text)
	}
	*l = append(*l, emit.Tag{Key: key, Value: value})
	return nil
}

// parts are the parts of Netdata's protocol to write.
type parts string

// UnmarshalText reads charts, values, or both with a comma between them.
func (p *parts) UnmarshalText(text []byte) error {
	known := []string{"charts", "values", "charts,values", "values,charts"}
	if *p = parts(text); !slices.Contains(known, string(text)) {
		return suggest.Unknown("part", string(text), known, known[:3])
	}
	return nil
}
