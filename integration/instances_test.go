//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const outDir = "/etc/postfix-out"

// addInstance makes a second instance, postfix-out, of a running Postfix, and starts it.
func addInstance(t *testing.T, p *postfixInstance) {
	t.Helper()
	// postmulti writes beside the first instance's directories, which are mounts of the test's own.
	for _, dir := range []string{outDir, spoolDir + "-out", dataDir + "-out"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		bind(t, publicTempDir(t), dir)
	}
	p.must(runAs(t, "root", "postmulti", "-e", "init"))
	for _, name := range []string{"main.cf.proto", "master.cf.proto"} {
		// Debian's package has them where postmulti looks; be sure.
		if _, err := os.Stat(filepath.Join(configDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.must(runAs(t, "root", "postmulti", "-I", "postfix-out", "-G", "mta", "-e", "create",
		"config_directory="+outDir, "queue_directory="+spoolDir+"-out", "data_directory="+dataDir+"-out"))
	p.must(runAs(t, "root", "postconf", "-c", outDir, "-e", "master_service_disable=inet", "inet_interfaces=127.0.0.1",
		"maillog_file="+dataDir+"-out/mail.log", "maillog_file_prefixes=/var", "compatibility_level=3.6", "authorized_submit_users=root"))
	p.must(runAs(t, "root", "postmulti", "-i", "postfix-out", "-e", "enable"))
	p.settle(configDir)
	p.settle(outDir)
	p.must(runAs(t, "root", "postmulti", "-i", "postfix-out", "-p", "start"))
	t.Cleanup(func() { stopInstance(t) })
}

func stopInstance(t *testing.T) {
	t.Helper()
	runAs(t, "root", "postmulti", "-i", "postfix-out", "-p", "stop")
}

func TestInstances(t *testing.T) {
	p := startPostfix(t)
	addInstance(t, p)
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
		expect(check(user, "-a"), 0, "local: 1 email, ", "; postfix-out: queue is empty | ", " local_emails=1;;;0 ", " postfix_out_emails=0;;;0 ")
		expect(check(user, "-a", "-c", "0"), 2, " - local: 1 email (above 0), ", "1 other instance is better", " local_emails=1;;0;0 ")
		expect(check(user, "-d", outDir), 0, " - queue is empty | active=0;;;0 ")
		expect(check(user, "-d", outDir+"/", "-d", configDir), 0, "postfix-out: queue is empty; postfix: 1 email")
		emit := runAs(t, user, program(t, "postfix_queue_emit"), "-f", "statsd", "-a", "-m", "emails")
		if emit.exitCode != 0 || !strings.Contains(emit.stdout, "postfix_queue.local.emails:1|g\n") || !strings.Contains(emit.stdout, "postfix_queue.postfix-out.emails:0|g\n") {
			t.Error(emit)
		}
		charts := runAs(t, user, program(t, "postfix_queue_emit"), "-a", "-m", "emails")
		if charts.exitCode != 0 || !strings.Contains(charts.stdout, "BEGIN postfix_local.qemails\n") || !strings.Contains(charts.stdout, "BEGIN postfix_postfix-out.qemails\n") {
			t.Error(charts)
		}
	}

	t.Run("one is down", func(t *testing.T) {
		stopInstance(t)
		for _, user := range []string{"root", "nobody"} {
			r := check(user, "-a")
			expect(r, 2, " - postfix-out: mail system is down", "1 other instance is better", "local_emails=1;;;0")
			if strings.Contains(r.stdout, "postfix_out_") {
				t.Errorf("performance data of what is down: %s", r.stdout)
			}
			emit := runAs(t, user, program(t, "postfix_queue_emit"), "-f", "statsd", "-a", "-m", "emails")
			if emit.exitCode != 1 || !strings.Contains(emit.stdout, "postfix_queue.local.emails:1|g\n") || strings.Contains(emit.stdout, "postfix-out") ||
				!strings.Contains(emit.stderr, "postfix_queue_emit: postfix-out: mail system is down") {
				t.Error(emit)
			}
		}
	})
	t.Run("one is broken", func(t *testing.T) {
		// postmulti then prints nothing at all.
		if err := os.Rename(outDir+"/main.cf", outDir+"/main.cf.away"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Rename(outDir+"/main.cf.away", outDir+"/main.cf"); err != nil {
				t.Error(err)
			}
		}()
		if r := runAs(t, "root", "postmulti", "-l"); r.exitCode == 0 {
			t.Errorf("postmulti does not mind: %s", r)
		}
		for _, user := range []string{"root", "nobody"} {
			expect(check(user, "-a"), 3, "postfix-out: ", outDir+"/main.cf", "1 other instance is better", "local_emails=1;;;0")
		}
	})
	t.Run("one is disabled", func(t *testing.T) {
		p.must(runAs(t, "root", "postmulti", "-i", "postfix-out", "-e", "disable"))
		p.settle(outDir)
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
		expect(check("root", "-d", configDir, "-d", outDir), 3, "have the same name in metrics, postfix_out")
	})
}

// A queue whose listing takes many times as long as there is time.
func TestDeadlineOnAHugeQueue(t *testing.T) {
	const emails = 200_000
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	p.fillQueue(emails - 1)
	before := liveProcesses(t)
	r := runAs(t, "nobody", program(t, "check_postfix_queue"), "-t", "1", "-c", "1000", "--source", "postqueue")
	t.Logf("answered after %v: %s", r.duration, r.stdout)
	if r.exitCode != 2 || !strings.Contains(r.stdout, "POSTFIX_QUEUE CRITICAL - at least ") || strings.Contains(r.stdout, "|") {
		t.Error(r)
	}
	noNewProcesses(t, before)
	r = runAs(t, "nobody", program(t, "postfix_queue_emit"), "-t", "1", "-f", "statsd")
	if r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, "could not be read within 1s") {
		t.Error(r)
	}
	noNewProcesses(t, before)
	r = runAs(t, "root", program(t, "check_postfix_queue"), "-c", "1000")
	t.Logf("the spool: %v: %.100s", r.duration, r.stdout)
	if r.exitCode != 2 || !strings.Contains(r.stdout, " emails=200000;;1000;0 ") {
		t.Error(r)
	}
}
