// Postfix_queue_emit reads a Postfix mail queue once and prints or sends its
// numbers, for Netdata, StatsD and other metrics systems.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// version is set when the program is built.
var version = "0.0.0"

//go:embed usage.txt
var usage string

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // nothing, or not everything, was read and delivered
	exitUsage  = 2
)

func main() {
	cli.LimitRuntime()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) (exitCode int) {
	complain := func(err error) {
		fmt.Fprintf(stderr, "postfix_queue_emit: %s\n", queue.Safe(err.Error()))
	}
	defer func() {
		if p := recover(); p != nil {
			complain(fmt.Errorf("internal error: %v; please report it", p))
			exitCode = exitFailed
		}
	}()

	opts, err := parseOptions(args)
	switch {
	case errors.Is(err, cli.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitDone
	case errors.Is(err, cli.ErrVersion):
		fmt.Fprintf(stdout, "postfix_queue_emit v%s (postfix-queue-monitor %s)\n", version, version)
		return exitDone
	case err != nil:
		complain(err)
		return exitUsage
	}
	format, err := emit.LookupFormat(opts.Format)
	if err != nil {
		complain(err)
		return exitUsage
	}
	target, err := emit.ParseTarget(opts.To, stdout, os.Getenv)
	if err != nil {
		complain(err)
		return exitUsage
	}

	ctx, cancel := context.WithTimeout(ctx, time.Duration(opts.Timeout))
	defer cancel()
	readings, failures := opts.read(ctx, stdin)
	for _, err := range failures {
		complain(err)
		exitCode = exitFailed
	}
	if opts.Verbose > 0 {
		for _, r := range readings {
			fmt.Fprintln(stderr, queue.Safe(describe(r)))
		}
	}
	if opts.Check {
		return exitCode
	}
	document := format(readings, opts.emitOptions())
	switch {
	case len(document) == 0 && len(readings) > 0:
		err = errors.New("none of the metrics that are asked for is known from this source")
	case len(document) == 0:
	case opts.DryRun:
		err = printDryRun(stdout, target, document)
	default:
		err = target.Send(ctx, document)
	}
	if err != nil {
		complain(err)
		exitCode = exitFailed
	}
	return exitCode
}

// read returns the complete readings of running mail systems, and what became
// of the others.
func (o *options) read(ctx context.Context, stdin *os.File) (readings []queue.Reading, failures []error) {
	all := source.ReadAll(ctx, source.Request{
		ConfigDirs: o.ConfigDirs,
		Input:      o.Input,
		Stdin:      stdin,
		MaxAge:     time.Duration(o.MaxAge),
		AllowEmpty: o.AllowEmpty,
		Filter:     o.Queues.Filter(),
	})
	for _, r := range all {
		if o.Name != "" {
			r.Instance.Name = o.Name
		}
		err := r.Err
		switch {
		case r.Summary != nil && r.Summary.Down != "":
			err = &source.DownError{Reason: r.Summary.Down}
		case errors.Is(err, context.DeadlineExceeded):
			err = fmt.Errorf("the queue could not be read within %s; raise --timeout", time.Duration(o.Timeout))
		}
		switch {
		case err == nil:
			readings = append(readings, r)
		case len(all) > 1:
			failures = append(failures, fmt.Errorf("%s: %w", r.Instance.Name, err))
		default:
			failures = append(failures, err)
		}
	}
	return readings, failures
}

// describe says what was read, and how.
func describe(r queue.Reading) string {
	s := r.Summary
	text := fmt.Sprintf("%s: %d emails, %s", r.Instance.Name, s.Total.Messages, thresholds.FormatSize(s.Total.SizeBytes))
	if s.Unreadable > 0 {
		text += fmt.Sprintf(", %d lines unreadable", s.Unreadable)
	}
	return fmt.Sprintf("%s; source %s: %s, %.3f s", text, s.Source, s.Detail, r.Took.Seconds())
}

func printDryRun(w io.Writer, target emit.Target, document []byte) error {
	how := strconv.Itoa(len(document)) + " bytes"
	if !target.IsStdout() {
		how += fmt.Sprintf(" in %d datagram(s)", len(emit.Datagrams(document)))
	}
	_, err := fmt.Fprintf(w, "# %s would go to %s:\n%s", how, target, document)
	return err
}
