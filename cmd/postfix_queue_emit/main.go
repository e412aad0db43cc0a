// Postfix_queue_emit reads a Postfix mail queue once and prints or sends its numbers, for Netdata, StatsD and
// other metrics systems.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/deliver"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
	"example.org/postfix-queue-monitor/internal/units"
)

// version is stamped when the program is built by make.
var version string

//go:embed usage.txt
var usage string

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // something was not read or not delivered
	exitUsage  = 2
)

func main() {
	cli.LimitMemory()
	stdout, stderr := deliver.NewOutput(os.Stdout, deliveryTimeout), deliver.NewOutput(os.Stderr, deliveryTimeout)
	os.Exit(cli.Run(func(ctx context.Context) (exitCode int) {
		return run(ctx, os.Args[1:], os.Stdin, stdout, stderr)
	}, exitFailed))
}

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) (exitCode int) {
	p := &program{stdout: stdout, stderr: stderr}
	if err := queue.Guard(func() error { exitCode = p.run(ctx, args, stdin); return nil }); err != nil {
		p.complain(queue.Safe(err.Error()))
		return exitFailed
	}
	return exitCode
}

type program struct{ stdout, stderr io.Writer }

// complain writes an error message. If nobody can read it, the exit code alone has to do.
func (p *program) complain(text queue.Text) {
	fmt.Fprintf(p.stderr, "postfix_queue_emit: %s\n", text)
}

// print answers an option that asks for text.
func (p *program) print(ctx context.Context, text string) (exitCode int) {
	if err := p.toStdout(ctx, text); err != nil {
		p.complain(queue.Safe(err.Error()))
		return exitFailed
	}
	return exitDone
}

func (p *program) toStdout(ctx context.Context, text string) error {
	return deliver.Stdout{Writer: p.stdout}.Send(ctx, []byte(text))
}

func (p *program) run(ctx context.Context, args []string, stdin *os.File) (exitCode int) {
	opts, err := parseOptions(args)
	switch {
	case errors.Is(err, cli.ErrHelp):
		return p.print(ctx, usage)
	case errors.Is(err, cli.ErrVersion):
		v := cli.Version(version)
		return p.print(ctx, fmt.Sprintf("postfix_queue_emit v%s (postfix-queue-monitor %s)\n", v, v))
	}
	var target deliver.Target
	if err == nil {
		target, err = opts.target(p.stdout, os.Getenv)
	}
	if err != nil {
		p.complain(queue.Typed(err.Error()))
		return exitUsage
	}

	readings := opts.read(ctx, stdin)
	if opts.Input == "" && source.HasListing(stdin) {
		p.complain(cli.UnreadInput)
		return exitUsage
	}
	exitCode = p.report(readings, &opts)
	interrupted := exitCode != exitDone && ctx.Err() != nil // that is not the instance's failure: it may be up
	if opts.Check || interrupted {
		return exitCode
	}
	document := opts.Format.Encode(readings, opts.emitOptions(len(readings) > 1))
	if err := p.deliver(ctx, target, document, opts.DryRun); err != nil {
		p.complain(queue.Safe(err.Error()))
		return exitFailed
	}
	return exitCode
}

// read reads what the options ask for.
func (o *options) read(ctx context.Context, stdin *os.File) []queue.Reading {
	ctx, cancel := o.WithTimeout(ctx)
	defer cancel()
	request := o.Request(stdin, o.selection().Metrics())
	request.IDs, request.Breakdown = o.Format.IDs, o.Breakdown
	request.Reasons = request.Reasons || o.Breakdown
	if o.Format.Snapshot {
		request.Tops, request.Findings = true, func(*queue.Summary) bool { return true }
	}
	if !o.looksTwice() {
		request.Stuck = 0
	}
	readings := source.ReadAll(ctx, request)
	// Only now is it known how many instances a snapshot has.
	if several := len(readings) > 1; several && (o.Name != "" || o.Format.Bare || o.Format.IDs) {
		err := o.oneInstanceOnly()
		if o.Name != "" {
			err = errors.New("--name names one instance")
		}
		err = fmt.Errorf("%w; the input has %d", err, len(readings))
		return []queue.Reading{{Instance: queue.Instance{Name: o.Name}, Err: err}}
	}
	if o.Name != "" {
		readings[0].Instance.Name = o.Name
	}
	return readings
}

// report prints what is wrong with the readings and, with -v, what was read. It returns the exit code for them.
func (p *program) report(readings []queue.Reading, o *options) (exitCode int) {
	for _, r := range readings {
		for _, err := range o.problems(r) {
			if len(readings) > 1 {
				err = fmt.Errorf("%s: %w", r.Instance.Name, err)
			}
			p.complain(queue.Safe(err.Error()))
			exitCode = exitFailed
		}
		if o.Verbose > 0 && r.Summary != nil {
			for _, line := range describeReading(r) {
				fmt.Fprintln(p.stderr, queue.Safe(line))
			}
		}
	}
	return exitCode
}

// problems returns what is wrong with a reading: that mail does not move, if that is what was asked, and why numbers
// are missing.
func (o *options) problems(r queue.Reading) (list []error) {
	saysUp := o.Format.Up || slices.Contains(o.Metrics, queue.FamilyUp)
	if r.Summary != nil && (o.Check || saysUp && !r.Up()) {
		for _, t := range r.Summary.Troubles {
			if t.Severity > queue.Remark {
				list = append(list, fmt.Errorf("%s; %s", t.Text(r.Summary.Taken), t.Remedy()))
			}
		}
	}
	if err := o.incomplete(r); err != nil {
		list = append(list, err)
	}
	return list
}

func (o *options) incomplete(r queue.Reading) error {
	if down := r.Down(); down != nil {
		return down
	}
	switch {
	case r.Complete() && o.Format.Snapshot:
		return nil
	case r.Complete() && o.Format.IDs && r.Summary.IDs == nil:
		return errors.New("the queue ID of a message is not known: a snapshot has none, and they must be as Postfix writes them")
	case r.Complete() && o.Format.IDs:
		return nil
	case r.Complete():
		return o.selection().Missing(r.Summary)
	case r.Summary != nil && errors.Is(r.Err, context.DeadlineExceeded):
		return fmt.Errorf("the queue could not be read within %s; raise --timeout", units.Seconds.FormatExact(time.Duration(o.Timeout).Seconds()))
	default:
		return r.Err
	}
}

// deliveryTimeout is for a receiver that does not answer, a disk that hangs, and outputs that nobody reads.
const deliveryTimeout = 2 * time.Second

// deliver sends the document, or shows what would be sent. It has its own deadline: reading may have used up the
// other one.
func (p *program) deliver(ctx context.Context, target deliver.Target, document []byte, dryRun bool) error {
	switch {
	case len(document) == 0:
		return nil
	case dryRun:
		how := strconv.Itoa(len(document)) + " bytes"
		if _, ok := target.(deliver.Datagram); ok {
			how += " in " + units.Plural(int64(len(deliver.Datagrams(document))), "datagram")
		}
		return p.toStdout(ctx, fmt.Sprintf("# %s would go to %s:\n%s", how, target, document))
	}
	limited, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	err := target.Send(limited, document)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("cannot send to %s: %w", target, context.Cause(ctx))
	}
	return err
}

func describeReading(r queue.Reading) []string {
	s := r.Summary
	var facts []string
	// No count is not a count of 0. A snapshot has one although nothing was visited.
	if s.Visited > 0 || s.Total.Messages > 0 || !s.Partial && s.Down == "" {
		size := units.FormatSize(s.Total.SizeBytes)
		if s.Partial {
			size += " (a lower bound)"
		}
		facts = append(facts, units.Plural(s.Total.Messages, "email")+", "+size)
	}
	if s.Unreadable > 0 {
		facts = append(facts, units.Plural(s.Unreadable, "line")+" unreadable")
	}
	if s.Unseen != "" {
		facts = append(facts, "cannot see whether Postfix runs: "+s.Unseen)
	}
	lines := r.Trace()
	if len(facts) > 0 {
		lines[0] = strings.Join(facts, ", ") + "; " + lines[0]
	}
	for i := range lines {
		lines[i] = r.Instance.Name + ": " + lines[i]
	}
	return lines
}
