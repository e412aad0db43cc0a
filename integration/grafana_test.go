//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	dashboards         = "../contrib/grafana/*.json"
	prometheusDocument = "../docs/prometheus.md"
)

// A grafanaQuery is a query of a dashboard, with its variables replaced.
type grafanaQuery struct {
	place   string // where it is
	expr    string
	instant bool
	labels  []string // those that its legend names
	label   string   // the label whose values a variable has; expr is then a selector of series
	// joined queries are the columns of one table, whose rows are those with the same labels.
	joined bool
}

// TestGrafanaQueries runs each query of the dashboards, and of the documentation, on a real Prometheus, as Grafana
// does. Mail waits and grows, one instance is stopped, and the numbers of another are old, so that each query finds
// something.
func TestGrafanaQueries(t *testing.T) {
	needPrometheus(t)
	queries := slices.Concat(dashboardQueries(t), documentedQueries(t))
	server := prometheusWithEverything(t)
	for _, q := range queries {
		waitFor(t, fmt.Sprintf("data for %s: %s", q.place, q.expr), func() (bool, any) {
			err := server.answers(q)
			return err == nil, err
		})
	}
}

// prometheusWithEverything is a Prometheus that knows every metric, troubles and alerts.
func prometheusWithEverything(t testing.TB) prometheus {
	t.Helper()
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	installEmitter(t)
	bind(t, ownedDir(t, "root"), textfileDir)
	unit := unitCommand(t, prometheusUnit)
	write := func(exitCode int, more ...string) {
		t.Helper()
		r := unit(append([]string{"--all-instances", "--by-reason", "--metrics", strings.Join([]string{
			"arrived_5m", "arrived_1h", "future", "expiring", "corrupt",
			"top_login", "top_client", "top_sender", "top_domain",
		}, ",")}, more...)...)
		if r.exitCode != exitCode {
			t.Fatalf("want exit code %d, got %s", exitCode, r)
		}
	}
	write(0)
	old := `{"format": "postfix-queue-snapshot", "version": 1, "taken": 1772334000, "instances": [{"name": "old", ` +
		`"up": true, "total": {"messages": 8, "size_bytes": 0, "recipients": 0, "forced_expire": 0}}]}`
	p.must(command{user: "root", stdin: old}.run(t, program(t, emitterProgram), "--format", "prometheus", "--input", "-",
		"--max-age", "0", "--metrics", "emails", "--to", textfileDir+"/old.prom"))
	server := startPrometheus(t)
	server.awaitQuery(`postfix_queue_all_messages{instance_name="local"}`, map[string]string{"local": "1"})
	out.stop()
	for range 3 { // it grows while Prometheus looks
		p.fillQueue(60)
		p.backdate(p.queueIDs("deferred")[0], 2*time.Hour)
		write(1)
		want := strconv.Itoa(len(p.queueIDs("deferred")))
		server.awaitQuery(`postfix_queue_all_messages{instance_name="local"}`, map[string]string{"local": want})
	}
	return server
}

// answers returns an error unless there is a number for the query, with all labels that its legend names.
func (p prometheus) answers(q grafanaQuery) error {
	if q.label != "" {
		var values []string
		err := p.get("/api/v1/label/"+q.label+"/values", url.Values{"match[]": {q.expr}}, &values)
		if err == nil && len(values) == 0 {
			err = fmt.Errorf("no values of %s", q.label)
		}
		return err
	}
	path, parameters := "/api/v1/query", url.Values{"query": {q.expr}}
	if !q.instant {
		path = "/api/v1/query_range"
		parameters.Set("start", strconv.FormatInt(time.Now().Add(-10*time.Second).Unix(), 10))
		parameters.Set("end", strconv.FormatInt(time.Now().Unix(), 10))
		parameters.Set("step", "1")
	}
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any   // of an instant
			Values [][2]any // of a range
		}
	}
	if err := p.get(path, parameters, &data); err != nil {
		return err
	}
	numbers := 0
	for _, series := range data.Result {
		for _, label := range q.labels {
			if series.Metric[label] == "" {
				return fmt.Errorf("no label %s: %v", label, series.Metric)
			}
		}
		if name := series.Metric["__name__"]; q.joined && name != "" {
			return fmt.Errorf("rows of %s are not those of the other columns, which have another name", name)
		}
		for _, sample := range append(series.Values, series.Value) {
			text, _ := sample[1].(string)
			if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
				numbers++
			}
		}
	}
	if numbers == 0 {
		return fmt.Errorf("no numbers in %v", data.Result)
	}
	return nil
}

var (
	legendLabel  = regexp.MustCompile(`\{\{(\w+)\}\}`)
	labelValues  = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	withVariable = strings.NewReplacer("$job", "node", "$instance_name", "local|postfix-out|old",
		"$instance", nodeExporterAddress)
)

// documentedQueries are the lines of code in the documentation that are queries.
func documentedQueries(t testing.TB) (queries []grafanaQuery) {
	t.Helper()
	content, err := os.ReadFile(prometheusDocument)
	if err != nil {
		t.Fatal(err)
	}
	query := regexp.MustCompile(`(?m)^((?:\w+\(|postfix_queue_\w+ ).*postfix_queue_\w+.*)$`)
	for _, block := range fence.FindAllStringSubmatch(string(content), -1) {
		if block[1] != "promql" {
			continue
		}
		for _, m := range query.FindAllStringSubmatch(block[2], -1) {
			queries = append(queries, grafanaQuery{place: prometheusDocument, expr: m[1], instant: true})
		}
	}
	if len(queries) < 5 {
		t.Fatalf("%s has only %v", prometheusDocument, queries)
	}
	return queries
}

// dashboardQueries are the queries of every panel and variable.
func dashboardQueries(t testing.TB) (queries []grafanaQuery) {
	t.Helper()
	files, err := filepath.Glob(dashboards)
	if err != nil || len(files) < 2 {
		t.Fatalf("dashboards %v, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct {
				Title, Type string
				Targets     []struct {
					Expr, LegendFormat string
					Instant            bool
				}
			}
			Templating struct {
				List []struct {
					Name, Type string
					Query      any
					Definition string
				}
			}
		}
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatal(err)
		}
		place := filepath.Base(file) + ", "
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				q := grafanaQuery{
					place: place + panel.Title, expr: withVariable.Replace(target.Expr), instant: target.Instant,
					joined: panel.Type == "table" && len(panel.Targets) > 1,
				}
				for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
					q.labels = append(q.labels, m[1])
				}
				queries = append(queries, q)
			}
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			m := labelValues.FindStringSubmatch(v.Definition)
			if query, ok := v.Query.(map[string]any); m == nil || !ok || query["query"] != v.Definition {
				t.Fatalf("%s%s: %s is not what is asked: %v", place, v.Name, v.Definition, v.Query)
			}
			queries = append(queries, grafanaQuery{place: place + v.Name, expr: withVariable.Replace(m[1]), label: m[2]})
		}
	}
	if i := slices.IndexFunc(queries, func(q grafanaQuery) bool { return strings.Contains(q.expr, "$") }); i >= 0 {
		t.Fatalf("%s: an unknown variable in %s", queries[i].place, queries[i].expr)
	}
	return queries
}
