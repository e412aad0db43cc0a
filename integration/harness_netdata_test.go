//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Places and user are those of Debian's packages.
const (
	netdataProgram = "/usr/sbin/netdata"
	netdataUser    = "netdata"
	netdataAddress = "127.0.0.1:19999"
	netdataLog     = "/var/log/netdata/error.log"
	netdataPlugins = "/usr/lib/netdata/plugins.d"
	netdataCharts  = "/usr/lib/netdata/charts.d"

	mailSystemDown = "mail system is down"

	netdataModule        = "../contrib/netdata/postfix_queue.chart.sh"
	netdataConfiguration = "../contrib/netdata/postfix_queue.conf"
)

// netdataConfig turns everything off but one collector, and reads as often as Netdata can.
const netdataConfig = `
[global]
	run as user = netdata
[db]
	mode = ram
	update every = 1
	retention = 600
[web]
	bind to = ` + netdataAddress + `
	web server threads = 1
[plugins]
	timex = no
	idlejitter = no
	netdata monitoring = no
	netdata monitoring extended = no
	profile = no
	tc = no
	diskspace = no
	proc = no
	cgroups = no
	slabinfo = no
	enable running new plugins = no
	%s = yes
[health]
	enabled = no
[ml]
	enabled = no
[statsd]
	enabled = no
[registry]
	enabled = no
[cloud]
	enabled = no
[directories]
	plugins = "%s"
`

// needNetdata leaves the test out if Netdata is not installed.
func needNetdata(t testing.TB) {
	t.Helper()
	needFiles(t, "netdata-core", netdataProgram)
	needFiles(t, "netdata-plugins-bash", netdataPlugins+"/charts.d.plugin", netdataCharts)
}

// A netdata is a running Netdata at its standard places, with empty state.
type netdata struct {
	t     testing.TB
	start time.Time
}

// startNetdata starts a Netdata with one external plugin, from a directory. Files are added to /etc/netdata and
// settings to netdata.conf, in which the last one wins.
func startNetdata(t testing.TB, plugin, pluginDir string, files map[string]string, settings ...string) *netdata {
	t.Helper()
	etc := publicTempDir(t)
	write := func(name, content string) {
		path := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("netdata.conf", fmt.Sprintf(netdataConfig, plugin, pluginDir)+strings.Join(settings, ""))
	write(".opt-out-from-anonymous-statistics", "")
	for name, content := range files {
		write(name, content)
	}
	bind(t, etc, "/etc/netdata")
	for _, dir := range []string{"/run", "/var/cache/netdata", "/var/lib/netdata", filepath.Dir(netdataLog)} {
		bind(t, ownedDir(t, netdataUser), dir)
	}
	if r := runAs(t, netdataUser, "mkdir", "/run/netdata"); r.exitCode != 0 {
		t.Fatal(r)
	}
	n := &netdata{t: t, start: time.Now()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", netdataLog, n.log())
		}
	})
	// It is started by root and goes on as its own user.
	startDaemon(t, command{env: []string{"TMPDIR=" + ownedDir(t, netdataUser)}}, netdataProgram, "-D")
	return n
}

// startNetdataModule starts a Netdata whose charts.d runs only the module of contrib.
func startNetdataModule(t testing.TB, configuration string) *netdata {
	t.Helper()
	bind(t, filepath.Dir(netdataModule), netdataCharts)
	return startNetdata(t, "charts.d", netdataPlugins, map[string]string{"charts.d/postfix_queue.conf": configuration})
}

// configureModule returns the configuration of contrib with these settings added.
func configureModule(t testing.TB, settings ...string) string {
	t.Helper()
	content, err := os.ReadFile(netdataConfiguration)
	if err != nil {
		t.Fatal(err)
	}
	return string(content) + strings.Join(settings, "\n") + "\n"
}

func (n *netdata) log() string {
	log, err := os.ReadFile(netdataLog)
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// verifyConnected fails the test if Netdata or charts.d ever gave up on the plugin or the module.
func (n *netdata) verifyConnected(plugin string) {
	n.t.Helper()
	log := n.log()
	if got := strings.Count(log, "PLUGINSD["+plugin+"] : connected to "); got != 1 {
		n.t.Errorf("the plugin was started %d times, want once", got)
	}
	for _, complaint := range []string{"Disabling it", "disconnected from", "reports failure"} {
		if strings.Contains(log, complaint) {
			n.t.Errorf("Netdata's log has %q", complaint)
		}
	}
}

// get asks the API.
func (n *netdata) get(path string, query url.Values, answer any) error {
	// It knows an option without a value only without the =.
	options := strings.TrimSuffix(query.Encode(), "=")
	address := url.URL{Scheme: "http", Host: netdataAddress, Path: path, RawQuery: options}
	response, err := http.Get(address.String())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address.String(), response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// A shownChart is a chart as the dashboard gets it.
type shownChart struct {
	Title       string `json:"title"`
	Units       string `json:"units"`
	Type        string `json:"chart_type"`
	Family      string `json:"family"`
	Context     string `json:"context"`
	Priority    int    `json:"priority"`
	UpdateEvery int    `json:"update_every"`
	Dimensions  map[string]struct {
		Name string `json:"name"`
	} `json:"dimensions"`
}

// charts are the charts of Postfix by their IDs.
func (n *netdata) charts() (map[string]shownChart, error) {
	var answer struct {
		Charts map[string]shownChart `json:"charts"`
	}
	err := n.get("/api/v1/charts", nil, &answer)
	for id := range answer.Charts {
		if !strings.HasPrefix(id, "postfix_") {
			delete(answer.Charts, id)
		}
	}
	return answer.Charts, err
}

// awaitChart waits for a chart.
func (n *netdata) awaitChart(id string) map[string]shownChart {
	n.t.Helper()
	var charts map[string]shownChart
	waitFor(n.t, "the chart "+id, func() (bool, any) {
		var err error
		charts, err = n.charts()
		_, known := charts[id]
		return known, fmt.Sprintf("%v; charts are %v", err, charts)
	})
	return charts
}

// A point is a value at a time, or a gap.
type point struct {
	second int64
	value  *float64
}

func (p point) String() string {
	if p.value == nil {
		return fmt.Sprintf("%d: gap", p.second)
	}
	return fmt.Sprintf("%d: %v", p.second, *p.value)
}

// points are the points of a chart with one dimension, oldest first.
func (n *netdata) points(chart string) ([]point, error) {
	var answer struct {
		Data [][]*float64 `json:"data"`
	}
	query := url.Values{"chart": {chart}, "after": {fmt.Sprint(n.start.Unix())}, "format": {"json"}}
	if err := n.get("/api/v1/data", query, &answer); err != nil {
		return nil, err
	}
	var points []point
	for _, row := range slices.Backward(answer.Data) {
		if len(row) != 2 || row[0] == nil {
			return nil, fmt.Errorf("%s: not a time and a value: %v", chart, row)
		}
		points = append(points, point{int64(*row[0]), row[1]})
	}
	return points, nil
}

// awaitValue waits until the last value of a chart with one dimension is as wanted, and returns all points.
func (n *netdata) awaitValue(chart string, want int64) []point {
	n.t.Helper()
	var points []point
	waitFor(n.t, fmt.Sprintf("%d in %s", want, chart), func() (bool, any) {
		var err error
		points, err = n.points(chart)
		if len(points) == 0 || points[len(points)-1].value == nil {
			return false, err
		}
		return *points[len(points)-1].value == float64(want), points
	})
	return points
}

// awaitQueue waits until the charts of an instance show its queue.
func (n *netdata) awaitQueue(name string, listed listing) {
	n.t.Helper()
	n.awaitValue("postfix_"+name+".qemails", int64(len(listed)))
	n.awaitValue("postfix_"+name+".qsize", listed.sizeBytes()/1024)
}

// netdataHealth has Netdata judge with no other alerts and tell nobody: by default it sends mail, which is what
// is counted here.
const netdataHealth = `
[health]
	enabled = yes
	script to execute on alarm = /bin/true
[directories]
	stock health config = /nonexistent
`
