package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	dataquery "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

const (
	prometheusDocument = "../../docs/prometheus.md"
	prometheusRules    = "../../contrib/prometheus/rules.yml"
	fleetRules         = "../../contrib/prometheus/fleet.yml"
	hostDashboard      = "../../contrib/grafana/postfix_queue_host.json"
	fleetDashboard     = "../../contrib/grafana/postfix_queue_fleet.json"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// emittedMetrics are the names of the series in the golden file, and of the metrics that they belong to.
func emittedMetrics(t *testing.T) (series, metrics map[string]bool) {
	t.Helper()
	series, metrics = map[string]bool{}, map[string]bool{}
	golden := readFile(t, "../../testdata/golden/emit/prometheus.txt")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(golden, -1) {
		metrics[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\{`).FindAllStringSubmatch(golden, -1) {
		series[m[1]] = true
	}
	return series, metrics
}

// Every metric that the files of contrib and their documentation speak of is one that the program writes, or one that
// the rules of a fleet record.
func TestMetricsOfPrometheusExist(t *testing.T) {
	recorded := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)record: (\S+)$`).FindAllStringSubmatch(readFile(t, fleetRules), -1) {
		if recorded[m[1]] {
			t.Errorf("%s is recorded twice", m[1])
		}
		recorded[m[1]] = true
	}
	series, metrics := emittedMetrics(t)
	if len(recorded) == 0 || len(metrics) < 20 || len(series) <= len(metrics) {
		t.Fatalf("recorded %d, series %d, metrics %d", len(recorded), len(series), len(metrics))
	}
	files := []string{prometheusDocument, prometheusRules, fleetRules, hostDashboard, fleetDashboard}
	for _, pattern := range []string{"../../contrib/prometheus/*.yml", "../../contrib/grafana/*.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	record := regexp.MustCompile(`\b[a-z_]+:postfix_queue_\w+:\w+`)
	// What is called so, too: the program, and files.
	other := regexp.MustCompile(`postfix_queue_emit\b|check_postfix_queue\b|postfix_queue(_\w+)?\.(yml|prom|json)`)
	name := regexp.MustCompile(`\bpostfix_queue_\w+`)
	for _, file := range slices.Compact(files) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := other.ReplaceAllString(readFile(t, file), "")
			for _, found := range record.FindAllString(text, -1) {
				if !recorded[found] {
					t.Errorf("nothing records %s", found)
				}
			}
			text = record.ReplaceAllString(text, "")
			names := name.FindAllString(text, -1)
			for _, found := range names {
				isHistogram := metrics[found] && file == prometheusDocument // which names it as a whole
				if !series[found] && !isHistogram {
					t.Errorf("nothing writes %s", found)
				}
			}
			if len(names) == 0 {
				t.Error("no metrics")
			}
		})
	}
	t.Run("all are documented", func(t *testing.T) {
		text := readFile(t, prometheusDocument)
		for found := range metrics {
			if !strings.Contains(text, "`"+found+"`") {
				t.Errorf("%s lacks %s", prometheusDocument, found)
			}
		}
		for found := range recorded {
			if !strings.Contains(text, "`"+found+"`") {
				t.Errorf("%s lacks %s", prometheusDocument, found)
			}
		}
	})
}

// A rawPanel is a panel as it is in the file.
type rawPanel struct {
	ID          int
	Type        string
	Title       string
	GridPos     struct{ H, W, X, Y int }
	FieldConfig json.RawMessage
}

// TestDashboards reads the dashboards as strictly as Grafana's own library does: whatever it does not know is an error.
func TestDashboards(t *testing.T) {
	runtime := cog.NewRuntime()
	for _, panel := range []func() variants.PanelcfgConfig{
		heatmap.VariantConfig, stat.VariantConfig, statetimeline.VariantConfig, table.VariantConfig,
		timeseries.VariantConfig,
	} {
		runtime.RegisterPanelcfgVariant(panel())
	}
	runtime.RegisterDataqueryVariant(dataquery.VariantConfig())
	uids := map[string]bool{}
	for _, path := range []string{hostDashboard, fleetDashboard} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			content := readFile(t, path)
			//nolint:staticcheck // Every Grafana from 9 on imports this form, and only new ones the one that it prefers.
			var d dashboard.Dashboard
			if err := d.UnmarshalJSONStrict([]byte(content)); isError(err) {
				t.Fatal(err)
			}
			if d.Uid == nil || uids[*d.Uid] || d.Title == nil || d.Id != nil {
				t.Fatalf("UID %v, title %v, ID %v: want new ones, and no ID", d.Uid, d.Title, d.Id)
			}
			uids[*d.Uid] = true
			var raw struct{ Panels []rawPanel }
			if err := json.Unmarshal([]byte(content), &raw); err != nil {
				t.Fatal(err)
			}
			checkPanels(t, raw.Panels)
			if n := strings.Count(content, `"uid": "${datasource}"`); n != strings.Count(content, `"type": "prometheus"`) {
				t.Errorf("%d data sources are the variable: not all", n)
			}
		})
	}
}

// isError reports whether strict reading has failed: the library returns an empty list of errors if it has not.
func isError(err error) bool { return err != nil && err.Error() != "" }

// checkPanels checks what belongs to panels and is not read strictly with them.
func checkPanels(t *testing.T, panels []rawPanel) {
	t.Helper()
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range panels {
		if _, known := cog.ConfigForPanelcfgVariant(p.Type); !known {
			t.Errorf("%s: nothing reads the options of %s", p.Title, p.Type)
		}
		if other, twice := ids[p.ID]; twice || p.ID == 0 {
			t.Errorf("%s and %s have the ID %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		var config dashboard.FieldConfigSource
		if err := config.UnmarshalJSONStrict(p.FieldConfig); isError(err) {
			t.Errorf("%s: %v", p.Title, err)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is too wide", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, twice := taken[[2]int{x, y}]; twice {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// Lines in the dashboards are the numbers of the alerts.
func TestDashboardThresholdsAreThoseOfAlerts(t *testing.T) {
	alerts := map[float64]bool{1: true} // up, and counts of what should not be there
	numbers := regexp.MustCompile(`[<>] ([0-9]+(?: \* [0-9]+)*)`)
	for _, m := range numbers.FindAllStringSubmatch(readFile(t, prometheusRules), -1) {
		product := 1.0
		for factor := range strings.SplitSeq(m[1], " * ") {
			n, err := strconv.ParseFloat(factor, 64)
			if err != nil {
				t.Fatal(err)
			}
			product *= n
		}
		alerts[product] = true
	}
	shown := map[float64]bool{}
	for _, path := range []string{hostDashboard, fleetDashboard} {
		for _, m := range regexp.MustCompile(`"value": ([0-9]+)\n`).FindAllStringSubmatch(readFile(t, path), -1) {
			n, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			shown[n] = true
			if n != 0 && !alerts[n] {
				t.Errorf("%s has %v, which no alert has", path, n)
			}
		}
	}
	want := []float64{100, 180, 500, 600, 3600, 14400, 50 << 20, 250 << 20, 1 << 30}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(shown)), func(n float64) bool { return n < 2 })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("thresholds (-want +shown):\n%s", diff)
	}
}
