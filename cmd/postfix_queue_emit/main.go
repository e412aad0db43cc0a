// Postfix_queue_emit reads a Postfix mail queue once and prints or sends its
// numbers, for Netdata, StatsD and other metrics systems.
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
	"strconv"
	"strings"
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
	target, err := opts.target(stdout, os.Getenv)
	if err != nil {
		complain(err)
		return exitUsage
	}

	reading, cancel := context.WithTimeout(ctx, time.Duration(opts.Timeout))
	readings := opts.read(reading, stdin)
	cancel()
	for i := range readings {
		r := &readings[i]
		if err := opts.fault(r); err != nil {
			if len(readings) > 1 {
				err = fmt.Errorf("%s: %w", r.Instance.Name, err)
			}
			complain(err)
			exitCode = exitFailed
		}
		if opts.Verbose > 0 && r.Summary != nil {
			for _, line := range describe(*r) {
				fmt.Fprintln(stderr, queue.Safe(line))
			}
		}
	}
	if opts.Check {
		return exitCode
	}
	document := format(readings, opts.emitOptions(len(readings) > 1))
	// Reading may have used up its time, and for others that is no reason.
	delivery, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	if err := opts.deliver(delivery, stdout, target, document); err != nil {
		complain(err)
		return exitFailed
	}
	return exitCode
}

// deliveryTimeout is for a receiver that is not there.
const deliveryTimeout = 2 * time.Second

func (o *options) read(ctx context.Context, stdin *os.File) []queue.Reading {
	readings := source.ReadAll(ctx, source.Request{
		ConfigDirs:   o.ConfigDirs,
		AllInstances: o.AllInstances,
		Source:       o.Source,
		QueueDir:     o.QueueDir,
		Input:        o.Input,
		Stdin:        stdin,
		MaxAge:       time.Duration(o.MaxAge),
		AllowEmpty:   o.AllowEmpty,
		Query:        queue.Query{Filter: o.Filter(), Reasons: o.countsReasons(), Breakdown: o.Breakdown},
	})
	switch {
	case len(readings) > 1 && o.Name != "": // in a snapshot
		return o.refused(fmt.Errorf("--name names one instance, and the input has %d; they have names of their own", len(readings)))
	case len(readings) > 1 && o.Format == "value":
		return o.refused(fmt.Errorf("--format value has room for one instance, for its numbers do not say what they are of, and the input has %d; use another format", len(readings)))
	case o.Name != "":
		readings[0].Instance.Name = o.Name
	}
	return readings
}

// refused is the answer where what was read cannot be what was asked for.
func (o *options) refused(err error) []queue.Reading {
	return []queue.Reading{{Instance: queue.Instance{Name: o.Name}, Err: err}}
}

// fault says what is wrong with a reading. One that has nothing that is asked
// for has failed, too.
func (o *options) fault(r *queue.Reading) error {
	if err := failure(*r, time.Duration(o.Timeout)); err != nil {
		return err
	}
	usable, missing := o.unknown(r.Summary)
	if !usable {
		r.Err = missing
	}
	return missing
}

// failure says why the numbers of a reading may not be passed on.
func failure(r queue.Reading, timeout time.Duration) error {
	switch {
	case r.Complete():
		return nil
	case r.Summary != nil && r.Summary.Down != "":
		return &source.DownError{Reason: r.Summary.Down, Instance: r.Instance}
	case r.Summary != nil && errors.Is(r.Err, context.DeadlineExceeded):
		return fmt.Errorf("the queue could not be read within %s; raise --timeout", timeout)
	default:
		return r.Err
	}
}

// target returns where the document is to go.
func (o *options) target(stdout io.Writer, getenv func(string) string) (emit.Target, error) {
	to := o.To
	if to == "udp://" {
		switch {
		case o.Format != "statsd":
			return nil, fmt.Errorf("--to udp:// alone is where StatsD listens; for the format %s it is udp://HOST:PORT", o.Format)
		case o.TagStyle == emit.TagsDatadog:
			to = cmp.Or(emit.DatadogTarget(getenv), to)
		}
	}
	target, err := emit.ParseTarget(to, stdout, getenv)
	if err != nil && to != o.To {
		err = fmt.Errorf("the environment says where DogStatsD listens: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if _, ok := target.(emit.Datagram); ok && !emit.IsDivisible(o.Format) {
		return nil, fmt.Errorf("--to %s: the format %s is one document, which datagrams would take apart; tcp://HOST:PORT and unix:///PATH are streams", target, o.Format)
	}
	if file, ok := target.(emit.File); ok && o.Breakdown {
		target = emit.PrivateFile{File: file}
	}
	return target, nil
}

// deliver sends the document, or shows it where nothing is to be sent.
func (o *options) deliver(ctx context.Context, stdout io.Writer, target emit.Target, document []byte) error {
	switch {
	case len(document) == 0:
		return nil
	case o.DryRun:
		how := strconv.Itoa(len(document)) + " bytes"
		if _, ok := target.(emit.Datagram); ok {
			how += fmt.Sprintf(" in %d datagram(s)", len(emit.Datagrams(document)))
		}
		_, err := fmt.Fprintf(stdout, "# %s would go to %s:\n%s", how, target, document)
		return err
	default:
		return target.Send(ctx, document)
	}
}

// describe says what was read, and how.
func describe(r queue.Reading) []string {
	s := r.Summary
	var facts []string
	// What was not counted is no number. A snapshot has one all the same.
	if s.Visited > 0 || s.Total.Messages > 0 || !s.Partial && s.Down == "" {
		size := thresholds.FormatSize(s.Total.SizeBytes)
		if s.Partial {
			size += " (a lower bound)"
		}
		facts = append(facts, count(s.Total.Messages, "email")+", "+size)
	}
	if s.Unreadable > 0 {
		facts = append(facts, count(s.Unreadable, "line")+" unreadable")
	}
	text := strings.Join(facts, ", ")
	if text != "" {
		text += "; "
	}
	lines := []string{fmt.Sprintf("%s: %ssource %s: %s, %.3f s", r.Instance.Name, text, s.Source, s.Detail, r.Took.Seconds())}
	for _, a := range r.PassedOver {
		lines = append(lines, fmt.Sprintf("%s: not %s: %v", r.Instance.Name, a.Source, a.Err))
	}
	return lines
}

func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
