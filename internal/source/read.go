// Package source asks Postfix for the queue of an instance, or reads a listing that was made elsewhere, and gives
// the messages to package queue.
//
// ReadAll is the way in. Every error says what was attempted, what happened and what mends it.
package source

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// Request says what to read, and how.
type Request struct {
	ConfigDirs   []string // one instance each; empty: the default instance
	AllInstances bool     // every enabled instance, instead
	Source       string   // one of Names
	QueueDir     string   // read this directory, without any program of Postfix
	Input        string   // read this listing or snapshot instead; "-" is Stdin
	Stdin        *os.File
	MaxAge       time.Duration // of Input; 0: any
	AllowEmpty   bool          // an empty Input is an empty queue
	queue.Query

	programDirs []string // where Postfix's programs are; nil: the usual directories
}

// LocalName is the name of an instance that has none of its own.
const LocalName = "local"

// ReadAll reads every instance that the request names, all at the same time, and returns a reading for each in
// the order of the request. It returns soon after ctx ends, even if a disk hangs.
func ReadAll(ctx context.Context, req Request) []queue.Reading {
	setProcessors(1)
	if req.Input != "" {
		in := &input{path: req.Input, stdin: req.Stdin, maxAge: req.MaxAge, allowEmpty: req.AllowEmpty}
		readings, err := inTime(ctx, func() ([]queue.Reading, error) { return in.readings(ctx, req.Query) })
		if err != nil {
			return []queue.Reading{{Instance: queue.Instance{Name: LocalName}, Err: err}}
		}
		return readings
	}
	instances, err := inTime(ctx, func() ([]queue.Instance, error) { return req.instances(ctx) })
	if err != nil {
		return []queue.Reading{{Instance: queue.Instance{Name: LocalName}, Err: err}}
	}
	maxOpenFiles := openFileLimit() / len(instances)
	readings := make([]queue.Reading, len(instances))
	var wg sync.WaitGroup
	for i, instance := range instances {
		wg.Go(func() {
			start := time.Now()
			r, err := inTime(ctx, func() (queue.Reading, error) { return req.read(ctx, instance, maxOpenFiles) })
			if err != nil {
				r = queue.Reading{Err: err}
			}
			r.Instance, r.Took = instance, time.Since(start)
			readings[i] = r
		})
	}
	wg.Wait()
	return readings
}

// setProcessors sets how many processors the program uses, and nothing else does. One is enough for a listing,
// and keeps memory small. The workers of a spool wait in the kernel, where each occupies one.
func setProcessors(n int) { runtime.GOMAXPROCS(min(n, runtime.NumCPU())) }

func openFileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256 // every system allows that
	}
	return int(min(limit.Cur, 1<<20))
}

// stuckAfter is how long to wait, after the end of the context, for an answer that a cancelled reading gives at
// once.
const stuckAfter = time.Second

// inTime returns what read returns. It returns an error if read panics, and if it does not return although ctx
// has ended: it then hangs in the kernel, as on a dead disk, which only the end of the program can end.
func inTime[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = queue.Guard(func() (err error) { a.value, err = read(); return err })
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
		return none, &hangError{context.Cause(ctx)}
	}
}

// hangError says that reading did not end although its context had.
type hangError struct{ cause error }

func (e *hangError) Error() string {
	when := "in time"
	if !errors.Is(e.cause, context.DeadlineExceeded) {
		when = "when it was " + e.cause.Error()
	}
	return "reading did not end " + when + "; the disk may hang (look into the kernel log), or one message is very long"
}

func (e *hangError) Unwrap() error { return e.cause }

// read reads one instance with the first source that works.
func (req Request) read(ctx context.Context, instance queue.Instance, maxOpenFiles int) (queue.Reading, error) {
	if req.QueueDir != "" {
		files := &liveSpool{spool.Spool{Dir: req.QueueDir, MaxOpenFiles: maxOpenFiles}, mailSystem{queueDir: req.QueueDir}, true}
		return summarize(ctx, &live{Source: files, dir: req.QueueDir}, req.Query), nil
	}
	sources, passedOver, err := req.postfix(instance.ConfigDir).candidates(ctx, req.Source, maxOpenFiles)
	if err != nil {
		return queue.Reading{}, err
	}
	var r queue.Reading
	for i, src := range sources {
		r = summarize(ctx, src, req.Query)
		if i == len(sources)-1 || isFinal(ctx, r.Err) {
			break
		}
		passedOver = append(passedOver, queue.Attempt{Source: src.Name(), Err: r.Err})
	}
	r.PassedOver = passedOver
	return r, nil
}

func (req Request) postfix(configDir string) postfix {
	return newPostfix(configDir, req.programDirs, os.Geteuid() == 0)
}

func summarize(ctx context.Context, src queue.Source, q queue.Query) queue.Reading {
	if src.Name() == SpoolName {
		setProcessors(spool.Workers)
	}
	summary, err := queue.Summarize(ctx, src, q)
	return queue.Reading{Summary: summary, Err: err}
}
