//go:build integration

package integration

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// A limitScale is a limit of resources, with values that get smaller.
type limitScale struct {
	name   string
	option string // of prlimit
	values []int
	unit   int  // of the values
	runs   int  // that must all succeed
	spares bool // root is exempt
}

// BenchmarkLimits prints the smallest limits of resources with which every run of the check succeeds, and the exit
// codes with less.
func BenchmarkLimits(b *testing.B) {
	p := startPostfix(b)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	saved := saveListing(b, p.must(p.postqueue("-j")).stdout)
	sources := []struct {
		name   string
		asUser bool
		args   []string
	}{
		{"spool", false, []string{"--source", "spool"}},
		{"showq", false, []string{"--source", "showq"}},
		{"postqueue", true, []string{"--source", "postqueue"}},
		{"input", true, []string{"--input", saved, "--max-age", "0"}},
	}
	scales := []limitScale{
		{name: "open files", option: "nofile", values: falling(24, 3, 1), unit: 1, runs: 10},
		{name: "address space, MiB", option: "as", values: falling(1500, 100, 50), unit: 1 << 20, runs: 10},
		{name: "data, MiB", option: "data", values: falling(96, 8, 8), unit: 1 << 20, runs: 10},
		{name: "stack, KiB", option: "stack", values: []int{128, 96, 64, 48, 32, 16, 8}, unit: 1 << 10, runs: 10},
		{name: "processes and threads", option: "nproc", values: falling(20, 1, 1), unit: 1, runs: 30, spares: true},
	}
	for b.Loop() {
		var text strings.Builder
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "limit\tsource\tenough\tbelow that")
		for i, scale := range scales {
			for j, source := range sources {
				as := root
				if source.asUser {
					// A user of its own: the kernel counts all processes that a user has.
					as = command{user: strconv.Itoa(61_000 + 10*i + j)}
				} else if scale.spares {
					continue
				}
				enough, below := scale.smallest(b, as, source.args)
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", scale.name, source.name, enough, below)
			}
		}
		w.Flush()
		fmt.Println(text.String())
	}
	b.ReportMetric(0, "ns/op") // the table says it
}

// smallest returns the smallest value with which every run succeeds, as with all that are larger, and what happens with
// less: the values that have the same exit codes, and these.
func (s limitScale) smallest(b *testing.B, as command, args []string) (enough int, below string) {
	b.Helper()
	enough = -1
	var lines []string
	last := ""
	for _, value := range s.values {
		outcomes := make(map[string]bool)
		for range s.runs {
			limited := append([]string{fmt.Sprintf("--%s=%d", s.option, value*s.unit), program(b, checkProgram)}, args...)
			r := as.run(b, "prlimit", limited...)
			switch {
			case r.exitCode != 0:
				outcomes[fmt.Sprintf("exit %d", r.exitCode)] = true
			case !strings.Contains(r.stdout, "emails=1;"):
				b.Errorf("%s of %d: %s", s.name, value, r)
			default:
				outcomes["OK"] = true
			}
		}
		all := strings.Join(slices.Sorted(maps.Keys(outcomes)), ", ")
		if all == "OK" && len(lines) == 0 {
			enough = value
			continue
		}
		if all != last {
			lines = append(lines, fmt.Sprintf("from %d: %s", value, all))
			last = all
		}
	}
	return enough, strings.Join(lines, "; ")
}

// falling returns the numbers from the first to the last.
func falling(first, last, step int) (list []int) {
	for n := first; n >= last; n -= step {
		list = append(list, n)
	}
	return list
}
