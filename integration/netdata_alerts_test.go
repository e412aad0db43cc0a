//go:build integration

package integration

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	netdataAlerts = "../contrib/netdata/health.d/postfix_queue.conf"
	netdataStatsD = "../contrib/netdata/statsd.d/postfix_queue.conf"
)

// An alert is an alert of Netdata on one chart.
type alert struct {
	Status string `json:"status"`
	Value  string `json:"value_string"`
	Info   string `json:"info"`
}

// alerts are all alerts by "chart.name", raised or not.
func (n *netdata) alerts() (map[string]alert, error) {
	var answer struct {
		Alarms map[string]alert `json:"alarms"`
	}
	err := n.get("/api/v1/alarms", url.Values{"all": {""}}, &answer)
	return answer.Alarms, err
}

// awaitAlerts waits until alerts have these states.
func (n *netdata) awaitAlerts(want map[string]string) {
	n.t.Helper()
	waitFor(n.t, fmt.Sprintf("the alerts %v", want), func() (bool, any) {
		alerts, err := n.alerts()
		for id, status := range want {
			if alerts[id].Status != status {
				return false, fmt.Sprintf("%v; alerts are %+v", err, alerts)
			}
		}
		return true, nil
	})
}

// deleteMail deletes deferred mail until that number of messages is left.
func (p *postfixInstance) deleteMail(left int) {
	p.t.Helper()
	ids := p.queueIDs("deferred")
	p.eachID("-d", ids[left:])
}

var timeRecord = regexp.MustCompile(`T[\x0a-\x20](\d{10})[ \x00]`)

// backdate makes a deferred message arrive earlier. The records of its queue file keep their lengths.
func (p *postfixInstance) backdate(id string, by time.Duration) {
	p.t.Helper()
	parsed, err := parseQueueID(id)
	if err != nil {
		p.t.Fatal(err)
	}
	path := filepath.Join(spoolDir, "deferred", parsed.hash()[:1], id)
	content, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	found := timeRecord.FindSubmatchIndex(content)
	if found == nil {
		p.t.Fatalf("%s has no time record", path)
	}
	arrival := number(p.t, string(content[found[2]:found[3]])) - int(by.Seconds())
	copy(content[found[2]:found[3]], strconv.Itoa(arrival))
	var before unix.Stat_t
	if err := unix.Stat(path, &before); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0); err != nil { // the file is there: it keeps owner and mode
		p.t.Fatal(err)
	}
	// The time of the next attempt.
	if err := os.Chtimes(path, time.Unix(before.Atim.Unix()), time.Unix(before.Mtim.Unix())); err != nil {
		p.t.Fatal(err)
	}
}

// TestNetdataAlerts runs the alerts of contrib, unchanged, in a Netdata that sees a queue grow, drain and go
// away. Netdata looks at an alert every ten seconds.
func TestNetdataAlerts(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 600_000}))
	installEmitter(t)
	bind(t, filepath.Dir(netdataModule), netdataCharts)
	n := startNetdata(t, "charts.d", netdataPlugins, map[string]string{
		"charts.d/postfix_queue.conf": configureModule(t, "postfix_queue_update_every=1", "postfix_queue_penalty=no"),
		"health.d/postfix_queue.conf": readContrib(t, netdataAlerts),
	}, netdataHealth)

	const (
		emails = "postfix_local.qemails.postfix_queue_emails"
		size   = "postfix_local.qsize.postfix_queue_size"
		age    = "postfix_local.qage.postfix_queue_age"
		stale  = "postfix_local.qemails.postfix_queue_stale"
		taken  = "postfix_local.qage_by_queue.postfix_queue_not_taken"
		local  = "postfix_local.qage_by_queue.postfix_queue_local_not_taken"
		growth = "postfix_local.qemails.postfix_queue_growth" // a quarter of an hour later
	)
	steps := []struct {
		name  string
		reach func()
		want  map[string]string
	}{
		{"a short queue", func() {}, map[string]string{
			emails: "CLEAR", size: "CLEAR", age: "CLEAR", stale: "CLEAR", taken: "CLEAR", local: "CLEAR",
		}},
		{"110 emails of 63 MiB, the oldest of 70 minutes", func() {
			p.fillQueue(109)
			p.backdate(p.queueIDs("deferred")[0], 70*time.Minute)
		}, map[string]string{emails: "WARNING", size: "WARNING", age: "WARNING", stale: "CLEAR"}},
		{"510 emails of 292 MiB, the oldest of five hours", func() {
			p.fillQueue(400)
			p.backdate(p.queueIDs("deferred")[0], 5*time.Hour)
		}, map[string]string{emails: "CRITICAL", size: "CRITICAL", age: "CRITICAL", stale: "CLEAR"}},
		{"90 emails of 51 MiB, not yet few enough", func() {
			p.deleteMail(90)
		}, map[string]string{emails: "WARNING", size: "WARNING", stale: "CLEAR"}},
		{"Postfix stopped", p.stop, map[string]string{emails: "WARNING", size: "WARNING", stale: "WARNING"}},
		{"Postfix started", p.start, map[string]string{emails: "WARNING", size: "WARNING", stale: "CLEAR"}},
		{"no email", func() {
			p.postsuper("-d", "ALL")
		}, map[string]string{emails: "CLEAR", size: "CLEAR", age: "CLEAR", stale: "CLEAR"}},
	}
	for _, step := range steps {
		t.Logf("%s: want %v", step.name, step.want)
		step.reach()
		n.awaitAlerts(step.want)
	}
	alerts, err := n.alerts()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{emails, size, age, stale, taken, local, growth} {
		if alerts[id].Info == "" {
			t.Errorf("%s does not say what to do: %+v", id, alerts[id])
		}
	}
}

// TestNetdataGrowth runs the alert on growth, of half a minute instead of a quarter of an hour.
func TestNetdataGrowth(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	installEmitter(t)
	bind(t, filepath.Dir(netdataModule), netdataCharts)
	const lookup, shorter = "lookup: average -2m at -14m ", "lookup: average -4s at -28s "
	alerts := readContrib(t, netdataAlerts)
	if strings.Count(alerts, lookup) != 1 {
		t.Fatalf("no %q", lookup)
	}
	n := startNetdata(t, "charts.d", netdataPlugins, map[string]string{
		"charts.d/postfix_queue.conf": configureModule(t, "postfix_queue_update_every=1", "postfix_queue_penalty=no"),
		"health.d/postfix_queue.conf": strings.Replace(alerts, lookup, shorter, 1),
	}, netdataHealth)
	const growth = "postfix_local.qemails.postfix_queue_growth"
	n.awaitAlerts(map[string]string{growth: "CLEAR"})
	p.fillQueue(200)
	n.awaitAlerts(map[string]string{growth: "WARNING"})
	n.awaitAlerts(map[string]string{growth: "CLEAR"}) // it stays as it is
	if all, err := n.alerts(); err != nil || all[growth].Info == "" {
		t.Errorf("it does not say what to do: %v, %+v", err, all[growth])
	}
}

// TestNetdataStatsD sends the gauges to Netdata's own StatsD, which draws and judges them with the files of
// contrib.
func TestNetdataStatsD(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	id := p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000})
	p.waitDeferred(id)
	p.fillQueue(4)
	p.hold(id)
	n := startNetdata(t, "none", publicTempDir(t), map[string]string{
		"statsd.d/postfix_queue.conf": readContrib(t, netdataStatsD),
		"health.d/postfix_queue.conf": readContrib(t, netdataAlerts),
	}, netdataHealth, "[statsd]\n\tenabled = yes\n\tbind to = udp:"+statsdAddress+"\n")

	push := func(args ...string) result {
		t.Helper()
		return nobody.emit(t, append([]string{"--format", "statsd", "--to", "udp://" + statsdAddress}, args...)...)
	}
	waitFor(t, "Netdata's StatsD", func() (bool, any) {
		r := push()
		return r.exitCode == 0, r
	})
	awaitGauges := func() {
		t.Helper()
		want := p.list().metrics(queueNames)
		for metric := range want {
			if perfUnit(metric) == "B" {
				want[metric] /= 1024 // the charts are in KiB
			}
		}
		waitFor(t, "the gauges on charts", func() (bool, any) {
			got, err := n.gauges()
			return containsAll(got, want), fmt.Sprintf("%v; want %v, charts have %v", err, want, got)
		})
	}
	awaitGauges()
	p.fillQueue(10)
	p.forceExpire(id)
	if r := push(); r.exitCode != 0 {
		t.Fatal(r)
	}
	awaitGauges()

	const stale = "postfix_queue.qlast_success.postfix_queue_statsd_stale"
	n.awaitAlerts(map[string]string{stale: "CLEAR", "postfix_queue.qemails.postfix_queue_emails": "CLEAR"})
	// Gauges as they were more than three minutes ago are those of a job that has stopped then.
	snapshot := p.must(root.emit(t, "--format", "json")).stdout
	then := fmt.Sprint(`"taken": `, time.Now().Add(-200*time.Second).Unix())
	earlier := regexp.MustCompile(`"taken": \d+`).ReplaceAllString(snapshot, then)
	if r := push("--input", saveListing(t, earlier)); r.exitCode != 0 {
		t.Fatal(r)
	}
	n.awaitAlerts(map[string]string{stale: "WARNING"})
	if r := push(); r.exitCode != 0 {
		t.Fatal(r)
	}
	n.awaitAlerts(map[string]string{stale: "CLEAR"})

	// Mail that Postfix takes at once, and has not taken for an hour.
	const (
		taken = "postfix_queue.qage_by_queue.postfix_queue_not_taken"
		local = "postfix_queue.qage_by_queue.postfix_queue_local_not_taken"
	)
	n.awaitAlerts(map[string]string{taken: "CLEAR", local: "CLEAR"})
	var waiting strings.Builder
	for _, queue := range []string{"incoming", "maildrop"} {
		const line = `{"queue_name": "%s", "queue_id": "A", "arrival_time": %d, "message_size": 1, "recipients": []}` + "\n"
		fmt.Fprintf(&waiting, line, queue, time.Now().Add(-time.Hour).Unix())
	}
	if r := push("--input", saveListing(t, waiting.String())); r.exitCode != 0 {
		t.Fatal(r)
	}
	n.awaitAlerts(map[string]string{taken: "WARNING", local: "WARNING"})
}

// gauges are the values on the charts of contrib's app by the names of metrics.
func (n *netdata) gauges() (map[string]int64, error) {
	var charts map[string]struct {
		Dimensions map[string]struct {
			Value float64 `json:"value"`
		} `json:"dimensions"`
	}
	if err := n.get("/api/v1/allmetrics", url.Values{"format": {"json"}}, &charts); err != nil {
		return nil, err
	}
	gauges := make(map[string]int64)
	for id, chart := range charts {
		if !strings.HasPrefix(id, "postfix_queue.") {
			continue
		}
		for dimension, shown := range chart.Dimensions {
			gauges[strings.TrimPrefix(dimension, "postfix_queue.")] = int64(shown.Value)
		}
	}
	return gauges, nil
}
