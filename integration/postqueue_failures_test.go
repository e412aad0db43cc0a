//go:build integration

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPostqueueMissing(t *testing.T) {
	for _, user := range []command{root, nobody} {
		t.Run("for "+user.user, func(t *testing.T) {
			startWithMail(t, 1)
			hidePostqueue(t)
			failure{as: user, args: viaPostqueue, cause: `postqueue not found in /usr/sbin, .*; install Postfix`}.verify(t)
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

// TestPostqueueWithoutJSON has a postqueue from before Postfix 3.1.
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
const twoLines = `{"queue_name": "deferred", "queue_id": "63E3C1A2B3", "arrival_time": 1700000000, "message_size": 3000, "forced_expire": false, "sender": "a@example.com", "recipients": [{"address": "b@example.org"}]}
{"queue_name": "deferred", "queue_id": "63E3C1A2B4", "arrival_time": 1700000000, "message_size": 3000, "forced_expire": false, "sender": "a@example.com", "recipients": [{"address": "b@example.org"}]}
`

func TestPostqueueHangs(t *testing.T) {
	const (
		noEmails  = `^no answer from postqueue within [0-9.]+ s; raise --timeout, or let a timer write a snapshot`
		twoEmails = `^at least 2 emails.*listing stopped after [0-9.]+ s`
		aboveOne  = `^at least 2 emails \(above 1\).*listing stopped after [0-9.]+ s`
	)
	list := "cat " + saveListing(t, twoLines) + "; "
	tests := map[string]struct {
		script string
		failure
	}{
		"silently":                          {"exec sleep infinity", failure{check: noEmails}},
		"with a grandchild":                 {"sleep infinity & exec sleep infinity", failure{check: noEmails}},
		"by its grandchild alone":           {"sleep infinity & exit 0", failure{check: noEmails}},
		"by its grandchild after a listing": {list + "sleep infinity & exit 0", failure{check: twoEmails}},
		"deaf to signals":                   {"trap '' TERM INT HUP; while :; do sleep 1; done", failure{check: noEmails}},
		"while it complains":                {"while :; do echo postqueue: warning: still waiting >&2; done", failure{check: noEmails}},
		"at a line's end":                   {list + "exec sleep infinity", failure{check: twoEmails}},
		"inside a line":                     {list + "printf '{\"queue_name\": \"def'; exec sleep infinity", failure{check: twoEmails}},
		"beyond a critical range":           {list + "exec sleep infinity", failure{args: []string{"-c", "1"}, state: "CRITICAL", check: aboveOne}},
		"beyond a warning range":            {list + "exec sleep infinity", failure{args: []string{"-w", "1"}, state: "WARNING", check: aboveOne}},
		"with a critical range still open":  {list + "exec sleep infinity", failure{args: []string{"-w", "1", "-c", "5"}, check: aboveOne}},
		"short of a range that wants more":  {list + "exec sleep infinity", failure{args: []string{"-c", "5:"}, check: twoEmails}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			replacePostqueue(t, test.script)
			test.as = nobody
			test.verifyStopped(t, strings.HasPrefix(test.script, list))
		})
	}
}

// TestPostqueueEscapes has a postqueue that leaves a process behind where no signal to its group comes:
// not even that delays the answer.
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
		for _, left := range newProcesses(t, before) {
			if left.pid != left.pgid {
				t.Errorf("%s left %s behind", name, left)
			}
			if err := unix.Kill(left.pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		noNewProcesses(t, before)
	}
}

func TestPostqueueDies(t *testing.T) {
	const broken = "\necho 'postqueue: fatal: malformed showq server response' >&2; exit 69\n"
	list := "cat " + saveListing(t, twoLines)
	tests := map[string]struct {
		script string
		failure
	}{
		"before the first line":                 {broken, failure{cause: `the showq service broke off the listing`}},
		"at a line's end":                       {list + broken, failure{cause: `the showq service broke off the listing`, check: `at least 2 emails$`}},
		"inside a line":                         {list + "; printf '{\"queue_name\": \"def'" + broken, failure{cause: `the showq service broke off the listing`, check: `at least 2 emails$`}},
		"inside the first line":                 {"printf '{\"queue_name\": \"def'" + broken, failure{cause: `the showq service broke off the listing`}},
		"inside a line, as if in order":         {list + "; printf '{\"queue_name\": \"def'; exit 0", failure{cause: `the listing is cut off`, check: `at least 2 emails$`}},
		"killed at a line's end":                {list + "; kill -KILL $$", failure{cause: `signal: killed`, check: `at least 2 emails$`}},
		"killed inside a line":                  {list + "; printf '{\"queue_name\": \"def'; kill -KILL $$", failure{cause: `signal: killed`, check: `at least 2 emails$`}},
		"of what nobody has ever heard of":      {"echo 'postqueue: fatal: no paper' >&2; exit 75", failure{cause: `exit status 75: postqueue: fatal: no paper`}},
		"without a word":                        {"exit 1", failure{cause: `exit status 1`}},
		"after something that is no listing":    {"echo hello", failure{cause: `no line of the listing can be understood`}},
		"not even started, for its interpreter": {"#!/nowhere/sh", failure{cause: `/usr/sbin/postqueue`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			replacePostqueue(t, test.script)
			test.as = nobody
			test.verify(t)
			// What was listed until then breaks the range, but who knows what is true of it.
			test.verifyCheck(t, nobody.check(t, "-c", "1"))
		})
	}
}

func TestSignals(t *testing.T) {
	for name, script := range map[string]string{
		"hangs":                   "exec sleep infinity",
		"hangs with a grandchild": "sleep infinity & exec sleep infinity",
		"hangs in mid-listing":    "cat " + saveListing(t, twoLines) + "; exec sleep infinity",
	} {
		for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
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
				// Not even a threshold that is broken makes it the answer to a question nobody waits for.
				f.verifyCheck(t, takeApart(t, interrupt(program(t, checkProgram), "-t", "1000", "-c", "1")))
				f.verifyEmitter(t, interrupt(program(t, emitterProgram), "-t", "1000"))
			})
		}
	}
}
