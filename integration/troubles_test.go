//go:build integration

package integration

import (
	"bytes"
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

// Nobody can make a queue file look older to the kernel than it is, so these tests wait.
const (
	stuckAfter = "--stuck=10s"
	inTime     = "--timeout=4"
	stuckWait  = 12 * time.Second
)

// tillNewer is how long to wait until a listing, which has whole seconds, shows that mail is newer than the last.
const tillNewer = 1100 * time.Millisecond

// A troubleView is what the programs must say about mail that does not move. The texts are regular expressions.
type troubleView struct {
	state, text         string // for root
	userState, userText string // for an ordinary user
	up, userUp          string
}

func (v troubleView) verify(t *testing.T) {
	t.Helper()
	snapshot := filepath.Join(publicTempDir(t), "snapshot.json")
	if r := root.emit(t, "-f", "json", "--to", snapshot, stuckAfter); r.exitCode != 0 {
		t.Fatal(r)
	}
	checks := map[string]struct {
		user        command
		args        []string
		state, text string
	}{
		"root":             {root, []string{stuckAfter, inTime}, v.state, v.text},
		"other mail":       {root, []string{stuckAfter, inTime, "--sender", "nobody-at-all"}, v.state, v.text},
		"an ordinary user": {nobody, []string{stuckAfter, inTime}, v.userState, v.userText},
		"a snapshot":       {nobody, []string{"--input", snapshot}, v.state, v.text},
	}
	emitters := map[string]struct {
		user            command
		state, text, up string
	}{
		"root":             {root, v.state, v.text, v.up},
		"an ordinary user": {nobody, v.userState, v.userText, v.userUp},
	}
	t.Run("views", func(t *testing.T) { // each takes two seconds
		for name, want := range checks {
			t.Run("check for "+name, func(t *testing.T) {
				t.Parallel()
				a := want.user.check(t, want.args...)
				if a.state != want.state || !regexp.MustCompile(want.text).MatchString(a.text) {
					t.Errorf("want %s with %q, got %s", want.state, want.text, a)
				}
			})
		}
		for name, want := range emitters {
			t.Run("--check for "+name, func(t *testing.T) {
				t.Parallel()
				r := want.user.emit(t, "--check", stuckAfter, inTime)
				isWell := want.state == "OK"
				trouble, _, _ := strings.Cut(want.text, "; ") // each has a line of its own, with what to do
				text := "^postfix_queue_emit: " + strings.TrimPrefix(trouble, "^") + "; "
				if (r.exitCode == 0) != isWell || r.stdout != "" || !isWell && !regexp.MustCompile(text).MatchString(r.stderr) {
					t.Errorf("want %q, got %s", text, r)
				}
			})
			t.Run("up for "+name, func(t *testing.T) {
				t.Parallel()
				r := want.user.emit(t, "-f", "value", "-m", "up", stuckAfter, inTime)
				if r.stdout != want.up+"\n" || (r.exitCode == 0) != (want.up == "1") {
					t.Errorf("want %s, got %s", want.up, r)
				}
			})
		}
		t.Run("prometheus", func(t *testing.T) {
			t.Parallel()
			r := root.emit(t, "-f", "prometheus", "-m", "*,up", stuckAfter)
			if !strings.Contains(r.stdout, `postfix_queue_up{instance_name="local"} `+v.up+"\n") ||
				!strings.Contains(r.stdout, "postfix_queue_all_messages{") {
				t.Errorf("want up %s and numbers, got %s", v.up, r)
			}
		})
	})
}

func TestNothingTaken(t *testing.T) {
	const text = `^the queue manager takes no mail: 2 in incoming, oldest \d\ds, active 0; `
	stuck := troubleView{state: "CRITICAL", text: text, up: "0", userState: "WARNING", userText: text, userUp: "1"}
	send := func(p *postfixInstance) {
		p.send(mail{from: "a@example.com", to: []string{"b@example.org"}})
		p.send(mail{from: "a@example.com", to: []string{"c@example.org"}})
	}
	t.Run("a stopped queue manager", func(t *testing.T) {
		p := newPostfix(t)
		p.disableService("pickup/unix")
		p.start()
		p.sendmail(mail{from: "a@example.com", to: []string{"d@example.org"}})
		p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
		i := slices.IndexFunc(p.daemons(p.master()), func(d process) bool { return d.comm == "qmgr" })
		qmgr := p.daemons(p.master())[i]
		if err := unix.Kill(qmgr.pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(tillNewer)
		send(p)
		time.Sleep(stuckWait)
		stuck := stuck
		stuck.text += `local mail is not taken up: 1 in maildrop, oldest \d\ds \(pickup, cleanup or a milter\); `
		stuck.verify(t)
		a := nobody.check(t, stuckAfter)
		if !regexp.MustCompile(`; 4 emails, .*; 1 in maildrop, oldest \d\ds$`).MatchString(a.text) {
			t.Errorf("for an ordinary user: %s", a)
		}
		if err := unix.Kill(qmgr.pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a queue manager that cannot start", func(t *testing.T) {
		p := newPostfix(t)
		p.must(runAs(t, "root", "postconf", "-P", "qmgr/unix/qmgr_message_active_limit=0"))
		p.start()
		send(p)
		time.Sleep(stuckWait)
		if !strings.Contains(p.log(), "invalid qmgr_message_active_limit") {
			t.Fatal("the queue manager has started")
		}
		stuck.verify(t)
		r := root.emit(t, "-f", "value", "-m", "up", stuckAfter, "--queue-directory", spoolDir)
		if r.stdout != "0\n" {
			t.Errorf("by the files alone: want 0, got %s", r)
		}
		late := root.check(t, stuckAfter, "--timeout=1")
		if late.state != "UNKNOWN" || !strings.Contains(late.text, "(not confirmed in time)") {
			t.Errorf("without time: want UNKNOWN, got %s", late)
		}
	})
}

func TestFullActiveQueue(t *testing.T) {
	server := newSMTPServer(t)
	server.answer("hang.example", hang)
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport(), "qmgr_message_active_limit=1")
	active := p.send(mail{from: "a@example.com", to: []string{"a@hang.example"}})
	p.waitQueue(func(listed listing) bool { return listed.message(active).Queue == "active" })
	time.Sleep(tillNewer)
	p.send(mail{from: "a@example.com", to: []string{"b@hang.example"}})
	time.Sleep(stuckWait)
	const text = `^the active queue is full \(1\), 1 in incoming, oldest \d\ds, none taken; `
	troubleView{state: "WARNING", text: text, userState: "WARNING", userText: text, up: "1", userUp: "1"}.verify(t)
}

// A milter that answers nothing makes cleanup refuse local mail for the time being.
func TestLocalMailNotTaken(t *testing.T) {
	p := startPostfix(t, "non_smtpd_milters=inet:127.0.0.1:1", "milter_default_action=tempfail")
	p.sendmail(mail{from: "a@example.com", to: []string{"b@example.org"}})
	time.Sleep(stuckWait)
	troubleView{
		state: "WARNING", text: `^local mail is not taken up: 1 in maildrop, oldest \d\ds \(pickup, cleanup or a milter\); `,
		userState: "OK", userText: `^1 email, .*; 1 in maildrop, oldest \d\ds$`,
		up: "1", userUp: "1",
	}.verify(t)
}

func TestNoSpace(t *testing.T) {
	// Postfix writes its queue into a file system that is as small as the test wants it.
	start := func(t *testing.T, options string, settings ...string) *postfixInstance {
		t.Helper()
		p := newPostfix(t, settings...)
		mount(t, "tmpfs", options, spoolDir)
		t.Cleanup(p.stop)
		p.start()
		return p
	}
	free := func(t *testing.T) (freeBytes, inodes int64) {
		t.Helper()
		a := root.check(t, "-w", "spool_free=1:", "-w", "spool_free_inodes=1:")
		return a.perf["spool_free"], a.perf["spool_free_inodes"]
	}
	fill := func(t *testing.T, n int64) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(spoolDir, "pid", "filler"), bytes.Repeat([]byte{0}, int(n)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("for a message", func(t *testing.T) {
		p := start(t, "size=32m,mode=755", "message_size_limit=8388608") // needs 12 MiB
		freeBytes, _ := free(t)
		send := func() error {
			_, err := smtpSend(mail{from: "a@example.com", to: []string{"b@example.org"}})
			return err
		}
		fill(t, freeBytes-13<<20)
		if err := send(); err != nil {
			t.Fatalf("with 13 MiB: %v", err)
		}
		if a := root.check(t); a.state != "OK" {
			t.Errorf("with 13 MiB: %s", a)
		}
		fill(t, freeBytes-12<<20-64<<10)
		for i := 0; ; i++ { // to the block that is too much
			p.waitDeferred(p.queueIDs("deferred")...)
			a, err := root.check(t), send()
			if refused := err != nil && strings.Contains(err.Error(), "452"); refused != (a.state == "CRITICAL") {
				t.Fatalf("smtpd says %v, the check %s", err, a)
			}
			if err != nil {
				break
			}
			if i > 100 {
				t.Fatal("smtpd never refuses mail")
			}
		}
		const text = `^Postfix refuses mail by SMTP: 1[0-2].*MiB free, needs 12 MiB; `
		troubleView{state: "CRITICAL", text: text, up: "0", userState: "CRITICAL", userText: text, userUp: "1"}.verify(t)
		p.set("message_size_limit=0", "queue_minfree=1000")
		if a := root.check(t); a.state != "OK" {
			t.Errorf("without a limit: %s", a)
		}
	})
	t.Run("for anything", func(t *testing.T) {
		start(t, "size=16m,mode=755")
		if err := writeUntilFull(filepath.Join(spoolDir, "pid", "filler")); err != nil {
			t.Fatal(err)
		}
		const text = `^Postfix accepts no mail: 0 B free in queue_directory; `
		troubleView{state: "CRITICAL", text: text, up: "0", userState: "CRITICAL", userText: text, userUp: "1"}.verify(t)
	})
	t.Run("for any file", func(t *testing.T) {
		start(t, "size=64m,nr_inodes=200,mode=755")
		for i := 0; ; i++ {
			if err := os.WriteFile(filepath.Join(spoolDir, "pid", fmt.Sprint("filler", i)), nil, 0o600); err != nil {
				break
			}
		}
		const text = `^Postfix accepts no mail: no inode is free in queue_directory; `
		// Postfix can start no service, so that postqueue waits in vain.
		troubleView{state: "CRITICAL", text: text, up: "0", userState: "CRITICAL", userText: text, userUp: "0"}.verify(t)
	})
	t.Run("read-only", func(t *testing.T) {
		p := newPostfix(t)
		mount(t, "tmpfs", "size=64m,mode=755", spoolDir)
		pids := filepath.Join(spoolDir, "pid") // has a lock that is open for writing
		if err := os.Mkdir(pids, 0o755); err != nil {
			t.Fatal(err)
		}
		mount(t, "tmpfs", "size=1m,mode=755", pids)
		t.Cleanup(p.stop)
		p.start()
		if err := unix.Mount("", spoolDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		const text = `^Postfix accepts no mail: the file system of queue_directory is read-only; `
		troubleView{state: "CRITICAL", text: text, up: "0", userState: "CRITICAL", userText: text, userUp: "1"}.verify(t)
	})
	t.Run("uncounted inodes", func(t *testing.T) {
		start(t, "size=64m,nr_inodes=0,mode=755")
		a := root.check(t, "-w", "spool_free_inodes=1:")
		if a.state != "UNKNOWN" || !strings.Contains(a.text, "spool_free_inodes") {
			t.Errorf("want UNKNOWN, got %s", a)
		}
	})
}

func writeUntilFull(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return nil
}

// A clock that was wrong leaves arrivals ahead of the present one.
func TestArrivalsAhead(t *testing.T) {
	p := startPostfix(t)
	for range 3 {
		p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	}
	ids := p.queueIDs("deferred")
	p.stop()
	for _, id := range ids[:2] {
		p.moveArrival(id, 24*time.Hour)
	}
	p.start()
	const text = `^3 emails, .*; 2 arrivals lie in the future: see the clock$`
	for _, user := range []command{root, nobody} {
		a := user.check(t, "-w", "future=1", "-w", "arrived_5m=0", "-c", "arrived_1h=5")
		if a.state != "WARNING" || a.perf["future"] != 2 || a.perf["arrived_5m"] != 1 || a.perf["arrived_1h"] != 1 {
			t.Errorf("for %s: %s", user.user, a)
		}
		if a := user.check(t); a.state != "OK" || !regexp.MustCompile(text).MatchString(a.text) {
			t.Errorf("for %s: want OK with %q, got %s", user.user, text, a)
		}
	}
}

// moveArrival changes the time record of a deferred message.
func (p *postfixInstance) moveArrival(id string, by time.Duration) {
	p.t.Helper()
	f, err := openOriginal("deferred", id)
	if err != nil {
		p.t.Fatal(err)
	}
	record := regexp.MustCompile(`T.(\d{10}) `).FindSubmatchIndex(f.content)
	if record == nil {
		p.t.Fatalf("%s has no arrival", id)
	}
	digits := f.content[record[2]:record[3]]
	copy(digits, fmt.Sprint(int64(number(p.t, string(digits)))+int64(by.Seconds())))
	parsed, err := parseQueueID(id)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(parsed.hash(), id), f.content, 0); err != nil {
		p.t.Fatal(err)
	}
}

// Mail expires by when it was made and by main.cf: nobody else knows.
func TestExpiring(t *testing.T) {
	p := startPostfix(t, "maximal_queue_lifetime=10s", "bounce_queue_lifetime=$maximal_queue_lifetime")
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	expiring := func() int64 {
		a := root.check(t, "-w", "expiring=5")
		if a.state != "OK" {
			t.Fatal(a)
		}
		return a.perf["expiring"]
	}
	if n := expiring(); n != 0 {
		t.Errorf("%d messages are about to be returned at once", n)
	}
	waitFor(t, "the message to be about to be returned", func() (bool, any) {
		n := expiring()
		return n == 1, n
	})
	a := nobody.check(t, "-w", "expiring=5")
	const unknown = "this source does not know expiring (that takes the queue files and main.cf: use the source spool"
	if a.state != "UNKNOWN" || !strings.Contains(a.text, unknown) {
		t.Errorf("for an ordinary user: %s", a)
	}
}
