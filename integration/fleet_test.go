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
		// Who reads the zones has those files that Icinga sends to it: the global ones, and those of its zone.
		zones := publicTempDir(t)
		for path, content := range map[string]string{
			"global-templates/postfix_queue.conf": `include "` + contrib + `/icinga2/postfix_queue.conf"`,
			"global-templates/service.conf":       `include "` + contrib + `/icinga2/service.conf"`,
			"global-templates/generic.conf": `
template Host "generic-host" { check_command = "dummy" }
template Service "generic-service" { }`,
			"berlin/mx1.conf": `
object Host "mx1.example.org" {
	import "generic-host"
	vars.agent_endpoint = name
	vars.postfix = true
}`,
		} {
			path = filepath.Join(zones, path)
			err := os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.WriteFile(path, []byte(content), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for node, zone := range map[string]string{"master1.example.org": "master", "satellite1.example.org": "berlin"} {
			config := writeConfig(t, "icinga2.conf", `
include <itl>
include <plugins>
const PluginDir = "`+pluginDir+`"
const PluginContribDir = PluginDir
const NodeName = "`+node+`"
const ZoneName = "`+zone+`"
include "`+contrib+`/fleet/icinga2-zones.conf"
include_zones "etc", "`+zones+`"
`)
			r := runAs(t, "root", icingaProgram, "daemon", "-C", "-c", config, "-D", "DataDir="+publicTempDir(t))
			if r.exitCode != 0 || !strings.Contains(r.stdout, "Instantiated 1 Service.") ||
				strings.Contains(r.stdout, "warning") {
				t.Error(node, r)
			}
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
