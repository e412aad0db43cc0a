package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postfix_queue_emit": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "../../testdata/script/emit")
}

func TestOptionsAreDocumented(t *testing.T) {
	scripttest.OptionsAreDocumented(t, cli.Options(new(options)), usage, "../../man/postfix_queue_emit.1")
}

func TestOptionsAreCompleted(t *testing.T) {
	scripttest.OptionsAreCompleted(t, cli.Options(new(options)), "postfix_queue_emit")
}
