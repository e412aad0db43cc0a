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
	"time"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/deliver"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/thresholds"
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
	opts := options{Common: cli.Defaults()}
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
		err = cmp.Or(opts.Warning.CheckFilter(opts.Filter()), opts.Critical.CheckFilter(opts.Filter()), opts.checkPerfdata())
	}
	if err != nil {
		return check.Failed(queue.Typed(err.Error())).Write(stdout)
	}

	ctx, cancel := opts.WithTimeout(ctx)
	defer cancel()
	needReasons := opts.Warning.MentionReasons() || opts.Critical.MentionReasons() || opts.perfdata().NeedReasons()
	breakdown := opts.Verbose >= check.DetailBreakdown
	readings := source.ReadAll(ctx, opts.Request(stdin, needReasons, breakdown))
	if opts.Input == "" && source.HasListing(stdin) {
		return check.Failed(cli.UnreadInput).Write(stdout)
	}
	return check.Judge(readings, check.Options{
		Warn: opts.Warning, Crit: opts.Critical, Filter: opts.Filter(), Reasons: opts.CountReasons,
		Detail: int(opts.Verbose), Perfdata: opts.Perfdata, LabelInstances: opts.SeveralInstances(),
	}).Write(stdout)
}

func (o *options) perfdata() queue.Selection {
	return queue.Selection{Filter: o.Filter(), Patterns: o.Perfdata, Reasons: o.CountReasons}
}

func (o *options) checkPerfdata() error {
	if err := o.perfdata().Check(); err != nil {
		return fmt.Errorf("--perfdata: %w", err)
	}
	return nil
}
