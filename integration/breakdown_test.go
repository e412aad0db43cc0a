//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const snapshotUnit = "../contrib/systemd/postfix-queue-snapshot.service"

// runSnapshotUnit does what systemd does for the snapshot's unit of contrib: it makes the directory, and runs the
// program as the unit's user and group. It returns the path of the snapshot.
func runSnapshotUnit(t testing.TB) (path string) {
	t.Helper()
	installEmitter(t)
	content := readContrib(t, snapshotUnit)
	setting := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^`+name+`=(\S.*)$`).FindAllStringSubmatch(content, -1)
		if len(m) != 1 {
			t.Fatalf("%s does not have one %s=: %q", snapshotUnit, name, m)
		}
		return m[0][1]
	}
	run := publicTempDir(t)
	bind(t, run, "/run")
	dir := filepath.Join("/run", setting("RuntimeDirectory"))
	mode, err := strconv.ParseUint(setting("RuntimeDirectoryMode"), 8, 12)
	if err != nil {
		t.Fatal(err)
	}
	user, group := credential(t, setting("User")), credential(t, setting("Group")) // a user of the same name
	for _, err := range []error{
		os.Mkdir(dir, 0o700), os.Chown(dir, int(user.Uid), int(group.Gid)), unix.Chmod(dir, uint32(mode)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(setting("ExecStart"))
	who := []string{"--reuid", setting("User"), "--regid", setting("Group"), "--clear-groups", "--no-new-privs"}
	script := []string{"-c", `umask "$0" && exec setpriv "$@"`, setting("UMask")}
	if r := runAs(t, "root", "sh", append(append(script, who...), words...)...); r.exitCode != 0 {
		t.Fatal(r)
	}
	return words[len(words)-1]
}

// TestNRPEBreakdown has a check on another host read the snapshot of the unit: NRPE passes on all of it, and it says
// what root would read here.
func TestNRPEBreakdown(t *testing.T) {
	needNRPE(t)
	l := startLab(t)
	l.dns.mail("down.example", "mx.down.example", "127.0.0.13")
	l.dns.mail("grey.example", "mx.grey.example", "127.0.0.11")
	newSMTPServerAt(t, "127.0.0.11:25").answer("grey.example", "450 4.7.1 Greylisted, try again in 300 seconds")
	l.defers(mails(60, func(i int) mail {
		return mail{
			from: fmt.Sprintf("x%d@r%d.example", i, i), to: []string{fmt.Sprintf("r%d@down.example", i)},
			login: "anna@isp.example", client: "192.0.2.1",
		}
	}))
	l.hold(l.queueIDs("deferred")[:10]...)
	l.defers(mails(40, func(i int) mail {
		m := mail{from: fmt.Sprintf("u%d@isp.example", i%7), login: fmt.Sprintf("u%d", i%7), client: "192.0.2.2"}
		m.to = []string{fmt.Sprintf("r%d@grey.example", i), fmt.Sprintf("r%d@nowhere%d.example", i, i)}
		return m
	}))
	installPlugin(t, "check_nrpe")
	startNRPE(t)
	path := runSnapshotUnit(t)

	var stat unix.Stat_t
	group := credential(t, monitoringUser).Gid
	if err := unix.Stat(path, &stat); err != nil || stat.Mode&0o7777 != 0o640 || stat.Gid != group {
		t.Errorf("mode %o, group %d, %v", stat.Mode&0o7777, stat.Gid, err)
	}
	args := []string{"-vv", "-w", "50", "-c", "90"}
	read := append([]string{"-i", path}, args...)
	if r := nobody.check(t, read...); r.state != "UNKNOWN" || !strings.Contains(r.text, "permission denied") {
		t.Errorf("for others: %s", r)
	}
	// Both say the same, but for the time.
	times := regexp.MustCompile(`\d+[smhd](?: \d+[smhd])?| +`)
	live := times.ReplaceAllString(reportOf(root.run(t, program(t, checkProgram), args...)).text, " ")
	got := says(t, read...)()
	fromFile := times.ReplaceAllString(got.text, " ")
	if diff := cmp.Diff(strings.Split(live, "\n"), strings.Split(fromFile, "\n")); diff != "" {
		t.Errorf("root's own reading and the snapshot (-root +snapshot):\n%s", diff)
	}

	relay := append([]string{"-i", path}, relayCheck...)
	passed := awaitReport(t, says(t, relay...), askNRPE(t, "check_postfix_queue_snapshot"))
	if n := len(passed.text); n <= 1024 {
		t.Errorf("%d bytes are no more than NRPE 2 would pass on", n)
	}
	for _, want := range []string{
		"login anna@isp.example, ", "mx.grey.example 450 4.7.1 greylisted", "on hold, before that: ",
	} {
		if !strings.Contains(passed.text, want) {
			t.Errorf("no %q in %s", want, passed)
		}
	}
	verifyCells(t, passed.text)
}

// verifyCells fails if a cell of a table is empty: a web page that takes several blanks for one would shift the others.
func verifyCells(t *testing.T, text string) {
	t.Helper()
	tables := map[string]*regexp.Regexp{
		"emails  rcpts domains since": regexp.MustCompile(`^ *\d+ +\d+ +\d+\+? +` +
			`(-|\d+\S( \d+\S)?) +(-|\d+\S( \d+\S)?) +\S`),
		"queue       emails       size  oldest":   regexp.MustCompile(`^\w+ +\d+ +\d+(\.\d+)? \w+  (-|\d+\S( \d+\S)?)$`),
		"recipients by domain and age in minutes": regexp.MustCompile(`^\S+( +\S+){11}$`),
	}
	next := regexp.MustCompile(`^(next try|act|largest|queue|recipients|and|\d+ came|\d+ will) `)
	for head, row := range tables {
		_, table, found := strings.Cut(text, "\n"+head)
		if !found {
			t.Errorf("no table %q in %s", head, text)
			continue
		}
		for _, line := range strings.Split(strings.TrimSuffix(table, "\n"), "\n")[1:] {
			if next.MatchString(line) {
				break
			}
			if !row.MatchString(line) {
				t.Errorf("below %q: %q", head, line)
			}
		}
	}
}
