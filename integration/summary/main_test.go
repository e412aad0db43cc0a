package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A run with every kind of failure, as go test -json writes it.
func events() []event {
	pkg := func(name string) string { return modulePath() + "/" + name }
	said := func(name, test, text string) event {
		return event{Action: "output", Package: pkg(name), Test: test, Output: text}
	}
	ended := func(action, name, test string) event {
		return event{Action: action, Package: pkg(name), Test: test}
	}
	return []event{
		said("good", "TestA", "--- PASS: TestA\n"), ended("pass", "good", "TestA"), ended("pass", "good", ""),
		ended("skip", "empty", ""),
		said("some", "TestB", "    b_test.go:7: a log line\n"), said("some", "TestB", "    b_test.go:9: not root\n"),
		ended("skip", "some", "TestB"),
		said("some", "TestC", "    main_test.go: not root\n"), ended("skip", "some", "TestC"),
		said("some", "TestD/x", "    d_test.go:3: no rpm\n"), ended("skip", "some", "TestD/x"),
		said("some", "TestE/x", "    e_test.go:4: want 1, got 2\n"), ended("fail", "some", "TestE/x"),
		ended("fail", "some", "TestE"), ended("fail", "some", "TestF"), ended("fail", "some", ""),
		{Action: "fail", Package: pkg("broken"), FailedBuild: pkg("broken")},
		said("outside", "TestG", "--- PASS: TestG\n"), ended("pass", "outside", "TestG"),
		said("outside", "", "left a process behind\n"), ended("fail", "outside", ""),
	}
}

const want = `
left a process behind

The full log is in build/test.log.
Left out: 2 tests: not root
Left out: some TestD/x: no rpm
FAILED: some TestE/x
FAILED: some TestF
FAILED: broken (does not build)
FAILED: outside (outside its tests)
`

func TestSummary(t *testing.T) {
	var in, log, out strings.Builder
	output := ""
	for _, e := range events() {
		if err := json.NewEncoder(&in).Encode(e); err != nil {
			t.Fatal(err)
		}
		output += e.Output
	}
	s, err := read(strings.NewReader(in.String()), &log)
	if err != nil {
		t.Fatal(err)
	}
	s.print(&out, "build/test.log")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(output, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestManyFailuresFitInTenLines(t *testing.T) {
	var out strings.Builder
	summary{failed: strings.Fields(strings.Repeat("TestA ", 50))}.print(&out, "build/test.log")
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) > 8 || lines[7] != "FAILED: 44 more" {
		t.Errorf("got %d lines:\n%s", len(lines), out.String())
	}
}
