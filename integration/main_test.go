//go:build integration

// Package integration tests the two programs against a real Postfix.
//
// The test binary starts itself again in private namespaces for mounts, processes and network. There the
// Postfix of a test covers the default places (/etc/postfix, /var/spool/postfix, port 25), and the
// machine's Postfix is not affected. Tests write only to a tmpfs in there, and everything that runs is a
// child of the first process in there: both disappear with it, however it ends.
//
// This needs root, Postfix, and permission to make namespaces. Without them the tests are skipped, each
// with the reason, or fail if REQUIRE=all is in the environment.
package integration

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary runs three times, one inside the other. The variable tells it which one it is.
const (
	stageVariable   = "POSTFIX_QUEUE_TEST_STAGE"
	scratchVariable = "POSTFIX_QUEUE_TEST_SCRATCH"

	stageInit    = "init"    // process 1 of the namespaces: prepares them, and reaps
	stageVersion = "version" // the same, with the Postfix of another Debian release
	stageTests   = "tests"   // runs the tests
	stageMeasure = "measure" // runs one program for measurePeak
)

func TestMain(m *testing.M) {
	switch os.Getenv(stageVariable) {
	case stageInit:
		os.Exit(initStage(m))
	case stageVersion:
		os.Exit(versionStage())
	case stageTests:
		os.Exit(testStage(m))
	case stageMeasure:
		os.Exit(measureStage())
	default:
		os.Exit(outerStage(m))
	}
}

// outerStage starts the test binary again in new mount and process namespaces, and returns its exit
// code. If this process dies, process 1 inside is killed, and with it everything inside.
func outerStage(m *testing.M) int {
	if os.Geteuid() != 0 {
		return leaveOutAll(m, errors.New("not root; run make test as root"))
	}
	// Only a mount point. It is not in $TMPDIR, which other users often cannot enter (libpam-tmpdir).
	scratch, err := os.MkdirTemp("/tmp", "postfix-queue-test-")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		return fail(err)
	}

	// Pdeathsig is sent when the thread that started the child ends, not the process.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGQUIT)
	defer stop()
	inner := again(ctx, stageInit, &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	})
	inner.Env = append(inner.Env, scratchVariable+"="+scratch)
	err = inner.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1) // -1 if it was killed
	}
	if err != nil {
		return leaveOutAll(m, fmt.Errorf("no private namespaces (a container without --privileged?): %w", err))
	}
	return 0
}

// initStage is process 1 of its process namespace: it prepares the file systems, builds the programs
// while there still is a network, starts the tests, and reaps the orphans until they are done.
func initStage(m *testing.M) int {
	if err := isolateMounts(os.Getenv(scratchVariable)); err != nil {
		return leaveOutAll(m, err)
	}
	if err := findPostfix(); err != nil {
		return leaveOutAll(m, fmt.Errorf("Postfix is not installed: %w", err))
	}
	if err := buildPrograms(); err != nil {
		return fail(err)
	}
	tests := again(context.Background(), stageTests, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET})
	if err := tests.Start(); err != nil {
		return leaveOutAll(m, fmt.Errorf("no new network namespace: %w", err))
	}
	return reapUntilEnd(tests)
}

// reapUntilEnd returns the exit code of the tests. Until then it reaps orphans.
func reapUntilEnd(tests *exec.Cmd) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fail(fmt.Errorf("wait for the tests: %w", err))
		case pid == tests.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == tests.Process.Pid:
			return fail(fmt.Errorf("the tests were killed: %s", status.Signal()))
		}
	}
}

// testStage runs the tests, and fails if they leave a mount or a process behind.
func testStage(m *testing.M) int {
	if err := raiseLoopback(); err != nil {
		return fail(fmt.Errorf("bring lo up: %w", err))
	}
	for _, setting := range os.Environ() {
		// MAIL_CONFIG and similar variables would lead the Postfix programs elsewhere.
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "MAIL_") || name == stageVariable {
			os.Unsetenv(name)
		}
	}
	unix.Umask(0o022)

	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fail(err)
	}
	code := m.Run()
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fail(err)
	}
	if string(after) != string(mounts) {
		return fail(fmt.Errorf("the tests left mounts behind, now there are:\n%s", after))
	}
	processes, err := readProcesses()
	if err != nil {
		return fail(err)
	}
	for _, p := range processes {
		if p.pid != 1 && p.pid != os.Getpid() {
			return fail(fmt.Errorf("the tests left a process behind: %s", p))
		}
	}
	return code
}

// again is this test binary with the same arguments and the same standard streams.
func again(ctx context.Context, stage string, attributes *syscall.SysProcAttr) *exec.Cmd {
	cmd := exec.CommandContext(ctx, thisProgram, os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageVariable+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attributes
	return cmd
}

// thisProgram is this test binary, also where its path does not lead to it.
const thisProgram = "/proc/self/exe"

// findPostfix fails if a part of Postfix that the tests use is missing.
func findPostfix() error {
	paths := []string{configDir, spoolDir, dataDir}
	for _, program := range []string{"postfix", "postconf", "postqueue", "postsuper", "sendmail"} {
		paths = append(paths, "/usr/sbin/"+program)
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	_, err := user.Lookup("postfix")
	return err
}

// isolateMounts makes the mounts private, shows the processes of this namespace in /proc, and makes
// scratch the directory for temporary files.
func isolateMounts(scratch string) error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if errors.Is(err, unix.EINVAL) {
		return errors.New("/ is not a mount point (a plain chroot?)")
	}
	if err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", scratch, err)
	}
	return os.Setenv("TMPDIR", scratch)
}

// raiseLoopback brings up lo, which is down in a new network namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// binDir is the directory of the programs under test. All users can read it.
func binDir() string { return filepath.Join(os.TempDir(), "bin") }

// buildLog holds what the compiler said if the programs could not be built.
func buildLog() string { return filepath.Join(binDir(), "build.log") }

// buildPrograms builds the programs into binDir. If they do not compile, the tests that call program fail, not
// this function.
func buildPrograms() error {
	if err := os.Mkdir(binDir(), 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", binDir(), "./cmd/check_postfix_queue", "./cmd/postfix_queue_emit")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return os.WriteFile(buildLog(), fmt.Appendf(output, "go build: %v\n", err), 0o644)
	}
	return nil
}

// program is the path of one of the programs under test.
func program(t testing.TB, name string) string {
	t.Helper()
	if log, err := os.ReadFile(buildLog()); err == nil {
		t.Fatalf("the programs do not build:\n%s", log)
	}
	path := filepath.Join(binDir(), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// required reports whether nothing may be left out.
func required() bool { return os.Getenv("REQUIRE") == "all" }

// leaveOut skips a test that cannot run on this machine, or fails it if nothing may be left out.
func leaveOut(t testing.TB, reason string) {
	t.Helper()
	if required() {
		t.Fatalf("REQUIRE=all, but: %s", reason)
	}
	t.Skip(reason)
}

// leaveOutAll skips every test that would have run. None of them is started, so the lines that tell
// go test about it are written here.
func leaveOutAll(m *testing.M, reason error) int {
	if required() {
		return fail(fmt.Errorf("REQUIRE=all, but the integration tests cannot run: %w", reason))
	}
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	names, err := wantedTests(m)
	if err != nil {
		return fail(err)
	}
	fmt.Printf("integration tests left out: %v\n", reason)
	for _, name := range names {
		fmt.Printf("=== RUN   %[1]s\n    main_test.go: %[2]v\n--- SKIP: %[1]s (0.00s)\n", name, reason)
	}
	fmt.Println("PASS")
	return 0
}

// wantedTests returns the names of the tests that the flags choose, subtests aside. The package testing
// only prints them.
func wantedTests(m *testing.M) ([]string, error) {
	wanted, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	if err := flag.Set("test.list", cmp.Or(wanted, ".")); err != nil {
		return nil, err
	}
	list, err := os.CreateTemp("", "postfix-queue-test-list-")
	if err != nil {
		return nil, err
	}
	defer list.Close()
	defer os.Remove(list.Name())
	stdout := os.Stdout
	os.Stdout = list
	m.Run()
	os.Stdout = stdout
	printed, err := os.ReadFile(list.Name())
	if err != nil {
		return nil, err
	}
	isOther := func(name string) bool { return !strings.HasPrefix(name, "Test") } // a benchmark, or an empty line
	return slices.DeleteFunc(strings.Split(string(printed), "\n"), isOther), nil
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}
