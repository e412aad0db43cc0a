package source

import (
	"runtime"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// A listing is read with one processor, and a spool with as many as it has workers.
func TestProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	dir := install(t, map[string]string{"postqueue": "echo '" + jsonLine + "'"})
	ReadAll(t.Context(), Request{Source: PostqueueName, programDirs: []string{dir}})
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d processors for postqueue, want 1", got)
	}
	summarize(t.Context(), &liveSpool{Spool: spool.Spool{Dir: t.TempDir()}}, queue.Query{})
	if got, want := runtime.GOMAXPROCS(0), min(spool.Workers, runtime.NumCPU()); got != want {
		t.Errorf("%d processors for a spool, want %d", got, want)
	}
}
