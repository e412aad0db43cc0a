package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Request says what is to be read, and how.
type Request struct {
	ConfigDirs   []string // one instance each; empty: the default instance
	AllInstances bool     // those that are enabled, instead
	Source       string   // the name of a source, or AutoName
	QueueDir     string   // read this directory, with no program of Postfix
	Input        string   // read this listing or snapshot instead; "-" is Stdin
	Stdin        *os.File
	MaxAge       time.Duration // of Input; 0: any
	AllowEmpty   bool          // an empty Input is an empty queue
	queue.Query
}

// LocalName is the name of an instance that has none of its own.
const LocalName = "local"

// ReadAll reads every instance that the request names, side by side, and
// returns a reading for each, in the request's order. It returns soon after
// ctx ends, whatever the disk does.
func ReadAll(ctx context.Context, req Request) []queue.Reading {
	if req.Input != "" {
		in := &input{path: req.Input, stdin: req.Stdin, maxAge: req.MaxAge, allowEmpty: req.AllowEmpty}
		readings, err := inTime(ctx, func() ([]queue.Reading, error) { return in.read(ctx, req.Query), nil })
		if err != nil {
			return failed(err)
		}
		return readings
	}
	instances, err := inTime(ctx, func() ([]queue.Instance, error) { return req.instances(ctx) })
	if err != nil {
		return failed(err)
	}
	readings := make([]queue.Reading, len(instances))
	var wg sync.WaitGroup
	for i, instance := range instances {
		wg.Go(func() {
			r, err := inTime(ctx, func() (queue.Reading, error) { return req.read(ctx, instance, len(instances)-1), nil })
			if err != nil {
				r = queue.Reading{Instance: instance, Err: err}
			}
			readings[i] = r
		})
	}
	wg.Wait()
	return readings
}

// failed is the answer where it is not even known what there is to be read.
func failed(err error) []queue.Reading {
	return []queue.Reading{{Instance: queue.Instance{Name: LocalName}, Err: err}}
}

// stuckAfter is how long after the end of the context an answer is waited for
// that a cancelled reading would give at once.
const stuckAfter = time.Second

// inTime returns what read returns, or an error: if read panics, and if it does
// not return although ctx has ended. It then hangs in the kernel, as on a dead
// disk, where nothing but the end of the program can end it.
func inTime[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		if err := guard(func() { a.value, a.err = read() }); err != nil {
			a.err = err
		}
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-time.After(stuckAfter):
		var none T
		return none, fmt.Errorf("reading did not end in time (%w); the disk may hang: look into the kernel log", context.Cause(ctx))
	}
}

// read reads one instance with the first source that works.
func (req Request) read(ctx context.Context, instance queue.Instance, siblings int) (r queue.Reading) {
	start := time.Now()
	defer func() {
		r.Instance = instance
		r.Took = time.Since(start)
	}()
	if req.QueueDir != "" {
		return summarize(ctx, &Spool{QueueDir: req.QueueDir}, req.Query)
	}
	sources, passedOver, err := postfix{configDir: instance.ConfigDir}.candidates(ctx, req.Source, siblings)
	if err != nil {
		return queue.Reading{Err: err}
	}
	for i, src := range sources {
		r = summarize(ctx, src, req.Query)
		if i == len(sources)-1 || isFinal(ctx, r.Err) {
			break
		}
		passedOver = append(passedOver, queue.Attempt{Source: src.Name(), Err: r.Err})
	}
	r.PassedOver = passedOver
	return r
}

func summarize(ctx context.Context, src queue.Source, q queue.Query) queue.Reading {
	summary, err := queue.Summarize(ctx, src, q)
	return queue.Reading{Summary: summary, Err: err}
}

// guard calls f and turns a panic into an error: in a goroutine it would end
// the program with the exit status of CRITICAL.
func guard(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v; please report it", p)
		}
	}()
	f()
	return nil
}

// instances returns the instances that are asked for, with names that tell
// them apart.
func (req Request) instances(ctx context.Context) ([]queue.Instance, error) {
	var list []queue.Instance
	switch {
	case req.AllInstances:
		var err error
		if list, err = enabledInstances(ctx); err != nil {
			return nil, err
		}
	case len(req.ConfigDirs) == 0:
		return []queue.Instance{{Name: LocalName}}, nil
	default:
		for _, dir := range req.ConfigDirs {
			list = append(list, queue.Instance{Name: postfix{configDir: dir}.ownName(ctx), ConfigDir: dir})
		}
	}
	for i := range list {
		switch {
		case list[i].Name != "":
		case len(list) == 1:
			list[i].Name = LocalName
		default:
			list[i].Name = filepath.Base(list[i].ConfigDir)
		}
	}
	for i, a := range list {
		for _, b := range list[:i] {
			if a.Label() == b.Label() {
				return nil, &SameNameError{a, b}
			}
		}
	}
	return list, nil
}

// enabledInstances returns the instances that postmulti lists and does not
// call disabled. Where it fails, as it does when the main.cf of one of them is
// missing, they are those that the default instance's main.cf names.
func enabledInstances(ctx context.Context) ([]queue.Instance, error) {
	c, err := postfix{}.command(ctx, "postmulti", "-l")
	var lines []string
	if err == nil {
		lines, err = c.output(ctx)
	}
	if err == nil && len(lines) > 0 {
		return parsePostmulti(lines)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	values, settingsErr := postfix{}.settings(ctx, "config_directory", "multi_instance_directories")
	if settingsErr != nil {
		return nil, settingsErr
	}
	dirs := strings.FieldsFunc(values[0]+" "+values[1], func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	var list []queue.Instance
	for i, dir := range dirs {
		p := postfix{configDir: dir}
		// The default instance is always enabled; one whose main.cf is gone is
		// to be noticed.
		if enabled, err := p.plainSetting("multi_instance_enable", "no"); err == nil && i > 0 && enabled != "yes" {
			continue
		}
		list = append(list, queue.Instance{Name: nameOf(i, p.ownName(ctx)), ConfigDir: dir})
	}
	return list, nil
}

// nameOf returns the name of the i-th instance: the first is the default one,
// which needs none of its own.
func nameOf(i int, own string) string {
	if i == 0 && own == "" {
		return LocalName
	}
	return own
}

// parsePostmulti reads what postmulti -l prints: name, group, whether the
// instance is enabled, and its directory, - where there is none.
func parsePostmulti(lines []string) ([]queue.Instance, error) {
	var list []queue.Instance
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 4 || !filepath.IsAbs(fields[3]) {
			return nil, fmt.Errorf("postmulti -l prints a line that is no instance: %s", line)
		}
		if fields[2] != "y" {
			continue
		}
		list = append(list, queue.Instance{Name: nameOf(i, strings.TrimPrefix(fields[0], "-")), ConfigDir: fields[3]})
	}
	if len(list) == 0 {
		return nil, errors.New("postmulti lists no instance that is enabled; enable one: postmulti -i NAME -e enable")
	}
	return slices.Clip(list), nil
}

// SameNameError says that the metrics of two instances could not be told
// apart.
type SameNameError struct{ A, B queue.Instance }

func (e *SameNameError) Error() string {
	return fmt.Sprintf("the instances %s and %s have the same name in metrics, %s; set multi_instance_name in their main.cf",
		e.A.ConfigDir, e.B.ConfigDir, e.A.Label())
}
