package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"check_postfix_queue": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "../../testdata/script/check")
}

func TestOptionsAreDocumented(t *testing.T) {
	scripttest.OptionsAreDocumented(t, cli.Options(new(options)), usage, "../../man/check_postfix_queue.8")
}

func TestOptionsAreCompleted(t *testing.T) {
	scripttest.OptionsAreCompleted(t, cli.Options(new(options)), "check_postfix_queue")
}
