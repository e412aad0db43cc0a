//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	nrpeProgram      = "/usr/sbin/nrpe"
	checkNRPEProgram = pluginDir + "/check_nrpe"
)

// startNRPE starts a private NRPE that knows the commands of contrib and these. It returns when it answers.
func startNRPE(t testing.TB, commands ...string) {
	t.Helper()
	lines := append([]string{
		"pid_file=" + monitoringDir(t) + "/nrpe.pid",
		"server_address=127.0.0.1",
		"allowed_hosts=127.0.0.1",
		"disable_syslog=1", // it would be that of the machine
		"include_dir=" + contribDir(t) + "/nrpe",
	}, commands...)
	config := writeConfig(t, "nrpe.cfg", strings.Join(lines, "\n")+"\n")
	// As its unit in Debian does.
	startDaemon(t, command{user: monitoringUser}, nrpeProgram, "-c", config, "-f")
	waitFor(t, "NRPE", func() (bool, any) {
		r := startCheckNRPE(t).wait()
		return r.exitCode == 0, r
	})
}

// startCheckNRPE starts check_nrpe with the arguments of Debian's command for Nagios, and as its user.
func startCheckNRPE(t testing.TB, args ...string) *runningCommand {
	t.Helper()
	return command{user: monitoringUser}.start(t, checkNRPEProgram, append([]string{"-H", "127.0.0.1"}, args...)...)
}

// needNRPE leaves the test out if NRPE is not installed.
func needNRPE(t testing.TB) {
	t.Helper()
	needFiles(t, "nagios-nrpe-server", nrpeProgram)
	needFiles(t, "nagios-nrpe-plugin", checkNRPEProgram)
}

// askNRPE returns a function that runs check_nrpe.
func askNRPE(t testing.TB, commandName string) func() []report {
	return func() []report {
		t.Helper()
		return []report{reportOf(startCheckNRPE(t, "-c", commandName).wait())}
	}
}

func TestNRPE(t *testing.T) {
	needNRPE(t)
	p := startPostfix(t)
	installPlugin(t, "check_nrpe")
	startNRPE(t)
	forEachState(t, p, func(t *testing.T, want queueState) {
		got := awaitReport(t, says(t, relayCheck...), askNRPE(t, "check_postfix_queue_relay"))
		want.check(t, got)
	})
}

// TestNRPECommands runs every command of contrib, and what a shell could spoil. Each answers as its line does in
// a shell.
func TestNRPECommands(t *testing.T) {
	needNRPE(t)
	content, err := os.ReadFile("../contrib/nrpe/check_postfix_queue.cfg")
	if err != nil {
		t.Fatal(err)
	}
	specials := []string{
		"command[inside]=" + pluginPath + " -v -w @1:10 -c '@20:30'",
		"command[no_lower_end]=" + pluginPath + " -v -w emails=~:10 -c ~:20",
		"command[negative]=" + pluginPath + " -v -w -10:10 -c -20:20",
		"command[without]=" + pluginPath + ` -v -q '!hold,maildrop' -q \!incoming -w 10`,
	}
	definitions := regexp.MustCompile(`(?m)^command\[(\w+)\]=(.+)$`).
		FindAllStringSubmatch(string(content)+strings.Join(specials, "\n"), -1)
	if want := strings.Count(string(content), "\ncommand") + len(specials); len(definitions) != want {
		t.Fatalf("%d of %d commands are understood: %q", len(definitions), want, definitions)
	}

	p := startPostfix(t)
	installPlugin(t, "check_nrpe")
	bind(t, ownedDir(t, monitoringUser), "/var/lib/nagios") // where --state points to
	startNRPE(t, specials...)
	id := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}})
	p.waitDeferred(id)
	p.fillQueue(1)
	p.hold(id)
	runSnapshotUnit(t)
	wantStates := map[string]string{
		"check_postfix_queue_hold": "WARNING", // held mail is what it watches for
		"inside":                   "WARNING",
	}
	for _, definition := range definitions {
		name, line := definition[1], definition[2]
		t.Run(name, func(t *testing.T) {
			inShell := func() report { return reportOf(runAs(t, monitoringUser, "sh", "-c", line)) }
			got := awaitReport(t, inShell, askNRPE(t, name))
			if want := cmp.Or(wantStates[name], "OK"); got.state != want {
				t.Errorf("want %s, got %s", want, got)
			}
		})
	}
}

// TestNRPETimeout reads a queue that cannot be listed in time, with the commands of contrib and the default
// timeouts of check and check_nrpe. The answer must be the check's.
func TestNRPETimeout(t *testing.T) {
	needNRPE(t)
	p := startPostfix(t)
	installPlugin(t, "check_nrpe")
	startNRPE(t)
	held := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}})
	p.waitDeferred(held)
	p.fillQueue(1000)
	// Messages on hold are listed after all others.
	p.hold(held)
	stall(t, filepath.Join(spoolDir, "hold", held))

	tests := map[string]struct{ state, words string }{
		"check_postfix_queue_relay": {"CRITICAL", "at least "},
		"check_postfix_queue_age":   {"UNKNOWN", "at least "},
		"check_postfix_queue_hold":  {"UNKNOWN", ""},
	}
	running := make(map[string]*runningCommand)
	for name := range tests {
		running[name] = startCheckNRPE(t, "-c", name)
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got := reportOf(running[name].wait())
			prefix := fmt.Sprintf("POSTFIX_QUEUE %s - %s", want.state, want.words)
			if got.state != want.state || !strings.HasPrefix(got.text, prefix) {
				t.Errorf("want %s, %s; got %s", want.state, want.words, got)
			}
			if got.perfdata != "" {
				t.Errorf("performance data of a part of the queue: %s", got)
			}
		})
	}
}

// stall makes every open of a file wait until the end of the test, as on a disk that does not answer. It takes
// a lease: the kernel first asks for it back and waits 45 seconds, see fcntl(2).
func stall(t testing.TB, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatalf("lease on %s: %v", path, err)
	}
}
