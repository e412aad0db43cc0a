//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
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

// needNetdata leaves the test out where Netdata is not installed.
func needNetdata(t testing.TB) {
	t.Helper()
	needFiles(t, "netdata-core", netdataProgram)
	needFiles(t, "netdata-plugins-bash", netdataPlugins+"/charts.d.plugin", netdataCharts)
}

// mount mounts a file system until the end of the test.
func mount(t testing.TB, kind, options, target string) {
	t.Helper()
	if err := unix.Mount(kind, target, kind, 0, options); err != nil {
		leaveOut(t, fmt.Sprintf("mount %s at %s: %v", kind, target, err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
}

// installEmitter puts the emitter into /usr/bin, where contrib has it, until the end of the test.
func installEmitter(t testing.TB) {
	t.Helper()
	dir := publicTempDir(t)
	if r := runAs(t, "root", "cp", program(t, emitterProgram), dir); r.exitCode != 0 {
		t.Fatal(r)
	}
	// There is no file to mount over, and none may be made.
	mount(t, "overlay", "lowerdir="+dir+":/usr/bin", "/usr/bin")
}

// ownedDir is a directory of a user.
func ownedDir(t testing.TB, owner string) string {
	t.Helper()
	dir := publicTempDir(t)
	who := credential(t, owner)
	if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A netdata is a running Netdata at its standard places, with empty state.
type netdata struct {
	t     testing.TB
	start time.Time
}

// startNetdata starts a Netdata that has one external plugin, of a directory. Files are added to /etc/netdata,
// settings to netdata.conf, where the last one holds.
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

// startNetdataModule starts a Netdata whose charts.d has the module of contrib alone.
func startNetdataModule(t testing.TB, configuration string) *netdata {
	t.Helper()
	bind(t, filepath.Dir(netdataModule), netdataCharts)
	return startNetdata(t, "charts.d", netdataPlugins, map[string]string{"charts.d/postfix_queue.conf": configuration})
}

// configureModule is the configuration of contrib with some of its settings in use, each with a value of the
// test's.
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
	address := url.URL{Scheme: "http", Host: netdataAddress, Path: path, RawQuery: strings.TrimSuffix(query.Encode(), "=")}
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

// A point is a value at a time. It has none where there is a gap.
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

// A secondInstance is an instance of Postfix beside the first, postfix-out. It has mail of its own, and no
// network.
type secondInstance struct {
	*postfixInstance
	dir string
}

// newSecondInstance sets up an instance that is not running yet, and that the first one knows. It is stopped
// when the test ends.
func newSecondInstance(p *postfixInstance) *secondInstance {
	p.t.Helper()
	out := &secondInstance{p, publicTempDir(p.t)}
	p.must(runAs(p.t, "root", "cp", "-a", configDir+"/.", out.dir))
	settings := slices.Concat(testSettings, []string{
		"queue_directory=" + publicTempDir(p.t),
		"data_directory=" + ownedDir(p.t, "postfix"),
		"multi_instance_name=postfix-out",
		"multi_instance_enable=yes",
		"master_service_disable=inet",
	})
	p.must(runAs(p.t, "root", "postconf", slices.Concat([]string{"-c", out.dir, "-e"}, settings)...))
	p.settle(out.dir)
	p.set("multi_instance_directories="+out.dir, "multi_instance_enable=yes")
	p.t.Cleanup(out.stop)
	return out
}

func (out *secondInstance) start() {
	out.t.Helper()
	out.must(runAs(out.t, "root", "postfix", "-c", out.dir, "start"))
}

func (out *secondInstance) running() bool {
	return runAs(out.t, "root", "postfix", "-c", out.dir, "status").exitCode == 0
}

func (out *secondInstance) stop() {
	out.t.Helper()
	if out.running() {
		out.must(runAs(out.t, "root", "postfix", "-c", out.dir, "stop"))
	}
}

// deferMail puts so many more messages into the deferred queue and returns the listing.
func (out *secondInstance) deferMail(n int) listing {
	out.t.Helper()
	m := mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 5000}
	for range n {
		out.must(command{stdin: m.content()}.run(out.t, "/usr/sbin/sendmail", "-C", out.dir, "-i", "-f", m.from, m.to[0]))
	}
	var listed listing
	waitFor(out.t, "the queue of postfix-out", func() (bool, any) {
		r := out.must(out.postqueue("-c", out.dir, "-j"))
		var err error
		if listed, err = parseListing(r.stdout); err != nil {
			out.t.Fatal(err)
		}
		return len(listed) >= n && len(listed.in("deferred")) == len(listed), r
	})
	return listed
}

// knownCharts are charts as the collectors draw them that this replaces.
func knownCharts(name string) map[string]shownChart {
	type dimensions = map[string]struct {
		Name string `json:"name"`
	}
	prefix := "postfix_" + name + "."
	return map[string]shownChart{
		prefix + "qemails": {
			Title: "Postfix Queue Emails (" + prefix + "qemails)", Units: "emails", Type: "line", Family: "queue", Context: "postfix.qemails",
			Priority: 60000, UpdateEvery: 1, Dimensions: dimensions{"emails": {"emails"}},
		},
		prefix + "qsize": {
			Title: "Postfix Queue Size (" + prefix + "qsize)", Units: "KiB", Type: "area", Family: "queue", Context: "postfix.qsize",
			Priority: 60001, UpdateEvery: 1, Dimensions: dimensions{"size": {"size"}},
		},
	}
}

// TestNetdata has a Netdata with one job for each of two instances, of which one is not up from the start, and
// jobs that are alternatives or have settings of their own.
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
		// Alternatives, the first of which does not work.
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
		if r := runAs(t, netdataUser, emitterProgram, args...); r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, mailSystemDown) {
			t.Errorf("want to be told %q, got %s", mailSystemDown, r)
		}
	})

	n.verifyConnected("charts.d")
}

// testNetdataGap stops one of two instances for more updates than charts.d lets fail.
func testNetdataGap(t *testing.T, n *netdata, p *postfixInstance, out *secondInstance) {
	out.stop()
	stopped := time.Now().Unix()
	before := len(n.log())
	waitFor(t, "failures", func() (bool, any) {
		p.fillQueue(1)
		n.awaitQueue("local", p.list()) // it goes on meanwhile
		failures := strings.Count(n.log()[before:], mailSystemDown)
		return failures > 12, failures
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
	if gaps < 10 {
		t.Errorf("a gap of %d seconds, from %d to %d: %v", gaps, stopped, started, points)
	}
}

var localReading = regexp.MustCompile(`(?m)^local: \d+ emails?, |` + mailSystemDown)

// verifyReadMeanwhile fails the test unless the log shows a reading of the instance local for each failure of the other.
// Points in its chart would not show it: where the machine is too busy for charts.d, Netdata has a gap for all.
func verifyReadMeanwhile(t *testing.T, log string) {
	t.Helper()
	missed := 0
	for _, what := range localReading.FindAllString(log, -1) {
		if what != mailSystemDown {
			missed = 0
			continue
		}
		// An update may begin at the very end of a second, in which local was read already. To Netdata one that is lost is no gap.
		if missed++; missed > 2 {
			t.Errorf("the other instance was not read between %d failures:\n%s", missed, log)
		}
	}
}

// TestNetdataDefaults has the configuration of contrib as it is.
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
	for _, setting := range settings {
		r := runAs(t, netdataUser, "bash", "-c", `. "$1" && declare -p "$2"`, "bash", netdataCharts+"/postfix_queue.chart.sh", setting[1])
		if isArray := strings.HasPrefix(r.stdout, "declare -A"); r.exitCode != 0 || isArray != (setting[2] != "") {
			t.Errorf("%s is no setting of the module: %s", setting[0], r)
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

// TestNetdataPlugin has Netdata call the emitter itself.
func TestNetdataPlugin(t *testing.T) {
	needNetdata(t)
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	installEmitter(t)
	dir := publicTempDir(t)
	if err := os.Symlink("/usr/bin/"+emitterProgram, dir+"/postfix_queue.plugin"); err != nil {
		t.Fatal(err)
	}
	n := startNetdata(t, "postfix_queue", dir, nil)
	charts := n.awaitChart("postfix_local.qsize")
	for id, want := range knownCharts("local") {
		if diff := cmp.Diff(want, charts[id]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	n.awaitQueue("local", p.list())
	p.fillQueue(4)
	n.awaitQueue("local", p.list())
}

// moduleScript does with the module, $1, what charts.d does, with a clock of its own that starts at 0, and an
// emitter that notes its calls in the file calls, each as its time and arguments. It has what a test adds:
// settings, and functions that override these.
const moduleScript = `
. "$1"
clock=0
postfix_queue_seconds() { printf %s "$clock"; }
postfix_queue_microseconds() { printf %s000000 "$clock"; }
postfix_queue_command=emitter
calls=$2
up() { true; }
values() { printf '%s\n' 'BEGIN postfix_x.qemails' 'SET emails = 1' END; }
charts() { printf '%s\n' "CHART postfix_x.qemails '' 't' 'u' 'queue' 'c' 'line' 1 1"; }
emitter() {
	echo "$clock $*" >>"$calls"
	up "$@" || return
	case "$*" in *charts*) charts || return ;; esac
	case "$*" in *values*) values ;; esac
}
# run_until TIME: charts.d's loop, in which more than 10 failures in a row are the end.
run_until() {
	while [ "$clock" -lt "$1" ]; do
		clock=$((clock + postfix_queue_update_every))
		postfix_queue_update $argument || echo "postfix_queue_update failed"
		argument=$((postfix_queue_update_every * 1000000))
	done
}
`

// A moduleRun is what a run of the module left behind.
type moduleRun struct {
	output string
	calls  []moduleCall
}

// A moduleCall is a call of the emitter.
type moduleCall struct {
	second int
	args   string
}

// runModule runs a script after moduleScript, as Netdata's user.
func runModule(t *testing.T, script string) moduleRun {
	t.Helper()
	calls := filepath.Join(ownedDir(t, "nobody"), "calls")
	r := runAs(t, "nobody", "bash", "-c", moduleScript+script, "bash", contribDir(t)+"/netdata/"+filepath.Base(netdataModule), calls)
	if r.exitCode != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	content, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	run := moduleRun{output: r.stdout}
	for line := range strings.Lines(string(content)) {
		second, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		run.calls = append(run.calls, moduleCall{number(t, second), args})
	}
	return run
}

// What the module calls the emitter for.
const (
	toDetect = `--part values .*--priority \d+$`
	toRead   = `--part (charts,)?values .*--usec`
)

// seconds are the times of the calls whose arguments match a regular expression.
func (r moduleRun) seconds(pattern string) []int {
	matches := regexp.MustCompile(pattern)
	var seconds []int
	for _, call := range r.calls {
		if matches.MatchString(call.args) {
			seconds = append(seconds, call.second)
		}
	}
	return seconds
}

// TestNetdataModule looks at what takes too long, or too special an emitter, to be shown in a running Netdata.
func TestNetdataModule(t *testing.T) {
	const (
		values = "BEGIN postfix_x.qemails\nSET emails = 1\nEND\n"
		chart  = "CHART postfix_x.qemails '' 't' 'u' 'queue' 'c' 'line' 1 1\n"
	)
	expect := func(t *testing.T, what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	const begin = "postfix_queue_check && postfix_queue_create || exit\n"

	t.Run("update_every", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="often default seldom"
			postfix_queue_job_update_every=([often]=5 [seldom]=20)
			`+begin+`run_until 40`)
		expect(t, "often", []int{5, 10, 15, 20, 25, 30, 35, 40}, r.seconds("--update-every 5 --priority 60000 --usec"))
		expect(t, "default", []int{5, 10, 20, 30, 40}, r.seconds("--update-every 10 --priority 60000 --usec"))
		expect(t, "seldom", []int{5, 20, 40}, r.seconds("--update-every 20 --priority 60000 --usec"))
	})
	t.Run("priority", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="local out"
			postfix_queue_job_priority=([out]=70)
			`+begin)
		expect(t, "local", []int{0}, r.seconds("--name local .*--part charts .*--priority 60000$"))
		expect(t, "out", []int{0}, r.seconds("--name out .*--part charts .*--priority 70$"))
	})
	t.Run("names of instances", func(t *testing.T) {
		for options, named := range map[string]bool{
			"":                                    true,
			"--config-dir /a":                     true,
			"-d/a --source spool":                 true,
			"--input /a":                          true,
			"-a":                                  false,
			"--all-instances":                     false,
			"--config-dir /a --config-dir /b":     false,
			"--config-dir=/a --config-dir=/b":     false,
			"-d /a -d /b":                         false,
			"-d/a --source spool --config-dir=/b": false,
		} {
			r := runModule(t, `
				postfix_queue_job_options=([local]="`+options+`")
				`+begin)
			want := []int(nil)
			if named {
				want = []int{0}
			}
			expect(t, options, want, slices.Compact(r.seconds("--name local")))
		}
	})
	t.Run("time between values", func(t *testing.T) {
		r := runModule(t, `
			up() { [ "$clock" != 30 ]; }
			postfix_queue_penalty=no
			`+begin+`run_until 50`)
		var got []string
		for _, call := range r.calls {
			if _, usec, found := strings.Cut(call.args, "--usec "); found {
				got = append(got, usec)
			}
		}
		// None for the first, and none after a failure: Netdata must not take the gap for a late value.
		expect(t, "microseconds", []string{"0", "10000000", "10000000", "0", "10000000"}, got)
		expect(t, "output", chart+strings.Repeat(values, 4), r.output)
	})
	t.Run("penalty", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_update_every=60
			`+begin+`
			up() { [ "$clock" = 9840 ]; }
			run_until 10320`)
		var waits []int
		for i, second := range r.seconds(toRead)[1:] {
			waits = append(waits, second-r.seconds(toRead)[i])
		}
		// A minute and half of one for each failure, but no more than ten, in whole minutes as the module is called
		// once a minute. At last it works, once, and the penalty begins anew.
		expect(t, "waits", []int{
			120, 120, 180, 180, 240, 240, 300, 300, 360, 360, 420, 420, 480, 480, 540, 540, 600, 600,
			660, 660, 660, 660, 660, 60, 120, 120, 180,
		}, waits)
		expect(t, "output", chart+values, r.output)
	})
	t.Run("no penalty", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_penalty=no
			`+begin+`
			up() { false; }
			run_until 200`)
		expect(t, "readings", 20, len(r.seconds(toRead)))
		expect(t, "output", chart, r.output)
	})
	t.Run("autodetection_retry", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="early once"
			postfix_queue_autodetection_retry=30
			postfix_queue_job_autodetection_retry=([once]=0)
			up() { [ "$clock" -ge 80 ]; }
			`+begin+`run_until 110`)
		expect(t, "early", []int{0, 30, 60, 90}, r.seconds("--name early .*"+toDetect))
		expect(t, "early", []int{90, 100, 110}, r.seconds("--name early .*"+toRead))
		expect(t, "once", []int{0}, r.seconds("--name once"))
		expect(t, "output", chart+strings.Repeat(values, 3), r.output)
	})
	t.Run("nothing to retry", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_autodetection_retry=0
			up() { false; }
			postfix_queue_check || echo "given up"`)
		expect(t, "output", "given up\n", r.output)
	})
	t.Run("alternatives", func(t *testing.T) {
		r := runModule(t, `
			postfix_queue_jobs="first second third"
			postfix_queue_job_name=([first]=x [second]=x [third]=x)
			postfix_queue_job_options=([first]=1st [second]=2nd [third]=3rd)
			postfix_queue_autodetection_retry=10
			# The first one works too late.
			up() { case "$*" in *1st*) [ "$clock" -ge 30 ] ;; esac; }
			`+begin+`run_until 60`)
		expect(t, "first", []int{0}, slices.Compact(r.seconds("1st")))
		expect(t, "second", []int{0, 10, 20, 30, 40, 50, 60}, slices.Compact(r.seconds("2nd")))
		expect(t, "third", 0, len(r.seconds("3rd")))
	})
	for name, dies := range map[string]string{
		"killed":      "kill -9 $BASHPID",
		"failed":      "return 1",
		"wrong usage": "return 2",
	} {
		t.Run("incomplete, "+name, func(t *testing.T) {
			r := runModule(t, begin+`
				values() { printf 'BEGIN postfix_x.qemails\nSET ema'; `+dies+`; }
				run_until 10`)
			expect(t, "readings", []int{10}, r.seconds(toRead))
			expect(t, "output", chart, r.output)
		})
		t.Run("incomplete charts, "+name, func(t *testing.T) {
			r := runModule(t, `
				charts() { printf 'CHART postfix_x.qemails'; `+dies+`; }
				values() { `+dies+`; }
				`+begin+`run_until 10`)
			expect(t, "output", "", r.output)
		})
	}
}
