//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFleetConfigurations lets the real programs read the configurations of a fleet.
func TestFleetConfigurations(t *testing.T) {
	t.Run("Icinga zones", func(t *testing.T) {
		needIcinga(t)
		contrib := contribDir(t)
		// A master that has the command and the service, and a mail host in the zone of a satellite.
		config := writeConfig(t, "icinga2.conf", `
include <itl>
include <plugins>
const PluginDir = "`+pluginDir+`"
const PluginContribDir = PluginDir
const NodeName = "master1.example.org"
const ZoneName = "master"
include "`+contrib+`/fleet/icinga2-zones.conf"
template Host "generic-host" { check_command = "dummy" }
template Service "generic-service" { }
include "`+contrib+`/icinga2/postfix_queue.conf"
include "`+contrib+`/icinga2/service.conf"
object Host "mx1.example.org" {
	import "generic-host"
	zone = "berlin"
	vars.agent_endpoint = name
	vars.postfix = true
}
`)
		r := runAs(t, "root", icingaProgram, "daemon", "-C", "-c", config, "-D", "DataDir="+publicTempDir(t))
		if r.exitCode != 0 || !strings.Contains(r.stdout, "Instantiated 1 Service.") ||
			strings.Contains(r.stdout, "warning") {
			t.Error(r)
		}
	})
	t.Run("Prometheus", func(t *testing.T) {
		needPrometheus(t)
		dir := publicTempDir(t)
		for from, to := range map[string]string{
			"fleet/prometheus.yml": "prometheus.yml",
			"prometheus/rules.yml": "postfix_queue.yml",
			"prometheus/fleet.yml": "postfix_queue_fleet.yml",
		} {
			content := readContrib(t, filepath.Join("../contrib", from))
			if err := os.WriteFile(filepath.Join(dir, to), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r := runAs(t, "nobody", promtoolProgram, "check", "config", filepath.Join(dir, "prometheus.yml"))
		if r.exitCode != 0 {
			t.Error(r)
		}
	})
}
