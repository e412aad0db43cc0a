//go:build integration

package integration

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPostqueueMissing(t *testing.T) {
	for _, user := range []command{root, nobody} {
		t.Run("for "+user.user, func(t *testing.T) {
			startWithMail(t, 1)
			hidePostqueue(t)
			failure{
				as: user, args: viaPostqueue,
				cause: `postqueue not found in /usr/sbin, .*; install Postfix`,
			}.verify(t)
		})
	}
	t.Run("not executable", func(t *testing.T) {
		startWithMail(t, 1)
		path := copyPostqueue(t)
		chmod(t, path, 0o644)
		bind(t, path, postqueueProgram)
		failure{as: nobody, cause: `postqueue`}.verify(t)
	})
	t.Run("found by postconf", func(t *testing.T) {
		p := startWithMail(t, 1)
		path := copyPostqueue(t)
		hidePostqueue(t)
		p.set("command_directory=" + filepath.Dir(path))
		if a := nobody.check(t); a.state != "OK" || a.perf["emails"] != 1 {
			t.Errorf("want OK and one message, got %s", a)
		}
	})
}

// TestPostqueueWithoutJSON runs a postqueue older than Postfix 3.1.
func TestPostqueueWithoutJSON(t *testing.T) {
	startWithMail(t, 2)
	path := copyPostqueue(t)
	replacePostqueue(t, fmt.Sprintf(`
case "$*" in
*-j*)
	echo "postqueue: invalid option -- 'j'" >&2
	echo "postqueue: fatal: usage: postqueue -f | postqueue -i queueid | postqueue -p | postqueue -s site" >&2
	exit 69
esac
exec %s "$@"
`, path))
	a := nobody.check(t, "-w", "1")
	_, known := a.perf["deferred"]
	if a.state != "WARNING" || a.perf["emails"] != 2 || known {
		t.Errorf("want WARNING and what the text listing knows, got %s", a)
	}
	if gauges := nobody.gauges(t); gauges["emails"] != 2 {
		t.Errorf("want 2 emails, got %v", gauges)
	}
}

// twoLines are two messages as postqueue -j lists them.
const twoLines = `{"queue_name": "deferred", "queue_id": "63E3C1A2B3"` + restOfLine +
	`{"queue_name": "deferred", "queue_id": "63E3C1A2B4"` + restOfLine

const restOfLine = `, "arrival_time": 1700000000, "message_size": 3000, "forced_expire": false, ` +
	`"sender": "a@example.com", "recipients": [{"address": "b@example.org"}]}` + "\n"

// partOfLine is a command of a script that prints the beginning of a line.
const partOfLine = `printf '{"queue_name": "def'; `

func TestPostqueueHangs(t *testing.T) {
	const (
		noEmails  = `^no answer from postqueue within [0-9.]+ s; raise --timeout, or let a timer write a snapshot`
		twoEmails = `^at least 2 emails.*listing stopped after [0-9.]+ s`
		aboveOne  = `^at least 2 emails \(above 1\).*listing stopped after [0-9.]+ s`
	)
	const (
		hang      = "exec sleep infinity"
		grandHang = "sleep infinity & "
		deaf      = "trap '' TERM INT HUP; while :; do sleep 1; done"
		complain  = "while :; do echo postqueue: warning: still waiting >&2; done"
	)
	list := "cat " + saveListing(t, twoLines) + "; "
	tests := map[string]struct {
		script string
		failure
	}{
		"silently":                          {hang, failure{check: noEmails}},
		"with a grandchild":                 {grandHang + hang, failure{check: noEmails}},
		"by its grandchild alone":           {grandHang + "exit 0", failure{check: noEmails}},
		"by its grandchild after a listing": {list + grandHang + "exit 0", failure{check: twoEmails}},
		"deaf to signals":                   {deaf, failure{check: noEmails}},
		"while it complains":                {complain, failure{check: noEmails}},
		"at a line's end":                   {list + hang, failure{check: twoEmails}},
		"inside a line":                     {list + partOfLine + hang, failure{check: twoEmails}},
		"beyond a critical range": {
			list + hang,
			failure{args: []string{"-c", "1"}, state: "CRITICAL", check: aboveOne},
		},
		"beyond a warning range": {
			list + hang,
			failure{args: []string{"-w", "1"}, state: "WARNING", check: aboveOne},
		},
		"with a critical range still open": {
			list + hang,
			failure{args: []string{"-w", "1", "-c", "5"}, check: aboveOne},
		},
		"short of a range that wants more": {
			list + hang,
			failure{args: []string{"-c", "5:"}, check: twoEmails},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			replacePostqueue(t, test.script)
			test.as = nobody
			var messages int64
			if strings.HasPrefix(test.script, list) {
				messages = 2
			}
			test.verifyStopped(t, messages)
		})
	}
}

// TestPostqueueEscapes runs a postqueue that leaves a process behind which no signal to its group reaches. Even
// that does not delay the answer.
func TestPostqueueEscapes(t *testing.T) {
	replacePostqueue(t, "setsid sleep infinity & exec sleep infinity")
	before := liveProcesses(t)
	for name, run := range map[string]func() result{
		"check":   func() result { return nobody.check(t, "-t", "0.5").result },
		"emitter": func() result { return nobody.emit(t, "-t", "0.5") },
	} {
		r := run()
		if r.duration > answerMargin {
			t.Errorf("%s took %v", name, r.duration)
		}
		// What was killed has a moment to disappear. Only a process that has escaped leads a group.
		waitFor(t, "the end of all but the one that escapes", func() (bool, any) {
			left := newProcesses(t, before)
			return !slices.ContainsFunc(left, func(p process) bool { return p.pid != p.pgid }), left
		})
		for _, left := range newProcesses(t, before) {
			if err := unix.Kill(left.pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		noNewProcesses(t, before)
	}
}

func TestPostqueueDies(t *testing.T) {
	const (
		die       = "echo 'postqueue: fatal: malformed showq server response' >&2; exit 69"
		brokenOff = `the showq service broke off the listing`
		killed    = `signal: killed`
		twoEmails = `at least 2 emails$`
	)
	list := "cat " + saveListing(t, twoLines) + "; "
	tests := map[string]struct{ script, cause, check string }{
		"before the first line":                 {die, brokenOff, ""},
		"at a line's end":                       {list + die, brokenOff, twoEmails},
		"inside a line":                         {list + partOfLine + die, brokenOff, twoEmails},
		"inside the first line":                 {partOfLine + die, brokenOff, ""},
		"inside a line, as if in order":         {list + partOfLine + "exit 0", `the listing is cut off`, twoEmails},
		"killed at a line's end":                {list + "kill -KILL $$", killed, twoEmails},
		"killed inside a line":                  {list + partOfLine + "kill -KILL $$", killed, twoEmails},
		"without a word":                        {"exit 1", `exit status 1`, ""},
		"after something else than a listing":   {"echo hello", `what /usr/sbin/postqueue -j prints is not a listing`, ""},
		"not even started, for its interpreter": {"#!/nowhere/sh", `/usr/sbin/postqueue`, ""},
		"for an unknown reason": {
			"echo 'postqueue: fatal: no paper' >&2; exit 75",
			`exit status 75: postqueue: fatal: no paper`, "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			replacePostqueue(t, test.script)
			f := failure{as: nobody, cause: test.cause, check: test.check}
			f.verify(t)
			if test.check != "" { // two whole lines prove that the range is broken
				f.state, f.check = "CRITICAL", `^at least 2 emails \(above 1\)`
			}
			f.verifyCheck(t, nobody.check(t, "-c", "1"))
		})
	}
}

func TestSignals(t *testing.T) {
	for name, script := range map[string]string{
		"hangs":                   "exec sleep infinity",
		"hangs with a grandchild": "sleep infinity & exec sleep infinity",
		"hangs in mid-listing":    "cat " + saveListing(t, twoLines) + "; exec sleep infinity",
	} {
		for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
			t.Run(fmt.Sprintf("%s while postqueue %s", unix.SignalName(signal), name), func(t *testing.T) {
				replacePostqueue(t, script)
				before := liveProcesses(t)
				interrupt := func(program string, args ...string) result {
					running := nobody.start(t, program, args...)
					waitFor(t, "postqueue", func() (bool, any) {
						for _, p := range newProcesses(t, before) {
							if p.comm == "sleep" {
								return true, p
							}
						}
						return false, nil
					})
					running.signal(signal)
					r := running.wait()
					noNewProcesses(t, before)
					return r
				}
				f := failure{cause: `signal`}
				// A broken threshold makes no difference: nobody waits for the answer any more.
				f.verifyCheck(t, takeApart(t, interrupt(program(t, checkProgram), "-t", "1000", "-c", "1")))
				f.verifyEmitter(t, interrupt(program(t, emitterProgram), "-t", "1000"))
			})
		}
	}
}
