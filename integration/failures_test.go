//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A failure is how one of the programs is run where it cannot read the queue to its end, and what must
// become of that.
type failure struct {
	as    command
	args  []string // for both programs
	state string   // of the check; UNKNOWN where empty
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

// aCountOfZero is what no failure may be taken for.
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
		t.Fatalf("there is no command in %q", a.text)
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

func TestMailSystemDown(t *testing.T) {
	const start = `; start it: postfix start$`
	tests := map[string]struct {
		as     command
		args   []string
		emails int
		check  string
	}{
		"for a user":                {nobody, nil, 2, `\(Connect to the Postfix showq service: .*\)` + start},
		"for a user, empty":         {nobody, nil, 0, `\(Connect to the Postfix showq service: .*\)` + start},
		"for root":                  {root, viaPostqueue, 2, `^mail system is down, 2 emails waiting, .*` + start},
		"for root, one message":     {root, viaPostqueue, 1, `^mail system is down, 1 email waiting, .*` + start},
		"for root, empty":           {root, viaPostqueue, 0, `^mail system is down, queue is empty` + start},
		"for root, by any source":   {root, nil, 2, `^mail system is down, 2 emails waiting, .*` + start},
		"for the owner of the mail": {command{user: "postfix"}, viaPostqueue, 1, start},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := startWithMail(t, test.emails)
			p.stop()
			f := failure{as: test.as, args: test.args, state: "CRITICAL", cause: `mail system is down`, check: test.check}
			f.verifyRemedy(t, p, f.verify(t))
		})
	}
	for _, user := range []command{root, nobody} {
		t.Run("never started, for "+user.user, func(t *testing.T) {
			p := newPostfix(t)
			failure{as: user, args: viaPostqueue, state: "CRITICAL", cause: `mail system is down`}.verify(t)
			p.start()
			if a := user.check(t); a.state != "OK" || a.text != "queue is empty" {
				t.Errorf("want OK and queue is empty, got %s", a)
			}
		})
	}
	t.Run("thresholds or not", func(t *testing.T) {
		p := startWithMail(t, 2)
		p.stop()
		f := failure{state: "CRITICAL", cause: `mail system is down`}
		f.verifyCheck(t, root.check(t, "-w", "1:5", "-c", "1:5"))
		f.verifyCheck(t, root.check(t, "-w", "0", "-c", "0"))
	})
}

func TestAccessDenied(t *testing.T) {
	long := "root"
	for i := range 300 {
		long += fmt.Sprintf(",user%03d", i)
	}
	tests := map[string]struct {
		user, authorized string
		noCommand        bool // words may do: what mends it is not easily said as a command for the shell
	}{
		"to everybody":                 {user: "nobody", authorized: ""},
		"to all but root":              {user: "nobody", authorized: "root"},
		"to all but several":           {user: "nobody", authorized: "root, daemon mail"},
		"to all but a table":           {user: "nobody", authorized: "hash:/etc/aliases, root"},
		"to this user":                 {user: "nobody", authorized: "!nobody, static:anyone", noCommand: true},
		"to all but a macro":           {user: "nobody", authorized: "$mail_owner, root", noCommand: true},
		"to all but very many":         {user: "nobody", authorized: long, noCommand: true},
		"to a user without entry":      {user: "54321", authorized: "root", noCommand: true},
		"to a user of another domain":  {user: "54322", authorized: "root", noCommand: true},
		"to a user with a similar one": {user: "nobody", authorized: "nobody2, root"},
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	bind(t, saveListing(t, string(passwd)+`DOMAIN\monitor:x:54322:54322::/:/bin/false`+"\n"), "/etc/passwd")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := startWithMail(t, 1)
			p.set("authorized_mailq_users=" + test.authorized)
			f := failure{as: command{user: test.user}, cause: `is not allowed to view the mail queue; as root: .*authorized_mailq_users`}
			a := f.verify(t)
			if test.noCommand && !strings.Contains(a.text, "postconf") {
				return
			}
			f.verifyRemedy(t, p, a)
			verifyKept(t, p, "authorized_mailq_users", test.authorized)
		})
	}
	t.Run("by another instance", func(t *testing.T) {
		p := startWithMail(t, 1)
		dir := copyConfig(t)
		p.set("alternate_config_directories=" + dir)
		p.must(root.run(t, "postconf", "-c", dir, "-e", "authorized_mailq_users=root"))
		p.settle(dir)
		before := p.setting("authorized_mailq_users")
		f := failure{as: nobody, args: []string{"-d", dir}, cause: `user nobody is not allowed to view the mail queue`}
		f.verifyRemedy(t, p, f.verify(t))
		if after := p.setting("authorized_mailq_users"); after != before {
			t.Errorf("the other instance's authorized_mailq_users is %q now, was %q", after, before)
		}
	})
}

// verifyKept fails the test if a list in main.cf has lost one of the items that it had before.
func verifyKept(t *testing.T, p *postfixInstance, parameter, before string) {
	t.Helper()
	items := func(list string) []string {
		return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	}
	now := items(p.setting(parameter))
	lost := slices.DeleteFunc(items(before), func(item string) bool { return slices.Contains(now, item) })
	if len(lost) > 0 {
		t.Errorf("%s has lost %s", parameter, lost)
	}
}

func TestSetgidLost(t *testing.T) {
	const lost = `/usr/sbin/postqueue has lost its setgid bit; as root: `
	tests := map[string]struct {
		gid   int // of the group that postqueue has, postdrop where -1
		mode  os.FileMode
		check string
	}{
		"by chmod": {-1, 0o755, lost},
		"by cp":    {0, 0o755, lost},
		"by chgrp": {0, 0o755 | os.ModeSetgid, `/usr/sbin/postqueue does not gain the rights of its group; as root: `},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := startWithMail(t, 1)
			path := copyPostqueue(t)
			if err := os.Chown(path, 0, test.gid); err != nil {
				t.Fatal(err)
			}
			chmod(t, path, test.mode)
			bind(t, path, postqueueProgram)
			f := failure{as: nobody, cause: `postqueue may not connect to the showq service: `, check: test.check}
			a := f.verify(t)
			a.text, _, _ = strings.Cut(a.text, "; in a container") // words after the command
			f.verifyRemedy(t, p, a)
		})
	}
	t.Run("by no_new_privs", func(t *testing.T) {
		startWithMail(t, 1)
		failure{as: command{user: "nobody", noNewPrivs: true},
			cause: `postqueue may not connect to the showq service: .*NoNewPrivileges=no`}.verify(t)
	})
	t.Run("by a nosuid mount", func(t *testing.T) {
		startWithMail(t, 1)
		bind(t, copyPostqueue(t), postqueueProgram)
		if err := unix.Mount("", postqueueProgram, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID, ""); err != nil {
			t.Fatal(err)
		}
		failure{as: nobody, cause: `the file system of /usr/sbin/postqueue is mounted nosuid; mount it with suid`}.verify(t)
		if err := unix.Mount("", postqueueProgram, "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if a := nobody.check(t); a.state != "OK" {
			t.Errorf("mounted with suid: want OK, got %s", a)
		}
	})
}

func TestConfigDirRefused(t *testing.T) {
	for name, listed := range map[string]string{
		"none listed":    "",
		"others listed":  "/etc/postfix-other",
		"several listed": "/etc/postfix-other, /etc/postfix-third /etc/postfix-fourth",
	} {
		t.Run(name, func(t *testing.T) {
			p := startWithMail(t, 1)
			dir := copyConfig(t)
			p.set("alternate_config_directories=" + listed)
			f := failure{as: nobody, args: []string{"-d", dir},
				cause: `the default instance does not list configuration directory ` + regexp.QuoteMeta(dir)}
			f.verifyRemedy(t, p, f.verify(t))

			verifyKept(t, p, "alternate_config_directories", listed)
			for _, slashes := range []string{"/", "//"} {
				if a := nobody.check(t, "-d", dir+slashes); a.state != "OK" || a.perf["emails"] != 1 {
					t.Errorf("-d %s: want OK and one message, got %s", dir+slashes, a)
				}
			}
		})
	}
	t.Run("not where it is an instance of its own", func(t *testing.T) {
		p := startWithMail(t, 1)
		dir := copyConfig(t)
		p.set("multi_instance_directories=" + dir)
		if a := nobody.check(t, "-d", dir+"/"); a.state != "OK" || a.perf["emails"] != 1 {
			t.Errorf("want OK and one message, got %s", a)
		}
	})
	t.Run("not for root", func(t *testing.T) {
		startWithMail(t, 1)
		if a := root.check(t, "-d", copyConfig(t)); a.state != "OK" || a.perf["emails"] != 1 {
			t.Errorf("want OK and one message, got %s", a)
		}
	})
}

func TestNoMainCF(t *testing.T) {
	gone := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, "main.cf")); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []command{root, nobody} {
		t.Run("for "+user.user, func(t *testing.T) {
			startWithMail(t, 1)
			gone(t, configDir)
			failure{as: user, args: viaPostqueue,
				cause: `cannot open /etc/postfix/main.cf: No such file or directory; restore the file`}.verify(t)
		})
		t.Run("in another directory for "+user.user, func(t *testing.T) {
			p := startWithMail(t, 1)
			dir := copyConfig(t)
			p.set("alternate_config_directories=" + dir)
			gone(t, dir)
			failure{as: user, args: append(viaPostqueue, "-d", dir),
				cause: `cannot open ` + regexp.QuoteMeta(dir) + `/main.cf: No such file or directory`}.verify(t)
		})
	}
}

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

// verifyStopped runs both programs with a timeout that is too short to read the queue to its end. Where
// some messages are to be read before, the timeout is made long enough for the first of them: how long
// that is depends on the machine.
func (f failure) verifyStopped(t *testing.T, someMessages bool) {
	t.Helper()
	before := liveProcesses(t)
	for timeout := 300 * time.Millisecond; ; timeout *= 2 {
		a := f.as.check(t, append(f.args, "-t", fmt.Sprint(timeout.Seconds()))...)
		noNewProcesses(t, before)
		if a.duration > timeout+answerMargin {
			t.Errorf("after a timeout of %v the answer took %v", timeout, a.duration)
		}
		if !someMessages || !strings.Contains(a.text, "no answer from postqueue") || timeout > patience {
			f.verifyCheck(t, a)
			break
		}
	}
	receiver := newUDPReceiver(t)
	for _, output := range [][]string{{"--format=netdata"}, {"--format=statsd", "--to", receiver.target()}} {
		r := f.as.emit(t, append(output, "-t", "0.3")...)
		noNewProcesses(t, before)
		if r.duration > answerMargin {
			t.Errorf("after a timeout of 300ms the emitter took %v", r.duration)
		}
		failure{cause: `the queue could not be read within 300ms; raise --timeout`}.verifyEmitter(t, r)
	}
	receiver.verifySilence()
}

// answerMargin is what even a busy machine needs at most to answer after the timeout.
const answerMargin = 30 * time.Second

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

// TestInput has listings of a real queue that did not come through whole.
func TestInput(t *testing.T) {
	p := startWithMail(t, 3)
	text, lines := p.must(p.postqueue("-p")).stdout, p.must(p.postqueue("-j")).stdout
	// cut takes a number of lines off the end.
	cut := func(listing string, n int) string {
		all := strings.SplitAfter(listing, "\n")
		return strings.Join(all[:len(all)-1-n], "")
	}
	// The text listing ends with a reason, a recipient, a blank line and the summary.
	tests := map[string]struct {
		content string
		failure
	}{
		"nothing":                             {"", failure{cause: `the input is empty`}},
		"no listing":                          {"postqueue: fatal: Queue report unavailable\n", failure{cause: `the input is not what postqueue -j or postqueue -p prints`}},
		"JSON cut inside a line":              {strings.TrimSuffix(lines, "}\n"), failure{cause: `the listing is cut off`, check: `at least 2 emails$`}},
		"JSON cut inside its first line":      {lines[:50], failure{cause: `the listing is cut off`}},
		"text cut before its summary":         {cut(text, 1), failure{cause: `the listing is cut off`, check: `at least 3 emails$`}},
		"text cut inside its summary":         {strings.TrimSuffix(text, "equests.\n"), failure{cause: `the listing is cut off`, check: `at least 3 emails$`}},
		"text cut inside a message":           {cut(text, 4), failure{cause: `the listing is cut off`, check: `at least 3 emails$`}},
		"text cut after its header":           {strings.SplitAfter(text, "\n")[0], failure{cause: `the listing is cut off`}},
		"text with a message that is missing": {strings.Replace(text, text[strings.Index(text, "\n")+1:strings.Index(text, "\n\n")+2], "", 1), failure{cause: `the listing has 2 messages of 0 KiB where its summary says 3`, check: `at least 2 emails$`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.as, test.args = nobody, []string{"--input", saveListing(t, test.content)}
			test.verify(t)
		})
	}

	complete := saveListing(t, lines)
	t.Run("whole", func(t *testing.T) {
		if a := nobody.check(t, "-i", complete); a.state != "OK" || a.perf["emails"] != 3 {
			t.Errorf("want OK and 3 messages, got %s", a)
		}
	})
	for name, age := range map[string]time.Duration{"stale": time.Hour, "from the future": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			written := time.Now().Add(-age)
			if err := os.Chtimes(complete, written, written); err != nil {
				t.Fatal(err)
			}
			failure{as: nobody, args: []string{"-i", complete}, cause: `was written (1h0m0s ago|59m[0-9]+s in the future|1h0m0s in the future)`}.verify(t)
			if a := nobody.check(t, "-i", complete, "--max-age", "0"); a.state != "OK" || a.perf["emails"] != 3 {
				t.Errorf("of any age: want OK and 3 messages, got %s", a)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		failure{as: nobody, args: []string{"-i", "/nowhere/listing"}, cause: `/nowhere/listing: no such file or directory`}.verify(t)
	})
	t.Run("not readable", func(t *testing.T) {
		secret := saveListing(t, lines)
		chmod(t, secret, 0o600)
		failure{as: nobody, args: []string{"-i", secret}, cause: `permission denied`}.verify(t)
	})
	t.Run("a directory", func(t *testing.T) {
		failure{as: nobody, args: []string{"-i", "/etc"}, cause: `/etc`}.verify(t)
	})
	t.Run("a pipe that nobody writes to", func(t *testing.T) {
		pipe := filepath.Join(publicTempDir(t), "pipe")
		if err := unix.Mkfifo(pipe, 0o644); err != nil {
			t.Fatal(err)
		}
		failure{as: nobody, args: []string{"-i", pipe, "-t", "0.5"}, cause: `input|could not be read within`}.verify(t)
	})
}

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
	const atLeast = `^at least [1-9][0-9]* emails`
	tests := map[string]failure{
		"without thresholds":             {check: atLeast + `, .*; raise --timeout, or .* --input`},
		"critical range broken":          {args: []string{"-c", "100"}, state: "CRITICAL", check: atLeast + ` \(above 100\)`},
		"warning range broken":           {args: []string{"-w", "100"}, state: "WARNING", check: atLeast + ` \(above 100\)`},
		"both broken":                    {args: []string{"-w", "10", "-c", "100"}, state: "CRITICAL", check: atLeast + ` \(above 100\)`},
		"warning broken, critical open":  {args: []string{"-w", "100", "-c", "1000000"}, check: atLeast + ` \(above 100\)`},
		"no range broken":                {args: []string{"-w", "1000000"}, check: atLeast + `,`},
		"critical range for another":     {args: []string{"-c", "size=100"}, state: "CRITICAL", check: `^at least .* \(above 100 KiB\)`},
		"more mail could be good news":   {args: []string{"-c", "1000000:"}, check: atLeast + `,`},
		"no more mail could be too much": {args: []string{"-c", "@100:"}, state: "CRITICAL", check: atLeast + ` \(100 or more\)`},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			f.as = nobody
			f.verifyStopped(t, true)
		})
	}
}

// testShowqDies kills the showq service at various moments, until it was in mid-listing. Each time the
// queue must have been read in full, or not at all.
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
			const step = 100 * time.Millisecond
			for delay := step; ; delay = delay%time.Second + step {
				running := nobody.start(t, program(t, name), "-t", "100")
				time.Sleep(delay)
				for _, p := range liveProcesses(t) {
					if p.comm == "showq" {
						_ = unix.Kill(p.pid, unix.SIGKILL) // it may have ended by itself
					}
				}
				r := running.wait()
				noNewProcesses(t, before)
				if verify(r) || t.Failed() {
					t.Logf("showq killed after %v: %s", delay, r)
					return
				}
			}
		})
	}
}

// copyConfig copies the configuration of the default instance to a directory of its own.
func copyConfig(t *testing.T) (dir string) {
	t.Helper()
	dir = publicTempDir(t)
	if r := root.run(t, "cp", "-a", configDir+"/.", dir); r.exitCode != 0 {
		t.Fatal(r)
	}
	return dir
}

// copyPostqueue copies postqueue with its group and its setgid bit.
func copyPostqueue(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(publicTempDir(t), "postqueue")
	if r := root.run(t, "cp", "-p", postqueueProgram, path); r.exitCode != 0 {
		t.Fatal(r)
	}
	return path
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
