//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	nagiosProgram = "/usr/sbin/nagios4"
	// nagiosNRPE is the command of Debian that the service in contrib uses.
	nagiosNRPE = "/etc/nagios-plugins/config/check_nrpe.cfg"
)

const nagiosTemplate = `$HOSTNAME$ $SERVICEDESC$\t$SERVICESTATE$\t$SERVICEPERFDATA$` +
	`\t$SERVICEOUTPUT$\t$LONGSERVICEOUTPUT$`

// nagiosConfig is all that Nagios reads apart from the files of contrib and Debian's command for NRPE. %[1]s is
// its directory, %[2]s the file of objects. The unit of time is a second.
const nagiosConfig = `
cfg_file=%[2]s
cfg_file=` + nagiosNRPE + `
check_external_commands=0
check_for_updates=0
check_result_path=%[1]s
execute_host_checks=0
illegal_macro_output_chars=$&|'"<>
interval_length=1
lock_file=%[1]s/nagios.pid
log_file=%[1]s/nagios.log
object_cache_file=%[1]s/objects.cache
process_performance_data=1
query_socket=%[1]s/nagios.qh
service_perfdata_file=%[1]s/services
service_perfdata_file_template=` + nagiosTemplate + `
state_retention_file=%[1]s/retention.dat
status_file=%[1]s/status.dat
temp_file=%[1]s/nagios.tmp
temp_path=%[1]s
use_syslog=0
`

// nagiosObjects are what the services of contrib need, and services for the other commands of contrib.
const nagiosObjects = `
define timeperiod {
	timeperiod_name	always
	alias	always
	day 1 - 31	00:00-24:00
}
define command {
	command_name	nothing
	command_line	/bin/true
}
define contact {
	contact_name	nobody
	host_notification_commands	nothing
	host_notification_period	always
	service_notification_commands	nothing
	service_notification_period	always
}
define host {
	name	generic-host
	address	127.0.0.1
	check_period	always
	contacts	nobody
	max_check_attempts	1
	notification_period	always
	register	0
}
define host {
	use	generic-host
	host_name	localhost
}
define host {
	use	generic-host
	host_name	mail.example.org
}
define service {
	name	generic-service
	check_interval	1
	check_period	always
	contacts	nobody
	max_check_attempts	1
	notification_period	always
	register	0
	retry_interval	1
}
define service {
	use	generic-service
	host_name	localhost
	service_description	emails
	check_command	check_postfix_queue!100!~:500
}
define service {
	use	generic-service
	host_name	localhost
	service_description	metric
	check_command	check_postfix_queue_metric!emails!@101:500!500
}
define service {
	use	generic-service
	host_name	localhost
	service_description	instance
	check_command	check_postfix_queue_instance!/etc/postfix!100!500
}
`

// TestNagios runs every command of contrib in a private Nagios, with the services of contrib if there are any.
func TestNagios(t *testing.T) {
	needNRPE(t)
	needFiles(t, "nagios4-core", nagiosProgram)
	needFiles(t, "nagios-nrpe-plugin", nagiosNRPE)
	p := startPostfix(t)
	installPlugin(t, "check_nrpe")
	startNRPE(t)

	contrib, dir := contribDir(t), monitoringDir(t)
	config := fmt.Sprintf(nagiosConfig, dir, writeConfig(t, "objects.cfg", nagiosObjects))
	for _, file := range []string{"postfix_queue.cfg", "services.cfg"} {
		config += "cfg_file=" + filepath.Join(contrib, "nagios", file) + "\n"
	}
	main := writeConfig(t, "nagios.cfg", config)
	verified := runAs(t, monitoringUser, nagiosProgram, "--verify-config", main)
	if verified.exitCode != 0 || !strings.Contains(verified.stdout, "Total Warnings: 0\n") {
		t.Fatalf("Nagios complains about its configuration: %s", verified)
	}
	startDaemon(t, command{user: monitoringUser}, nagiosProgram, main)

	services := map[string][]string{
		"localhost Postfix queue":              relayCheck,
		"localhost Postfix queue without hold": {"-vv", "-q", "!hold", "-w", "100", "-c", "500"},
		"localhost emails":                     {"-vv", "-w", "100", "-c", "~:500"},
		"localhost metric":                     {"-vv", "-w", "@101:500", "-c", "500"},
		"localhost instance":                   {"-vv", "-d", "/etc/postfix", "-w", "100", "-c", "500"},
		"mail.example.org Postfix queue":       relayCheck,
	}
	forEachState(t, p, func(t *testing.T, want queueState) {
		for service, args := range services {
			t.Run(service, func(t *testing.T) {
				got := awaitReport(t, saysToNagios(t, args...), nagiosReports(t, dir+"/services", service))
				if got.state != want.state {
					t.Errorf("want %s, got %s", want.state, got)
				}
			})
		}
	})
}

// saysToNagios is says, with the one change that Nagios makes to the first line: it has no semicolons.
func saysToNagios(t testing.TB, args ...string) func() report {
	return func() report {
		t.Helper()
		r := says(t, args...)()
		line1 := r.line1()
		r.text = strings.ReplaceAll(line1, ";", ":") + strings.TrimPrefix(r.text, line1)
		return r
	}
}

// nagiosReports returns a function that reads what Nagios has written about a service to its file of performance
// data.
func nagiosReports(t testing.TB, path, service string) func() []report {
	return func() []report {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var reports []report
		for line := range strings.Lines(string(content)) {
			fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(fields) != 5 || fields[0] != service {
				continue
			}
			text := fields[3]
			if fields[4] != "" {
				text += "\n" + strings.ReplaceAll(fields[4], `\n`, "\n")
			}
			reports = append(reports, report{state: fields[1], perfdata: fields[2], text: text})
		}
		return reports
	}
}
