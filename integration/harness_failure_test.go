//go:build integration

package integration

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A failure says how a program is run when it cannot read the queue to its end, and what it must say then.
type failure struct {
	as    command
	args  []string // for both programs
	state string   // of the check; UNKNOWN if empty
	cause string   // regular expression for what both programs say
	check string   // regular expression for what the check alone says
}

// viaPostqueue is for users that could read the queue without postqueue.
var viaPostqueue = []string{"--source", "postqueue"}

// verify runs both programs. It returns what the check said.
func (f failure) verify(t *testing.T) answer {
	t.Helper()
	before := liveProcesses(t)
	a := f.as.check(t, f.args...)
	f.verifyCheck(t, a)
	noNewProcesses(t, before)

	receiver := newUDPReceiver(t)
	for _, output := range [][]string{{"--format=netdata"}, {"--format=statsd", "--to", receiver.target()}} {
		f.verifyEmitter(t, f.as.emit(t, append(output, f.args...)...))
		noNewProcesses(t, before)
	}
	receiver.verifySilence()
	return a
}

// aCountOfZero must not be in the answer to a failure.
var aCountOfZero = regexp.MustCompile(`\b0 emails?\b`)

func (f failure) verifyCheck(t *testing.T, a answer) {
	t.Helper()
	state := f.state
	if state == "" {
		state = "UNKNOWN"
	}
	switch {
	case a.state != state:
		t.Errorf("want %s, got %s", state, a)
	case strings.Contains(a.stdout, "|"):
		t.Errorf("a failure has no performance data: %s", a)
	case strings.Count(a.stdout, "\n") != 1:
		t.Errorf("want one line, got %s", a)
	case aCountOfZero.MatchString(a.text):
		t.Errorf("a failure is not an empty queue: %s", a)
	}
	for _, pattern := range []string{f.cause, f.check} {
		if !regexp.MustCompile(pattern).MatchString(a.text) {
			t.Errorf("want %q, got %q", pattern, a.text)
		}
	}
}

func (f failure) verifyEmitter(t *testing.T, r result) {
	t.Helper()
	if r.exitCode != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") {
		t.Errorf("emitter: want exit code 1, one line on stderr and nothing else; got %s", r)
	}
	if !regexp.MustCompile(f.cause).MatchString(r.stderr) {
		t.Errorf("emitter: want %q, got %q", f.cause, r.stderr)
	}
}

// remedyPattern finds the command that an answer says will help.
var remedyPattern = regexp.MustCompile(`(?:as root|start it): (.+)$`)

// verifyRemedy runs the command that the answer says will help. The same check must then succeed.
func (f failure) verifyRemedy(t *testing.T, p *postfixInstance, a answer) {
	t.Helper()
	remedy := remedyPattern.FindStringSubmatch(a.text)
	if remedy == nil {
		t.Fatalf("%q has no command", a.text)
	}
	if r := root.run(t, "sh", "-c", remedy[1]); r.exitCode != 0 {
		t.Fatalf("%s: %s", remedy[1], r)
	}
	p.settle(configDir)
	if a := f.as.check(t, f.args...); a.state != "OK" {
		t.Errorf("after %q: want OK, got %s", remedy[1], a)
	}
	if r := f.as.emit(t, f.args...); r.exitCode != 0 {
		t.Errorf("after %q: want success of the emitter, got %s", remedy[1], r)
	}
}

// verifyStopped runs both programs with a timeout that is too short to read the queue to its end. It makes the
// timeout of the check long enough for a number of messages; how long that is depends on the machine.
func (f failure) verifyStopped(t *testing.T, messages int64) {
	t.Helper()
	before := liveProcesses(t)
	for timeout, done := 300*time.Millisecond, false; !done; {
		a := f.as.check(t, append(f.args, "-t", fmt.Sprint(timeout.Seconds()))...)
		noNewProcesses(t, before)
		if a.duration > timeout+answerMargin {
			t.Errorf("after a timeout of %v the answer took %v", timeout, a.duration)
		}
		isWhole := len(a.perf) > 0 // it is in the cache now, and the next try is faster
		switch {
		case isWhole && timeout > 10*time.Millisecond:
			timeout = timeout * 2 / 5
		case readBefore(t, a) < messages && timeout < patience:
			timeout *= 2
		default:
			f.verifyCheck(t, a)
			done = true
		}
	}
	receiver := newUDPReceiver(t)
	for _, output := range [][]string{{"--format=netdata"}, {"--format=statsd", "--to", receiver.target()}} {
		r := f.as.emit(t, append(output, "-t", "0.3")...)
		noNewProcesses(t, before)
		if r.duration > answerMargin {
			t.Errorf("after a timeout of 300ms the emitter took %v", r.duration)
		}
		failure{cause: `the queue could not be read within 0.3 s; raise --timeout`}.verifyEmitter(t, r)
	}
	receiver.verifySilence()
}

var atLeastPattern = regexp.MustCompile(`^at least (\d+) emails?`)

// readBefore returns the number of messages that were read before the timeout, as the check says. Without a
// timeout there is no limit.
func readBefore(t *testing.T, a answer) int64 {
	t.Helper()
	switch atLeast := atLeastPattern.FindStringSubmatch(a.text); {
	case atLeast != nil:
		return int64(number(t, atLeast[1]))
	case strings.Contains(a.text, "no answer from postqueue"):
		return 0
	default:
		return math.MaxInt64
	}
}

// answerMargin is what even a busy machine needs at most to answer after the timeout.
const answerMargin = 30 * time.Second

// startWithMail starts a Postfix with n messages in the deferred queue.
func startWithMail(t *testing.T, n int, settings ...string) *postfixInstance {
	t.Helper()
	p := startPostfix(t, settings...)
	var ids []string
	for range n {
		ids = append(ids, p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	}
	p.waitDeferred(ids...)
	return p
}
