//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moduleScript does with the module, $1, what charts.d does. Its clock starts at 0, and its emitter notes the
// time and arguments of each call in the file calls, $2. A test adds settings, and functions that override
// these.
const moduleScript = `
. "$1"
clock=0
postfix_queue_seconds() { printf %s "$clock"; }
postfix_queue_microseconds() { printf %s000000 "$clock"; }
postfix_queue_command=emitter
calls=$2
up() { true; }
values() { printf '%s\n' 'BEGIN postfix_x.qemails' 'SET emails = 1' END; }
charts() { printf '%s\n' "CHART postfix_x.qemails '' 't' 'u' 'queue' 'c' 'line' 1 1"; }
emitter() {
	echo "$clock $*" >>"$calls"
	up "$@" || return
	case "$*" in *charts*) charts || return ;; esac
	case "$*" in *values*) values ;; esac
}
# run_until TIME: charts.d's loop, in which more than 10 failures in a row are the end.
run_until() {
	while [ "$clock" -lt "$1" ]; do
		clock=$((clock + postfix_queue_update_every))
		postfix_queue_update $argument || echo "postfix_queue_update failed"
		argument=$((postfix_queue_update_every * 1000000))
	done
}
`

// A moduleRun is what a run of the module left behind.
type moduleRun struct {
	output string
	calls  []moduleCall
}

// A moduleCall is a call of the emitter.
type moduleCall struct {
	second int
	args   string
}

// runModule runs a script after moduleScript, as Netdata's user.
func runModule(t *testing.T, script string) moduleRun {
	t.Helper()
	calls := filepath.Join(ownedDir(t, "nobody"), "calls")
	module := filepath.Join(contribDir(t), "netdata", filepath.Base(netdataModule))
	r := runAs(t, "nobody", "bash", "-c", moduleScript+script, "bash", module, calls)
	if r.exitCode != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	content, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	run := moduleRun{output: r.stdout}
	for line := range strings.Lines(string(content)) {
		second, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		run.calls = append(run.calls, moduleCall{number(t, second), args})
	}
	return run
}

// What the module calls the emitter for.
const (
	toDetect = `--part values .*--priority \d+$`
	toRead   = `--part (charts,)?values .*--usec`
)

// seconds are the times of the calls whose arguments match a regular expression.
func (r moduleRun) seconds(pattern string) []int {
	matches := regexp.MustCompile(pattern)
	var seconds []int
	for _, call := range r.calls {
		if matches.MatchString(call.args) {
			seconds = append(seconds, call.second)
		}
	}
	return seconds
}

// TestNetdataModule shows what a running Netdata cannot: it would take too long, or needs an emitter of a
// special kind.
func TestNetdataModule(t *testing.T) {
	const (
		values = "BEGIN postfix_x.qemails\nSET emails = 1\nEND\n"
		chart  = "CHART postfix_x.qemails '' 't' 'u' 'queue' 'c' 'line' 1 1\n"
	)
	expect := func(t *testing.T, what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	const begin = "postfix_queue_check && postfix_queue_create || exit\n"

	t.Run("update_every", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="often default seldom"
			postfix_queue_job_update_every=([often]=5 [seldom]=20)
			`+begin+`run_until 40`)
		expect(t, "often", []int{5, 10, 15, 20, 25, 30, 35, 40}, r.seconds("--update-every 5 --priority 60000 --usec"))
		expect(t, "default", []int{5, 10, 20, 30, 40}, r.seconds("--update-every 10 --priority 60000 --usec"))
		expect(t, "seldom", []int{5, 20, 40}, r.seconds("--update-every 20 --priority 60000 --usec"))
	})
	t.Run("priority", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="local out"
			postfix_queue_job_priority=([out]=70)
			`+begin)
		expect(t, "local", []int{0}, r.seconds("--name local .*--part charts .*--priority 60000$"))
		expect(t, "out", []int{0}, r.seconds("--name out .*--part charts .*--priority 70$"))
	})
	t.Run("names of instances", func(t *testing.T) {
		for options, named := range map[string]bool{
			"":                                    true,
			"--config-dir /a":                     true,
			"-d/a --source spool":                 true,
			"--input /a":                          true,
			"-a":                                  false,
			"--all-instances":                     false,
			"--config-dir /a --config-dir /b":     false,
			"--config-dir=/a --config-dir=/b":     false,
			"-d /a -d /b":                         false,
			"-d/a --source spool --config-dir=/b": false,
		} {
			r := runModule(t, `
				postfix_queue_job_options=([local]="`+options+`")
				`+begin)
			want := []int(nil)
			if named {
				want = []int{0}
			}
			expect(t, options, want, slices.Compact(r.seconds("--name local")))
		}
	})
	t.Run("time between values", func(t *testing.T) {
		r := runModule(t, `
			up() { [ "$clock" != 30 ]; }
			postfix_queue_penalty=no
			`+begin+`run_until 50`)
		var got []string
		for _, call := range r.calls {
			if _, usec, found := strings.Cut(call.args, "--usec "); found {
				got = append(got, usec)
			}
		}
		// None for the first, and none after a failure: Netdata must not take the gap for a late value.
		expect(t, "microseconds", []string{"0", "10000000", "10000000", "0", "10000000"}, got)
		expect(t, "output", chart+strings.Repeat(values, 4), r.output)
	})
	t.Run("penalty", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_update_every=60
			`+begin+`
			up() { [ "$clock" = 9840 ]; }
			run_until 10320`)
		var waits []int
		for i, second := range r.seconds(toRead)[1:] {
			waits = append(waits, second-r.seconds(toRead)[i])
		}
		// A minute and half of one for each failure, but no more than ten, in whole minutes as the module is called
		// once a minute. At last it works, once, and the penalty begins anew.
		expect(t, "waits", []int{
			120, 120, 180, 180, 240, 240, 300, 300, 360, 360, 420, 420, 480, 480, 540, 540, 600, 600,
			660, 660, 660, 660, 660, 60, 120, 120, 180,
		}, waits)
		expect(t, "output", chart+values, r.output)
	})
	t.Run("no penalty", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_penalty=no
			`+begin+`
			up() { false; }
			run_until 200`)
		expect(t, "readings", 20, len(r.seconds(toRead)))
		expect(t, "output", chart, r.output)
	})
	t.Run("autodetection_retry", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="early once"
			postfix_queue_autodetection_retry=30
			postfix_queue_job_autodetection_retry=([once]=0)
			up() { [ "$clock" -ge 80 ]; }
			`+begin+`run_until 110`)
		expect(t, "early", []int{0, 30, 60, 90}, r.seconds("--name early .*"+toDetect))
		expect(t, "early", []int{90, 100, 110}, r.seconds("--name early .*"+toRead))
		expect(t, "once", []int{0}, r.seconds("--name once"))
		expect(t, "output", chart+strings.Repeat(values, 3), r.output)
	})
	t.Run("nothing to retry", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_autodetection_retry=0
			up() { false; }
			postfix_queue_check || echo "given up"`)
		expect(t, "output", "given up\n", r.output)
	})
	t.Run("alternatives", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="first second third"
			postfix_queue_job_name=([first]=x [second]=x [third]=x)
			postfix_queue_job_options=([first]=1st [second]=2nd [third]=3rd)
			postfix_queue_autodetection_retry=10
			# The first one works too late.
			up() { case "$*" in *1st*) [ "$clock" -ge 30 ] ;; esac; }
			`+begin+`run_until 60`)
		expect(t, "first", []int{0}, slices.Compact(r.seconds("1st")))
		expect(t, "second", []int{0, 10, 20, 30, 40, 50, 60}, slices.Compact(r.seconds("2nd")))
		expect(t, "third", 0, len(r.seconds("3rd")))
	})
	for name, dies := range map[string]string{
		"killed":      "kill -9 $BASHPID",
		"failed":      "return 1",
		"wrong usage": "return 2",
	} {
		t.Run("incomplete, "+name, func(t *testing.T) {
			r := runModule(t, begin+`
				values() { printf 'BEGIN postfix_x.qemails\nSET ema'; `+dies+`; }
				run_until 10`)
			expect(t, "readings", []int{10}, r.seconds(toRead))
			expect(t, "output", chart, r.output)
		})
		t.Run("incomplete charts, "+name, func(t *testing.T) {
			r := runModule(t, `
				charts() { printf 'CHART postfix_x.qemails'; `+dies+`; }
				values() { `+dies+`; }
				`+begin+`run_until 10`)
			expect(t, "output", "", r.output)
		})
	}
}
