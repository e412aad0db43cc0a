package main

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
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
	others := map[string]string{"max-output": strconv.Itoa(check.MaxText)}
	scripttest.DefaultsAreDocumented(t, cli.Defaults(), usage, others)
}

func TestOptionsAreDocumented(t *testing.T) {
	scripttest.OptionsAreDocumented(t, cli.Options(new(options)), usage, "../../man/check_postfix_queue.8")
}

func TestOptionsAreCompleted(t *testing.T) {
	scripttest.IsCompleted(t, "check_postfix_queue", cli.Options(new(options)), map[string][]string{
		"--mailserver": {"postfix"},
	})
}

const listing = "../../testdata/listing/3.7.11/mixed.json"

func TestBadOutputIsUnknown(t *testing.T) {
	t.Parallel() // a pipe that nobody reads takes its time
	for name, output := range scripttest.Bad(t) {
		for _, args := range [][]string{{"-i", listing, "--max-age", "0"}, {"-w", "x"}, {"--help"}, {"--version"}} {
			t.Run(args[0]+" to "+name, func(t *testing.T) {
				t.Parallel()
				ended := scripttest.RunInto(t, output, nil, "check_postfix_queue", args...)
				if ended != (scripttest.Ended{ExitCode: int(check.Unknown)}) {
					t.Errorf("%+v", ended)
				}
			})
		}
	}
}

// A signal ends the program, which says so if it has not answered yet.
func TestSignals(t *testing.T) {
	content, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	cmd := func() *exec.Cmd {
		return exec.CommandContext(t.Context(), "check_postfix_queue", "-i", "-", "--max-age", "0")
	}
	const runs = 100
	interrupted := 0
	scripttest.Interrupt(t, runs, content, cmd, func(ended scripttest.Ended) {
		switch {
		case ended.ExitCode == int(check.Unknown) && strings.HasPrefix(ended.Stdout, "POSTFIX_QUEUE UNKNOWN - ") &&
			strings.Contains(ended.Stdout, "interrupted by a signal") && ended.Stderr == "":
			interrupted++
		case ended.ExitCode != 0 || !strings.HasPrefix(ended.Stdout, "POSTFIX_QUEUE OK - 1000 emails, ") ||
			ended.Stderr != "":
			t.Fatalf("%+v", ended)
		}
	})
	if interrupted == 0 {
		t.Error("no run was interrupted")
	}
}
