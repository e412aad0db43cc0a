package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// install writes programs that stand in for Postfix's, and returns their directory.
// The integration tests run the real ones. These tests are about every word that
// they print, also in versions that can no longer be installed.
func install(t *testing.T, programs map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const jsonLine = `{"queue_name": "hold", "queue_id": "A1", "arrival_time": 5, "message_size": 8, "sender": "s", ` +
	`"recipients": []}`

// refusesJSON answers -j as postqueue does before 3.1.
const refusesJSON = `if [ "$1" = -j ]; then
	echo "postqueue: invalid option -- 'j'" >&2
	echo "postqueue: fatal: usage: postqueue" >&2
	exit 69
fi
`

// newConfig makes the configuration of an instance that does not run, and returns its directory.
func newConfig(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, filepath.Join(dir, "main.cf"), "queue_directory = "+dir+"\n", 0o644)
	return dir
}

func TestPostqueueFailures(t *testing.T) {
	out := newConfig(t)
	dirOf := func(err error, dir string) string { return strings.ReplaceAll(err.Error(), dir, "DIR") }
	tests := []struct {
		name   string
		script string
		config string
		want   string
	}{
		{
			name: "down, ordinary user",
			script: `echo "postqueue: fatal: Queue report unavailable - mail system is down (Connect to the Postfix ` +
				`showq service: Connection refused)" >&2; exit 69`,
			config: out,
			want: "mail system is down (Connect to the Postfix showq service: Connection refused); " +
				"start it: postfix -c " + out + " start",
		},
		{
			name:   "down, before 3.7",
			script: `echo "postqueue: fatal: Queue report unavailable - mail system is down" >&2; exit 69`,
			config: out,
			want:   "mail system is down; start it: postfix -c " + out + " start",
		},
		{
			name:   "not authorized",
			script: `echo "postqueue: fatal: User nagios(105) is not allowed to view the mail queue" >&2; exit 69`,
			want: "user nagios is not allowed to view the mail queue; as root: " +
				"postconf -e authorized_mailq_users=root,icinga,nagios",
		},
		{
			name:   "not authorized, no name",
			script: `echo "postqueue: fatal: User unknown(54321) is not allowed to view the mail queue" >&2; exit 69`,
			config: out,
			want: "user 54321, which has no name, is not allowed to view the mail queue; as root: " +
				"postconf -c " + out + " -e authorized_mailq_users=root,icinga,unknown",
		},
		{
			name:   "setgid bit lost",
			script: `echo "postqueue: fatal: Connect to the Postfix showq service: Permission denied" >&2; exit 69`,
			want: "postqueue may not connect to the showq service: DIR/postqueue has lost its setgid bit; " +
				"as root: chgrp postdrop DIR/postqueue; chmod g+s DIR/postqueue",
		},
		{
			name:   "setgid bit lost, and showq has another name",
			script: `echo "postqueue: fatal: Connect to the Postfix sq service: Permission denied" >&2; exit 69`,
			want: "postqueue may not connect to the showq service: DIR/postqueue has lost its setgid bit; " +
				"as root: chgrp postdrop DIR/postqueue; chmod g+s DIR/postqueue",
		},
		{
			name: "configuration directory not listed",
			script: `echo "postqueue: error: unauthorized configuration directory name: /etc/postfix-out" >&2
echo "postqueue: fatal: specify \"alternate_config_directories = /etc/postfix-out\" or "\
"\"multi_instance_directories = /etc/postfix-out\" in /etc/postfix/main.cf" >&2; exit 69`,
			config: out,
			want: "the default instance does not list configuration directory /etc/postfix-out; as root: " +
				"postconf -e alternate_config_directories=root,icinga,/etc/postfix-out",
		},
		{
			name: "configuration directory not listed, before 3.2",
			script: `echo "postqueue: error: untrusted configuration directory name: /etc/postfix-out" >&2
echo "postqueue: fatal: specify \"alternate_config_directories = ...\" in /etc/postfix/main.cf" >&2; exit 69`,
			config: out,
			want: "the default instance does not list configuration directory /etc/postfix-out; as root: " +
				"postconf -e alternate_config_directories=root,icinga,/etc/postfix-out",
		},
		{
			name:   "configuration directory neither there nor listed",
			script: `echo "postqueue: error: unauthorized configuration directory name: /etc/nosuch" >&2; exit 69`,
			config: "/etc/nosuch",
			want: "postqueue cannot open /etc/nosuch/main.cf: No such file or directory; " +
				"restore the file, or name the right directory with --config-dir",
		},
		{
			name:   "a file instead of a configuration directory",
			script: `echo "postqueue: error: unauthorized configuration directory name: /etc/passwd" >&2; exit 69`,
			config: "/etc/passwd",
			want: "postqueue cannot open /etc/passwd/main.cf: Not a directory; " +
				"restore the file, or name the right directory with --config-dir",
		},
		{
			name:   "main.cf unreadable",
			script: `echo "postqueue: fatal: open /etc/nosuch/main.cf: Permission denied" >&2; exit 69`,
			want: "postqueue cannot open /etc/nosuch/main.cf: Permission denied; " +
				"as root: chmod 644 /etc/nosuch/main.cf",
		},
		{
			name:   "no main.cf",
			script: `echo "postqueue: fatal: open /etc/postfix/main.cf: No such file or directory" >&2; exit 69`,
			want: "postqueue cannot open /etc/postfix/main.cf: No such file or directory; " +
				"restore the file, or name the right directory with --config-dir",
		},
		{
			name:   "broken stream",
			script: `echo '` + jsonLine + `'; echo "postqueue: fatal: malformed showq server response" >&2; exit 69`,
			want:   "the showq service broke off the listing (malformed showq server response); look for showq in the mail log",
		},
		{
			name:   "broken stream inside a line",
			script: `printf '%s' '` + jsonLine[:40] + `'; echo "postqueue: fatal: malformed showq server response" >&2; exit 69`,
			want:   "the showq service broke off the listing (malformed showq server response); look for showq in the mail log",
		},
		{
			name:   "cut off, and content with it",
			script: `printf '%s' '` + jsonLine[:40] + `'`,
			want:   errCutOff.Error(),
		},
		{
			name:   "something new",
			script: `echo "postqueue: warning: x" >&2; echo "postqueue: fatal: the moon" >&2; exit 1`,
			want:   "DIR/postqueue -j: exit status 1: postqueue: fatal: the moon; run it by hand as this user",
		},
		{
			name:   "killed",
			script: `kill -9 $$`,
			want:   "DIR/postqueue -j: signal: killed; run it by hand as this user",
		},
		{
			name:   "text listing of an old Postfix, cut off",
			script: refusesJSON + `echo "-Queue ID- --Size--"`,
			want:   errCutOff.Error(),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := install(t, map[string]string{"postqueue": tt.script, "postconf": "echo root, icinga"})
			_, err := (&Postqueue{
				newPostfix(tt.config, []string{dir}, false),
			}).Read(t.Context(), queue.Envelopes, func(*queue.Message) {})
			if err == nil || dirOf(err, dir) != tt.want {
				t.Errorf("got  %v\nwant %v", err, tt.want)
			}
		})
	}
}

func TestPostqueueReads(t *testing.T) {
	out := newConfig(t)
	tests := []struct {
		name   string
		config string
		script string
		want   queue.Facts
	}{
		{"JSON", "", `echo '` + jsonLine + `'`, queue.Facts{Detail: "DIR/postqueue -j"}},
		{
			"down, root", out,
			`echo "postqueue: warning: Mail system is down -- accessing queue directly (Connect to the Postfix showq ` +
				`service: Connection refused)" >&2; echo '` + jsonLine + `'`,
			queue.Facts{
				Detail: "DIR/postqueue -c " + out + " -j",
				Down:   "Connect to the Postfix showq service: Connection refused",
			},
		},
		{
			"before 3.1", "",
			refusesJSON + `echo "-Queue ID-  --Size-- "
echo "BF7D49EA4C2!     263 Mon Nov 23 17:37:12 MAILER-DAEMON"; echo; echo "-- 0 Kbytes in 1 Request."`,
			queue.Facts{Detail: "DIR/postqueue -p", Indistinct: indistinctInText, NoArrivalTimes: true},
		},
		{
			"one language, one time zone, no caller's environment", "",
			`[ "$LC_ALL$TZ$MAIL_CONFIG$PWD" = CUTC0/ ] && echo '` + jsonLine + `'`,
			queue.Facts{Detail: "DIR/postqueue -j"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("MAIL_CONFIG", "/nonexistent")
			t.Setenv("LC_ALL", "de_DE.UTF-8")
			dir := install(t, map[string]string{"postqueue": tt.script})
			visit, visited := collect()
			p := &Postqueue{newPostfix(tt.config, []string{dir}, false)}
			facts, err := p.Read(t.Context(), queue.Envelopes, visit)
			if err != nil {
				t.Fatal(err)
			}
			facts.Detail = strings.ReplaceAll(facts.Detail, dir, "DIR")
			if diff := cmp.Diff(tt.want, facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if len(*visited) != 1 || (*visited)[0].Queue != queue.Hold {
				t.Errorf("messages: %+v", *visited)
			}
		})
	}
}

func TestPostqueueIsFoundThroughPostconf(t *testing.T) {
	elsewhere := install(t, map[string]string{"postqueue": "echo '" + jsonLine + "'"})
	dir := install(t, map[string]string{"postconf": `[ "$*" = "-h command_directory" ] && echo ` + elsewhere})
	visit, visited := collect()
	p := &Postqueue{newPostfix("", []string{dir}, false)}
	if _, err := p.Read(t.Context(), queue.Envelopes, visit); err != nil ||
		len(*visited) != 1 {
		t.Errorf("%d messages, %v", len(*visited), err)
	}
}

func TestPostconfIsFoundInPath(t *testing.T) {
	inPath := install(t, map[string]string{"postconf": "true"})
	t.Setenv("PATH", inPath)
	elsewhere := []string{t.TempDir()}
	got, err := programs{elsewhere, true}.locate(t.Context(), "postconf")
	if want := filepath.Join(inPath, "postconf"); got != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	// As root, only fixed places count.
	for _, program := range []string{"postconf", "postqueue"} {
		got, err = programs{elsewhere, false}.locate(t.Context(), program)
		if got != "" || err == nil || !strings.HasPrefix(err.Error(), program+" not found in "+elsewhere[0]+"; ") {
			t.Errorf("as root: %s, %v", got, err)
		}
	}
}

// Only a file that can be run is a program.
func TestProgramsThatCannotBeRunArePassedOver(t *testing.T) {
	first, second, third := t.TempDir(), t.TempDir(), install(t, map[string]string{"postqueue": "exit 0"})
	writeFile(t, filepath.Join(first, "postqueue"), "", 0o644)
	if err := os.Mkdir(filepath.Join(second, "postqueue"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := programs{[]string{first, second, third}, false}.locate(t.Context(), "postqueue")
	if want := filepath.Join(third, "postqueue"); got != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestPostqueueMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, programs := range map[string]map[string]string{
		"nothing there":           {},
		"not where postconf says": {"postconf": "echo /nonexistent"},
		"postconf fails":          {"postconf": "exit 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Postqueue{newPostfix("", []string{install(t, programs)}, false)}).Read(t.Context(), queue.Envelopes,
				func(*queue.Message) {})
			if err == nil || !strings.HasPrefix(err.Error(), "postqueue not found in ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A postqueue that hangs, and leaves behind a process that holds its output
// open, is ended with that process.
func TestPostqueueHangs(t *testing.T) {
	for name, script := range map[string]string{
		"itself":       `sleep 1000 & echo $! >PIDFILE; echo '` + jsonLine + `'; wait`,
		"a grandchild": `sleep 1000 & echo $! >PIDFILE; echo '` + jsonLine + `'`,
	} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			dir := install(t, map[string]string{"postqueue": strings.ReplaceAll(script, "PIDFILE", pidFile)})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			messages := 0
			_, err := (&Postqueue{newPostfix("", []string{dir}, false)}).Read(ctx, queue.Envelopes, func(*queue.Message) {
				messages++
				cancel(context.DeadlineExceeded)
			})
			if !errors.Is(err, context.DeadlineExceeded) || messages != 1 {
				t.Errorf("%d messages, error %v", messages, err)
			}
			waitGone(t, pidFile)
		})
	}
}

// A postqueue whose output is no listing does not wait for somebody who reads all of it.
func TestPostqueueWithoutListing(t *testing.T) {
	for name, tt := range map[string]struct{ line, want string }{
		"words":   {"not a listing", " -j prints is not a listing of the queue; run it by hand as this user"},
		"objects": {"{x}", errNoListing.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			dir := install(t, map[string]string{"postqueue": "yes '" + tt.line + "'"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := (&Postqueue{newPostfix("", []string{dir}, false)}).Read(ctx, queue.Envelopes, func(*queue.Message) {})
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Nor does a postconf that prints more than settings.
func TestEndlessPostconf(t *testing.T) {
	dir := install(t, map[string]string{"postconf": "yes setting"})
	_, err := command{filepath.Join(dir, "postconf"), nil}.output(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "prints more than 64 KiB; run it by hand as this user") {
		t.Error(err)
	}
}

// What a postqueue leaves behind ends with it, even if it holds nothing open.
func TestPostqueueLeavesNothingBehind(t *testing.T) {
	for name, rest := range map[string]string{"done": "echo '" + jsonLine + "'", "failed": "exit 69"} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			dir := install(t, map[string]string{"postqueue": "sleep 1000 >/dev/null 2>&1 & echo $! >" + pidFile + "\n" + rest})
			_, _ = (&Postqueue{newPostfix("", []string{dir}, false)}).Read(t.Context(), queue.Envelopes, func(*queue.Message) {})
			waitGone(t, pidFile)
		})
	}
}

// waitGone waits until the process whose ID is in the file has ended. It may still be
// a zombie.
func waitGone(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d is left", pid)
}

func TestDiagnosticsAreCapped(t *testing.T) {
	script := `i=0
while [ $i -lt 3000 ]; do echo "postqueue: warning: main.cf: unused parameter number $i"; i=$((i+1)); done >&2
echo "postqueue: fatal: User nagios(105) is not allowed to view the mail queue" >&2; exit 69`
	dir := install(t, map[string]string{"postqueue": script, "postconf": "exit 1"})
	p := &Postqueue{newPostfix("", []string{dir}, false)}
	_, err := p.Read(t.Context(), queue.Envelopes, func(*queue.Message) {})
	want := "user nagios is not allowed to view the mail queue; as root: add nagios to authorized_mailq_users in main.cf"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAddToListShowsACommandOnlyIfItIsExact(t *testing.T) {
	value := func(s string) *string { return &s }
	tests := []struct {
		present *string
		want    string
	}{
		{value("root, icinga"), "postconf -e authorized_mailq_users=root,icinga,nagios"},
		{value("!nagios static:all"), "add nagios to authorized_mailq_users in main.cf"},
		{value(strings.Repeat("somebody, ", 30)), "add nagios to authorized_mailq_users in main.cf"},
		{value(""), "postconf -e authorized_mailq_users=nagios"},
		{value("$mail_owner"), "add nagios to authorized_mailq_users in main.cf"},
		{nil, "add nagios to authorized_mailq_users in main.cf"},
	}
	for _, tt := range tests {
		if got := addToList("", "authorized_mailq_users", tt.present, "nagios"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
