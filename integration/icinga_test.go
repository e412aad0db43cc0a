//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	icingaProgram = "/usr/sbin/icinga2"
	icingaSpool   = "/var/spool/icinga2"
)

// icingaBase is all that Icinga reads apart from its own library and the files of contrib. Services are checked
// twice a second, and each result counts.
const icingaBase = `
include <itl>
include <plugins>

const PluginDir = "` + pluginDir + `"
const PluginContribDir = PluginDir
const NodeName = "monitor.example.org"
const ZoneName = NodeName

object Endpoint NodeName { }
object Zone ZoneName { endpoints = [ NodeName ] }
object CheckerComponent "checker" { }

object PerfdataWriter "perfdata" {
	rotation_interval = 1s
	service_format_template = "` + icingaTemplate + `"
}

template Host "generic-host" {
	check_command = "dummy"
	%[2]s
}

template Service "generic-service" {
	check_interval = 500ms
	retry_interval = 500ms
	max_check_attempts = 1
	%[2]s
}
`

const icingaConfig = icingaBase + `
include "%[1]s/icinga2/postfix_queue.conf"
`

// icingaTemplate is what the PerfdataWriter writes of a check: less than by default, but with all lines of
// the output.
const (
	icingaRecord   = "DATATYPE::SERVICEPERFDATA"
	icingaTemplate = icingaRecord + `\t$host.name$!$service.name$\t$service.state$` +
		`\t$service.perfdata$\t$service.output$`
)

// needIcinga leaves the test out if Icinga is not installed.
func needIcinga(t testing.TB) {
	t.Helper()
	needFiles(t, "icinga2-bin", icingaProgram, pluginDir)
	needFiles(t, "icinga2-common", "/usr/share/icinga2/include/plugins", icingaSpool)
}

// newIcinga sets up an Icinga that does not run yet: its directories of state are private and empty.
func newIcinga(t testing.TB) {
	t.Helper()
	for _, dir := range []string{"/run", "/var/cache/icinga2", "/var/lib/icinga2", "/var/log/icinga2", icingaSpool} {
		bind(t, monitoringDir(t), dir)
	}
	for _, dir := range []string{"/run/icinga2", icingaSpool + "/perfdata", icingaSpool + "/tmp"} {
		if r := runAs(t, monitoringUser, "mkdir", dir); r.exitCode != 0 {
			t.Fatal(r)
		}
	}
}

// configureIcinga writes a configuration, which Icinga must validate without a warning: icingaConfig, whose
// hosts and services get the attributes, and objects, in which %[1]s is the directory contrib.
func configureIcinga(t testing.TB, objects, attributes string) (path string) {
	t.Helper()
	return validateIcinga(t, fmt.Sprintf(icingaConfig+objects, contribDir(t), attributes))
}

// validateIcinga writes a configuration, which Icinga must validate without a warning.
func validateIcinga(t testing.TB, config string) (path string) {
	t.Helper()
	path = writeConfig(t, "icinga2.conf", config)
	validated := runAs(t, "root", icingaProgram, "daemon", "--validate", "--config", path)
	if validated.exitCode != 0 || strings.Contains(validated.stdout, " warning/") {
		t.Fatalf("Icinga complains about its configuration: %s", validated)
	}
	return path
}

// startIcinga starts an Icinga that checks the private Postfix.
func startIcinga(t testing.TB, objects string) {
	t.Helper()
	newIcinga(t)
	// It is started by root and goes on as its own user.
	startDaemon(t, command{}, icingaProgram, "daemon", "--config", configureIcinga(t, objects, ""))
}

// icingaReports returns a function that reads what the PerfdataWriter has written about a service.
func icingaReports(t testing.TB, service string) func() []report {
	return func() []report {
		t.Helper()
		files, err := filepath.Glob(icingaSpool + "/perfdata/service-perfdata.*")
		if err != nil {
			t.Fatal(err)
		}
		var reports []report
		for _, file := range files { // in the order of their time stamps
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for record := range strings.SplitSeq(string(content), icingaRecord+"\t") {
				fields := strings.Split(strings.TrimSuffix(record, "\n"), "\t")
				if len(fields) != 4 || fields[0] != service {
					continue
				}
				line1, others, more := strings.Cut(fields[3], "\n")
				text := strings.TrimSuffix(line1, " ") // the blank before the performance data stays
				if more {
					text += "\n" + others
				}
				reports = append(reports, report{state: fields[1], perfdata: fields[2], text: text})
			}
		}
		return reports
	}
}

// icingaPerfdata returns what Icinga itself makes of performance data, for all its writers that send numbers.
func icingaPerfdata(t testing.TB, outputs ...string) (all []map[string]perfItem) {
	t.Helper()
	const parse = `parse = function(word) {
		var item = parse_performance_data(word)
		return { label = item.label, unit = item.unit, value = item.value, warn = item.warn, crit = item.crit }
	}
	parseAll = function(text) use (parse) { text.split(" ").map(parse) }
	[ %s ].map(parseAll)`
	quoted := make([]string, len(outputs))
	for i, perfdata := range outputs {
		quoted[i] = strconv.Quote(perfdata)
	}
	r := runAs(t, "root", icingaProgram, "console", "--eval", fmt.Sprintf(parse, strings.Join(quoted, ", ")))
	var parsed [][]struct {
		Label, Unit       string
		Value, Warn, Crit json.Number
	}
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil || len(parsed) != len(outputs) {
		t.Fatalf("icinga2 console: %v: %s", err, r)
	}
	for _, list := range parsed {
		items := make(map[string]perfItem)
		for _, p := range list {
			value, err := p.Value.Int64()
			if err != nil {
				t.Fatalf("icinga2 console: %v: %s", err, r)
			}
			unit := map[string]string{"bytes": "B", "seconds": "s"}[p.Unit]
			items[p.Label] = perfItem{value, unit, p.Warn.String(), p.Crit.String()}
		}
		all = append(all, items)
	}
	return all
}

func TestIcinga(t *testing.T) {
	needIcinga(t)
	p := startPostfix(t)
	installPlugin(t)
	startIcinga(t, `
include "%[1]s/icinga2/service.conf"

object Host "mail.example.org" {
	import "generic-host"
	vars.postfix = true
}

object Host "lists.example.org" {
	import "generic-host"
	vars.postfix = true
	vars.postfix_queue_warning = [ "@101:500" ]
	vars.postfix_queue_critical = [ "500", "hold=10" ]
}

object CheckCommand "mailq with another path" {
	import "mailq"
	command = [ PluginContribDir + "/check_postfix_queue" ]
}

object Service "mailq" {
	import "generic-service"
	host_name = "mail.example.org"
	check_command = "mailq with another path"
	vars.mailq_servertype = "postfix"
	vars.mailq_warning = 100
	vars.mailq_critical = 500
}
`)
	forEachState(t, p, func(t *testing.T, want queueState) {
		t.Run("relay", func(t *testing.T) {
			got := awaitReport(t, says(t, relayCheck...), icingaReports(t, "mail.example.org!postfix-queue"))
			want.check(t, got)
			if !want.readable {
				return
			}
			if diff := cmp.Diff(parsePerfdata(t, got.perfdata), icingaPerfdata(t, got.perfdata)[0]); diff != "" {
				t.Errorf("Icinga's own view of the performance data (-want +got):\n%s", diff)
			}
		})
		others := map[string][]string{
			"lists.example.org!postfix-queue": {"-vv", "-w", "@101:500", "-c", "500", "-c", "hold=10"},
			"mail.example.org!mailq":          {"-M", "postfix", "-w", "100", "-c", "500"},
		}
		for service, args := range others {
			t.Run(service, func(t *testing.T) {
				if got := awaitReport(t, says(t, args...), icingaReports(t, service)); got.state != want.state {
					t.Errorf("want %s, got %s", want.state, got)
				}
			})
		}
	})
}

// TestIcingaInstances has a service for each instance of Postfix, with its own thresholds.
func TestIcingaInstances(t *testing.T) {
	needIcinga(t)
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	out.deferMail(3)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(100)
	installPlugin(t)
	startIcinga(t, `
include "%[1]s/icinga2/service.conf"

object Host "mail.example.org" {
	import "generic-host"
	vars.postfix = true
	vars.postfix_instances["postfix"] = { }
	vars.postfix_instances["postfix-out"] = {
		postfix_queue_config_dir = "`+out.dir+`"
		postfix_queue_critical = [ "2" ]
	}
}

object Host "lists.example.org" {
	import "generic-host"
	vars.postfix_queue_warning = [ "200" ]
	vars.postfix_instances["postfix"] = { postfix_queue_verbose = 0 }
}

object Host "elsewhere.example.org" { import "generic-host" }
`)
	tests := map[string]struct {
		args  []string
		state string
	}{
		"mail.example.org!postfix-queue-postfix": {relayCheck, "WARNING"},
		"mail.example.org!postfix-queue-postfix-out": {
			[]string{"-vv", "-w", "100", "-w", "size=50M", "-w", "age=1h", "-c", "2", "-d", out.dir}, "CRITICAL",
		},
		"lists.example.org!postfix-queue-postfix": {
			[]string{"-w", "200", "-c", "500", "-c", "size=250M", "-c", "age=4h"}, "OK",
		},
	}
	for service, test := range tests {
		t.Run(service, func(t *testing.T) {
			if got := awaitReport(t, says(t, test.args...), icingaReports(t, service)); got.state != test.state {
				t.Errorf("want %s, got %s", test.state, got)
			}
		})
	}
	if reports := icingaReports(t, "mail.example.org!postfix-queue")(); len(reports) > 0 {
		t.Errorf("the host has a service without the name of an instance, too: %s", reports[0])
	}
}

// TestIcingaAgent validates the service for a check that runs on another host than the monitoring system:
// to run it would take a second host, and certificates.
func TestIcingaAgent(t *testing.T) {
	needIcinga(t)
	newIcinga(t)
	configureIcinga(t, `
include "%[1]s/icinga2/service.conf"

object Host "mail.example.org" {
	import "generic-host"
	vars.agent_endpoint = name
	vars.postfix = true
}

object Endpoint "mail.example.org" { }

object Zone "mail.example.org" {
	endpoints = [ "mail.example.org" ]
	parent = ZoneName
}
`, "zone = ZoneName")
}
