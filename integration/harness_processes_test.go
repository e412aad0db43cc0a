//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A process is a live process of the namespace, as /proc shows it. Zombies are not alive.
type process struct {
	pid, ppid, pgid int
	comm            string
	cmdline         []string
}

func (p process) String() string {
	return fmt.Sprintf("%d (parent %d, group %d) %s %q", p.pid, p.ppid, p.pgid, p.comm, p.cmdline)
}

// liveProcesses lists the live processes of the namespace: process 1, the test itself, and what the test
// started.
func liveProcesses(t testing.TB) []process {
	t.Helper()
	processes, err := readProcesses()
	if err != nil {
		t.Fatal(err)
	}
	return processes
}

// newProcesses lists the live processes that are not in before, without those of Postfix, whose daemons come
// and go.
func newProcesses(t testing.TB, before []process) []process {
	t.Helper()
	known := make(map[int]bool)
	for _, p := range before {
		known[p.pid] = true
	}
	after := liveProcesses(t)
	daemons := make(map[int]bool)
	for _, p := range after {
		if p.comm == masterName {
			daemons[p.pgid] = true
		}
	}
	var added []process
	for _, p := range after {
		if !known[p.pid] && !daemons[p.pgid] {
			added = append(added, p)
		}
	}
	return added
}

// noNewProcesses fails the test if a process is left that is not in before. One that was killed has some time
// to disappear.
func noNewProcesses(t testing.TB, before []process) {
	t.Helper()
	waitFor(t, "the end of all processes of the run", func() (bool, any) {
		left := newProcesses(t, before)
		return len(left) == 0, left
	})
}

func readProcesses() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var processes []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, alive, err := readProcess(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		if alive {
			processes = append(processes, p)
		}
	}
	return processes, nil
}

// readProcess reads one process; proc(5) describes the files.
func readProcess(pid int) (p process, alive bool, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return p, false, err
	}
	cmdline, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return p, false, err
	}
	// pid (comm) state ppid pgrp ...: comm may hold blanks and parentheses.
	head, tail, ok := cutLast(string(stat), ") ")
	if !ok {
		return p, false, fmt.Errorf("%sstat: %q", dir, stat)
	}
	_, p.comm, _ = strings.Cut(head, "(")
	var state string
	if _, err := fmt.Sscan(tail, &state, &p.ppid, &p.pgid); err != nil {
		return p, false, fmt.Errorf("%sstat: %w", dir, err)
	}
	p.pid = pid
	if len(cmdline) > 0 {
		p.cmdline = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	}
	return p, state != "Z" && state != "X", nil
}

// writtenBytes returns how much a process has written so far, 0 if it has ended.
func writtenBytes(t testing.TB, pid int) int64 {
	t.Helper()
	counters, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(counters), "\nwchar: ")
	if !found {
		t.Fatalf("/proc/%d/io: %q", pid, counters)
	}
	digits, _, _ := strings.Cut(after, "\n")
	return int64(number(t, digits))
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
