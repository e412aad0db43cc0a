//go:build integration

package integration

import (
	"os"
	"strings"
	"testing"
)

func TestInstances(t *testing.T) {
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.send(mail{from: "a@example.com", to: []string{"b@example.org"}})
	p.waitQueue(func(l listing) bool { return len(l.in("deferred")) == 1 })
	check := func(user string, args ...string) result {
		t.Helper()
		return runAs(t, user, program(t, "check_postfix_queue"), args...)
	}
	expect := func(r result, exitCode int, texts ...string) {
		t.Helper()
		if r.exitCode != exitCode || r.stderr != "" {
			t.Error(r)
		}
		for _, text := range texts {
			if !strings.Contains(r.stdout, text) {
				t.Errorf("no %q in %s", text, r.stdout)
			}
		}
	}
	for _, user := range []string{"root", "nobody"} {
		expect(check(user, "-a"), 0, "local: 1 email, ", "; postfix-out: queue is empty | ",
			" local_emails=1;;;0 ", " postfix_out_emails=0;;;0 ")
		expect(check(user, "-a", "-c", "0"), 2, " - local: 1 email (above 0), ", "1 other instance is better",
			" local_emails=1;;0;0 ")
		expect(check(user, "-d", out.dir), 0, " - queue is empty | active=0;;;0 ")
		expect(check(user, "-d", out.dir+"/", "-d", configDir), 0, "postfix-out: queue is empty; postfix: 1 email")
		emit := runAs(t, user, program(t, "postfix_queue_emit"), "-f", "statsd", "-a", "-m", "emails")
		expect(emit, 0, "postfix_queue.local.emails:1|g\n", "postfix_queue.postfix-out.emails:0|g\n")
		charts := runAs(t, user, program(t, "postfix_queue_emit"), "-a", "-m", "emails")
		expect(charts, 0, "BEGIN postfix_local.qemails\n", "BEGIN postfix_postfix-out.qemails\n")
	}

	t.Run("one is down", func(t *testing.T) {
		out.stop()
		for _, user := range []string{"root", "nobody"} {
			r := check(user, "-a")
			expect(r, 2, " - postfix-out: mail system is down", "1 other instance is better", "local_emails=1;;;0")
			if strings.Contains(r.stdout, "postfix_out_") {
				t.Errorf("performance data of what is down: %s", r.stdout)
			}
			emit := runAs(t, user, program(t, "postfix_queue_emit"), "-f", "statsd", "-a", "-m", "emails")
			if emit.exitCode != 1 || !strings.Contains(emit.stdout, "postfix_queue.local.emails:1|g\n") ||
				strings.Contains(emit.stdout, "postfix-out") ||
				!strings.Contains(emit.stderr, "postfix_queue_emit: postfix-out: mail system is down") {
				t.Error(emit)
			}
		}
	})
	t.Run("one is broken", func(t *testing.T) {
		// postmulti then prints nothing at all.
		if err := os.Rename(out.dir+"/main.cf", out.dir+"/main.cf.away"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Rename(out.dir+"/main.cf.away", out.dir+"/main.cf"); err != nil {
				t.Error(err)
			}
		}()
		if r := runAs(t, "root", "postmulti", "-l"); r.exitCode == 0 {
			t.Errorf("postmulti does not mind: %s", r)
		}
		for _, user := range []string{"root", "nobody"} {
			expect(check(user, "-a"), 3, "postfix-out: ", out.dir+"/main.cf", "1 other instance is better",
				"local_emails=1;;;0")
		}
	})
	t.Run("one is disabled", func(t *testing.T) {
		p.must(runAs(t, "root", "postmulti", "-i", "postfix-out", "-e", "disable"))
		p.settle(out.dir)
		for _, user := range []string{"root", "nobody"} {
			r := check(user, "-a")
			expect(r, 0, " - local: 1 email, ", "local_emails=1;;;0")
			if strings.Contains(r.stdout, "out") {
				t.Error(r)
			}
		}
	})
	t.Run("two have one name", func(t *testing.T) {
		p.must(runAs(t, "root", "postconf", "-e", "multi_instance_name=postfix_out"))
		p.settle(configDir)
		expect(check("root", "-d", configDir, "-d", out.dir), 3, "have the same name in metrics, postfix_out")
	})
}
