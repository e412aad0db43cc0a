// Check_postfix_queue compares a Postfix mail queue with thresholds, as a
// plugin of Nagios, Icinga and NRPE.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// version is set when the program is built.
var version = "0.0.0"

//go:embed usage.txt
var usage string

func main() {
	cli.LimitRuntime()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	os.Exit(code)
}

type options struct {
	Warning    thresholds.Rules `arg:"-w,--warning"`
	Critical   thresholds.Rules `arg:"-c,--critical"`
	MailServer mailServer       `arg:"-M,--mailserver"`
	cli.Common
	refused
}

// run is the program: it writes the answer to stdout and returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout io.Writer) (exitCode int) {
	defer func() {
		if p := recover(); p != nil {
			exitCode = check.Failed(fmt.Errorf("internal error: %v; please report it", p)).Write(stdout)
		}
	}()

	opts := options{Common: cli.Defaults()}
	err := cli.Parse(args, &opts, &opts.Common)
	switch {
	case errors.Is(err, cli.ErrHelp):
		fmt.Fprint(stdout, usage)
		return int(check.Unknown)
	case errors.Is(err, cli.ErrVersion):
		fmt.Fprintf(stdout, "check_postfix_queue v%s (postfix-queue-monitor %s)\n", version, version)
		return int(check.Unknown)
	case err == nil:
		err = cmp.Or(opts.Warning.CheckFilter(opts.Filter()), opts.Critical.CheckFilter(opts.Filter()))
	}
	if err != nil {
		return check.Failed(err).Write(stdout)
	}

	ctx, cancel := context.WithTimeout(ctx, time.Duration(opts.Timeout))
	defer cancel()
	readings := source.ReadAll(ctx, source.Request{
		ConfigDirs:   opts.ConfigDirs,
		AllInstances: opts.AllInstances,
		Source:       opts.Source,
		QueueDir:     opts.QueueDir,
		Input:        opts.Input,
		Stdin:        stdin,
		MaxAge:       time.Duration(opts.MaxAge),
		AllowEmpty:   opts.AllowEmpty,
		Query: queue.Query{
			Filter:    opts.Filter(),
			Reasons:   opts.CountReasons || opts.Warning.NameReasons() || opts.Critical.NameReasons(),
			Breakdown: opts.Verbose >= check.DetailBreakdown,
		},
	})
	return check.Judge(readings, check.Options{
		Warn:    opts.Warning,
		Crit:    opts.Critical,
		Reasons: opts.CountReasons,
		Detail:  int(opts.Verbose),
		Named:   opts.AllInstances || len(opts.ConfigDirs) > 1,
	}).Write(stdout)
}
