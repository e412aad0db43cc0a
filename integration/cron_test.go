//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	cronProgram = "/usr/sbin/cron"
	cronTable   = "../contrib/cron/postfix-queue-monitor"
)

// startCron starts a cron that runs the jobs of these files, by their names in /etc/cron.d, and no others. The
// function it returns tells what cron has mailed so far.
func startCron(t testing.TB, tables map[string]string) (mailed func() string) {
	t.Helper()
	dir := publicTempDir(t)
	for name, content := range tables {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, dir, "/etc/cron.d")
	bind(t, "/dev/null", "/etc/crontab")
	bind(t, publicTempDir(t), "/var/spool/cron/crontabs")
	bind(t, publicTempDir(t), "/run")

	mails := publicTempDir(t)
	if err := os.Chmod(mails, 0o777); err != nil { // cron mails as the user of the job
		t.Fatal(err)
	}
	mailer := filepath.Join(publicTempDir(t), "sendmail")
	if err := os.WriteFile(mailer, []byte("#!/bin/sh\ncat >\"$(mktemp "+mails+"/XXXXXX)\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	bind(t, mailer, "/usr/sbin/sendmail")
	startDaemon(t, command{}, cronProgram, "-f")
	return func() string {
		files, err := filepath.Glob(mails + "/*")
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
}

// catchSyslog has the real logger send to a socket of the test, and returns what has come.
func catchSyslog(t testing.TB) (logged func() string) {
	t.Helper()
	const logger = "/usr/bin/logger"
	needFiles(t, "bsdutils", logger)
	program, err := os.ReadFile(logger)
	if err != nil {
		t.Fatal(err)
	}
	dir := publicTempDir(t)
	socket := filepath.Join(dir, "log")
	script := fmt.Sprintf("#!/bin/sh\nexec %s/logger.real --socket %s \"$@\"\n", dir, socket)
	for name, content := range map[string]string{"logger.real": string(program), "logger": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil { // /dev/log is everybody's
		t.Fatal(err)
	}
	bind(t, filepath.Join(dir, "logger"), logger)
	var all strings.Builder
	return func() string {
		buffer := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, buffer)
			if err != nil {
				return all.String()
			}
			all.Write(append(buffer[:n], '\n'))
		}
	}
}

// newStatsDReceiver is a receiver at the port that is StatsD's own.
func newStatsDReceiver(t testing.TB) *udpReceiver {
	t.Helper()
	const port = 8125
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		t.Fatal(err)
	}
	return &udpReceiver{t, fd, port}
}

// TestCron runs the jobs of contrib in the real cron, and the first of them also for an instance that is down.
// Another job shows that cron would mail.
// It takes up to a minute, because cron looks once a minute.
func TestCron(t *testing.T) {
	needFiles(t, "cron", cronProgram, "/etc/cron.d", "/etc/crontab", "/var/spool/cron/crontabs")
	content, err := os.ReadFile(cronTable)
	if err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t)
	down := newSecondInstance(p)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(6)
	installEmitter(t)
	gauges, silence := newStatsDReceiver(t), newUDPReceiver(t)
	logged := catchSyslog(t)

	// changed returns the table with some texts replaced, each of which must be in it once.
	changed := func(texts ...string) string {
		t.Helper()
		for i := 0; i < len(texts); i += 2 {
			if strings.Count(string(content), texts[i]) != 1 {
				t.Fatalf("%s does not have %q once", cronTable, texts[i])
			}
		}
		return strings.NewReplacer(texts...).Replace(string(content))
	}
	snapshot := filepath.Join(ownedDir(t, "postfix"), "snapshot.json")
	mailed := startCron(t, map[string]string{
		filepath.Base(cronTable): string(content),
		"down": changed("emit --format statsd", "emit --config-dir "+down.dir+" --format statsd",
			"STATSD_PORT=8125", fmt.Sprint("STATSD_PORT=", silence.port)),
		"mails": "* * * * * nobody echo cron mails to this test\n",
		"snapshot": changed("\n* * * * * postfix", "\n#", "\n#* * * * * postfix", "\n* * * * * postfix",
			"/run/postfix-queue/snapshot.json", snapshot),
	})
	waitFor(t, "the entry about the instance that is down", func() (bool, any) {
		return strings.Contains(logged(), mailSystemDown), logged()
	})
	// The other jobs were started in the same minute.
	waitFor(t, "the snapshot", func() (bool, any) { _, err := os.Stat(snapshot); return err == nil, err })
	var datagrams []string
	waitFor(t, "the gauges", func() (bool, any) {
		datagrams = append(datagrams, gauges.received()...)
		return len(datagrams) > 0, logged()
	})
	t.Run("gauges", func(t *testing.T) {
		got := parseGauges(t, strings.Join(datagrams, ""))
		want := p.list().metrics(queueNames)
		if !containsAll(got, want) {
			t.Errorf("gauges are %v, want %v", got, want)
		}
	})
	t.Run("log", func(t *testing.T) {
		const cronErr = "<75>" // facility 9, severity 3
		entries := logged()
		if !strings.Contains(entries, cronErr) || !strings.Contains(entries, " postfix_queue_emit: postfix_queue_emit: ") ||
			strings.Count(entries, "\n") != 1 {
			t.Errorf("want one entry, about the instance that is down, got\n%s", entries)
		}
		silence.verifySilence()
	})
	// Mail of these jobs would go into the queue that they watch.
	t.Run("mail", func(t *testing.T) {
		waitFor(t, "the mail of the job that may", func() (bool, any) {
			return strings.Contains(mailed(), "cron mails to this test"), mailed()
		})
		if got := strings.Count(mailed(), "Subject: "); got != 1 {
			t.Errorf("got %d mails, want one\n%s", got, mailed())
		}
	})
	t.Run("snapshot", func(t *testing.T) {
		r := nobody.emit(t, "--check", "--input", snapshot)
		if r.exitCode != 1 || !strings.Contains(r.stderr, "permission denied") {
			t.Errorf("strangers can read it: %s", r)
		}
		got := command{user: "postfix"}.gauges(t, "--input", snapshot)
		if want := p.list().metrics(queueNames); !containsAll(got, want) {
			t.Errorf("gauges are %v, want %v", got, want)
		}
	})
}
