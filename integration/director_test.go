//go:build integration && receivers

package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A director is Icinga Director with its database, without its web pages.
type director struct {
	receiverRoot
	mysql []string // the command that runs a statement, which comes last
}

func newDirector(t testing.TB) director {
	t.Helper()
	r := newReceiverRoot(t, "bookworm")
	const database = "director"
	d := director{r, append(r.startMariaDB(database), "--raw", "--skip-column-names", database, "-e")}
	r.write("/etc/icingaweb2/config.ini", "[global]\nconfig_resource = \"director\"\n")
	r.write("/etc/icingaweb2/resources.ini", `[director]
type = "db"
db = "mysql"
host = "localhost"
dbname = "`+database+`"
username = "root"
password = ""
charset = "utf8mb4"
`)
	r.write("/etc/icingaweb2/modules/director/config.ini", "[db]\nresource = \"director\"\n")
	for _, module := range []string{"reactbundle", "incubator", "director"} {
		r.run("root", "icingacli", "module", "enable", module)
	}
	r.run("root", "icingacli", "director", "migration", "run")
	// Kickstart would take it from a running Icinga.
	const zone = `{"object_name": "director-global", "object_type": "external_object", "is_global": true}`
	r.run("root", "icingacli", "director", "zone", "create", "--json", zone)
	return d
}

// query returns the lines that a statement selects.
func (d director) query(statement string) []string {
	d.t.Helper()
	return strings.Fields(d.run("root", append(d.mysql, statement)...).stdout)
}

var renderedConfig = regexp.MustCompile(`checksum ([0-9a-f]{40}) has been generated`)

// render returns what Director would deploy to Icinga.
func (d director) render() string {
	d.t.Helper()
	rendered := d.run("root", "icingacli", "director", "config", "render")
	checksum := renderedConfig.FindStringSubmatch(rendered.stdout)
	if checksum == nil {
		d.t.Fatal(rendered)
	}
	const files = "SELECT f.content FROM director_generated_config_file c JOIN director_generated_file f " +
		"ON f.checksum = c.file_checksum WHERE c.config_checksum = UNHEX('%s') ORDER BY c.file_path"
	return d.run("root", append(d.mysql, fmt.Sprintf(files, checksum[1]))...).stdout
}

// restoreBasket restores the basket of contrib.
func (d director) restoreBasket() {
	d.t.Helper()
	d.write("/tmp/basket.json", readContrib(d.t, "../contrib/icinga2/director-basket.json"))
	d.run("root", "sh", "-c", "icingacli director basket restore </tmp/basket.json")
}

// TestDirector restores the basket, and lets a real Icinga run what Director makes of it.
func TestDirector(t *testing.T) {
	needIcinga(t)
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(100)
	out.deferMail(2)
	d := newDirector(t)
	d.restoreBasket()
	d.restoreBasket() // as for an update

	const fields = "SELECT varname FROM director_datafield f JOIN icinga_command_field c ON c.datafield_id = f.id"
	linked := make(map[string]bool)
	for _, name := range d.query(fields) {
		linked[name] = true
	}
	for option := range checkOptions(t) {
		if name := "postfix_queue_" + strings.ReplaceAll(option[2:], "-", "_"); !linked[name] {
			t.Errorf("the command has no field %s", name)
		}
	}
	if fields := d.query("SELECT varname FROM director_datafield"); len(fields) != len(linked)+1 {
		t.Errorf("%d fields belong to the command, and one to the host; there are %d", len(linked), len(fields))
	}

	installPlugin(t)
	newIcinga(t)
	const hosts = `
object Zone "director-global" { global = true }

object Host "mail.example.org" {
	import "postfix"
	check_command = "dummy"
}

object Host "lists.example.org" {
	import "postfix"
	check_command = "dummy"
	vars.postfix_config_dirs = [ "/etc/postfix", "%[1]s" ]
	vars._override_servicevars["postfix-queue %[1]s"] = {
		postfix_queue_warning = [ "1" ]
		postfix_queue_verbose = 3
	}
}

object Host "elsewhere.example.org" { check_command = "dummy" }
`
	base := fmt.Sprintf(icingaBase, "", "")
	// Otherwise each service waits for its place within the minute.
	rendered := strings.Replace(d.render(), "check_interval = 1m\n", "check_interval = 1s\n", 1)
	config := validateIcinga(t, base+rendered+fmt.Sprintf(hosts, out.dir))
	startDaemon(t, command{}, icingaProgram, "daemon", "--config", config)
	for service, want := range map[string]string{
		"mail.example.org!postfix-queue":               "101 emails (above 100)",
		"lists.example.org!postfix-queue /etc/postfix": "101 emails (above 100)",
		"lists.example.org!postfix-queue " + out.dir:   "2 emails (above 1)",
	} {
		reports := icingaReports(t, service)
		var got report
		waitFor(t, "a report of "+service, func() (bool, any) {
			all := reports()
			if len(all) > 0 {
				got = all[0]
			}
			return len(all) > 0, nil
		})
		if got.state != "WARNING" || !strings.Contains(got.line1(), want) || !strings.Contains(got.text, "\ntotal ") {
			t.Errorf("%s: want %q, got %s", service, want, got)
		}
		isDetailed := strings.Contains(got.text, "source ")
		if wantDetails := strings.Contains(service, out.dir); isDetailed != wantDetails {
			t.Errorf("%s: how the queue was read is told: %v, want %v: %s", service, isDetailed, wantDetails, got)
		}
	}
}
