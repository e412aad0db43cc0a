// Package cli has the command line options that both programs share, and reads command lines as people type them.
package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/suggest"
	"example.org/postfix-queue-monitor/internal/units"
)

// Common are the options of both programs.
type Common struct {
	ConfigDirs   Directories    `arg:"-d,--config-dir"`
	AllInstances bool           `arg:"-a,--all-instances"`
	Source       string         `arg:"--source"`
	QueueDir     string         `arg:"--queue-directory"`
	Input        string         `arg:"-i,--input"`
	MaxAge       Duration       `arg:"--max-age"`
	AllowEmpty   bool           `arg:"--allow-empty"`
	Queues       Queues         `arg:"-q,--queue"`
	Senders      queue.Patterns `arg:"--sender"`
	Logins       queue.Patterns `arg:"--login"`
	Clients      queue.Patterns `arg:"--client"`
	Recipients   queue.Patterns `arg:"--recipient"`
	Reasons      queue.Patterns `arg:"--reason"`
	OlderThan    Duration       `arg:"--older-than"`
	CountReasons bool           `arg:"--by-reason"`
	Stuck        Duration       `arg:"--stuck"`
	Timeout      Duration       `arg:"-t,--timeout"`
	Verbose      Count          `arg:"-v,--verbose"`
	Help         bool           `arg:"-h,--help"`
	Version      bool           `arg:"-V,--version"`
	given        map[string]bool
}

// Given reports whether the option of this long name is on the command line.
func (o *Common) Given(name string) bool { return o.given[name] }

// Defaults returns the default options.
func Defaults() Common {
	return Common{
		Source: source.AutoName, MaxAge: Duration(5 * time.Minute), Stuck: Duration(10 * time.Minute),
		Timeout: Duration(8 * time.Second),
	}
}

func (o *Common) check() error {
	switch {
	case !slices.Contains(source.Names(), o.Source):
		return fmt.Errorf("--source: %w", suggest.Unknown("source", o.Source, source.Names(), source.Names()))
	case o.Input != "" && (o.Source != source.AutoName || o.QueueDir != "" || o.AllInstances || len(o.ConfigDirs) > 0):
		return errors.New("--input excludes --config-dir, --all-instances, --source and --queue-directory: it reads a file instead of a queue")
	case o.AllInstances && len(o.ConfigDirs) > 0:
		return errors.New("--all-instances and --config-dir exclude each other")
	case o.QueueDir != "" && (o.AllInstances || len(o.ConfigDirs) > 0):
		return errors.New("--queue-directory excludes --config-dir and --all-instances: it is one queue, whatever Postfix says")
	case o.QueueDir != "" && o.Source != source.AutoName && o.Source != source.SpoolName:
		return fmt.Errorf("--queue-directory is read by the source spool, not by %s", o.Source)
	case o.QueueDir != "" && !strings.HasPrefix(o.QueueDir, "/"):
		return fmt.Errorf(`invalid --queue-directory "%s": want an absolute path`, o.QueueDir)
	case o.Input == "" && o.AllowEmpty:
		return errors.New("--allow-empty needs --input")
	case o.Input == "" && o.Given("max-age"):
		return errors.New("--max-age needs --input")
	case o.Input != "" && o.Given("stuck"):
		return errors.New("--stuck needs a queue: a snapshot says what was stuck when it was written")
	case o.Timeout <= 0:
		return errors.New("--timeout must be more than 0 seconds")
	}
	switch f := o.Filter(); {
	case f.Queues != nil && len(f.Queues) == 0:
		return fmt.Errorf("--queue %s leaves no queue", strings.Join(o.Queues, " --queue "))
	case o.CountReasons && !f.Covers(queue.Deferred):
		return errors.New("--by-reason counts deferred mail, but --queue leaves that out")
	}
	return nil
}

// Filter returns the filter that the options make up together.
func (o *Common) Filter() queue.Filter {
	return queue.Filter{
		Queues: o.Queues.names(), Senders: o.Senders, Recipients: o.Recipients, Reasons: o.Reasons,
		Logins: o.Logins, Clients: o.Clients, OlderThan: time.Duration(o.OlderThan),
	}
}

// Request returns what the options ask to read, and what the metrics need.
func (o *Common) Request(stdin *os.File, metrics []queue.Metric) source.Request {
	query := queue.Query{Filter: o.Filter(), Reasons: o.CountReasons, Stuck: time.Duration(o.Stuck)}
	for _, m := range metrics {
		query.Need(m)
	}
	return source.Request{
		ConfigDirs: o.ConfigDirs, AllInstances: o.AllInstances, Source: o.Source, QueueDir: o.QueueDir,
		Input: o.Input, Stdin: stdin, MaxAge: time.Duration(o.MaxAge), AllowEmpty: o.AllowEmpty,
		Query: query,
	}
}

// UnreadInput says that somebody has piped a listing into a program that was not told to read it.
const UnreadInput = "there is a listing on standard input, which is read only with --input -"

// SeveralInstances reports whether the options ask for more than one instance.
func (o *Common) SeveralInstances() bool { return o.AllInstances || len(o.ConfigDirs) > 1 }

// Count counts how often an option is given.
type Count int

// UnmarshalText adds one, whatever the text.
func (c *Count) UnmarshalText([]byte) error {
	*c++
	return nil
}

// Duration is a time in seconds, or with one of the suffixes s, m, h, d, w.
type Duration time.Duration

// UnmarshalText reads a duration as units.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := units.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Directories are the configuration directories of instances.
type Directories []string

// UnmarshalText adds a directory. It cuts off trailing slashes: Postfix compares the name with those that main.cf
// lists, letter by letter.
func (d *Directories) UnmarshalText(text []byte) error {
	dir := string(text)
	if !strings.HasPrefix(dir, "/") {
		return fmt.Errorf(`invalid directory "%s": want an absolute path`, dir)
	}
	if dir = strings.TrimRight(dir, "/"); dir == "" {
		dir = "/"
	}
	if slices.Contains(*d, dir) {
		return fmt.Errorf("%s is given twice", dir)
	}
	*d = append(*d, dir)
	return nil
}

// Queues are lists of queues that count or, with a leading !, that do not.
type Queues []string

// UnmarshalText adds a list.
func (q *Queues) UnmarshalText(text []byte) error {
	var known []string
	for _, name := range queue.Names() {
		known = append(known, string(name))
	}
	names, _ := strings.CutPrefix(string(text), "!")
	for name := range strings.SplitSeq(names, ",") {
		if !slices.Contains(known, name) {
			return suggest.Unknown("queue", name, known, known)
		}
	}
	*q = append(*q, string(text))
	return nil
}

func (q Queues) names() []queue.Name {
	if len(q) == 0 {
		return nil
	}
	var wanted, unwanted []string
	for _, list := range q {
		if names, ok := strings.CutPrefix(list, "!"); ok {
			unwanted = append(unwanted, strings.Split(names, ",")...)
		} else {
			wanted = append(wanted, strings.Split(list, ",")...)
		}
	}
	return slices.DeleteFunc(queue.Names(), func(name queue.Name) bool {
		return wanted != nil && !slices.Contains(wanted, string(name)) || slices.Contains(unwanted, string(name))
	})
}
