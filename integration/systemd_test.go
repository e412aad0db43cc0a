//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const systemdAnalyze = "/usr/bin/systemd-analyze"

// TestSystemdUnits lets systemd check the units of contrib. It reports what it does not know or cannot run, and how
// much a service is exposed: 12 is 1.2 of 10, if all that a service may do counts.
func TestSystemdUnits(t *testing.T) {
	needFiles(t, "systemd", systemdAnalyze)
	installEmitter(t)
	// systemd reads a unit with all its dependencies, and may complain about units of the machine.
	dir := contribDir(t) + "/systemd"
	units, err := filepath.Glob(dir + "/*.*")
	if err != nil || len(units) != 6 {
		t.Fatalf("units are %q, %v", units, err)
	}
	for _, unit := range units {
		name := filepath.Base(unit)
		t.Run(name, func(t *testing.T) {
			r := runAs(t, "root", systemdAnalyze, "verify", "--man=no", unit)
			if r.exitCode != 0 {
				t.Error(r)
			}
			for line := range strings.Lines(r.stdout + r.stderr) {
				if strings.Contains(line, "postfix-queue-") {
					t.Errorf("systemd says: %s", line)
				}
			}
			if strings.HasSuffix(name, ".service") {
				if r := runAs(t, "root", systemdAnalyze, "security", "--offline=true", "--threshold=12", unit); r.exitCode != 0 {
					t.Error(r)
				}
			}
			if strings.HasSuffix(name, ".timer") {
				if _, err := os.Stat(strings.TrimSuffix(unit, ".timer") + ".service"); err != nil {
					t.Errorf("nothing to start: %v", err)
				}
			}
		})
	}
}
