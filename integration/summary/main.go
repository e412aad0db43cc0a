// Command summary ends a test run: it says in a few lines which tests were left out and why, and
// which failed. It reads what go test -json wrote, and writes what go test -v would have printed.
//
//	summary JSON LOG
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
	}
}

func run(events, log string, out io.Writer) error {
	in, err := os.Open(events)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	s, err := read(in, w)
	if err := errors.Join(err, w.Flush(), file.Close()); err != nil {
		return err
	}
	s.print(out, log)
	return nil
}

// An event is a line of go test -json; see go doc test2json.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	FailedBuild string
}

// A summary is what matters of a run.
type summary struct {
	leftOut map[string][]string // tests by reason
	failed  []string            // tests that failed, packages that failed without one
	causes  []string            // output of those packages
}

// read reads the events and writes all output to log.
func read(events io.Reader, log io.Writer) (summary, error) {
	s := summary{leftOut: make(map[string][]string)}
	output := make(map[string]string) // by test, "package name"
	module := modulePath()
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		if _, err := io.WriteString(log, e.Output); err != nil {
			return s, err
		}
		pkg := strings.TrimPrefix(e.Package, module+"/")
		name := strings.TrimSpace(pkg + " " + e.Test)
		switch e.Action {
		case "output":
			output[name] += e.Output
		case "skip":
			if e.Test != "" { // else a package without tests
				reason := reasonIn(output[name])
				s.leftOut[reason] = append(s.leftOut[reason], name)
			}
		case "fail":
			s.noteFailure(e, name, output[name])
		}
		if e.Action != "output" {
			delete(output, name)
		}
	}
}

// modulePath returns the path of this module, which all packages have in common.
func modulePath() string {
	info, _ := debug.ReadBuildInfo()
	return info.Main.Path
}

// noteFailure notes a failure, unless one that was noted before explains it: the failure of a subtest
// that of its test, and that of a test that of its package.
func (s *summary) noteFailure(e event, name, output string) {
	inside := name + "/"
	if e.Test == "" {
		inside = name + " "
	}
	if slices.ContainsFunc(s.failed, func(f string) bool { return strings.HasPrefix(f, inside) }) {
		return
	}
	switch {
	case e.FailedBuild != "":
		name += " (does not build)"
	case e.Test == "":
		name += " (outside its tests)"
		s.causes = append(s.causes, output)
	}
	s.failed = append(s.failed, name)
}

var reasonPattern = regexp.MustCompile(`(?m)^ +\S+\.go:(?:\d+:)? (.*)$`)

// reasonIn finds the reason in the output of a test that was skipped: the last thing that it said.
func reasonIn(output string) string {
	said := reasonPattern.FindAllStringSubmatch(output, -1)
	if len(said) == 0 {
		return "no reason given"
	}
	return said[len(said)-1][1]
}

const (
	maxNames = 6   // that are printed of many
	maxWidth = 200 // of a reason, in bytes
)

// print prints what was left out and then, last, what failed.
func (s summary) print(w io.Writer, log string) {
	for _, cause := range s.causes {
		fmt.Fprintf(w, "\n%s", cause)
	}
	fmt.Fprintf(w, "\nThe full log is in %s.\n", log)
	largestFirst := func(a, b string) int {
		return cmp.Or(len(s.leftOut[b])-len(s.leftOut[a]), strings.Compare(a, b))
	}
	for _, reason := range slices.SortedFunc(maps.Keys(s.leftOut), largestFirst) {
		tests := s.leftOut[reason]
		what := fmt.Sprintf("%d tests", len(tests))
		if len(tests) == 1 {
			what = tests[0]
		}
		fmt.Fprintf(w, "Left out: %s: %.*s\n", what, maxWidth, reason)
	}
	for i, name := range s.failed {
		if i == maxNames {
			fmt.Fprintf(w, "FAILED: %d more\n", len(s.failed)-i)
			break
		}
		fmt.Fprintln(w, "FAILED:", name)
	}
}
