//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLargeQueue reads a queue that takes postqueue a second or more.
func TestLargeQueue(t *testing.T) {
	// A service that dies at once is started again only after a while, a minute by default.
	p := startWithMail(t, 1, "service_throttle_time=1s")
	const emails = 50_001
	p.fillQueue(emails - 1)
	t.Run("to its end", func(t *testing.T) {
		if a := nobody.check(t, "-t", "100"); a.state != "OK" || a.perf["emails"] != emails {
			t.Errorf("want OK and %d messages, got %s", emails, a)
		}
	})
	t.Run("until the deadline", testDeadline)
	t.Run("until showq dies", func(t *testing.T) { testShowqDies(t, emails) })
}

func testDeadline(t *testing.T) {
	const (
		atLeast  = `^at least [1-9][0-9]* emails`
		above100 = atLeast + ` \(above 100\)`
	)
	tests := map[string]failure{
		"without thresholds":            {check: atLeast + `, .*; raise --timeout, or .* --input`},
		"critical range broken":         {args: []string{"-c", "100"}, state: "CRITICAL", check: above100},
		"warning range broken":          {args: []string{"-w", "100"}, state: "WARNING", check: above100},
		"both broken":                   {args: []string{"-w", "10", "-c", "100"}, state: "CRITICAL", check: above100},
		"warning broken, critical open": {args: []string{"-w", "100", "-c", "1000000"}, check: above100},
		"no range broken":               {args: []string{"-w", "1000000"}, check: atLeast + `,`},
		"more mail could be good news":  {args: []string{"-c", "1000000:"}, check: atLeast + `,`},
		"no more mail could be too much": {
			args: []string{"-c", "@100:"}, state: "CRITICAL",
			check: atLeast + ` \(100 or more\)`,
		},
		"critical range for another": {
			args: []string{"-c", "size=100"}, state: "CRITICAL",
			check: `^at least .* \(above 100 KiB\)`,
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			f.as = nobody
			f.verifyStopped(t, 1000)
		})
	}
}

// testShowqDies kills the showq service in mid-listing. If that was too late, the queue must have been read in
// full, and it tries again.
func testShowqDies(t *testing.T, emails int64) {
	programs := map[string]func(result) (brokenOff bool){
		checkProgram: func(r result) bool {
			a := takeApart(t, r)
			if a.state == "OK" && a.perf["emails"] == emails {
				return false
			}
			failure{cause: `the showq service broke off the listing`}.verifyCheck(t, a)
			return strings.Contains(a.text, "at least")
		},
		emitterProgram: func(r result) bool {
			if r.exitCode == 0 && strings.Contains(r.stdout, fmt.Sprintf("SET emails = %d\n", emails)) {
				return false
			}
			failure{cause: `the showq service broke off the listing`}.verifyEmitter(t, r)
			return true
		},
	}
	for name, verify := range programs {
		t.Run(name, func(t *testing.T) {
			before := liveProcesses(t)
			for {
				running := nobody.start(t, program(t, name), "-t", "100")
				awaitListing(t, running)
				for _, p := range liveProcesses(t) {
					if p.comm == "showq" {
						_ = unix.Kill(p.pid, unix.SIGKILL) // it may have ended by itself
					}
				}
				r := running.wait()
				noNewProcesses(t, before)
				if verify(r) || t.Failed() {
					return
				}
			}
		})
	}
}

// awaitListing waits until postqueue has printed some messages, or until its reader has ended.
func awaitListing(t *testing.T, reader *runningCommand) {
	t.Helper()
	const someBytes = 16 << 10
	waitFor(t, "some messages", func() (bool, any) {
		processes := liveProcesses(t)
		printed := slices.ContainsFunc(processes, func(p process) bool {
			return p.comm == "postqueue" && writtenBytes(t, p.pid) >= someBytes
		})
		ended := !slices.ContainsFunc(processes, func(p process) bool { return p.pid == reader.cmd.Process.Pid })
		return printed || ended, processes
	})
}

// TestHugeQueue has a queue whose listing takes many times as long as there is time, unless it is read in the
// spool.
func TestHugeQueue(t *testing.T) {
	const emails = 200_000
	p := startWithMail(t, 1)
	p.fillQueue(emails - 1)
	failure{
		as: nobody, args: []string{"-c", "1000", "--source", "postqueue"}, state: "CRITICAL",
		check: `^at least [1-9][0-9]* emails \(above 1000\)`,
	}.verifyStopped(t, 1001)
	r := runAs(t, "root", program(t, "check_postfix_queue"), "-c", "1000")
	t.Logf("the spool: %v: %.100s", r.duration, r.stdout)
	if r.exitCode != 2 || !strings.Contains(r.stdout, " emails=200000;;1000;0 ") {
		t.Error(r)
	}
}
