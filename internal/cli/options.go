// Package cli has the command line options that both programs share, and reads
// command lines as people type them.
package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alexflint/go-arg"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// What was asked for instead of the program's work.
var (
	ErrHelp    = errors.New("help was asked for")
	ErrVersion = errors.New("the version was asked for")
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
	Recipients   queue.Patterns `arg:"--recipient"`
	Reasons      queue.Patterns `arg:"--reason"`
	OlderThan    Duration       `arg:"--older-than"`
	CountReasons bool           `arg:"--by-reason"`
	Timeout      Duration       `arg:"-t,--timeout"`
	Verbose      Count          `arg:"-v,--verbose"`
	Help         bool           `arg:"-h,--help"`
	Version      bool           `arg:"-V,--version"`
}

// Defaults returns the options as they are where nothing is said.
func Defaults() Common {
	return Common{
		Source:  "auto",
		MaxAge:  Duration(5 * time.Minute),
		Timeout: Duration(8 * time.Second),
	}
}

// Parse reads the arguments into options, a pointer to a struct with arg tags
// that has Common, as common, embedded. The error is ErrHelp or ErrVersion, or
// says what is wrong with the arguments.
func Parse(args []string, options any, common *Common) error {
	normal, err := normalize(args, Options(options))
	if errors.Is(err, errHelpAsked) {
		return ErrHelp
	}
	if err != nil {
		return err
	}
	parser, err := arg.NewParser(arg.Config{Program: "program", IgnoreEnv: true, IgnoreDefault: true}, options)
	if err != nil {
		return err
	}
	if err := parser.Parse(normal); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "error processing "))
	}
	if common.Version {
		return ErrVersion
	}
	return common.check()
}

// Sources returns the names that --source takes.
func Sources() []string { return []string{"auto", "postqueue", "showq", "spool"} }

func (o *Common) check() error {
	switch {
	case !slices.Contains(Sources(), o.Source):
		return fmt.Errorf("there is no source %s; there are %s", o.Source, strings.Join(Sources(), ", "))
	case o.Input != "" && (o.Source != "auto" || o.QueueDir != "" || o.AllInstances || len(o.ConfigDirs) > 0):
		return errors.New("--input goes without --config-dir, --all-instances, --source and --queue-directory: a file is read, or a queue")
	case o.AllInstances && len(o.ConfigDirs) > 0:
		return errors.New("--all-instances and --config-dir exclude each other")
	case o.QueueDir != "" && (o.AllInstances || len(o.ConfigDirs) > 0):
		return errors.New("--queue-directory goes without --config-dir and --all-instances: it is one queue, whatever Postfix says")
	case o.QueueDir != "" && o.Source != "auto" && o.Source != "spool":
		return fmt.Errorf("--queue-directory is read by the source spool, not by %s", o.Source)
	case o.QueueDir != "" && !strings.HasPrefix(o.QueueDir, "/"):
		return fmt.Errorf("--queue-directory %s is not an absolute path", o.QueueDir)
	case o.Input == "" && o.AllowEmpty:
		return errors.New("--allow-empty goes with --input")
	case o.Timeout <= 0:
		return errors.New("--timeout must be more than 0 seconds")
	}
	if err := o.Queues.check(); err != nil {
		return err
	}
	if o.CountReasons && !o.Filter().Covers(queue.Deferred) {
		return errors.New("--by-reason counts deferred mail, and --queue leaves it out")
	}
	return nil
}

// Filter returns the filter that the options make up together.
func (o *Common) Filter() queue.Filter {
	return queue.Filter{
		Queues:     o.Queues.names(),
		Senders:    o.Senders,
		Recipients: o.Recipients,
		Reasons:    o.Reasons,
		OlderThan:  time.Duration(o.OlderThan),
	}
}

// Count counts how often an option is given.
type Count int

// UnmarshalText adds one, whatever the text.
func (c *Count) UnmarshalText([]byte) error {
	*c++
	return nil
}

// Duration is a time in seconds, or with one of the suffixes s, m, h, d, w.
type Duration time.Duration

// UnmarshalText reads a duration as thresholds.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := thresholds.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Directories are the configuration directories of instances.
type Directories []string

// UnmarshalText adds a directory. It loses trailing slashes: Postfix compares
// the name with those that main.cf lists, letter by letter.
func (d *Directories) UnmarshalText(text []byte) error {
	dir := string(text)
	if !strings.HasPrefix(dir, "/") {
		return fmt.Errorf("%s is not an absolute path", dir)
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

// Queues are lists of queues to look at, or, those that begin with !, to leave
// out.
type Queues []string

// UnmarshalText adds a list.
func (q *Queues) UnmarshalText(text []byte) error {
	names, _ := strings.CutPrefix(string(text), "!")
	for name := range strings.SplitSeq(names, ",") {
		if !slices.Contains(queue.Names(), queue.Name(name)) {
			return fmt.Errorf("there is no queue %s; there are %s", name, queue.Filter{Queues: queue.Names()}.List())
		}
	}
	*q = append(*q, string(text))
	return nil
}

// names returns the queues to look at in alphabetical order, nil where all are.
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
	looked := []queue.Name{}
	for _, name := range queue.Names() {
		if (wanted == nil || slices.Contains(wanted, string(name))) && !slices.Contains(unwanted, string(name)) {
			looked = append(looked, name)
		}
	}
	return looked
}

func (q Queues) check() error {
	if names := q.names(); names != nil && len(names) == 0 {
		return fmt.Errorf("--queue %s leaves no queue to look at", strings.Join(q, " --queue "))
	}
	return nil
}
