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
			f := failure{
				as: test.as, args: test.args, state: "CRITICAL",
				cause: `mail system is down`, check: test.check,
			}
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

// A service may have another name, or be missing from master.cf: that alone does not make the mail system "down".
// An ordinary user cannot look for the queue manager, and is told what Postfix says.
func TestServicesOfOtherNames(t *testing.T) {
	p := newPostfix(t, "queue_service_name=qm", "showq_service_name=${queue_service_name}showq")
	rename := "s/^qmgr /qm /; s/^showq /qmshowq /"
	p.must(root.run(t, "sed", "-i", rename, filepath.Join(configDir, "master.cf")))
	p.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	verify := func(want string) {
		t.Helper()
		for _, args := range [][]string{{"--source", "spool"}, {"--source", "showq"}, viaPostqueue} {
			if a := root.check(t, args...); !strings.HasPrefix(a.stdout, "POSTFIX_QUEUE "+want) {
				t.Errorf("%v: want %s, got %s", args, want, a)
			}
		}
		if a := nobody.check(t); !strings.HasPrefix(a.stdout, "POSTFIX_QUEUE "+want) {
			t.Errorf("as nobody: want %s, got %s", want, a)
		}
	}
	verify("OK - 1 email")
	p.stop()
	verify("CRITICAL - mail system is down")
}

func TestShowqMissing(t *testing.T) {
	const alone = `the mail system runs, but nothing listens on /var/spool/postfix/public/showq; enable showq in master.cf`
	p := newPostfix(t)
	p.disableService("showq/unix")
	p.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	owner := command{user: "postfix"}
	for _, user := range []command{root, owner} {
		if a := user.check(t); a.state != "OK" || a.perf["emails"] != 1 {
			t.Errorf("as %s: want OK and one message, got %s", user.user, a)
		}
		failure{as: user, args: []string{"--source", "showq"}, cause: alone}.verify(t)
	}
	if a := root.check(t, viaPostqueue...); a.state != "OK" || a.perf["emails"] != 1 {
		t.Errorf("postqueue as root: want OK and one message, got %s", a)
	}
	failure{as: owner, args: viaPostqueue, cause: alone}.verify(t)
	failure{as: nobody, state: "CRITICAL", cause: `mail system is down`}.verify(t)
	t.Run("for the group of postqueue", func(t *testing.T) {
		asGroup := []string{"--reuid=nobody", "--regid=postdrop", "--clear-groups", program(t, checkProgram)}
		if a := takeApart(t, root.run(t, "setpriv", asGroup...)); a.state != "UNKNOWN" || !strings.Contains(a.text, alone) {
			t.Errorf("want UNKNOWN and %q, got %s", alone, a)
		}
	})
}

func TestAccessDenied(t *testing.T) {
	long := "root"
	for i := range 300 {
		long += fmt.Sprintf(",user%03d", i)
	}
	tests := map[string]struct {
		user, authorized string
		noCommand        bool // words are enough if the remedy is not easily written as a command
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
			f := failure{
				as:    command{user: test.user},
				cause: `is not allowed to view the mail queue; as root: .*authorized_mailq_users`,
			}
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
		gid   int // of the group that postqueue has; -1: postdrop
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
		failure{
			as:    nobody,
			cause: `the file system of /usr/sbin/postqueue is mounted nosuid; mount it with suid`,
		}.verify(t)
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
	t.Run("allowed if it is an instance", func(t *testing.T) {
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
		t.Run("in a directory that is not there, for "+user.user, func(t *testing.T) {
			startWithMail(t, 1)
			for _, source := range []string{"auto", "postqueue"} {
				failure{as: user, args: []string{"-d", "/etc/nosuch", "--source", source},
					cause: `cannot open /etc/nosuch/main.cf: No such file or directory; restore the file, or name`}.verify(t)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		p := startWithMail(t, 1)
		chmod(t, configDir+"/main.cf", 0o600)
		f := failure{as: nobody, cause: `cannot open /etc/postfix/main.cf: Permission denied; as root: chmod 644 `}
		f.verifyRemedy(t, p, f.verify(t))
	})
}

// As root, no program runs that another user's main.cf names: a postqueue that finds the mail system down would run
// its showq.
func TestConfigOfAnotherUser(t *testing.T) {
	startWithMail(t, 1)
	home := ownedDir(t, "nobody")
	dir, bin, ran := filepath.Join(home, "etc"), filepath.Join(home, "bin"), filepath.Join(home, "ran")
	as := func(program string, args ...string) {
		t.Helper()
		if r := nobody.run(t, program, args...); r.exitCode != 0 {
			t.Fatal(r)
		}
	}
	as("mkdir", dir, bin, home+"/q", home+"/q/public")
	as("sh", "-c", fmt.Sprintf("echo queue_directory = %[1]s/q >%[1]s/etc/main.cf", home))
	as("sh", "-c", fmt.Sprintf("echo daemon_directory = %[1]s/bin >>%[1]s/etc/main.cf", home))
	as("sh", "-c", fmt.Sprintf("printf '#!/bin/sh\\nid >%s\\n' >%s/showq; chmod +x %[2]s/showq", ran, bin))
	settled := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "main.cf"), settled, settled); err != nil {
		t.Fatal(err)
	}
	refused := func(path, remedy string) {
		t.Helper()
		for _, source := range []string{"auto", "postqueue", "showq", "spool"} {
			failure{
				as: root, args: []string{"-d", dir, "--source", source},
				cause: regexp.QuoteMeta(path) + `.*, and Postfix runs, as root, the programs that main.cf names; .*`,
				check: regexp.QuoteMeta(remedy+path) + "$",
			}.verify(t)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("the program of another user ran: %s", readContrib(t, ran))
		}
	}
	refused(dir+"/main.cf", "chown -h root ")
	// Who owns the directory can replace the file.
	for _, path := range []string{dir + "/main.cf", dir, home} {
		refused(path, "chown -h root ")
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	chmod(t, dir+"/main.cf", 0o664)
	refused(dir+"/main.cf", "chmod go-w ")
	chmod(t, dir+"/main.cf", 0o644)
	if a := root.check(t, "-d", dir); strings.Contains(a.text, "runs, as root") {
		t.Errorf("the configuration of root is refused: %s", a)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("nothing would have run: %v", err)
	}
	// The default instance is judged, too.
	chmod(t, configDir, 0o777)
	defer chmod(t, configDir, 0o755)
	failure{
		as: root, args: viaPostqueue,
		cause: `users other than root may write to /etc/postfix, .*chmod go-w /etc/postfix`,
	}.verify(t)
	if a := nobody.check(t); a.state != "OK" {
		t.Errorf("an ordinary user is not affected: %s", a)
	}
}

// As root, the environment names neither programs nor a configuration.
func TestRootIgnoresTheEnvironment(t *testing.T) {
	startWithMail(t, 1)
	home := ownedDir(t, "nobody")
	ran := filepath.Join(home, "ran")
	for _, program := range []string{"postconf", "postqueue", "postmulti", "sendmail"} {
		script := fmt.Sprintf("printf '#!/bin/sh\\nid >%s\\n' >%s/%s; chmod +x %[2]s/%[3]s", ran, home, program)
		if r := nobody.run(t, "sh", "-c", script); r.exitCode != 0 {
			t.Fatal(r)
		}
	}
	hostile := command{user: "root", env: []string{
		"PATH=" + home, "MAIL_CONFIG=" + home, "LD_LIBRARY_PATH=" + home, "DD_DOGSTATSD_URL=" + ran, "STATSD_HOST=" + ran,
		"GOTRACEBACK=crash",
	}}
	ways := [][]string{{"--source", "auto"}, {"--source", "spool"}, {"--source", "showq"}, viaPostqueue, {"-a"}}
	for _, args := range ways {
		if a := hostile.check(t, args...); a.state != "OK" || !strings.Contains(a.text, "1 email") {
			t.Errorf("%v: %s", args, a)
		}
		r := hostile.emit(t, append(slices.Clone(args), "-f", "statsd", "--tags", "datadog", "--to", "udp://")...)
		if r.exitCode != 2 {
			t.Errorf("%v: %s", args, r)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Errorf("something of another user ran, or was written: %s", readContrib(t, ran))
	}
}
