//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Places and user are those of Debian's packages.
const (
	prometheusProgram   = "/usr/bin/prometheus"
	promtoolProgram     = "/usr/bin/promtool"
	nodeExporterProgram = "/usr/bin/prometheus-node-exporter"
	prometheusUser      = "prometheus"
	prometheusAddress   = "127.0.0.1:9090"
	nodeExporterAddress = "127.0.0.1:9100"
	textfileDir         = "/var/lib/prometheus/node-exporter"
	textfile            = textfileDir + "/postfix_queue.prom"

	prometheusUnit      = "../contrib/systemd/postfix-queue-prometheus.service"
	prometheusRules     = "../contrib/prometheus/rules.yml"
	prometheusRulesTest = "../contrib/prometheus/rules_test.yml"
	fleetRules          = "../contrib/prometheus/fleet.yml"
	fleetRulesTest      = "../contrib/prometheus/fleet_test.yml"
)

func needPrometheus(t testing.TB) {
	t.Helper()
	needFiles(t, "prometheus", prometheusProgram, promtoolProgram)
	needFiles(t, "prometheus-node-exporter", nodeExporterProgram, textfileDir)
}

// TestPrometheusRules lets promtool check the rules of contrib and run contrib's tests of them, which miss none.
func TestPrometheusRules(t *testing.T) {
	needPrometheus(t)
	dir := contribDir(t) + "/prometheus/"
	for _, run := range [][2]string{
		{"check", prometheusRules}, {"test", prometheusRulesTest}, {"check", fleetRules}, {"test", fleetRulesTest},
	} {
		r := runAs(t, "nobody", promtoolProgram, run[0], "rules", dir+filepath.Base(run[1]))
		if r.exitCode != 0 || !strings.Contains(r.stdout, "SUCCESS") {
			t.Errorf("promtool %s rules: %s", run[0], r)
		}
	}
	fleetTests := readContrib(t, fleetRulesTest)
	for _, rule := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(readContrib(t, fleetRules), -1) {
		if !regexp.MustCompile(`expr: .*` + rule[1] + `\b`).MatchString(fleetTests) {
			t.Errorf("%s does not ask for %s", fleetRulesTest, rule[1])
		}
	}
	tests := readContrib(t, prometheusRulesTest)
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(readContrib(t, prometheusRules), -1)
	for _, alert := range alerts {
		fires, silent := 0, 0
		expected := regexp.MustCompile(`alertname: ` + alert[1] + `\n +exp_alerts:(.*)\n`)
		for _, exp := range expected.FindAllStringSubmatch(tests, -1) {
			if exp[1] == "" {
				fires++
			} else {
				silent++
			}
		}
		if fires == 0 || silent < 2 {
			t.Errorf("%s has %d cases of firing and %d of silence; want one, and two: waiting and clearing",
				alert[1], fires, silent)
		}
	}
}

// unitCommand returns a function that runs the program of a unit of contrib as the unit does: with its
// arguments and some more, its capabilities and its umask.
func unitCommand(t testing.TB, unit string) func(more ...string) result {
	t.Helper()
	content := readContrib(t, unit)
	setting := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^`+name+`=(\S.*)$`).FindAllStringSubmatch(content, -1)
		if len(m) != 1 {
			t.Fatalf("%s does not have one %s=: %q", unit, name, m)
		}
		return m[0][1]
	}
	words := strings.Fields(setting("ExecStart"))
	capability := "+" + strings.ToLower(strings.TrimPrefix(setting("CapabilityBoundingSet"), "CAP_"))
	privileges := []string{"--no-new-privs", "--bounding-set=-all," + capability, "--inh-caps=-all"}
	umask := setting("UMask")
	return func(more ...string) result {
		t.Helper()
		script := []string{"-c", `umask "$0" && exec setpriv "$@"`, umask}
		return runAs(t, "root", "sh", slices.Concat(script, privileges, words, more)...)
	}
}

// cronCommand is the command of the job that contrib has for cron, to be switched on by the administrator.
func cronCommand(t testing.TB, user, word string) string {
	t.Helper()
	job := regexp.MustCompile(`(?m)^#\* \* \* \* \* ` + user + ` (.*` + word + `.*)$`)
	m := job.FindAllStringSubmatch(readContrib(t, cronTable), -1)
	if len(m) != 1 {
		t.Fatalf("%s does not have one job of %s with %q: %q", cronTable, user, word, m)
	}
	return m[0][1]
}

// A prometheus is a running Prometheus that reads a running node_exporter, both with empty state.
type prometheus struct{ t testing.TB }

// startPrometheus starts both. The node_exporter reads what Debian's reads, but the textfile collector alone.
func startPrometheus(t testing.TB) prometheus {
	t.Helper()
	dir := contribDir(t) + "/prometheus"
	config := writeConfig(t, "prometheus.yml", `
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [`+dir+`/rules.yml, `+dir+`/fleet.yml]
scrape_configs:
  - job_name: node
    static_configs:
      - targets: [`+nodeExporterAddress+`]
`)
	startDaemon(t, command{user: prometheusUser}, nodeExporterProgram, "--web.listen-address="+nodeExporterAddress,
		"--collector.disable-defaults", "--collector.textfile")
	startDaemon(t, command{user: prometheusUser}, prometheusProgram, "--web.listen-address="+prometheusAddress,
		"--config.file="+config, "--storage.tsdb.path="+ownedDir(t, prometheusUser))
	return prometheus{t}
}

// get asks the API.
func (p prometheus) get(path string, query url.Values, data any) error {
	response, err := http.Get("http://" + prometheusAddress + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// query is what an instant query gives for each instance of Postfix.
func (p prometheus) query(expression string) (map[string]string, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any // time, value
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {expression}}, &data); err != nil {
		return nil, err
	}
	values := make(map[string]string)
	for _, sample := range data.Result {
		name := sample.Metric["instance_name"]
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%s has two values for %s: %v", expression, name, data.Result)
		}
		values[name] = fmt.Sprint(sample.Value[1])
	}
	return values, nil
}

// awaitQuery waits until an instant query gives these values.
func (p prometheus) awaitQuery(expression string, want map[string]string) {
	p.t.Helper()
	waitFor(p.t, fmt.Sprintf("%v from %s", want, expression), func() (bool, any) {
		got, err := p.query(expression)
		return err == nil && cmp.Equal(want, got), fmt.Sprint(got, err)
	})
}

// alerts are the alerts that are pending or firing: states by "alert instance".
func (p prometheus) alerts() (map[string]string, error) {
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := p.get("/api/v1/alerts", nil, &data); err != nil {
		return nil, err
	}
	alerts := make(map[string]string)
	for _, alert := range data.Alerts {
		alerts[alert.Labels["alertname"]+" "+alert.Labels["instance_name"]] = alert.State
	}
	return alerts, nil
}

// awaitAlerts waits until there are these alerts and no others.
func (p prometheus) awaitAlerts(want map[string]string) {
	p.t.Helper()
	waitFor(p.t, fmt.Sprintf("the alerts %v", want), func() (bool, any) {
		got, err := p.alerts()
		return err == nil && cmp.Equal(want, got), fmt.Sprint(got, err)
	})
}

var (
	prometheusSample = regexp.MustCompile(`(?m)^(postfix_queue_\w+\{.*\}) (\S+)$`)
	prometheusBound  = regexp.MustCompile(`\ble="(.*?)"`)
)

// samples are the values of a document by their series. The bound of a histogram is a number, which some programs
// write as 1e+06.
func samples(t testing.TB, document string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for _, m := range prometheusSample.FindAllStringSubmatch(document, -1) {
		series := prometheusBound.ReplaceAllStringFunc(m[1], func(label string) string {
			return fmt.Sprintf("le=%v", parseFloat(t, prometheusBound.FindStringSubmatch(label)[1]))
		})
		values[series] = parseFloat(t, m[2])
	}
	return values
}

func parseFloat(t testing.TB, text string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// exposed is what an exporter exposes.
func exposed(address string) (string, error) {
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// verifyTextfile checks the file with promtool, and compares it with what the node_exporter exposes.
func verifyTextfile(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(textfile)
	if err != nil {
		t.Fatal(err)
	}
	document := string(content)
	r := command{user: "nobody", stdin: document}.run(t, promtoolProgram, "check", "metrics")
	if r.exitCode != 0 || r.stdout+r.stderr != "" {
		t.Errorf("promtool check metrics: %s\n%s", r, document)
	}
	text, err := exposed(nodeExporterAddress)
	if err != nil {
		t.Fatal(err)
	}
	want := samples(t, document)
	if diff := cmp.Diff(want, samples(t, text)); diff != "" || len(want) == 0 {
		t.Errorf("node_exporter exposes something else (-written +exposed):\n%s", diff)
	}
	if !strings.Contains(text, "\nnode_textfile_scrape_error 0\n") {
		t.Errorf("node_exporter cannot read a file:\n%s", text)
	}
}

// TestPrometheus lets the real node_exporter and Prometheus read what the jobs of contrib write about two
// instances, one of which is stopped.
func TestPrometheus(t *testing.T) {
	needPrometheus(t)
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(6)
	out.deferMail(3)
	installEmitter(t)
	bind(t, ownedDir(t, "root"), textfileDir)
	unit := unitCommand(t, prometheusUnit)
	write := func(exitCode int, stderr string, more ...string) {
		t.Helper()
		r := unit(append([]string{"--all-instances"}, more...)...)
		if r.exitCode != exitCode || r.stdout != "" ||
			!strings.Contains(r.stderr, stderr) || stderr == "" && r.stderr != "" {
			t.Fatalf("want exit code %d and %q, got %s", exitCode, stderr, r)
		}
	}
	write(0, "")
	server := startPrometheus(t)
	const deferred = `postfix_queue_messages{queue="deferred"}`
	server.awaitQuery(deferred, map[string]string{"local": "7", "postfix-out": "3"})
	server.awaitQuery("postfix_queue_all_size_bytes", map[string]string{
		"local":       strconv.FormatInt(p.list().sizeBytes(), 10),
		"postfix-out": strconv.FormatInt(out.deferMail(0).sizeBytes(), 10),
	})
	server.awaitQuery(`sum by (instance_name) (postfix_queue_message_size_bytes_bucket{le="4096"})`,
		map[string]string{"local": "7", "postfix-out": "0"})
	verifyTextfile(t)
	server.awaitAlerts(map[string]string{})

	out.stop()
	p.fillQueue(60)
	p.backdate(p.queueIDs("deferred")[0], 2*time.Hour)
	write(1, "postfix-out: "+mailSystemDown)
	server.awaitQuery("postfix_queue_up", map[string]string{"local": "1", "postfix-out": "0"})
	server.awaitQuery(deferred, map[string]string{"local": "67"})
	const late = `postfix_queue_message_age_seconds_count - ` +
		`ignoring(le) postfix_queue_message_age_seconds_bucket{le="3600"}`
	server.awaitQuery("sum by (instance_name) ("+late+")", map[string]string{"local": "1"})
	const oldest = "floor((time() - postfix_queue_oldest_unheld_message_timestamp_seconds) / 3600)"
	server.awaitQuery(oldest, map[string]string{"local": "2"})
	verifyTextfile(t)
	server.awaitAlerts(map[string]string{
		"PostfixQueueDown postfix-out": "pending",
		"PostfixQueueDeferred local":   "pending",
		"PostfixQueueAge local":        "pending",
		"PostfixQueueGrowing local":    "pending",
		"PostfixQueueFilling local":    "pending",
	})

	out.start()
	p.postsuper("-d", "ALL")
	write(0, "")
	server.awaitQuery(deferred, map[string]string{"local": "0", "postfix-out": "3"})
	server.awaitAlerts(map[string]string{})

	if err := os.WriteFile(spoolDir+"/corrupt/1234567", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	write(0, "", "--metrics", "*,corrupt")
	server.awaitQuery("postfix_queue_corrupt_files", map[string]string{"local": "1", "postfix-out": "0"})
	verifyTextfile(t)
	server.awaitAlerts(map[string]string{"PostfixQueueCorrupt local": "pending"})

	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	p.must(runAs(t, "root", "sh", "-c", cronCommand(t, "root", "prometheus")))
	server.awaitQuery(deferred, map[string]string{"local": "1"})
	verifyTextfile(t)
	server.awaitAlerts(map[string]string{}) // without its name the metric is not there
}
