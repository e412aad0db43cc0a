package main

import (
	"bytes"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"check_postfix_queue": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "../../testdata/script/check")
}

// brokenOnce is an output that panics once.
type brokenOnce struct {
	bytes.Buffer
	broken bool
}

func (w *brokenOnce) Write(p []byte) (int, error) {
	if !w.broken {
		w.broken = true
		panic("oops")
	}
	return w.Buffer.Write(p)
}

// A panic would end the program with the exit code of CRITICAL.
func TestPanicIsUnknown(t *testing.T) {
	var stdout brokenOnce
	code := run(t.Context(), []string{"--version"}, nil, &stdout)
	want := "POSTFIX_QUEUE UNKNOWN - internal error: oops; please report it\n"
	if code != int(check.Unknown) || stdout.String() != want {
		t.Errorf("exit code %d, output %q; want %d, %q", code, stdout.String(), check.Unknown, want)
	}
}

func TestDefaultsAreDocumented(t *testing.T) {
	scripttest.DefaultsAreDocumented(t, cli.Defaults(), usage, nil)
}

func TestOptionsAreDocumented(t *testing.T) {
	scripttest.OptionsAreDocumented(t, cli.Options(new(options)), usage, "../../man/check_postfix_queue.8")
}

func TestOptionsAreCompleted(t *testing.T) {
	scripttest.OptionsAreCompleted(t, cli.Options(new(options)), "check_postfix_queue")
}
