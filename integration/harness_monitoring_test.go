//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What the tests of the monitoring systems share. Places and users are those of Debian's packages.
const (
	monitoringUser = "nagios"
	pluginDir      = "/usr/lib/nagios/plugins"
	pluginPath     = pluginDir + "/check_postfix_queue"
)

// monitoringDir is a directory of the monitoring system's user.
func monitoringDir(t testing.TB) string {
	t.Helper()
	return ownedDir(t, monitoringUser)
}

// startDaemon starts a program that stays in the foreground. When the test ends it is told to end, and every
// process that it started must end with it.
func startDaemon(t testing.TB, as command, program string, args ...string) {
	t.Helper()
	before := liveProcesses(t)
	as.limit = 10 * patience // it is needed for more than one wait
	daemon := as.start(t, program, args...)
	t.Cleanup(func() {
		daemon.signal(unix.SIGTERM)
		if ended := daemon.wait(); t.Failed() {
			t.Logf("%s: %s", program, ended)
		}
		noNewProcesses(t, before)
	})
}

// A report is what a monitoring system keeps of the plugin's answer.
type report struct {
	state    string
	text     string // all lines, without performance data
	perfdata string
}

func (r report) String() string { return fmt.Sprintf("%s: %s | %s", r.state, r.text, r.perfdata) }

// line1 is the text of the first line.
func (r report) line1() string {
	line1, _, _ := strings.Cut(r.text, "\n")
	return line1
}

// reportOf takes the answer of a plugin apart as the plugin guidelines say.
func reportOf(r result) report {
	got := report{state: fmt.Sprintf("exit code %d", r.exitCode)}
	if states := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}; 0 <= r.exitCode && r.exitCode < len(states) {
		got.state = states[r.exitCode]
	}
	line1, others, more := strings.Cut(strings.TrimSuffix(r.stdout, "\n"), "\n")
	got.text, got.perfdata, _ = strings.Cut(line1, " | ")
	if more {
		got.text += "\n" + others
	}
	return got
}

// says returns a function that runs the plugin, as the monitoring system's user.
func says(t testing.TB, args ...string) func() report {
	return func() report {
		t.Helper()
		return reportOf(runAs(t, monitoringUser, pluginPath, args...))
	}
}

// awaitReport waits until the monitoring system has a report that is, byte for byte, what the plugin says in
// the same second; in the next one ages are different. The function has returns the reports so far.
func awaitReport(t testing.TB, says func() report, has func() []report) report {
	t.Helper()
	var awaited report
	said := make(map[report]bool)
	waitFor(t, "the plugin's answer in the monitoring system", func() (bool, any) {
		now := says()
		said[now] = true
		reports := has()
		for _, r := range slices.Backward(reports) {
			if said[r] {
				awaited = r
				return true, nil
			}
		}
		return false, fmt.Sprintf("the plugin says %q; reports are %q", now, reports[max(0, len(reports)-2):])
	})
	return awaited
}

// relayCheck is the check of a small relay, which contrib has as an example for each monitoring system.
var relayCheck = []string{
	"-vv", "-w", "100", "-c", "500",
	"-w", "size=50M", "-c", "size=250M",
	"-w", "age=1h", "-c", "age=4h",
}

// A queueState is a state of the queue, and what relayCheck says to it.
type queueState struct {
	state    string
	words    string // in line 1
	readable bool   // there is performance data
	queue    listing
}

// forEachState takes a fresh Postfix through all states of the check and calls check in each.
func forEachState(t *testing.T, p *postfixInstance, check func(t *testing.T, want queueState)) {
	t.Helper()
	deferMail := func(n int) func() {
		return func() {
			if len(p.list()) == 0 {
				p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
			}
			p.fillQueue(n - len(p.list()))
		}
	}
	deny := func() { p.set("authorized_mailq_users=root") }
	stop := func() {
		p.set("authorized_mailq_users=static:anyone")
		p.stop()
	}
	steps := []struct {
		name  string
		reach func()
		want  queueState
	}{
		{
			"one email", deferMail(1),
			queueState{state: "OK", words: "1 email, ", readable: true},
		},
		{
			"more emails", deferMail(101),
			queueState{state: "WARNING", words: "101 emails (above 100)", readable: true},
		},
		{
			"too many emails", deferMail(501),
			queueState{state: "CRITICAL", words: "501 emails (above 500)", readable: true},
		},
		{
			"access denied", deny,
			queueState{state: "UNKNOWN", words: "authorized_mailq_users"},
		},
		{
			"Postfix stopped", stop,
			queueState{state: "CRITICAL", words: "mail system is down"},
		},
	}
	for _, step := range steps {
		step.reach()
		step.want.queue = p.list()
		t.Run(step.name, func(t *testing.T) { check(t, step.want) })
	}
}

// check compares a report of relayCheck with what the state of the queue demands.
func (want queueState) check(t *testing.T, got report) {
	t.Helper()
	if got.state != want.state || !strings.Contains(got.line1(), want.words) {
		t.Errorf("want %s and %q, got %s", want.state, want.words, got)
	}
	if !want.readable {
		if got.perfdata != "" {
			t.Errorf("performance data of a queue that could not be read: %s", got)
		}
		return
	}
	emails := int64(len(want.queue))
	if last := fmt.Sprintf("\ntotal    %9d ", emails); !strings.Contains(got.text, last) {
		t.Errorf("the table does not end with %q: %s", last, got)
	}
	all := parsePerfdata(t, got.perfdata)
	items := make(map[string]perfItem)
	for _, label := range []string{"emails", "size", "deferred", "deferred_size"} {
		items[label] = all[label]
	}
	size := want.queue.sizeBytes()
	wantItems := map[string]perfItem{
		"emails":        {emails, "", "100", "500"},
		"size":          {size, "B", "52428800", "262144000"},
		"deferred":      {emails, "", "", ""},
		"deferred_size": {size, "B", "", ""},
	}
	if diff := cmp.Diff(wantItems, items); diff != "" {
		t.Errorf("performance data (-want +got):\n%s", diff)
	}
	if age := all["age"]; age.Unit != "s" || age.Warn != "3600" || age.Crit != "14400" {
		t.Errorf("performance data: age is %+v", age)
	}
}
