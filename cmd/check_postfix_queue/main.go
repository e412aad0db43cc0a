// Check_postfix_queue compares a Postfix mail queue with thresholds, as a plugin of Nagios, Icinga and NRPE.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/deliver"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/thresholds"
	"example.org/postfix-queue-monitor/internal/trend"
)

// version is stamped when the program is built by make.
var version string

//go:embed usage.txt
var usage string

func main() {
	cli.LimitMemory()
	stdout := deliver.NewOutput(os.Stdout, writeTimeout)
	os.Exit(cli.Run(func(ctx context.Context) (exitCode int) {
		return run(ctx, os.Args[1:], os.Stdin, stdout)
	}, int(check.Unknown)))
}

// writeTimeout is for whoever starts the check and does not read its answer. Together with --timeout it is less
// than the 10 seconds of check_nrpe.
const writeTimeout = time.Second

type options struct {
	Warning    thresholds.Rules     `arg:"-w,--warning"`
	Critical   thresholds.Rules     `arg:"-c,--critical"`
	Perfdata   queue.MetricPatterns `arg:"--perfdata"`
	NoFindings bool                 `arg:"--no-findings"`
	MaxOutput  maxOutput            `arg:"--max-output"`
	State      trend.File           `arg:"--state"`
	MailServer mailServer           `arg:"-M,--mailserver"`
	cli.Common
	checkMailqOptions
}

// run is the program: it writes the answer to stdout and returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout io.Writer) (exitCode int) {
	if err := queue.Guard(func() error { exitCode = answer(ctx, args, stdin, stdout); return nil }); err != nil {
		return check.Failed(queue.Safe(err.Error())).Write(stdout)
	}
	return exitCode
}

func answer(ctx context.Context, args []string, stdin *os.File, stdout io.Writer) (exitCode int) {
	opts := options{Common: cli.Defaults(), MaxOutput: check.MaxText}
	err := cli.Parse(args, &opts, &opts.Common)
	switch {
	case errors.Is(err, cli.ErrHelp):
		fmt.Fprint(stdout, usage) // the exit code is the same if this fails
		return int(check.Unknown)
	case errors.Is(err, cli.ErrVersion):
		v := cli.Version(version)
		fmt.Fprintf(stdout, "check_postfix_queue v%s (postfix-queue-monitor %s)\n", v, v)
		return int(check.Unknown)
	case err == nil:
		err = opts.complete()
	}
	if err != nil {
		return check.Failed(queue.Typed(err.Error())).Write(stdout)
	}

	ctx, cancel := opts.WithTimeout(ctx)
	defer cancel()
	judged := opts.judged()
	request := opts.Request(stdin, judged.Metrics())
	request.Breakdown = opts.Verbose >= check.DetailBreakdown
	if !opts.NoFindings {
		request.Findings = func(s *queue.Summary) bool { return check.MayAlert(s, judged) }
	}
	memory := &judged.Memory
	var now trend.Clock
	if memory.Used {
		now, memory.Err = trend.Now()
	}
	readings := source.ReadAll(ctx, request)
	if opts.Input == "" && source.HasListing(stdin) {
		return check.Failed(cli.UnreadInput).Write(stdout)
	}
	if memory.Used && memory.Err == nil {
		memory.Err = opts.remember(ctx, now, readings)
	}
	return check.Judge(readings, judged).Write(stdout)
}

// complete adds what options mean together, and returns an error if they contradict each other.
func (o *options) complete() error {
	if err := o.addDomainRules(); err != nil {
		return err
	}
	f := o.Filter()
	return cmp.Or(o.Warning.CheckFilter(f), o.Critical.CheckFilter(f), o.checkPerfdata(), o.checkState())
}

// judged returns how the readings are judged.
func (o *options) judged() check.Options {
	return check.Options{
		Warn: o.Warning, Crit: o.Critical, Filter: o.Filter(), Reasons: o.CountReasons, Detail: int(o.Verbose),
		Perfdata: o.Perfdata, MaxText: int(o.MaxOutput), LabelInstances: o.SeveralInstances(),
		Memory: check.Memory{Used: o.State != ""}, NoCommands: o.QueueDir != "",
	}
}

func (o *options) perfdata() queue.Selection {
	return queue.Selection{Filter: o.Filter(), Patterns: o.Perfdata, Reasons: o.CountReasons, Growth: o.State != ""}
}

func (o *options) checkPerfdata() error {
	if err := o.perfdata().Check(); err != nil {
		return fmt.Errorf("--perfdata: %w", err)
	}
	return nil
}

// maxOutput is the most text, in bytes.
type maxOutput int

// UnmarshalText reads a number of bytes. Below the least there is no room for line 1.
func (m *maxOutput) UnmarshalText(text []byte) error {
	const least, most = 1 << 10, 1 << 20
	n, err := strconv.Atoi(string(text))
	if err != nil || n < least || n > most {
		return fmt.Errorf(`invalid size "%s": want %d to %d bytes`, text, least, most)
	}
	*m = maxOutput(n)
	return nil
}

func (o *options) checkState() error {
	growth, _ := queue.Lookup(queue.FamilyGrowth)
	switch {
	case o.State == "" && (o.Warning.Mention(growth) || o.Critical.Mention(growth)):
		return errors.New("there is a threshold on growth, which takes several readings: add --state FILE")
	case o.State == "":
		return nil
	case !filepath.IsAbs(string(o.State)) || strings.HasSuffix(string(o.State), "/"):
		return fmt.Errorf(`invalid --state "%s": want the absolute path of a file`, o.State)
	case o.Input != "":
		return errors.New("--state excludes --input: growth is found by reading a queue again and again, not a file")
	}
	return nil
}

// remember puts the numbers of whole readings into the state file, and the growth that follows into their summaries.
func (o *options) remember(ctx context.Context, now trend.Clock, readings []queue.Reading) error {
	emails := map[trend.Key]int64{}
	key := func(r queue.Reading) trend.Key { return trend.NewKey(r.Instance, o.QueueDir, r.Summary.Filter) }
	for _, r := range readings {
		if r.Complete() {
			emails[key(r)] = r.Summary.Total.Messages
		}
	}
	if len(emails) == 0 {
		return nil
	}
	growth, err := o.State.Record(ctx, now, emails)
	for _, r := range readings {
		if !r.Complete() {
			continue
		}
		if g, known := growth[key(r)]; known {
			r.Summary.Growth = &g
		}
	}
	return err
}
