//go:build integration

package integration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come. It is a limit for failures, not a measurement.
const patience = 2 * time.Minute

// waitFor asks until the answer is true. When patience is over, the test fails and shows what was seen last.
func waitFor(t testing.TB, what string, ask func() (done bool, seen any)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		done, seen := ask()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s; seen last: %v", patience, what, seen)
		}
		time.Sleep(pause)
	}
}

// A command says how a program is run.
type command struct {
	user       string   // root if empty
	noNewPrivs bool     // setuid and setgid bits have no effect, as with NoNewPrivileges= of systemd
	env        []string // in addition to PATH, which is the whole environment by default
	stdin      string
	stdout     *os.File // instead of the result, as is stderr
	stderr     *os.File
	limit      time.Duration // patience if 0
}

// A result is what a program left behind. The exit code is -1 if a signal ended it.
type result struct {
	stdout, stderr string
	exitCode       int
	duration       time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d after %v\nstdout: %s\nstderr: %s", r.exitCode, r.duration, r.stdout, r.stderr)
}

// runAs runs a program as "root" or an unprivileged user, "nobody" as a rule.
func runAs(t testing.TB, user, program string, args ...string) result {
	t.Helper()
	return command{user: user}.run(t, program, args...)
}

// run runs a program and waits until it and everything that holds its output has ended.
func (c command) run(t testing.TB, program string, args ...string) result {
	t.Helper()
	return c.start(t, program, args...).wait()
}

// A runningCommand is a program that was started and has to be waited for.
type runningCommand struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	started        time.Time
	ctx            context.Context
	cancel         context.CancelFunc
}

// start starts a program in a new process group, as a daemon would.
func (c command) start(t testing.TB, program string, args ...string) *runningCommand {
	t.Helper()
	if c.noNewPrivs {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			leaveOut(t, err.Error())
		}
		program, args = setpriv, append([]string{"--no-new-privs", program}, args...)
	}
	r := &runningCommand{t: t}
	// Not t.Context, which is done before the cleanup functions.
	r.ctx, r.cancel = context.WithTimeout(context.Background(), cmp.Or(c.limit, patience))
	r.cmd = exec.CommandContext(r.ctx, program, args...)
	r.cmd.Dir = "/"
	r.cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = strings.NewReader(c.stdin), &r.stdout, &r.stderr
	if c.stdout != nil {
		r.cmd.Stdout = c.stdout
	}
	if c.stderr != nil {
		r.cmd.Stderr = c.stderr
	}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.user != "" && c.user != "root" {
		r.cmd.SysProcAttr.Credential = credential(t, c.user)
	}
	r.cmd.Cancel = func() error { return unix.Kill(-r.cmd.Process.Pid, unix.SIGKILL) }
	r.cmd.WaitDelay = patience
	r.started = time.Now()
	if err := r.cmd.Start(); err != nil {
		r.cancel()
		t.Fatal(err)
	}
	return r
}

// signal sends a signal to the program, not to its children.
func (r *runningCommand) signal(sig os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// wait waits until the program and everything that holds its output has ended.
func (r *runningCommand) wait() result {
	r.t.Helper()
	defer r.cancel()
	err := r.cmd.Wait()
	ended := result{r.stdout.String(), r.stderr.String(), r.cmd.ProcessState.ExitCode(), time.Since(r.started)}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed || r.ctx.Err() != nil {
		r.t.Fatalf("%s: %v (%v)\n%s", r.cmd, err, r.ctx.Err(), ended)
	}
	return ended
}

// credential returns the credential of an account, or of a user number without one.
func credential(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
	}
	account, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := number(t, account.Uid), number(t, account.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func number(t testing.TB, decimal string) int {
	t.Helper()
	n, err := strconv.Atoi(decimal)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const postqueueProgram = "/usr/sbin/postqueue"

// measurePeak runs a program as root and returns its peak resident size in bytes as well.
//
// The kernel counts the memory of the process that starts a program as the program's own. So a shell
// starts it, which is small: its own MiB is the least that can be measured. The shell ends at once, and
// a fresh copy of the test binary, which has started nothing else, inherits the program and the kernel's
// account of it.
func measurePeak(t testing.TB, program string, args ...string) (r result, peakBytes int64) {
	t.Helper()
	return measurePeakWithin(t, patience, program, args...)
}

// measurePeakWithin does so with a program that may take some time.
func measurePeakWithin(t testing.TB, limit time.Duration, program string, args ...string) (r result, peakBytes int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "peak")
	measuring := command{env: []string{stageVariable + "=" + stageMeasure}, limit: limit}
	r = measuring.run(t, self, append([]string{report, program}, args...)...)
	peak, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return r, int64(number(t, string(peak)))
}

// measureStage runs the program of its arguments and writes its peak resident size, in bytes, to the
// file that is its first argument.
func measureStage() int {
	report, program := os.Args[1], os.Args[2:]
	// The shell leaves the program running, and this process inherits it.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fail(fmt.Errorf("become the parent of orphans: %w", err))
	}
	shell := exec.Command("sh", append([]string{"-c", `"$@" &`, "sh"}, program...)...)
	shell.Env = []string{"PATH=" + os.Getenv("PATH")}
	shell.Stdout, shell.Stderr = os.Stdout, os.Stderr
	if err := shell.Run(); err != nil {
		return fail(err)
	}
	var status unix.WaitStatus
	var usage unix.Rusage
	if _, err := unix.Wait4(-1, &status, 0, &usage); err != nil {
		return fail(fmt.Errorf("wait for %q: %w", program, err))
	}
	peakBytes := usage.Maxrss * 1024
	if err := os.WriteFile(report, []byte(strconv.FormatInt(peakBytes, 10)), 0o600); err != nil {
		return fail(err)
	}
	if status.Signaled() {
		return fail(fmt.Errorf("%q: %s", program, status.Signal()))
	}
	return status.ExitStatus()
}
