//go:build integration

package integration

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// knownCharts are charts as the collectors draw them that this replaces.
func knownCharts(name string) map[string]shownChart {
	type dimensions = map[string]struct {
		Name string `json:"name"`
	}
	prefix := "postfix_" + name + "."
	return map[string]shownChart{
		prefix + "qemails": {
			Title: "Postfix Queue Emails (" + prefix + "qemails)", Units: "emails", Type: "line",
			Family: "queue", Context: "postfix.qemails",
			Priority: 60000, UpdateEvery: 1, Dimensions: dimensions{"emails": {"emails"}},
		},
		prefix + "qsize": {
			Title: "Postfix Queue Size (" + prefix + "qsize)", Units: "KiB", Type: "area",
			Family: "queue", Context: "postfix.qsize",
			Priority: 60001, UpdateEvery: 1, Dimensions: dimensions{"size": {"size"}},
		},
	}
}

// TestNetdata starts a Netdata with a job for each of two instances, one of which comes up later, and with jobs
// that are alternatives or have special settings.
func TestNetdata(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	out := newSecondInstance(p)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(2)
	installEmitter(t)
	n := startNetdataModule(t, configureModule(t,
		`postfix_queue_update_every=1`,
		`postfix_queue_autodetection_retry=1`,
		`postfix_queue_penalty=no`,
		`postfix_queue_jobs="local out never slow absent present spare"`,
		// Each reading is in the log.
		`postfix_queue_job_options[local]=-v`,
		`postfix_queue_job_options[out]="--config-dir `+out.dir+`"`,
		// Gives up, as its instance is down at the start.
		`postfix_queue_job_options[never]="--config-dir `+out.dir+`"`,
		`postfix_queue_job_autodetection_retry[never]=0`,
		`postfix_queue_job_update_every[slow]=3`,
		`postfix_queue_job_priority[slow]=60100`,
		// Alternatives. The first does not work.
		`postfix_queue_job_options[absent]="--input /nonexistent/snapshot.json"`,
		`postfix_queue_job_options[spare]="--queue maildrop"`,
		`postfix_queue_job_name[absent]=one`,
		`postfix_queue_job_name[present]=one`,
		`postfix_queue_job_name[spare]=one`,
	))

	t.Run("charts", func(t *testing.T) {
		charts := n.awaitChart("postfix_local.qemails")
		for id, want := range knownCharts("local") {
			if diff := cmp.Diff(want, charts[id]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
	})
	t.Run("values", func(t *testing.T) {
		n.awaitQueue("local", p.list())
		p.fillQueue(20)
		n.awaitQueue("local", p.list())
	})
	t.Run("update_every and priority", func(t *testing.T) {
		chart := n.awaitChart("postfix_slow.qsize")["postfix_slow.qsize"]
		if chart.UpdateEvery != 3 || chart.Priority != 60101 {
			t.Errorf("want every 3 seconds and priority 60101, got %+v", chart)
		}
		n.awaitQueue("slow", p.list())
	})
	t.Run("alternatives", func(t *testing.T) {
		n.awaitQueue("one", p.list())
		points, err := n.points("postfix_one.qemails")
		if err != nil {
			t.Fatal(err)
		}
		for _, point := range points {
			// The spare one would say 0.
			if point.value != nil && *point.value < 3 {
				t.Errorf("a value of another alternative: %s", point)
			}
		}
	})
	t.Run("autodetection_retry", func(t *testing.T) {
		out.start()
		n.awaitQueue("out", out.deferMail(0))
		n.awaitQueue("out", out.deferMail(3))
		charts := n.awaitChart("postfix_out.qsize")
		for id, want := range knownCharts("out") {
			if diff := cmp.Diff(want, charts[id]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
		if _, known := charts["postfix_never.qemails"]; known {
			t.Error("a job with one attempt came up later")
		}
	})
	t.Run("gap", func(t *testing.T) { testNetdataGap(t, n, p, out) })
	t.Run("debugging", func(t *testing.T) {
		args := []string{"--check", "-v", "--config-dir", out.dir}
		if r := runAs(t, netdataUser, emitterProgram, args...); r.exitCode != 0 || r.stdout != "" || r.stderr == "" {
			t.Errorf("want success and how it was read, got %s", r)
		}
		out.stop()
		r := runAs(t, netdataUser, emitterProgram, args...)
		if r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, mailSystemDown) {
			t.Errorf("want to be told %q, got %s", mailSystemDown, r)
		}
	})

	n.verifyConnected("charts.d")
}

// testNetdataGap stops one of two instances for more updates than charts.d lets fail.
func testNetdataGap(t *testing.T, n *netdata, p *postfixInstance, out *secondInstance) {
	before := len(n.log())
	out.stop()
	// A value that was read before may still be on its way until there is a failure.
	failures := func() int { return strings.Count(n.log()[before:], mailSystemDown) }
	waitFor(t, "the first failure", func() (bool, any) { return failures() > 0, n.log()[before:] })
	stopped := time.Now().Unix()
	const gap = 12 // seconds
	waitFor(t, "failures", func() (bool, any) {
		p.fillQueue(1)
		n.awaitQueue("local", p.list()) // it goes on meanwhile
		return failures() > gap && time.Now().Unix() > stopped+gap, failures()
	})
	verifyReadMeanwhile(t, n.log()[before:])

	started := time.Now().Unix()
	out.start()
	n.awaitQueue("out", out.deferMail(4))
	points := n.awaitValue("postfix_out.qemails", 7)
	gaps := 0
	for _, point := range points {
		// Points are at whole seconds, values a little beside them.
		if point.second <= stopped+1 || point.second >= started {
			continue
		}
		if point.value != nil {
			t.Errorf("a value while Postfix is down: %s", point)
		}
		gaps++
	}
	if gaps < gap-2 {
		t.Errorf("a gap of %d seconds, from %d to %d: %v", gaps, stopped, started, points)
	}
}

var localReading = regexp.MustCompile(`(?m)^local: \d+ emails?, |` + mailSystemDown)

// verifyReadMeanwhile fails the test unless the log shows a reading of the instance local for each failure of the
// other. Points in its chart would not show it: if the machine is too busy for charts.d, Netdata has a gap for all.
func verifyReadMeanwhile(t *testing.T, log string) {
	t.Helper()
	missed := 0
	for _, what := range localReading.FindAllString(log, -1) {
		if what != mailSystemDown {
			missed = 0
			continue
		}
		// An update may begin at the very end of a second, in which local was read already. One that is missing is
		// not a gap to Netdata.
		if missed++; missed > 2 {
			t.Errorf("the other instance was not read between %d failures:\n%s", missed, log)
		}
	}
}

// TestNetdataDefaults runs the configuration of contrib unchanged.
func TestNetdataDefaults(t *testing.T) {
	needNetdata(t)
	startPostfix(t)
	installEmitter(t)
	n := startNetdataModule(t, configureModule(t))
	charts := n.awaitChart("postfix_local.qsize")
	for id, want := range knownCharts("local") {
		want.UpdateEvery = 10
		if diff := cmp.Diff(want, charts[id]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}

	settings := regexp.MustCompile(`(?m)^#(postfix_queue_\w+)(\[\w+\])?=`).FindAllStringSubmatch(configureModule(t), -1)
	if len(settings) < 10 {
		t.Errorf("the configuration has few settings: %q", settings)
	}
	module := netdataCharts + "/postfix_queue.chart.sh"
	for _, setting := range settings {
		r := runAs(t, netdataUser, "bash", "-c", `. "$1" && declare -p "$2"`, "bash", module, setting[1])
		if isArray := strings.HasPrefix(r.stdout, "declare -A"); r.exitCode != 0 || isArray != (setting[2] != "") {
			t.Errorf("the module has no setting %s: %s", setting[0], r)
		}
	}
}

// TestNetdataAllInstances has one job for all instances. The charts of one that comes up late are not known yet
// when its values come.
func TestNetdataAllInstances(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	out := newSecondInstance(p)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	installEmitter(t)
	n := startNetdataModule(t, configureModule(t,
		`postfix_queue_update_every=1`,
		`postfix_queue_jobs=all`,
		`postfix_queue_job_options[all]=--all-instances`,
	))
	n.awaitQueue("local", p.list())
	out.start()
	n.awaitQueue("postfix-out", out.deferMail(2))
	p.fillQueue(3)
	n.awaitQueue("local", p.list())
	n.verifyConnected("charts.d")
}

// TestNetdataPlugin lets Netdata run the external plugin of contrib, beginning while Postfix is down.
func TestNetdataPlugin(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.stop()
	installEmitter(t)
	n := startNetdata(t, "postfix_queue", filepath.Join(contribDir(t), "netdata"), nil,
		"[plugin:postfix_queue]\n\tcommand options = --name mx1\n")
	waitFor(t, "the failure", func() (bool, any) { return strings.Contains(n.log(), mailSystemDown), n.log() })
	p.start()
	charts := n.awaitChart("postfix_mx1.qsize")
	for id, want := range knownCharts("mx1") {
		want.UpdateEvery = 10
		if diff := cmp.Diff(want, charts[id]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	var chart struct {
		Labels map[string]string `json:"chart_labels"`
	}
	if err := n.get("/api/v1/chart", url.Values{"chart": {"postfix_mx1.qemails"}}, &chart); err != nil {
		t.Fatal(err)
	}
	if got := chart.Labels["instance_name"]; got != "mx1" {
		t.Errorf("the label instance_name is %q: %v", got, chart.Labels)
	}
	n.awaitQueue("mx1", p.list())
	p.fillQueue(4)
	n.awaitQueue("mx1", p.list())
}
