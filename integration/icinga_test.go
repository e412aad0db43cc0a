//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	icingaProgram = "/usr/sbin/icinga2"
	icingaSpool   = "/var/spool/icinga2"
)

// icingaConfig is all that Icinga reads beside its own library and the files of contrib. Services are
// checked twice a second, and each result counts.
const icingaConfig = `
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

include "%[1]s/icinga2/postfix_queue.conf"
`

// icingaTemplate is what the PerfdataWriter writes of a check: less than by default, but with all lines of
// the output.
const (
	icingaRecord   = "DATATYPE::SERVICEPERFDATA"
	icingaTemplate = icingaRecord + `\t$host.name$!$service.name$\t$service.state$\t$service.perfdata$\t$service.output$`
)

// needIcinga leaves the test out where Icinga is not installed.
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

// configureIcinga writes a configuration and has Icinga validate it, to which nothing may look odd. It has
// objects, where %[1]s is the directory contrib, on top of icingaConfig, whose hosts and services have the
// attributes.
func configureIcinga(t testing.TB, objects, attributes string) (path string) {
	t.Helper()
	path = writeConfig(t, "icinga2.conf", fmt.Sprintf(icingaConfig+objects, contribDir(t), attributes))
	validated := runAs(t, "root", icingaProgram, "daemon", "--validate", "--config", path)
	if validated.exitCode != 0 || strings.Contains(validated.stdout, " warning/") {
		t.Fatalf("Icinga does not like its configuration: %s", validated)
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
func icingaPerfdata(t testing.TB, perfdata string) map[string]perfItem {
	t.Helper()
	const parse = `parse = function(word) {
		var item = parse_performance_data(word)
		return { label = item.label, unit = item.unit, value = item.value, warn = item.warn, crit = item.crit }
	}
	%q.split(" ").map(parse)`
	r := runAs(t, "root", icingaProgram, "console", "--eval", fmt.Sprintf(parse, perfdata))
	var parsed []struct {
		Label, Unit       string
		Value, Warn, Crit json.Number
	}
	if err := json.Unmarshal([]byte(r.stdout), &parsed); err != nil {
		t.Fatalf("icinga2 console: %v: %s", err, r)
	}
	items := make(map[string]perfItem)
	for _, p := range parsed {
		value, err := p.Value.Int64()
		if err != nil {
			t.Fatalf("icinga2 console: %v: %s", err, r)
		}
		unit := map[string]string{"bytes": "B", "seconds": "s"}[p.Unit]
		items[p.Label] = perfItem{value, unit, p.Warn.String(), p.Crit.String()}
	}
	return items
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
			if diff := cmp.Diff(parsePerfdata(t, got.perfdata), icingaPerfdata(t, got.perfdata)); diff != "" {
				t.Errorf("Icinga's own view of the performance data (-want +got):\n%s", diff)
			}
		})
		others := map[string][]string{
			"lists.example.org!postfix-queue": {"-v", "-w", "@101:500", "-c", "500", "-c", "hold=10"},
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

func TestIcingaArguments(t *testing.T) {
	needIcinga(t)
	startPostfix(t)
	old := writeConfig(t, "empty", "")
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		vars string
		want []string // arguments, sorted
		says string   // in the first line of the plugin's answer
	}{
		"none": {
			``,
			nil,
			" OK - queue is empty | ",
		},
		"ranges": {
			`vars.postfix_queue_warning = [ "-10:10", "size=@5:10", "age=~:4h" ]
			vars.postfix_queue_critical = "1000:"`,
			[]string{"--critical 1000:", "--warning -10:10", "--warning age=~:4h", "--warning size=@5:10"},
			" emails=0;-10:10;1000:;0 ",
		},
		"numbers": {
			`vars.postfix_queue_warning = 0
			vars.postfix_queue_critical = 100000000`,
			[]string{"--critical 100000000", "--warning 0"},
			" emails=0;0;100000000;0 ",
		},
		"instance": {
			`vars.postfix_queue_config_dir = [ "/etc/postfix" ]
			vars.postfix_queue_source = "postqueue"
			vars.postfix_queue_timeout = 20s`,
			[]string{"--config-dir /etc/postfix", "--source postqueue", "--timeout 20"},
			" OK - queue is empty | ",
		},
		"all instances": {
			`vars.postfix_queue_all_instances = true`,
			[]string{"--all-instances"},
			" OK - ",
		},
		// The user is not allowed to read it, and may not become one that is.
		"queue directory": {
			`vars.postfix_queue_queue_directory = "/var/spool/postfix"`,
			[]string{"--queue-directory /var/spool/postfix"},
			" UNKNOWN - ",
		},
		"queues": {
			`vars.postfix_queue_queue = [ "active", "hold" ]
			vars.postfix_queue_verbose = "2"`,
			[]string{"--queue active", "--queue hold", "--verbose", "--verbose"},
			"active, hold) | ",
		},
		"all queues but one": {
			`vars.postfix_queue_queue = "!hold"
			vars.postfix_queue_verbose = true`,
			[]string{"--queue !hold", "--verbose"},
			"but hold) | ",
		},
		"filters": {
			`vars.postfix_queue_sender = "!^news@"
			vars.postfix_queue_recipient = "@example[.]com$$"
			vars.postfix_queue_reason = [ "late", "refused" ]
			vars.postfix_queue_older_than = 1h
			vars.postfix_queue_by_reason = true`,
			[]string{"--by-reason", "--older-than 3600", "--reason late", "--reason refused", "--recipient @example[.]com$", "--sender !^news@"},
			" OK - no emails (sender not ^news@, recipient @example[.]com?, reason late or refused, at least 1h old) | ",
		},
		"file": {
			`vars.postfix_queue_input = "` + old + `"
			vars.postfix_queue_max_age = 2h
			vars.postfix_queue_allow_empty = true
			vars.postfix_queue_verbose = 3`,
			[]string{"--allow-empty", "--input " + old, "--max-age 7200", "--verbose", "--verbose", "--verbose"},
			" OK - queue is empty | ",
		},
	}

	// The program itself answers; behind its answer there is a line for each argument that it got.
	answering := fmt.Sprintf("#!/bin/sh\n%s \"$@\"; code=$?; printf '"+argumentMark+"%%s\\n' \"$@\"; exit $code\n",
		program(t, filepath.Base(pluginPath)))
	plugins := publicTempDir(t)
	if err := os.WriteFile(filepath.Join(plugins, filepath.Base(pluginPath)), []byte(answering), 0o755); err != nil {
		t.Fatal(err)
	}
	bind(t, plugins, pluginDir)

	config := `object Host "mail.example.org" { import "generic-host" }` + "\n"
	for name, test := range tests {
		config += fmt.Sprintf(`
object Service %q {
	import "generic-service"
	host_name = "mail.example.org"
	check_command = "postfix_queue"
	%s
}
`, name, test.vars)
	}
	startIcinga(t, config)
	used := make(map[string]bool)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var reports []report
			waitFor(t, "a report", func() (bool, any) {
				reports = icingaReports(t, "mail.example.org!"+name)()
				return len(reports) > 0, nil
			})
			got := reports[0]
			if line1 := got.line1() + " | " + got.perfdata; !strings.Contains(line1, test.says) {
				t.Errorf("want %q, got %s", test.says, got)
			}
			if diff := cmp.Diff(test.want, argumentsOf(got)); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
		for _, argument := range test.want {
			option, _, _ := strings.Cut(argument, " ")
			used[option] = true
		}
	}
	for option := range checkOptions(t) {
		if !used[option] {
			t.Errorf("no case has an argument %s", option)
		}
	}
}

const argumentMark = "argument "

// argumentsOf returns the arguments that the text has marked, each option with its value, sorted: those of one
// CheckCommand come in no particular order.
func argumentsOf(r report) []string {
	var arguments []string
	for line := range strings.SplitSeq(r.text, "\n") {
		argument, ok := strings.CutPrefix(line, argumentMark)
		switch {
		case !ok, argument == "": // printf prints one mark where there are no arguments
		case strings.HasPrefix(argument, "--"):
			arguments = append(arguments, argument)
		default:
			arguments[len(arguments)-1] += " " + argument
		}
	}
	slices.Sort(arguments)
	return arguments
}

// checkOptions returns the long options of the check that a CheckCommand must know, and whether they are
// repeatable, as the usage text says.
func checkOptions(t testing.TB) map[string]bool {
	t.Helper()
	usage := runAs(t, "nobody", program(t, filepath.Base(pluginPath)), "--help").stdout
	heads := regexp.MustCompile(`(?m)^(?:  -\w, |      )--([a-z-]+)`).FindAllStringSubmatchIndex(usage, -1)
	options := make(map[string]bool)
	for i, head := range heads {
		end := len(usage)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		description, _, _ := strings.Cut(usage[head[0]:end], "\n\n")
		options["--"+usage[head[2]:head[3]]] = strings.Contains(description, "repeatable")
	}
	// What no service needs: two questions of people, and check_mailq's option with its one value.
	for _, other := range []string{"--help", "--version", "--mailserver"} {
		if _, known := options[other]; !known {
			t.Errorf("the usage text has no %s:\n%s", other, usage)
		}
		delete(options, other)
	}
	return options
}

// TestIcingaCommand holds the CheckCommand to the usage text, whether Icinga is there or not.
func TestIcingaCommand(t *testing.T) {
	content, err := os.ReadFile("../contrib/icinga2/postfix_queue.conf")
	if err != nil {
		t.Fatal(err)
	}
	definitions := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)"(--[a-z-]+)" = \{(.*?)\n\t\t\}`).FindAllStringSubmatch(string(content), -1) {
		definitions[m[1]] = m[2]
	}
	options := checkOptions(t)
	for option := range definitions {
		if _, known := options[option]; !known {
			t.Errorf("the check has no option %s", option)
		}
	}
	for option, repeatable := range options {
		definition, defined := definitions[option]
		if !defined {
			t.Errorf("the CheckCommand has no argument %s", option)
			continue
		}
		if variable := "$postfix_queue_" + strings.ReplaceAll(option[2:], "-", "_") + "$"; !strings.Contains(definition, variable) {
			t.Errorf("%s is not set by %s", option, variable)
		}
		if !strings.Contains(definition, "description = ") {
			t.Errorf("%s has no description", option)
		}
		if strings.Contains(definition, "repeat_key = true") != repeatable {
			t.Errorf("%s: repeat_key must be %v", option, repeatable)
		}
	}
}
