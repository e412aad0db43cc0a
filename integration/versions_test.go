//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// versionTests are the tests that other versions of Postfix must pass: those of what the sources say.
var versionTests = []string{
	"TestCorruptFilesAreCounted",
	"TestForcedExpiry",
	"TestLongAndShortQueueIDs",
	"TestServicesOfOtherNames",
	"TestShowqMissing",
	"TestSizes",
	"TestSourcesAgree",
	"TestSourcesAgreeOnRedirectedMail",
	"TestSourcesAgreeOnUTF8",
	"TestTotals",
	"TestTotalsOfAnEmptyQueue",
	"TestWhatIsStuckAndWhy",
}

// The tests pass with the Postfix of other Debian releases. This package then runs in a file system of its own.
func TestOtherVersions(t *testing.T) {
	// Sid may be in disorder on any day, whatever is required.
	skip := func(t testing.TB, reason string) { t.Helper(); t.Skip(reason) }
	for suite, test := range map[string]struct {
		isExpected func(version string) bool
		leave      func(t testing.TB, reason string)
	}{
		"bullseye": {func(version string) bool { return strings.HasPrefix(version, "3.5.") }, leaveOut},
		"trixie":   {func(version string) bool { return strings.HasPrefix(version, "3.10.") }, leaveOut},
		"sid":      {isFrom311, skip},
	} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel() // each mostly waits for its Postfix
			root, err := newVersionRoot(t, suite)
			if err != nil {
				test.leave(t, fmt.Sprintf("no Postfix of Debian %s: %v", suite, err))
			}
			output, err := runVersionTests(t, root)
			version := mailVersion(output)
			switch {
			case version == "":
				test.leave(t, fmt.Sprintf("the Postfix of Debian %s does not run: %v, %s", suite, err, output))
			case !test.isExpected(version):
				t.Fatalf("Debian %s has Postfix %s", suite, version)
			}
			passed := passedTests(output)
			if diff := cmp.Diff(versionTests, passed); err != nil || diff != "" {
				t.Errorf("Postfix %s: %v, passed (-want +got):\n%s\n%s", version, err, diff, output)
			}
			t.Logf("Postfix %s passed %d tests", version, len(passed))
		})
	}
}

// runVersionTests runs versionTests in a root file system.
func runVersionTests(t *testing.T, root string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, thisProgram, "-test.v", "-test.run=^("+strings.Join(versionTests, "|")+")$")
	cmd.Env = append(os.Environ(), stageVariable+"="+stageVersion, rootVariable+"="+root, "REQUIRE=all")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	combined, err := cmd.CombinedOutput()
	return string(combined), err
}

var (
	versionLine = regexp.MustCompile(`(?m)^mail_version = (.+)$`) // of postconf
	passedLine  = regexp.MustCompile(`(?m)^--- PASS: (\w+) `)
)

// mailVersion returns the version of Postfix that the tests ran with, empty if they did not get that far.
func mailVersion(output string) string {
	if m := versionLine.FindStringSubmatch(output); m != nil {
		return m[1]
	}
	return ""
}

// isFrom311 reports whether a version is 3.11 or later.
func isFrom311(version string) bool {
	var major, minor int
	_, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return err == nil && (major > 3 || major == 3 && minor >= 11)
}

func passedTests(output string) []string {
	var names []string
	for _, m := range passedLine.FindAllStringSubmatch(output, -1) {
		names = append(names, m[1])
	}
	return slices.Sorted(slices.Values(names))
}
