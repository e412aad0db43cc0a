package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/postfix-queue-monitor/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"check_postfix_queue": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "../../testdata/script/check")
}
