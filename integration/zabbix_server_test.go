//go:build integration && receivers

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	zabbixTemplate = "Postfix queue by Zabbix agent"
	zabbixURL      = "http://127.0.0.1:8080/api_jsonrpc.php"
)

// A zabbixServer is a real Zabbix server with one host, the one that this Postfix and the agent run on.
type zabbixServer struct {
	t       testing.TB
	version string
	token   string // of the API; empty before login
	hostID  string
}

// startZabbixServer starts the server of a root, with its database and the API of its web pages.
func startZabbixServer(t testing.TB, r receiverRoot) *zabbixServer {
	t.Helper()
	psql := r.startPostgres("zabbix")
	const load = "cd /usr/share/zabbix-server-pgsql && zcat schema.sql.gz images.sql.gz data.sql.gz | "
	r.run("postgres", "sh", "-c", load+psql+" --single-transaction")
	r.write("/etc/zabbix/test.conf", `LogType=console
ListenIP=127.0.0.1
PidFile=/tmp/zabbix_server.pid
SocketDir=/tmp
DBHost=`+postgresSocket+`
DBName=zabbix
DBUser=postgres
AllowUnsupportedDBVersions=1
CacheUpdateFrequency=1
`)
	r.write("/etc/zabbix/zabbix.conf.php", `<?php
$DB['TYPE'] = 'POSTGRESQL';
$DB['SERVER'] = '`+postgresSocket+`';
$DB['PORT'] = '0';
$DB['DATABASE'] = 'zabbix';
$DB['USER'] = 'postgres';
$DB['PASSWORD'] = '';
$DB['SCHEMA'] = '';
`)
	r.start("www-data", "php", "-S", "127.0.0.1:8080", "-t", "/usr/share/zabbix")
	// The server is last: it starts processes for a while.
	r.start("zabbix", "/usr/sbin/zabbix_server", "--config", "/etc/zabbix/test.conf", "--foreground")
	z := &zabbixServer{t: t}
	waitFor(t, "the API", func() (bool, any) {
		err := z.ask("apiinfo.version", []string{}, &z.version)
		return err == nil, err
	})
	z.must("user.login", map[string]any{"username": "Admin", "password": "zabbix"}, &z.token)
	t.Logf("Zabbix %s", z.version)
	return z
}

// run runs a subtest. What fails in it, fails there.
func (z *zabbixServer) run(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		z.t = t
		test(t)
	})
	z.t = t
}

// ask calls a method of the API.
func (z *zabbixServer) ask(method string, params any, result any) error {
	request := map[string]any{"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
	if z.token != "" {
		request["auth"] = z.token
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := http.Post(zabbixURL, "application/json-rpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message, Data string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s, %w", method, response.Status, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s %s", method, answer.Error.Message, answer.Error.Data)
	}
	return json.Unmarshal(answer.Result, result)
}

// must calls a method of the API, which must succeed.
func (z *zabbixServer) must(method string, params, result any) {
	z.t.Helper()
	if err := z.ask(method, params, result); err != nil {
		z.t.Fatal(err)
	}
}

// importTemplate imports the template of contrib as the page for it does: new things are made, old ones updated, and
// what the file does not have is deleted.
func (z *zabbixServer) importTemplate() (id string) {
	z.t.Helper()
	all := map[string]bool{"createMissing": true, "updateExisting": true, "deleteMissing": true}
	made := map[string]bool{"createMissing": true, "updateExisting": true}
	rules := map[string]any{
		"templates": made, "valueMaps": all, "templateDashboards": all,
		"items": all, "triggers": all, "graphs": all, "discoveryRules": all,
	}
	groups := "template_groups"
	if strings.HasPrefix(z.version, "6.0.") {
		groups = "groups"
	}
	rules[groups] = made
	source := readContrib(z.t, "../contrib/zabbix/postfix_queue.yaml")
	var done bool
	z.must("configuration.import", map[string]any{"format": "yaml", "rules": rules, "source": source}, &done)
	var templates []struct{ TemplateID string }
	z.must("template.get", map[string]any{"filter": map[string]any{"host": zabbixTemplate}}, &templates)
	if !done || len(templates) != 1 {
		z.t.Fatalf("imported: %v, %d templates", done, len(templates))
	}
	return templates[0].TemplateID
}

// addHost adds the host of the agent, with the template and its own values of macros.
func (z *zabbixServer) addHost(templateID string, values map[string]string) {
	z.t.Helper()
	var groups []map[string]string
	named := map[string]any{"filter": map[string]any{"name": "Linux servers"}, "output": []string{"groupid"}}
	z.must("hostgroup.get", named, &groups)
	var macros []map[string]string
	for name, value := range values {
		macros = append(macros, map[string]string{"macro": "{$POSTFIX.QUEUE." + name + "}", "value": value})
	}
	host, port, _ := strings.Cut(zabbixAddress, ":")
	var hosts struct{ HostIDs []string }
	z.must("host.create", map[string]any{
		"host":       "mail.example.org",
		"groups":     groups,
		"templates":  []map[string]string{{"templateid": templateID}},
		"macros":     macros,
		"interfaces": []map[string]any{{"type": 1, "main": 1, "useip": 1, "ip": host, "dns": "", "port": port}},
	}, &hosts)
	z.hostID = hosts.HostIDs[0]
}

// setMacro changes a macro of the host.
func (z *zabbixServer) setMacro(name, value string) {
	z.t.Helper()
	name = "{$POSTFIX.QUEUE." + name + "}"
	var macros []struct{ HostMacroID string }
	filter := map[string]any{"macro": name}
	z.must("usermacro.get", map[string]any{"hostids": z.hostID, "filter": filter}, &macros)
	var ids struct{ HostMacroIDs []string }
	z.must("usermacro.update", map[string]string{"hostmacroid": macros[0].HostMacroID, "value": value}, &ids)
}

// A serverItem is an item as the server sees it.
type serverItem struct {
	Key       string `json:"key_"`
	LastValue string
	LastClock string
	State     string // "1": not supported
	Error     string
}

func (i serverItem) isSupported() bool { return i.State == "0" }

// items returns the items of the host by their keys.
func (z *zabbixServer) items() map[string]serverItem {
	z.t.Helper()
	var list []serverItem
	output := []string{"key_", "lastvalue", "lastclock", "state", "error"}
	z.must("item.get", map[string]any{"hostids": z.hostID, "output": output}, &list)
	items := make(map[string]serverItem)
	for _, item := range list {
		items[item.Key] = item
	}
	return items
}

// optionalZabbixMetrics are those that this reader of the queue does not know: their items have no value.
var optionalZabbixMetrics = []string{"corrupt", "expiring"}

// numbers returns the numbers of an instance by metric once all of them are of readings after the start.
func (z *zabbixServer) numbers(instance string, start time.Time) map[string]int64 {
	z.t.Helper()
	numbers := make(map[string]int64)
	waitFor(z.t, "the numbers of "+instance, func() (bool, any) {
		clear(numbers)
		var old []string
		for key, item := range z.items() {
			metric, ok := strings.CutPrefix(strings.TrimSuffix(key, "]"), "postfix.queue.metric["+instance+",")
			if !ok {
				continue
			}
			seconds, err := strconv.ParseInt(item.LastClock, 10, 64)
			if err != nil {
				z.t.Fatal(err)
			}
			isOptional := slices.Contains(optionalZabbixMetrics, metric)
			switch {
			case !item.isSupported(), !isOptional && seconds <= start.Unix():
				old = append(old, fmt.Sprintf("%s %s %s", metric, item.LastClock, item.Error))
			case seconds > 0:
				numbers[metric] = int64(number(z.t, item.LastValue))
			}
		}
		return len(numbers) > 0 && len(old) == 0, old
	})
	return numbers
}

// problems returns the names of the problems of the host, with their severities: 2 is a warning, 3 average, 4 high.
func (z *zabbixServer) problems() map[string]string {
	z.t.Helper()
	var list []struct{ Name, Severity string }
	z.must("problem.get", map[string]any{"hostids": z.hostID, "output": []string{"name", "severity"}}, &list)
	problems := make(map[string]string)
	for _, p := range list {
		problems[p.Name] = p.Severity
	}
	return problems
}

// verifyTriggers fails the test if a trigger cannot be evaluated.
func (z *zabbixServer) verifyTriggers() {
	z.t.Helper()
	var list []struct{ Description, State, Error string }
	output := []string{"description", "state", "error"}
	z.must("trigger.get", map[string]any{"hostids": z.hostID, "output": output}, &list)
	const each, ofHost = 12, 1
	if want := 2*each + ofHost; len(list) != want {
		z.t.Errorf("%d triggers, want %d", len(list), want)
	}
	for _, trigger := range list {
		if trigger.State != "0" {
			z.t.Errorf("%s: %s", trigger.Description, trigger.Error)
		}
	}
}

// await waits until the host has exactly these problems.
func (z *zabbixServer) await(want map[string]string) {
	z.t.Helper()
	waitFor(z.t, fmt.Sprintf("the problems %v", want), func() (bool, any) {
		got := z.problems()
		return maps.Equal(want, got), got
	})
}

// awaitFailure waits until an instance has a state and a reason, and no number.
func (z *zabbixServer) awaitFailure(instance, state, reason string) {
	z.t.Helper()
	waitFor(z.t, "the failure of "+instance, func() (bool, any) {
		items := z.items()
		got := []serverItem{
			items["postfix.queue.state["+instance+"]"], items["postfix.queue.reason["+instance+"]"],
			items["postfix.queue.metric["+instance+",up]"], items["postfix.queue.metric["+instance+",emails]"],
			items["postfix.queue.metric["+instance+",deferred_age]"],
		}
		failed := got[0].LastValue == state && strings.Contains(got[1].LastValue, reason) && got[2].LastValue == "0"
		for _, item := range got[3:] {
			failed = failed && !item.isSupported() && strings.Contains(item.Error, "Not known")
		}
		return failed, got
	})
}

func TestZabbixTemplate(t *testing.T) {
	for suite, version := range map[string]string{"bookworm": "6.0", "trixie": "7.0"} {
		t.Run(version, func(t *testing.T) { testZabbixTemplate(t, suite) })
	}
}

func testZabbixTemplate(t *testing.T, suite string) {
	r := newReceiverRoot(t, suite)
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	outListed := out.deferMail(2)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	p.fillQueue(3)
	p.hold(p.list()[0].ID)
	installEmitter(t)
	startZabbixAgent(t)
	z := startZabbixServer(t, r)
	template := z.importTemplate()
	if again := z.importTemplate(); again != template {
		t.Errorf("imported again, the template has another ID")
	}
	z.addHost(template, map[string]string{
		"INTERVAL": "1s", "FOR": "3s", "NODATA": "30s", "SNAPSHOT": "",
		`EMAILS.WARN:"postfix-out"`: "1", `SIZE.CRIT:"postfix-out"`: "1K", `AGE.WARN:"postfix-out"`: "2s",
	})

	verify := func(t *testing.T, instance string, listed listing) {
		t.Helper()
		start := time.Now()
		got := z.numbers(instance, start)
		ran := timespan{start.Add(-time.Second), time.Now()}
		for metric, want := range map[string]int64{
			"up": 1, "arrived_5m": int64(len(listed) - len(listed.in("hold"))),
			"arrived_1h": int64(len(listed) - len(listed.in("hold"))), "future": 0,
		} {
			if got[metric] != want {
				t.Errorf("%s is %d, want %d", metric, got[metric], want)
			}
			delete(got, metric)
		}
		for _, metric := range []string{"spool_free", "spool_free_inodes"} {
			if got[metric] == 0 {
				t.Errorf("%s is 0 or not known", metric)
			}
			delete(got, metric)
		}
		checkMetrics(t, got, ran, listed, queueNames)
	}
	outOnly := map[string]string{
		"Postfix postfix-out: More than 1 emails": "2", "Postfix postfix-out: Emails of more than 1KB": "4",
		"Postfix postfix-out: An email has waited for more than 2s": "2",
	}
	with := func(problems map[string]string) map[string]string {
		all := maps.Clone(outOnly)
		maps.Copy(all, problems)
		return all
	}
	z.run(t, "numbers", func(t *testing.T) {
		verify(t, "local", p.list())
		verify(t, "postfix-out", outListed)
		z.await(outOnly)
		z.verifyTriggers()
	})
	z.run(t, "critical thresholds", func(t *testing.T) {
		p.fillQueue(501 - len(p.list()))
		z.await(with(map[string]string{
			"Postfix local: More than 500 emails": "4", "Postfix local: More than 250 deferred emails": "4",
		}))
		verify(t, "local", p.list())
	})
	z.run(t, "an empty queue", func(t *testing.T) {
		p.postsuper("-d", "ALL")
		z.await(outOnly)
		verify(t, "local", nil)
	})
	z.run(t, "warning thresholds", func(t *testing.T) {
		p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
		p.fillQueue(100)
		z.await(with(map[string]string{
			"Postfix local: More than 100 emails": "2", "Postfix local: More than 50 deferred emails": "2",
		}))
		p.postsuper("-d", "ALL")
		z.await(outOnly)
	})
	z.run(t, "mail system down", func(t *testing.T) {
		out.stop()
		z.awaitFailure("postfix-out", "4", mailSystemDown)
		z.await(with(map[string]string{"Postfix postfix-out: Mail system is down": "4"}))
		verify(t, "local", nil)
		out.start()
		z.await(outOnly)
		verify(t, "postfix-out", outListed)
	})
	z.run(t, "not allowed", func(t *testing.T) {
		p.set("authorized_mailq_users=root")
		z.awaitFailure("local", "2", "authorized_mailq_users")
		z.await(with(map[string]string{"Postfix local: The queue cannot be read": "3"}))
		p.set("authorized_mailq_users=static:anyone")
		z.await(outOnly)
	})
	z.run(t, "no program", func(t *testing.T) {
		bind(t, "/dev/null", "/usr/bin/"+emitterProgram)
		waitFor(t, "an item that is not supported", func() (bool, any) {
			item := z.items()["postfix.queue.json[{$POSTFIX.QUEUE.SNAPSHOT}]"]
			return !item.isSupported() && strings.HasPrefix(item.Error, "No snapshot came. "), item
		})
		z.await(with(map[string]string{"Postfix: No answer about the queue": "3"}))
	})
	z.run(t, "the program is back", func(t *testing.T) {
		z.await(outOnly)
		verify(t, "postfix-out", outListed)
	})
	z.run(t, "snapshot", func(t *testing.T) { testZabbixSnapshot(t, z, p, with) })
}

// testZabbixSnapshot lets the agent read a snapshot of root's, who sees more than the agent's user.
func testZabbixSnapshot(
	t *testing.T, z *zabbixServer, p *postfixInstance, with func(map[string]string) map[string]string,
) {
	path := filepath.Join(publicTempDir(t), "snapshot.json")
	write := func() string {
		t.Helper()
		p.must(root.emit(t, "-f", "json", "--breakdown", "--all-instances", "--to", path))
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return readContrib(t, path)
	}
	whole := write()
	z.setMacro("SNAPSHOT", path)
	waitFor(t, "what only root sees", func() (bool, any) {
		item := z.items()["postfix.queue.metric[local,corrupt]"]
		return item.LastClock != "0" && item.LastValue == "0", item
	})
	z.await(with(nil))

	const trouble = `"up": false, "troubles": [{"name": "queue_manager", "severity": "critical", ` +
		`"messages": 90, "since": 1772334000, "active": 0}],`
	stuck := strings.Replace(whole, `"up": true,`, trouble, 1)
	if stuck == whole {
		t.Fatalf("not up: %s", whole)
	}
	replace := func(document string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	replace(stuck)
	z.await(with(map[string]string{"Postfix local: Mail does not move": "4"}))
	reason := z.items()["postfix.queue.reason[local]"].LastValue
	if diff := cmp.Diff("queue_manager (critical), messages: 90", reason); diff != "" {
		t.Errorf("reason (-want +got):\n%s", diff)
	}
	warned := strings.NewReplacer(`"up": false, `, `"up": true, `, `"critical"`, `"warning"`).Replace(stuck)
	replace(warned)
	z.await(with(map[string]string{"Postfix local: Some mail does not move": "2"}))
	replace(whole[:len(whole)/2])
	z.awaitFailure("local", "2", "cut off")
	z.await(with(map[string]string{"Postfix local: The queue cannot be read": "3"}))
	write()
	z.await(with(nil))
}
