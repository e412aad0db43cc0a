package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Request says what is to be read, and how.
type Request struct {
	ConfigDirs []string // one instance each; empty: the default instance
	Input      string   // read this listing instead; "-" is Stdin
	Stdin      *os.File
	MaxAge     time.Duration // of Input; 0: any
	AllowEmpty bool          // an empty Input is an empty queue
	Filter     queue.Filter
}

// LocalName is the name of an instance that has none of its own.
const LocalName = "local"

// ReadAll reads every instance that the request names, all at once, and
// returns a reading for each, in the request's order.
func ReadAll(ctx context.Context, req Request) []queue.Reading {
	if req.Input != "" {
		in := &Input{Path: req.Input, Stdin: req.Stdin, MaxAge: req.MaxAge, AllowEmpty: req.AllowEmpty}
		return []queue.Reading{readOne(ctx, queue.Instance{Name: LocalName}, in, req.Filter)}
	}
	dirs := req.ConfigDirs
	if len(dirs) == 0 {
		dirs = []string{""}
	}
	readings := make([]queue.Reading, len(dirs))
	var wg sync.WaitGroup
	for i, dir := range dirs {
		wg.Go(func() {
			instance := queue.Instance{ConfigDir: dir}
			// A panic here would end the program with the exit status of CRITICAL.
			if err := guard(func() {
				instance.Name = instanceName(ctx, dir, len(dirs) > 1)
				readings[i] = readOne(ctx, instance, &Postqueue{ConfigDir: dir}, req.Filter)
			}); err != nil {
				readings[i] = queue.Reading{Instance: instance, Err: err}
			}
		})
	}
	wg.Wait()
	return readings
}

func readOne(ctx context.Context, instance queue.Instance, src queue.Source, filter queue.Filter) queue.Reading {
	start := time.Now()
	summary, err := queue.Summarize(ctx, src, filter)
	return queue.Reading{Instance: instance, Summary: summary, Took: time.Since(start), Err: err}
}

// guard calls f and turns a panic into an error.
func guard(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v; please report it", p)
		}
	}()
	f()
	return nil
}

// instanceName returns the name that the instance gives itself in main.cf, or
// one made from its directory where several instances must be told apart.
func instanceName(ctx context.Context, dir string, several bool) string {
	if dir == "" {
		return LocalName
	}
	if name := (&Postqueue{ConfigDir: dir}).setting(ctx, "multi_instance_name"); name != nil && *name != "" && *name != "-" {
		return *name
	}
	if several {
		return filepath.Base(dir)
	}
	return LocalName
}
